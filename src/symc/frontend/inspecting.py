"""What every compiled function offers besides calls: prepared calls, reports, texts, costs.

The work is done where the compiled artefact lives; this class finds the one that ran last.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable as Function
from typing import Any, TypeVar

from symc.frontend import backend, prepared
from symc.ir.errors import SymcError
from symc.runtime.executable import Callable, Prepared

T = TypeVar("T")


class Explanation(str):
    """The report as text; its parts are attributes.

    `rewrites`, `fusion`, `loops`, `kernels`, `copies`, `passes`, `notes` are lists; `flops`,
    `bytes`, `workspace` are texts of expressions of the named sizes; `cache`, `cache_reason`,
    `threads`.
    """

    __slots__ = ("_report",)

    _report: Any

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # also where the report is not there yet: copying, pickling
            raise AttributeError(name)
        return getattr(self._report, name)

    def __repr__(self) -> str:
        return str(self)


class Inspectable(Callable):
    """A `Callable` of the runtime that can say what it compiled."""

    @property
    @abstractmethod
    def current(self) -> backend.Loaded:
        """The compiled entry that the inspecting calls show."""

    @abstractmethod
    def serving(self, args: tuple[Any, ...]) -> prepared.Serving:
        """What runs on arguments that `bind` takes."""

    def bind(self, *args: Any, out: Any = None) -> Prepared:
        """A prepared call without arguments, which writes into `out`: one array per result.

        Raises DTypeError, ShapeError, DomainError for an `out` that cannot be written into,
        UnsupportedError where results are formed by Python.
        """
        made = self._matched(args)
        serving = self.serving(args)
        serving.require_fit()
        if out is None:
            return made
        prepared.check_out(serving, out)
        return self._typed(args, lambda: super(Inspectable, self).bind(*args, out=out))

    def call_n(self, n: int, /, *args: Any) -> Any:
        """`n` calls in native code, the results of the last; DomainError for n below 1."""
        count = prepared.count(n)
        self._matched(args)
        return self._typed(args, lambda: super(Inspectable, self).call_n(count, *args))

    def _matched(self, args: tuple[Any, ...]) -> Prepared:
        """Find or compile the program for the arguments; only this may run the user's code."""
        try:
            return super().bind(*args)
        except LookupError as error:
            if type(error) is not LookupError:
                raise
        raise prepared.unmatched(self.serving(args))

    def _typed(self, args: tuple[Any, ...], run: Function[[], T]) -> T:
        try:
            return run()
        except LookupError as error:
            if type(error) is not LookupError:
                raise
            raise prepared.unmatched(self.serving(args)) from None

    def explain(self, what: str | None = None, html: bool = False) -> Explanation:
        """The report as text, or as one HTML page, with its parts as attributes.

        what: one section: rewrites, fusion, loops, kernels, copies, cost, threads, cache, passes,
        notes; DomainError for another.
        """
        compiled = self.current.compiled
        text = compiled.explain(what, html=html)
        made = Explanation(text if what or html else "\n".join([text, *self.variants()]))
        made._report = compiled.full_report()
        return made

    def _repr_html_(self) -> str | None:
        """How a notebook shows a function: its report and its graph, once something is compiled."""
        try:
            return self.current.compiled.page_part()
        except SymcError:
            return None

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
