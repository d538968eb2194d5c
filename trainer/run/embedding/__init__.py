"""What is kept beside the features of a run's images, for its report."""
