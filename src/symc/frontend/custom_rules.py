"""The user's rules as the IR calls them: values in, values out.

before: the operands of one use of a custom function, and tangents or cotangents.  after: what the
user's Python code makes of them, checked to have the structure and types that the function has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import field
from types import CellType
from typing import Any

from symc.frontend import scope, trees
from symc.frontend.expr import Expr, lift
from symc.frontend.gradients import like, zeros
from symc.frontend.operand import Operand, is_symbolic
from symc.frontend.trees import Structure
from symc.ir.build import placed_at
from symc.ir.core import Value, nodes_so_far
from symc.ir.errors import DTypeError, OpContractError, ShapeError, UnsupportedError, message
from symc.ir.locations import Location, here
from symc.ir.ops.custom import Rule
from symc.ir.rewriter import closed_over, spliced
from symc.ir.types import TensorType, is_float
from symc.records import dataclass

Pair = tuple[Any, Any]
Moved = Sequence[Value | None]
Types = Sequence[TensorType]


@dataclass(slots=True)
class Use:
    """One use of a custom function: how its arguments are put together from operands.

    Operands: the leaves of the arguments that are differentiated (`count` of them, in `tree`), the
    symbolic leaves of the others, and what the function and its rules captured: where the use is
    copied, batched or run again, a rule reads the operands in place of the values in `captured`.
    """

    title: str
    chosen: frozenset[int]
    arity: int
    tree: Structure
    fixed_tree: Structure
    others: tuple[Any, ...]
    given: tuple[Operand, ...]
    count: int
    results: tuple[Structure, tuple[bool, ...]] = field(init=False)
    captured: tuple[Value, ...] = ()
    began: scope.Scope | None = field(default_factory=scope.current)

    def moving(self, own: Sequence[Any]) -> tuple[Any, ...]:
        """The arguments that are differentiated."""
        found: tuple[Any, ...] = trees.unflatten(self.tree, list(own[: self.count]))
        return found

    def fixed(self, own: Sequence[Any]) -> tuple[Any, ...]:
        """The arguments that are not."""
        rest = iter(own[self.count :])
        leaves = [next(rest) if is_symbolic(leaf) else leaf for leaf in self.others]
        found: tuple[Any, ...] = trees.unflatten(self.fixed_tree, leaves)
        return found

    def arguments(self, own: Sequence[Any]) -> tuple[Any, ...]:
        """All arguments in order."""
        moving, fixed = iter(self.moving(own)), iter(self.fixed(own))
        return tuple(next(fixed if i in self.chosen else moving) for i in range(self.arity))

    def symbols(self, operands: Sequence[Value]) -> list[Expr]:
        """Operands as expressions, without what the function captured."""
        pairs = zip(operands, self.given, strict=False)
        return [Expr(Operand(value, operand.weak)) for value, operand in pairs]

    def resolved(
        self, found: Sequence[Value | None], operands: Sequence[Value], since: int
    ) -> list[Value | None]:
        """What a rule made since node number `since`, over the operands that were captured."""
        pairs = zip(self.captured, operands[len(self.given) :], strict=True)
        moved = {old: new for old, new in pairs if old is not new}
        if not moved:
            return list(found)
        made = [value for value in found if value is not None]
        params = list(moved)
        one, others = closed_over(self.title, params, made, since)
        again = iter(spliced(one, [*moved.values(), *others]))
        return [None if value is None else next(again) for value in found]

    def require_passable(self, moves: Sequence[bool]) -> None:
        """Refuse a derivative through an argument that has none, or through captured values."""
        for number, moving in enumerate(moves):
            if not moving or number < self.count:
                continue
            got = "nondiff_argnums" if number < len(self.given) else "a value that it captured"
            raise UnsupportedError(
                message(
                    f"derivative of {self.title} with respect to {got}",
                    expected="derivatives through its other arguments",
                    advice="pass the value as an argument that the rule differentiates",
                )
            )

    def zeros_for(self, tangents: Moved, operands: Sequence[Value]) -> list[Expr]:
        """Tangents as expressions, zeros for what does not move."""
        filled = [
            zeros(x.type) if t is None else t for t, x in zip(tangents, operands, strict=True)
        ]
        return self.symbols(filled[: self.count])


class _UserRule(Rule):
    """A rule of one use."""

    use: Use

    def __new__(cls, use: Use, *rules: Any) -> _UserRule:
        made = super().__new__(cls, use.title)
        made.use = use
        return made


class JvpRule(_UserRule):
    """A tangent rule."""

    forward = True

    def __init__(self, use: Use, jvp: Callable[..., Any]) -> None:
        self.jvp = jvp

    def tangents(
        self, operands: Sequence[Value], along: Moved, results: Types
    ) -> list[Value | None]:
        return tangents_of(self.use, self.jvp, operands, along, results)


class VjpRule(_UserRule):
    """A rule for reverse mode, and perhaps a tangent rule for forward mode."""

    reverse = True

    def __init__(
        self,
        use: Use,
        vjp: tuple[Callable[..., Any], Callable[..., Any]],
        jvp: Callable[..., Any] | None,
    ) -> None:
        self.fwd, self.bwd = vjp
        self.jvp = jvp
        self.forward = jvp is not None

    def tangents(
        self, operands: Sequence[Value], along: Moved, results: Types
    ) -> Sequence[Value | None]:
        if self.jvp is None:
            return super().tangents(operands, along, results)
        return tangents_of(self.use, self.jvp, operands, along, results)

    def cotangents(
        self, operands: Sequence[Value], arrived: Moved, wanted: Sequence[bool], results: Types
    ) -> list[Value | None]:
        use = self.use
        use.require_passable(wanted)
        since = nodes_so_far()
        with _running(use):
            own = use.symbols(operands)
            fwd = _pair(self.fwd, self.fwd(*use.arguments(own)), "(result, residuals)")
            _checked(use, self.fwd, fwd[0], results, "result")
            filled = [
                Expr(Operand(zeros(type) if ct is None else ct, weak))
                for ct, type, weak in zip(arrived, results, use.results[1], strict=True)
            ]
            cotangent = trees.unflatten(use.results[0], filled)
            made = self.bwd(*use.fixed(own), fwd[1], cotangent)
            found = use.resolved(self._laid_out(made, operands), operands, since)
        return [value if asked else None for value, asked in zip(found, wanted, strict=True)]

    def _laid_out(self, made: Any, operands: Sequence[Value]) -> list[Value | None]:
        """What `bwd` returned, a cotangent per operand."""
        use = self.use
        parts = use.tree.children()
        if not isinstance(made, tuple | list) or len(made) != len(parts):
            got = f"{len(made)} of them" if isinstance(made, tuple | list) else type(made).__name__
            raise _broken(
                self.bwd, f"{use.title}: what bwd returned", got, f"a tuple of {len(parts)}"
            )
        found: list[Value | None] = []
        for cotangent, part in zip(made, parts, strict=True):
            targets = operands[len(found) : len(found) + part.num_leaves]
            if cotangent is None:
                found += [None] * len(targets)
                continue
            leaves, structure = trees.flatten(cotangent)
            if structure != part:
                subject = f"{use.title}: a cotangent that bwd returned"
                raise _broken(self.bwd, subject, structure, part)
            found += [
                _leaf(self.bwd, f"{use.title}: cotangent", leaf, target.type)
                if is_float(target.type.dtype)
                else None
                for leaf, target in zip(leaves, targets, strict=True)
            ]
        return found + [None] * (len(operands) - len(found))


def tangents_of(
    use: Use, jvp: Callable[..., Any], operands: Sequence[Value], along: Moved, results: Types
) -> list[Value | None]:
    """The tangents that a tangent rule gives; None for results that are not floats."""
    use.require_passable([tangent is not None for tangent in along])
    since = nodes_so_far()
    with _running(use):
        own = use.symbols(operands)
        tangents = trees.unflatten(use.tree, use.zeros_for(along, operands))
        made = _pair(
            jvp, jvp(*use.fixed(own), use.moving(own), tangents), "(result, tangent of the result)"
        )
        _checked(use, jvp, made[0], results, "result")
        leaves = _checked(use, jvp, made[1], results, "tangent")
    pairs = zip(leaves, results, strict=True)
    found = [value if is_float(type.dtype) else None for value, type in pairs]
    return use.resolved(found, operands, since)


@contextmanager
def _running(use: Use) -> Iterator[None]:
    """The rule's own nodes stand at the rule's own lines, in a scope of its own."""
    with placed_at(()), scope.reopened(use.began), scope.enter(use.title):
        yield


def _checked(
    use: Use, rule: Callable[..., Any], made: Any, results: Types, what: str
) -> list[Value]:
    """The leaves of what a rule returned, of exactly the types of the results."""
    leaves, structure = trees.flatten(made)
    if structure != use.results[0]:
        raise _broken(rule, f"{use.title}: structure of the {what}", structure, use.results[0])
    return [
        _leaf(rule, f"{use.title}: {what}", leaf, type)
        for leaf, type in zip(leaves, results, strict=True)
    ]


def _leaf(rule: Callable[..., Any], subject: str, leaf: Any, type: TensorType) -> Value:
    try:
        return like(leaf, type, subject)
    except (ShapeError, DTypeError):
        got = lift(leaf, subject).__symc_operand__().type
        raise _broken(rule, f"{subject} that the rule returned", got, type) from None


def _pair(rule: Callable[..., Any], made: Any, expected: str) -> Pair:
    if not isinstance(made, tuple | list) or len(made) != 2:
        raise _broken(
            rule, "custom rule: what it returned", type(made).__name__, f"a pair {expected}"
        )
    return made[0], made[1]


def _broken(
    rule: Callable[..., Any], subject: str, got: object, expected: object
) -> OpContractError:
    where = definition_line(rule)
    return OpContractError(message(subject, got=got, expected=expected, where=where))


def definition_line(rule: Callable[..., Any]) -> Location:
    """Where a rule was written; the user's current line when it has no code of its own."""
    code = getattr(rule, "__code__", None)
    return here() if code is None else Location(code.co_filename, code.co_firstlineno)


def captured_by(rules: Sequence[Callable[..., Any] | None]) -> list[Value]:
    """Symbolic values in the closures of functions, also inside containers and other functions."""
    found: dict[Value, None] = {}
    seen: set[int] = set()
    todo: list[Any] = [rule for rule in rules if rule is not None]
    while todo:
        function = todo.pop()
        if id(function) in seen:
            continue
        seen.add(id(function))
        for cell in getattr(function, "__closure__", None) or ():
            for leaf in _contents(cell):
                if is_symbolic(leaf):
                    found[lift(leaf, "custom rule").__symc_operand__().value] = None
                elif callable(leaf):
                    todo.append(leaf)
    return list(found)


def _contents(cell: CellType) -> list[Any]:
    try:
        return trees.leaves_of(cell.cell_contents)
    except ValueError:  # a variable that has no value yet
        return []
