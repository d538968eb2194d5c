"""Errors, the command line, processes, the one import of TensorFlow."""
