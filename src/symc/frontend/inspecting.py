"""What every compiled function offers besides being called: reports, texts, costs.

The work is done where the compiled artefact lives; this class finds the one that ran last.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from symc.frontend import backend
from symc.runtime.executable import Callable


class Inspectable(Callable):
    """A `Callable` of the runtime that can say what it compiled."""

    @property
    @abstractmethod
    def current(self) -> backend.Loaded:
        """The compiled entry that the inspecting calls show."""

    def explain(self, what: str | None = None, html: bool = False) -> Any:
        """The report: rewrites, fusions, copies, kernels, threads, cache, ms per pass."""
        return self.current.compiled.explain(what, html=html)

    def ir(self, stage: str = "traced") -> str:
        """The program's text: traced, defined, optimized, kernels or program."""
        return str(self.current.compiled.ir(stage))

    def llvm(self) -> str:
        """The LLVM text of all kernels."""
        return str(self.current.compiled.llvm())

    def asm(self) -> str:
        """The machine code of all kernels, disassembled."""
        return str(self.current.compiled.asm())

    def cost(self, **dims: int) -> Any:
        """FLOPs, bytes moved and peak workspace, at the given sizes or symbolic in them."""
        return self.current.compiled.cost(**dims)
