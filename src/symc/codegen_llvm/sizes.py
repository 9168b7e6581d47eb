"""Sizes in generated code: a polynomial over dims becomes i64 registers, each made once.

Invariants: static sizes emit nothing; what is emitted never traps (a division by zero gives the
dividend over 1; the runtime refuses such sizes before the call).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from symc.codegen_llvm.contract.spec import Size as Extent
from symc.codegen_llvm.text import Reg, i64
from symc.ir.dims import Apply, Atom, Dim, Size, Symbol, lower_bound, symbols

Emit = Callable[[str, str], Reg]


def ceil_div(size: Size, divisor: int) -> Size:
    """`size / divisor` rounded up, for sizes that are not negative."""
    return (size + (divisor - 1)) // divisor


class SizeEmitter:
    """Values of sizes over `symbols` (the order of `dim`), written through `emit(type, rhs)`."""

    def __init__(self, emit: Emit, symbols: Sequence[str]) -> None:
        self._emit = emit
        self._numbers = {name: i for i, name in enumerate(symbols)}
        self._made: dict[Size | Atom | tuple[str, str, str], Reg] = {}

    def value(self, size: Size) -> Extent:
        """An int where `size` is static, else a register."""
        if isinstance(size, int):
            return size
        made = self._made.get(size)
        if made is None:
            made = self._made[size] = self._polynomial(size)
        return made

    def _polynomial(self, size: Dim) -> Reg:
        total: Reg | None = None
        constant = 0
        for monomial, factor in size.terms:
            if not monomial:
                constant = factor
                continue
            term: Reg | None = None
            for atom, power in monomial:
                for _ in range(power):
                    value = self._atom(atom)
                    term = value if term is None else self._binary("mul", term, value)
            assert term is not None
            if factor != 1:
                term = self._binary("mul", term, i64(factor))
            total = term if total is None else self._binary("add", total, term)
        assert total is not None
        return self._binary("add", total, i64(constant)) if constant else total

    def _binary(self, verb: str, left: Reg, right: Reg) -> Reg:
        key = (verb, left.name, right.name)
        if key not in self._made:
            self._made[key] = self._emit("i64", f"{verb} i64 {left.name}, {right.name}")
        return self._made[key]

    def _atom(self, atom: Atom) -> Reg:
        made = self._made.get(atom)
        if made is None:
            made = self._symbol(atom) if isinstance(atom, Symbol) else self._apply(atom)
            self._made[atom] = made
        return made

    def _symbol(self, symbol: Symbol) -> Reg:
        at = self._emit("ptr", f"getelementptr i64, ptr %dim, i64 {self._numbers[symbol.name]}")
        return self._emit("i64", f"load i64, ptr {at.name}, align 8")

    def _apply(self, atom: Apply) -> Reg:
        left, right = self._operand(atom.left), self._operand(atom.right)
        match atom.kind:
            case "floordiv" | "mod" if self._plain(atom):
                verb = "udiv" if atom.kind == "floordiv" else "urem"
                return self._binary(verb, left, right)
            case "floordiv":
                return self._floor_divide(left, right)[0]
            case "mod":
                return self._floor_divide(left, right)[1]
            case kind:
                relation = "slt" if kind == "min" else "sgt"
                test = self._emit("i1", f"icmp {relation} i64 {left.name}, {right.name}")
                return self._emit("i64", f"select i1 {test.name}, {left}, {right}")

    def _operand(self, size: Size) -> Reg:
        value = self.value(size)
        return i64(value) if isinstance(value, int) else value

    @staticmethod
    def _plain(atom: Apply) -> bool:
        low = lower_bound(atom.left)
        return isinstance(atom.right, int) and atom.right > 0 and low is not None and low >= 0

    def _floor_divide(self, left: Reg, right: Reg) -> tuple[Reg, Reg]:
        """Quotient rounded down and the rest with the divisor's sign."""
        zero = self._emit("i1", f"icmp eq i64 {right.name}, 0")
        safe = self._emit("i64", f"select i1 {zero.name}, i64 1, {right}")
        quotient = self._emit("i64", f"sdiv i64 {left.name}, {safe.name}")
        product = self._emit("i64", f"mul i64 {quotient.name}, {safe.name}")
        rest = self._emit("i64", f"sub i64 {left.name}, {product.name}")
        mixed = self._emit("i64", f"xor i64 {rest.name}, {safe.name}")
        signs = self._emit("i1", f"icmp slt i64 {mixed.name}, 0")
        some = self._emit("i1", f"icmp ne i64 {rest.name}, 0")
        down = self._emit("i1", f"and i1 {signs.name}, {some.name}")
        lower = self._emit("i64", f"sub i64 {quotient.name}, 1")
        raised = self._emit("i64", f"add i64 {rest.name}, {safe.name}")
        return (
            self._emit("i64", f"select i1 {down.name}, {lower}, {quotient}"),
            self._emit("i64", f"select i1 {down.name}, {raised}, {rest}"),
        )


class LateSizes(SizeEmitter):
    """Sizes that need dims which are computed in the kernel: made where they are asked for.

    known: the registers of such dims.  All else is taken from `early`.
    """

    def __init__(self, emit: Emit, early: SizeEmitter, known: Mapping[str, Reg]) -> None:
        super().__init__(emit, ())
        self._early = early
        self._known = known

    def value(self, size: Size) -> Extent:
        """An int where `size` is static, else a register."""
        if isinstance(size, Dim) and not needs(size, self._known):
            return self._early.value(size)
        return super().value(size)

    def _symbol(self, symbol: Symbol) -> Reg:
        found = self._known.get(symbol.name)
        return self._early._symbol(symbol) if found is None else found


def needs(size: Size, names: Collection[str]) -> bool:
    """Whether a size is over some of these dims."""
    return isinstance(size, Dim) and any(s.name in names for s in symbols(size))
