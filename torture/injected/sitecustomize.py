"""A disk that is full from a certain write on, for this process and those that it begins: Python imports this by itself.

``FULL`` says, as JSON: ``below``, the folder that is the disk; ``at``, the number of the file, folder or name made
there, by whichever process, from which on it is full (0: never, it is counted only); ``room``, the bytes that a file
may have then; ``mark``, a path elsewhere for what the processes tell each other.
"""

import errno
import json
import os
import resource
import sys


def watch(below: str, at: int, room: int, mark: str) -> None:
    """Look at everything that this process makes from now on."""

    def made(event: str, args: tuple[object, ...]) -> str:
        """What is about to be made or written to below the folder; nothing where it is none of that."""
        if event == "open":
            flags = args[2]
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            path = args[0] if writes else None
        else:
            path = args[0] if event in ("os.mkdir", "os.rename") else None
        if not isinstance(path, (str, bytes, os.PathLike)):
            return ""
        whole = os.path.abspath(os.fsdecode(path))
        return whole if whole.startswith(below) else ""

    def look(event: str, args: tuple[object, ...]) -> None:
        path = made(event, args)
        if not path:
            return
        first = not os.path.exists(mark)
        if first:
            counted = os.open(f"{mark}.count", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(counted, b".")
            number = os.fstat(counted).st_size
            os.close(counted)
            if not at or number < at:
                return
            os.mkdir(mark)
        # The system itself refuses what is written from now on, also to libraries in C.
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        new = event == "os.mkdir" or (event == "open" and not os.path.exists(path))
        if (new and not (first and room)) or (first and event == "os.rename"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    sys.addaudithook(look)


if "FULL" in os.environ:
    watch(**json.loads(os.environ["FULL"]))
