"""Two maps of points, by PCA and by t-SNE, here or in a process of its own.

t-SNE keeps one core for some seconds and Python's lock with it, so that no thread could do anything beside it. What
runs in the other process is this file by itself: it imports nothing of ours.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["maps", "maps_aside"]

Array = npt.NDArray[Any]
Maps: TypeAlias = dict[str, Array]


def maps(x: Array, variance: float, perplexity: float) -> Maps:
    """``pca`` and ``tsne`` N×2 of centred rows N×d, and ``shares`` (2), of their ``variance``, of the PCA's axes.

    On one thread: the sums of several would end in other bits.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        model = PCA(2, svd_solver="full")
        pca = model.fit_transform(x)
        # Features that have nearly collapsed differ too little for its single precision.
        x = x / math.sqrt(variance)
        tsne = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(x)
    return {"pca": pca, "tsne": tsne, "shares": model.explained_variance_ratio_}


@contextmanager
def maps_aside(x: Array, variance: float, perplexity: float) -> Iterator[Callable[[], Maps]]:
    """Begin `maps` in a process of its own; what is given waits for them, and makes them here if that failed."""
    # Without a buffer, which the closing of a file on a full disk would try to write once more.
    with TemporaryFile(buffering=0) as asked, TemporaryFile() as told:
        process = None
        # Where there is no room for what it is asked, it is done here.
        with suppress(OSError):
            np.savez(asked, x=x, variance=variance, perplexity=perplexity)
            asked.seek(0)
            process = _started(asked, told)

        def wait() -> Maps:
            if process is None or process.wait():
                return maps(x, variance, perplexity)
            told.seek(0)
            with np.load(told) as found:
                return dict(found)

        try:
            yield wait
        finally:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


def _started(asked: IO[bytes], told: IO[bytes]) -> subprocess.Popen[bytes] | None:
    """A process that runs this file; none where no process is to be had."""
    # The same packages as here, wherever this process has them from.
    paths = os.pathsep.join(map(os.path.abspath, sys.path))
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable or "", "-P", __file__]
    try:
        return subprocess.Popen(
            command, env=environment, stdin=asked, stdout=told, stderr=subprocess.DEVNULL
        )
    except OSError:
        return None


def main() -> None:
    """From standard input to standard output, as `maps_aside` writes and reads them."""
    with TemporaryFile() as asked:
        asked.write(sys.stdin.buffer.read())
        asked.seek(0)
        given = np.load(asked)
        found = maps(given["x"], float(given["variance"]), float(given["perplexity"]))
    with TemporaryFile() as told:
        np.savez(told, **found)  # type: ignore[arg-type]
        told.seek(0)
        sys.stdout.buffer.write(told.read())


if __name__ == "__main__":
    main()
