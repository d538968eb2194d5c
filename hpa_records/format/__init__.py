"""What the files of a dataset are; spec has it on one page."""
