"""Networks of the papers that GapNet-PL is compared with, one module each."""
