"""One seed; everything random derives from (seed, purpose, epoch or step)."""

from __future__ import annotations

import hashlib

__all__ = ["derive"]


def derive(seed: int, *purpose: str | int) -> int:
    """A seed for one purpose, independent of every other purpose; 63 bits.

    torch's generator on the CPU uses the lower 32 of them. A hash rather than ``seed + step``: neighbouring seeds must not share streams.

    Example:
        >>> derive(0, "noise", 1) != derive(1, "noise", 0)
        True
        >>> derive(0, "order", 3) == derive(0, "order", 3)
        True
    """
    text = repr((seed, *purpose))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
