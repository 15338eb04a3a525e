"""Expression that a user hands in: made into what a model was trained on, or refused (docs/new_platform.md)."""
