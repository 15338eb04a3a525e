"""What networks across screens are made of."""
