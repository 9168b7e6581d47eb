"""The size table of a program: each distinct size expression once.

Invariants: an entry refers only to entries before it; equal sizes have one entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from symc.ir.dims import Apply, Atom, Dim, Size, Symbol, symbols
from symc.ir.errors import CompileError, message
from symc.ir.program import SizeExpr, SizeOp
from symc.ir.types import TensorType

_APPLY = {
    "floordiv": SizeOp.FLOORDIV,
    "mod": SizeOp.MOD,
    "min": SizeOp.MIN,
    "max": SizeOp.MAX,
}


class SizeTable:
    """Entries in the making; `dims` are the names of the program's dims in order.

    `more`: dims that are known besides those of the types.  `computed`: those that the program
    computes, in this order.
    """

    def __init__(
        self,
        types: Iterable[TensorType],
        more: Iterable[str] = (),
        computed: Sequence[str] = (),
    ) -> None:
        names = (s.name for type in types for size in type.shape for s in ordered(size))
        known = tuple(name for name in dict.fromkeys((*names, *more)) if name not in computed)
        self.dims = (*known, *computed)
        self.computed = tuple(computed)
        self._dim = {name: i for i, name in enumerate(self.dims)}
        self._entries: dict[SizeExpr, int] = {}
        self._sizes: dict[Size, int] = {}

    def entries(self) -> tuple[SizeExpr, ...]:
        """The finished table."""
        return tuple(self._entries)

    def __call__(self, size: Size) -> int:
        """The entry of `size`."""
        if size not in self._sizes:
            self._sizes[size] = self._built(size)
        return self._sizes[size]

    def shape(self, shape: Iterable[Size]) -> tuple[int, ...]:
        """The entries of a shape."""
        return tuple(self(size) for size in shape)

    def is_late(self, *sizes: Size) -> bool:
        """Whether some size is known only when the program has computed it."""
        return bool(self.computed) and any(
            symbol.name in self.computed for size in sizes for symbol in symbols(size)
        )

    def number(self, name: str) -> int:
        """The number of a dim."""
        return self._dim[name]

    def dim(self, name: str) -> int:
        """The entry of a named dim."""
        if name not in self._dim:
            raise CompileError(message(f"size {name}", expected="a size bound by an input"))
        return self._entry(SizeExpr(SizeOp.DIM, self._dim[name]))

    def _entry(self, expr: SizeExpr) -> int:
        return self._entries.setdefault(expr, len(self._entries))

    def _built(self, size: Size) -> int:
        if isinstance(size, int):
            return self._entry(SizeExpr(SizeOp.CONST, size))
        total: int | None = None
        for monomial, factor in sorted(size.terms, key=lambda term: term[1] < 0):
            negative = factor < 0 and total is not None
            term = self._monomial(monomial, -factor if negative else factor)
            if total is None:
                total = term
            else:
                total = self._entry(SizeExpr(SizeOp.SUB if negative else SizeOp.ADD, total, term))
        assert total is not None
        return total

    def _monomial(self, monomial: tuple[tuple[Atom, int], ...], factor: int) -> int:
        parts = [self(factor)] if factor != 1 or not monomial else []
        for atom, power in monomial:
            parts += [self._atom(atom)] * power
        total = parts[0]
        for part in parts[1:]:
            total = self._entry(SizeExpr(SizeOp.MUL, total, part))
        return total

    def _atom(self, atom: Atom) -> int:
        match atom:
            case Symbol():
                return self.dim(atom.name)
            case Apply():
                left, right = self(atom.left), self(atom.right)
                return self._entry(SizeExpr(_APPLY[atom.kind], left, right))


def ordered(size: Size) -> list[Symbol]:
    """The symbols of a size; a plain dim first, so that it binds where it stands alone."""
    return sorted(symbols(size), key=lambda symbol: symbol.name) if isinstance(size, Dim) else []
