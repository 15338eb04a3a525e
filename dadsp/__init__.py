"""dadsp: cell-line drug sensitivity, predicted across screens."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("dadsp")
except PackageNotFoundError:  # imported from a folder that was never installed
    __version__ = "0.0.0"
