"""One image file to pixels, resizing, and the stored form."""
