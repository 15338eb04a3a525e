"""Shared set-up of the tests."""

import os

# Tiny networks gain nothing from a second thread and lose much to waiting for it; set before torch starts its own.
os.environ.setdefault("OMP_NUM_THREADS", "1")
