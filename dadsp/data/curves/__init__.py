"""Raw viability → dose-response curves → labels (docs/curves.md)."""
