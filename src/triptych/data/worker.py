"""The process that `triptych.data.apart` begins: ``python -m triptych.data.worker FOLDER``."""

import sys

from triptych.data.apart import answer

if __name__ == "__main__":
    answer(sys.argv[1])
