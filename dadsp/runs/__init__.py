"""Runs: their folders, what identifies them, how they are made, opened again, gathered and searched. Nothing here prints."""
