"""Speed of prediction, beside other programs that run the exported model."""
