"""How far to trust a prediction: errors on held-out source pairs, intervals from them, distance to what trained."""
