"""Classical descriptors of images, and classifiers of them."""
