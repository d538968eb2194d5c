"""Changes of images on the device; the network scales.

The chain takes and gives uint8; its changes compute in float32. The element of
the square's symmetry comes with the batch, chain.py draws all else.
"""
