"""Bringing the expression of two platforms onto one scale, without any label (docs/alignment.md)."""
