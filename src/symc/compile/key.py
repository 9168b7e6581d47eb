"""The cache key: everything that the bits of a compiled function depend on, and nothing else.

before: an entry and options.  after: 32 bytes, the same in every process that would generate the
same code.

Locations and captured arrays are not part of it: the first are attached by the process that asks,
the second are inputs of the function.  Names are, since a stored program speaks of them in errors.
Nothing here imports a code generator: a warm start pays for this module and a file.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from symc.ir.core import Function
from symc.ir.entry import Entry
from symc.ir.options import Options
from symc.ir.text import canonical_bytes
from symc.runtime.executable import Executable

_OPTIONS = ("numerics", "contract", "device", "check", "opt", "memory_limit")
_CPU_FIELDS = ("model name", "flags", "Features", "CPU implementer", "CPU part")
# The first processor's block of /proc/cpuinfo fits; the others repeat it.
_CPU_BYTES = 16384


def entry_key(entry: Entry, options: Options) -> bytes:
    """SHA-256 over the traced function, its roles, the options that matter, versions and CPU."""
    state = hashlib.sha256(_environment())
    roles = (
        [(i.name, int(i.accept), i.donated) for i in entry.inputs],
        entry.states,
        [(a.dtype.str, a.shape) for a in entry.constants],
        entry.updates,
        [getattr(options, name) for name in _OPTIONS],
        list(_spoken(entry.function)),
    )
    state.update(repr(roles).encode())
    state.update(canonical_bytes(entry.function))
    return state.digest()


def _spoken(function: Function) -> Iterator[str]:
    """What a program says in errors and canonical text leaves out."""
    yield function.name
    for constraint in function.constraints:
        yield constraint.message


@lru_cache(maxsize=1)
def _environment() -> bytes:
    """Versions and CPU of this process."""
    machine = os.uname().machine
    parts = [build_id(), _llvm_stamp(), machine, sys.byteorder, cpu_features()]
    return "\n".join(parts).encode()


def _llvm_stamp() -> str:
    """The version file of llvmlite, found without importing it."""
    spec = find_spec("llvmlite")
    if spec is None or spec.origin is None:
        return "none"
    try:
        return Path(spec.origin).with_name("_version.py").read_text(encoding="utf-8")
    except OSError:
        return spec.origin


@lru_cache(maxsize=1)
def cpu_features() -> str:
    """The CPU's model and feature flags as the kernel lists them; no import of llvmlite."""
    try:
        with Path("/proc/cpuinfo").open("rb", buffering=0) as file:
            text = file.read(_CPU_BYTES).decode("ascii", errors="replace")
    except OSError:
        return os.uname().version
    first = text.split("\n\n", 1)[0].splitlines()
    return "\n".join(line for line in first if line.split(":")[0].strip() in _CPU_FIELDS)


@lru_cache(maxsize=1)
def build_id() -> str:
    """A stamp of this compiler's own files: an entry made by other code is never used."""
    root = Path(__file__).resolve().parent.parent
    extension = sys.modules[Executable.__module__].__file__
    files = [*source_files(str(root)), *([extension] if extension is not None else [])]
    return stamp(files)


def source_files(root: str) -> list[str]:
    """The Python files below a folder, in a fixed order."""
    found: list[str] = []
    todo = [root]
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                if entry.name.endswith(".py"):
                    found.append(entry.path)
                elif entry.name != "__pycache__" and entry.is_dir():
                    todo.append(entry.path)
    return sorted(found)


def stamp(files: list[str]) -> str:
    """A digest of names, sizes and times of change; reading the files would take too long."""
    state = hashlib.sha256()
    for file in files:
        status = Path(file).stat()
        state.update(f"{file}:{status.st_size}:{status.st_mtime_ns}\n".encode())
    return state.hexdigest()
