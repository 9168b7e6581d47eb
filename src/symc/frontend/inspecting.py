"""What every compiled function offers besides being called: reports, texts, costs.

The work is done where the compiled artefact lives; this class finds the one that ran last.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from symc.frontend import backend
from symc.runtime.executable import Callable


class Explanation(str):
    """The report as text; its parts are attributes: `kernels`, `fired`, `timings`, `copies`, ..."""

    __slots__ = ("_report",)

    _report: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self._report, name)


class Inspectable(Callable):
    """A `Callable` of the runtime that can say what it compiled."""

    @property
    @abstractmethod
    def current(self) -> backend.Loaded:
        """The compiled entry that the inspecting calls show."""

    def explain(self, what: str | None = None, html: bool = False) -> Explanation:
        """The report: rewrites, kernels, copies, cache, ms per pass; `what` names one section."""
        compiled = self.current.compiled
        text = compiled.explain(what, html=html)
        made = Explanation(text if what or html else "\n".join([text, *self.variants()]))
        made._report = compiled.full_report()
        return made

    def variants(self) -> list[str]:
        """One line per compiled program, with what it was specialised on."""
        return []

    def ir(self, stage: str = "traced") -> str:
        """The program's text: traced, defined, optimized, kernels or program."""
        return self.current.compiled.ir(stage)

    def cost(self, **dims: int) -> Any:
        """`.flops`, `.bytes`, `.workspace` of a call, at these sizes or as expressions of them."""
        return self.current.compiled.cost(**dims)

    def llvm(self) -> str:
        """The LLVM text of all kernels."""
        return self.current.compiled.llvm()

    def asm(self) -> str:
        """The machine code of all kernels, as assembly."""
        return self.current.compiled.asm()
