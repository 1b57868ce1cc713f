"""The memory that a container or a job of a queue may have, which is less than the machine's: Linux's control groups, v1 and v2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["allowed", "free"]

ROOT = Path("/sys/fs/cgroup")

MINE = Path("/proc/self/cgroup")


def allowed() -> int | None:
    """Bytes that this process and those of its group may have together; none where nothing limits them."""
    return min((limit for limit, _ in _limits()), default=None)


def free() -> int | None:
    """Bytes of these that nobody has yet; none where nothing limits them. What the system only remembers of files is free."""
    return min((max(0, limit - _used(group)) for limit, group in _limits()), default=None)


def _limits() -> Iterator[tuple[int, Path]]:
    """Every limit that holds for this process, and the folder that says it: a group has those of the groups around it too."""
    for root, group in _groups():
        # Within a container a path may be that of the machine around it, and only the root is there.
        for inner in (group, *group.parents):
            folder = root / inner.relative_to("/")
            for name in ("memory.max", "memory.limit_in_bytes"):
                if (limit := _number(folder / name)) is not None:
                    yield limit, folder


def _groups() -> Iterator[tuple[Path, Path]]:
    try:
        lines = MINE.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        number, kinds, path = [*line.split(":", 2), "", ""][:3]
        if not path.startswith("/"):
            continue
        if number == "0":
            yield from ((root, Path(path)) for root in (ROOT, ROOT / "unified"))
        elif "memory" in kinds.split(","):
            yield ROOT / "memory", Path(path)


def _used(group: Path) -> int:
    used = _number(group / "memory.current") or _number(group / "memory.usage_in_bytes") or 0
    try:
        told = (group / "memory.stat").read_text(encoding="utf-8").split()
    except OSError:
        return used
    kept = dict(zip(told[::2], told[1::2], strict=False))
    for name in ("total_inactive_file", "inactive_file"):
        if kept.get(name, "").isdecimal():
            return max(0, used - int(kept[name]))
    return used


def _number(path: Path) -> int | None:
    """What a file says; none where it is not there, or says "max"."""
    try:
        said = path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return int(said) if said.isdecimal() else None
