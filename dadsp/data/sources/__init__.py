"""One reader per layout; each returns a Study or the screens to make one of."""
