"""Changes of images on the device, uint8 in and out; the network scales.

What is drawn at random comes with the batch or from training/step.
"""
