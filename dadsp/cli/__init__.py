"""The command line: one small module per verb; the only room that knows Hydra."""
