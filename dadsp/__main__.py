"""``python -m dadsp``."""

import sys

from dadsp.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
