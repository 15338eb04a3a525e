"""The folders of a verb over a finished run: which it reads, and which it writes."""

from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from dadsp.errors import ConfigError
from dadsp.options import STRICT, validated
from dadsp.runs.folder import RunFolder
from dadsp.runs.run import Run


@dataclass(frozen=True, config=STRICT)
class Places:
    """The run that is read, and the folder that is written; None: inside the run."""

    run: str = Field(min_length=1)
    out: str | None = None

    @classmethod
    def taken_from(cls, given: dict[str, Any]) -> tuple[Path, Path | None]:
        """Both, which no longer stand among the verb's other keys."""
        places = validated(cls, {key: given.pop(key) for key in ("run", "out")}, "")
        out = Path(places.out) if places.out else None
        if out is not None and out.exists() and not out.is_dir():
            raise ConfigError(f"out={out} is a file. Name a folder.")
        return Path(places.run), out


def open_run(folder: Path, key: str = "run") -> Run:
    """The finished run of ``folder``, all of it read.

    Raises:
        ConfigError: No folder, or one without a finished run; names the ``key`` that gave it.
        LoadError: Its files are damaged, or its data cannot be read again or have changed.
    """
    run = Run(RunFolder(folder).trained(key))
    _ = run.study, run.split, run.model
    return run
