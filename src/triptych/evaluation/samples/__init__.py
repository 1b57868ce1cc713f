"""What a model draws, beside real images: distances, classes, coverage, critics."""
