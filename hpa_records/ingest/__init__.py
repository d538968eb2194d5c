"""The user's tables and folders of images, checked."""
