"""benchmark.py convert: the converter beside other ways to do its work."""
