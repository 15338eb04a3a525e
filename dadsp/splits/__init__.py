"""Which pairs train, validate and test."""
