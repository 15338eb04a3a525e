"""Findings from a fitted predictor."""
