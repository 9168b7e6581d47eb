"""A pytest plugin that loads one module of symc from a mutated copy.

Started with SYMC_MUTANT=MODULE=FILE in the environment, before anything of symc is imported.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from types import ModuleType


class _Finder(MetaPathFinder):
    """Finds the mutated module, and nothing else."""

    def __init__(self, module: str, file: str) -> None:
        self._module = module
        self._file = file

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._module:
            return None
        return spec_from_file_location(fullname, self._file)


# A mutant may build without end: it is to fail, not to fill the machine.
_MOST_MEMORY = 8 << 30
_given = os.environ.get("SYMC_MUTANT", "")
if _given:
    _module, _, _file = _given.partition("=")
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    sys.meta_path.insert(0, _Finder(_module, _file))
