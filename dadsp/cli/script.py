"""How an error is told on one line, and how the scripts of ``experiments/`` end."""

import sys
from collections.abc import Callable

from dadsp.credentials import without_credentials
from dadsp.errors import DadspError


def end(main: Callable[[], None]) -> int:
    """Exit code of a script: 0; or 2, once its one error is told on stderr, as the command line does."""
    try:
        main()
    except (DadspError, FileNotFoundError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2
    return 0


def one_line(error: BaseException) -> str:
    """Its message without line breaks, passwords and signs that do not print."""
    line = without_credentials(" ".join(str(error).split()))
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in line)
