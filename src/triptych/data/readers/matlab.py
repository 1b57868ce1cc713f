"""SciPy's reader of MATLAB files in a process of its own: ``python matlab.py FILE FOLDER VARIABLE...``.

Damaged files can end that reader's compiled code with a signal, which no program survives; here only
this process ends. It imports nothing of Triptych, so that it starts quickly. On stdout stands one JSON
object: what the file holds, and why it was not read, if so. The arrays are .npy files in the folder.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any

# Types of which one value takes one byte, as in the images; labels may be of any.
BYTES = {"uint8": 1, "int8": 1, "logical": 1, "char": 4}
WIDEST = 8


def main(file: str, folder: str, most: int, wanted: list[str]) -> dict[str, Any]:
    """Save the wanted variables as .npy, unless they take more than `most` bytes together."""
    import numpy as np
    from scipy.io import loadmat, whosmat

    held = [(str(name), list(map(int, shape)), str(kind)) for name, shape, kind in whosmat(file)]
    size = sum(
        prod(shape) * BYTES.get(kind, WIDEST) for name, shape, kind in held if name in wanted
    )
    told = {"variables": held[:50], "size": size}
    if size > most or any(side < 0 for _, shape, _ in held for side in shape):
        return told | {"why": f"it announces {size:,} bytes, more than it can hold"}
    found = loadmat(file, variable_names=wanted)
    for name in wanted:
        value = found.get(name)
        if isinstance(value, np.ndarray) and value.dtype.kind in "buif":
            try:
                np.save(Path(folder) / f"{name}.npy", value)
            except OSError as why:
                return told | {"refused": why.strerror or str(why)}
    return told


if __name__ == "__main__":
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if int(sys.argv[4]):
            resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[4]),) * 2)
    try:
        answer = main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[5:])
    except Exception as why:
        answer = {"variables": [], "why": " ".join(str(why).split())[:200] or type(why).__name__}
    print(json.dumps(answer))
