"""Headers of image formats: what a PNG, JPEG or TIFF says of its pixels."""
