"""How far to trust a prediction: errors on what was held out of the source, intervals from them, distance to what trained."""
