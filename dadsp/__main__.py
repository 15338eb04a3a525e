"""``python -m dadsp``."""

import sys

from dadsp.cli.main import main

sys.exit(main())
