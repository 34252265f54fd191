"""``python -m pfstatus.cli``."""

import sys

from pfstatus.cli import main

sys.exit(main())
