"""Sizes as numbers, for estimates: a size that is not known counts as 64.

before: sizes.  after: numbers to compare costs by; never what a program depends on for its bits.
"""

from __future__ import annotations

from typing import Final

from symc.ir.dims import Size, substitute, symbols

NOMINAL: Final = 64


def nominal(size: Size) -> int:
    """A size, with the sizes in it that are not known taken as `NOMINAL`."""
    if isinstance(size, int):
        return size
    value = substitute(size, {symbol.name: NOMINAL for symbol in symbols(size)})
    return value if isinstance(value, int) else NOMINAL
