"""Composing configurations with Hydra; the only importer of hydra and omegaconf beside the command line."""
