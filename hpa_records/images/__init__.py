"""Decoding of image files, resizing, and encoding of the stored pixels."""
