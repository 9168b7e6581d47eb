"""The cache key: everything that the bits of a compiled function depend on, and nothing else.

Locations and captured arrays are not part of it: the first are attached by the process that asks,
the second are inputs of the function.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from symc.ir.entry import Entry
from symc.ir.options import Options
from symc.ir.text import canonical_bytes

_OPTIONS = ("numerics", "contract", "device", "check", "opt")


def entry_key(entry: Entry, options: Options) -> bytes:
    """SHA-256 over the traced function, its roles, the options that matter, versions and CPU."""
    state = hashlib.sha256(_environment())
    roles = (
        [(i.name, i.accept, i.donated) for i in entry.inputs],
        entry.states,
        [(a.dtype.str, a.shape) for a in entry.constants],
        entry.updates,
        [getattr(options, name) for name in _OPTIONS],
    )
    state.update(repr(roles).encode())
    state.update(canonical_bytes(entry.function))
    return state.digest()


@lru_cache(maxsize=1)
def _environment() -> bytes:
    """Versions and CPU of this process."""
    parts = [build_id(), _llvm_version(), platform.machine(), sys.byteorder, cpu_features()]
    return "\n".join(parts).encode()


def _llvm_version() -> str:
    try:
        return version("llvmlite")
    except PackageNotFoundError:
        return "none"


@lru_cache(maxsize=1)
def cpu_features() -> str:
    """The CPU's model and feature flags as the kernel lists them; no import of llvmlite."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return platform.processor()
    names = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    first = text.split("\n\n", 1)[0].splitlines()
    return "\n".join(line for line in first if line.split(":")[0].strip() in names)


@lru_cache(maxsize=1)
def build_id() -> str:
    """A stamp of this compiler's own files: an entry made by other code is never used."""
    root = Path(__file__).resolve().parent.parent
    state = hashlib.sha256()
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(files):
            if name.endswith((".py", ".so")):
                stat = (Path(folder) / name).stat()
                state.update(f"{folder}/{name}:{stat.st_size}:{stat.st_mtime_ns}\n".encode())
    return state.hexdigest()
