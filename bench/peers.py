"""Which peers are installed here."""

from __future__ import annotations

from importlib.util import find_spec

KNOWN = ("numpy", "numba", "pytensor", "jax", "torch")


def installed() -> tuple[str, ...]:
    """Names of the peers that can be imported, in a fixed order."""
    return tuple(name for name in KNOWN if find_spec(name) is not None)
