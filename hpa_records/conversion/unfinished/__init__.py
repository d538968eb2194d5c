"""What a conversion keeps in the folder .unfinished until it is complete."""
