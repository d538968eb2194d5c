"""Random augmentation of images on the device."""
