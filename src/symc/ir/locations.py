"""Source locations: the user's `file:line` that made an operation.

A location is captured when an operation is created: the first frame outside the package.  Fused
kernels keep sets of them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

from symc.records import dataclass

_PACKAGE = str(Path(__file__).resolve().parent.parent) + "/"


@dataclass(frozen=True, slots=True)
class Location:
    """One place in a user's source: `file:line`."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


UNKNOWN = Location("<unknown>", 0)


def here() -> Location:
    """The innermost frame of the current stack that is not part of symc."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_PACKAGE):
            return Location(file, frame.f_lineno)
        frame = frame.f_back
    return UNKNOWN
