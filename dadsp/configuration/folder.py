"""Where the shipped configuration lies."""

from pathlib import Path

import dadsp


def conf_folder() -> Path:
    """The configuration that ships inside the wheel, or that of the checkout."""
    package = Path(dadsp.__file__).resolve().parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"
