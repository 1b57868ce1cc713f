"""One seed; everything random derives from (seed, purpose, epoch or step)."""

from __future__ import annotations

import hashlib

__all__ = ["derive"]


def derive(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose, independent of every other purpose.

    A hash rather than ``seed + step``: neighbouring seeds must not share streams.

    Example:
        >>> derive(0, "noise", 1) != derive(1, "noise", 0)
        True
        >>> derive(0, "order", 3) == derive(0, "order", 3)
        True
    """
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
