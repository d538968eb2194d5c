"""Networks: their layers, their construction, and class activation maps."""
