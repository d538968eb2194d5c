"""Headers of image file formats: what a PNG, JPEG or TIFF says of its pixels."""
