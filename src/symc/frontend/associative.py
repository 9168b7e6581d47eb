"""`associative_scan`: all prefixes of an associative combination, in few steps on whole arrays.

before: a function of two trees of arrays, and a tree of arrays that share an axis.  after: for n
rows known when the program is built, a tree of 2 log2(n) calls on halves; for a symbolic number, a
scan.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from symc.frontend import emit, trees
from symc.frontend.control import at_once_or_traced, scan
from symc.frontend.elementwise import where
from symc.frontend.entering import require_function
from symc.frontend.expr import Expr, lift
from symc.frontend.operand import Operand
from symc.frontend.regions import title_of
from symc.frontend.trees import Structure
from symc.ir import term
from symc.ir.dims import Size
from symc.ir.errors import DTypeError, ShapeError, message
from symc.ir.locations import here
from symc.ir.term import Term
from symc.ir.types import BOOL

Combine = Callable[[list[Term], list[Term]], list[Term]]
_SUBJECT: Final = "associative_scan"


def associative_scan(
    fn: Callable[[Any, Any], Any], xs: Any, *, reverse: bool = False, axis: int = 0
) -> Any:
    """Row t of the result: `fn(...fn(fn(xs[0], xs[1]), xs[2])..., xs[t])`, in any grouping.

    `fn(a, b)` combines rows of two trees like `xs` elementwise along `axis`; it gets many rows at
    once and must be associative.  `reverse`: from the last row down, as if `xs` were flipped.
    Raises ShapeError or DTypeError when `fn` changes the tree, a shape or a dtype.
    """
    require_function(fn, _SUBJECT)
    found: Any = at_once_or_traced(lambda xs: _all(fn, xs, reverse, axis))(xs)
    return found


def _all(fn: Callable[[Any, Any], Any], xs: Any, reverse: bool, axis: int) -> Any:
    leaves, tree = trees.flatten(xs)
    rows = [lift(leaf, _SUBJECT).__symc_operand__() for leaf in leaves]
    if not rows:
        return xs
    places = [_place(row, axis) for row in rows]
    sizes = {row.value.type.shape[place] for row, place in zip(rows, places, strict=True)}
    if len(sizes) > 1:
        raise ShapeError(message(f"{_SUBJECT}: rows", got=sorted(map(str, sizes)), where=here()))

    def combine(left: list[Term], right: list[Term]) -> list[Term]:
        """`fn` on arrays whose rows stand first."""
        given = [_moved(side, places, tree) for side in (left, right)]
        made, structure = trees.flatten(fn(*given))
        return _checked(made, structure, tree, left, places)

    terms = [Term(row.value).move_axis(place, 0) for row, place in zip(rows, places, strict=True)]
    terms = [_flipped(x) if reverse else x for x in terms]
    (length,) = sizes
    if isinstance(length, int):
        terms = _prefixes(combine, terms, length)
    else:
        terms = _one_by_one(combine, terms, title_of(fn))
    terms = [_flipped(x) if reverse else x for x in terms]
    return _moved(terms, places, tree)


def _place(row: Operand, axis: int) -> int:
    rank = row.value.type.rank
    if not -rank <= axis < rank:
        raise ShapeError(
            message(f"{_SUBJECT}: axis", got=axis, expected=row.value.type, where=here())
        )
    return axis % rank


def _moved(rows: list[Term], places: list[int], tree: Structure) -> Any:
    """Rows back at their axes, as the user's tree."""
    pairs = zip(rows, places, strict=True)
    return trees.unflatten(tree, [_expr(x.move_axis(0, p)) for x, p in pairs])


def _checked(
    made: list[Any], structure: Structure, tree: Structure, like: list[Term], places: list[int]
) -> list[Term]:
    if structure != tree:
        raise ShapeError(
            message(f"{_SUBJECT}: another tree", got=structure, expected=tree, where=here())
        )
    found = []
    for leaf, own, place in zip(made, like, places, strict=True):
        operand = lift(leaf, _SUBJECT).__symc_operand__()
        value = emit.cast(operand, own.dtype, _SUBJECT) if operand.weak else operand.value
        if value.type.dtype != own.dtype:
            raise DTypeError(
                message(
                    f"{_SUBJECT}: another dtype", got=value.type, expected=own.type, where=here()
                )
            )
        moved = Term(value).move_axis(place, 0) if value.type.rank == own.rank else Term(value)
        if moved.shape != own.shape:
            raise ShapeError(
                message(
                    f"{_SUBJECT}: another shape", got=moved.type, expected=own.type, where=here()
                )
            )
        found.append(moved)
    return found


def _prefixes(combine: Combine, rows: list[Term], length: int) -> list[Term]:
    """Pairs combined, their prefixes, and from those the prefixes between."""
    if length < 2:
        return rows
    half, rest = length // 2, (length - 1) // 2
    pairs = combine(_every_second(rows, 0, half), _every_second(rows, 1, half))
    odd = _prefixes(combine, pairs, half)
    even = [x.narrow(0, 0, 1) for x in rows]
    if rest:
        before = [x.narrow(0, 0, rest) for x in odd]
        later = combine(before, _every_second(rows, 2, rest))
        even = [term.concat([x, y], 0) for x, y in zip(even, later, strict=True)]
    return [_interleaved(x, y, length) for x, y in zip(even, odd, strict=True)]


def _every_second(rows: list[Term], start: int, count: int) -> list[Term]:
    found = []
    for x in rows:
        rest = x.rank - 1
        found.append(x.slice((start, *(0,) * rest), (count, *x.shape[1:]), (2, *(1,) * rest)))
    return found


def _interleaved(even: Term, odd: Term, length: Size) -> Term:
    rest = even.rank - 1
    whole = term.zeros(even.type.with_shape((length, *even.shape[1:])))
    for start, rows in enumerate((even, odd)):
        whole = whole.set_slice(rows, (start, *(0,) * rest), (2, *(1,) * rest))
    return whole


def _flipped(x: Term) -> Term:
    rest = x.rank - 1
    return x.slice((x.shape[0] - 1, *(0,) * rest), x.shape, (-1, *(1,) * rest))


def _one_by_one(combine: Combine, rows: list[Term], title: str) -> list[Term]:
    """A scan: the first row as it is, then each combined with what was before."""
    starts = [term.zeros(x.type.with_shape((1, *x.shape[1:]))) for x in rows]
    yes, no = (_expr(term.full((), flag, BOOL)) for flag in (True, False))

    def step(carry: Any, xs: Any) -> tuple[Any, Any]:
        begun, before = carry
        own = [_term(x).expand(0) for x in xs]
        made = combine([_term(x) for x in before], own)
        pairs = zip(own, made, strict=True)
        after = [where(begun, _expr(x), _expr(y)) for x, y in pairs]
        return (no, after), [x[0] for x in after]

    found = scan(step, (yes, [_expr(x) for x in starts]), [_expr(x) for x in rows], name=title)[1]
    return [_term(x) for x in found]


def _expr(x: Term) -> Expr:
    return Expr(Operand(x.value))


def _term(x: Expr) -> Term:
    return Term(x.__symc_operand__().value)
