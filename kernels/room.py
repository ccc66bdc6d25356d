"""Whether memory is free for what is about to be made: said before, in bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from ..derive.errors import Error


def check_fits(needed: int, what: str, advice: str | Callable[[], str]) -> None:
    """Refuse what needs more bytes than are free, with advice.

    Raises:
        Error: then.
    """
    free = free_bytes()
    if free is not None and needed > free:
        to_do = advice if isinstance(advice, str) else advice()
        raise Error(f"{what} {needed} bytes ({spelt(needed)}), and {spelt(free)} are free: {to_do}")


def check_copied(what: str, array: NDArray[Any]) -> None:
    """Refuse an array that repeats its entries, as `np.broadcast_to` gives it, where a copy doesn't fit into memory.

    Raises:
        Error: then.
    """
    if 0 in array.strides:
        what = f"{what} of shape {array.shape} repeats its entries, and a copy of it needs"
        check_fits(array.nbytes, what, "take a smaller batch or fewer steps")


def spelt(count: int) -> str:
    """Return bytes for people.

    >>> spelt(1000), spelt(3 * 2**20), spelt(5 * 2**40)
    ('1000 bytes', '3.0 MiB', '5120.0 GiB')
    """
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def free_bytes() -> int | None:
    """Return the memory that is free on this machine, or None where it can't be told."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":") for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
