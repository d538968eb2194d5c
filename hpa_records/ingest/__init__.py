"""The user's tables and folders of images, and what is wrong with them."""
