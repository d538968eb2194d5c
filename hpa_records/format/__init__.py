"""The file formats of a dataset; spec is the one-page summary."""
