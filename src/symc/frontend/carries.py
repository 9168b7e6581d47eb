"""Carries: the values that a loop hands from step to step.

before: the first carry, a tree of arrays or numbers, and what a traced step made of it.  after: a
carry whose types the step keeps: weakly typed leaves have taken the dtype that it returns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from symc.frontend import emit, trees
from symc.frontend.expr import Expr, lift
from symc.frontend.graft import fit
from symc.frontend.operand import Operand
from symc.frontend.regions import Region
from symc.frontend.spec import short_name
from symc.frontend.trees import Structure
from symc.ir.core import Value
from symc.ir.errors import DTypeError, ShapeError, message
from symc.ir.locations import here
from symc.records import dataclass

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Carried:
    """The first carry: its leaves, and their tree."""

    operands: list[Operand]
    tree: Structure
    title: str

    @property
    def values(self) -> list[Value]:
        """The leaves as values."""
        return [operand.value for operand in self.operands]

    def leaves(self, after: Any) -> list[Any]:
        """The leaves of what a step returned; ShapeError for another tree."""
        leaves, tree = trees.flatten(after)
        if tree != self.tree:
            raise ShapeError(
                message(
                    f"{self.title}: the step changes the tree of the carry",
                    got=tree,
                    expected=self.tree,
                    where=here(),
                )
            )
        return [self._fitted(leaf, own) for leaf, own in zip(leaves, self.operands, strict=True)]

    def _fitted(self, leaf: Any, own: Operand) -> Any:
        """A new leaf in the type of the old; a weak number takes the old dtype."""
        made = lift(leaf, f"{self.title}: carry").__symc_operand__()
        if made.weak and not own.weak and made.dtype != own.dtype:
            made = Operand(emit.cast(made, own.dtype, f"{self.title}: carry"))
        if made.value.type.shape != own.value.type.shape:
            shape = own.value.type.with_dtype(made.dtype)
            made = Operand(fit(made.value, shape, f"{self.title}: carry"), made.weak)
        return Expr(made)


def carried(init: Any, title: str) -> Carried:
    """The leaves of a first carry as values."""
    leaves, tree = trees.flatten(init)
    return Carried([lift(leaf, title).__symc_operand__() for leaf in leaves], tree, title)


def settled(
    carry: Carried, trace: Callable[[Carried], tuple[Region, Carried, T]], title: str
) -> tuple[Region, Carried, T]:
    """The step traced on a carry whose dtypes it keeps; DTypeError when there is none."""
    for _ in range(2 * len(carry.operands) + 2):  # each may become a float, and then typed
        found = trace(carry)
        results = [r.type.dtype for r in found[0].function.results[: len(carry.operands)]]
        pairs = list(zip(carry.operands, results, strict=True))
        if all(own.dtype == dtype for own, dtype in pairs):
            return found
        for own, dtype in pairs:
            if own.dtype != dtype and not own.weak:
                raise DTypeError(
                    message(
                        f"{title}: the step changes the dtype of the carry",
                        got=short_name(dtype),
                        expected=short_name(own.dtype),
                        where=here(),
                        advice=f"astype({short_name(dtype)!r}) on init, or on what it returns",
                    )
                )
        operands = [
            own if own.dtype == dtype else Operand(emit.cast(own, dtype, title), weak)
            for (own, dtype), weak in zip(pairs, found[0].weak, strict=False)
        ]
        carry = Carried(operands, carry.tree, carry.title)
    raise DTypeError(message(f"{title}: the dtype of the carry does not settle", where=here()))
