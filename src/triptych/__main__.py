"""``python -m triptych``: the same as ``triptych``."""

import sys

from triptych.cli.main import main

sys.exit(main())
