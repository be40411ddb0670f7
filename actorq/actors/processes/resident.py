"""How much memory this process holds."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["resident_mb"]

_MIB: Final = 1024 * 1024


def resident_mb() -> int:
    """Return the memory of this process, without its descendants, in MiB; where Linux is not, the most it ever had."""
    with suppress(OSError):
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
        return pages * resource.getpagesize() // _MIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (_MIB if sys.platform == "darwin" else 1024)
