"""What a Theano scan loops over: sequences and initial states, with taps.

before: what the user passed as `sequences=` and `outputs_info=`.  after: rows of equal number, one
array per tap in the order of the step's arguments; and states as the last values of an output.

Taps of a sequence name slices t + k; scanning starts where all taps exist.  Taps of an output are
negative; the initial state of taps down to -k has k rows, the first of which is out[-k]; that of
the single tap -1 is the state itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from symc.frontend import constraints
from symc.frontend.counted import has_rows, length_of
from symc.frontend.expr import Expr, lift
from symc.frontend.operand import Operand
from symc.ir import dims
from symc.ir.binding import has_computed
from symc.ir.core import Constraint
from symc.ir.dims import Size
from symc.ir.errors import DomainError, DTypeError, ShapeError, SymcError, message
from symc.ir.locations import here
from symc.ir.term import Term
from symc.records import dataclass

_INPUT_KEYS: Final = frozenset({"input", "taps"})
_OUTPUT_KEYS: Final = frozenset({"initial", "taps"})


def listed(given: Any) -> list[Any]:
    """One thing, several or None as a list."""
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple) else [given]


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of all sequences, one array per tap, and the number of steps."""

    arrays: list[Expr]
    length: Size


@dataclass(frozen=True, slots=True)
class State:
    """One output: its taps, and the values before the first step, oldest first.

    An output without a state has no taps.
    """

    taps: tuple[int, ...]
    initial: list[Expr]

    @property
    def depth(self) -> int:
        """How many values back the taps reach."""
        return len(self.initial)


def rows(sequences: Any, n_steps: Any, go_backwards: bool, title: str) -> Rows:
    """The sequences tapped, turned round and of one length."""
    steps = None if n_steps is None else _steps(n_steps, title)
    arrays: list[Term] = []
    weak: list[bool] = []
    for number, given in enumerate(listed(sequences)):
        for operand, array in _tapped(given, f"{title}: sequence {number}"):
            arrays.append(_flipped(array) if go_backwards else array)
            weak.append(operand.weak)
    length = steps
    for array in arrays:
        own = array.shape[0]
        if steps is None:
            length = own if length is None else dims.minimum(length, own)
    if length is None:
        raise _refused(ShapeError, title, "neither sequences nor n_steps", "one of them")
    cut = [_first_rows(array, length, title) for array in arrays]
    pairs = zip(cut, weak, strict=True)
    return Rows([Expr(Operand(array.value, mark)) for array, mark in pairs], length)


def _steps(n_steps: Any, title: str) -> Size:
    size = length_of(n_steps, f"{title}: n_steps")
    if isinstance(size, int) and size < 0:
        text = message(
            f"{title}: n_steps",
            got=size,
            expected=">= 0",
            where=here(),
            advice="go_backwards=True, or sc.scan(..., reverse=True)",
        )
        raise ShapeError(text)
    return size


def _tapped(given: Any, subject: str) -> list[tuple[Operand, Term]]:
    """One array per tap: those of lower taps end earlier, those of higher taps start later."""
    array = given
    taps: tuple[int, ...] = (0,)
    if isinstance(given, Mapping):
        _require_keys(given, _INPUT_KEYS, subject)
        array, taps = given.get("input"), _taps(given.get("taps"), 0, subject)
    operand = lift(array, subject).__symc_operand__()
    if not operand.value.type.rank:
        raise _refused(ShapeError, subject, operand.value.type, "a leading axis")
    low, high = min(0, *taps), max(0, *taps)
    whole = Term(operand.value)
    size = whole.shape[0] - (high - low)
    size = dims.maximum(0, size)
    if low == high:
        return [(operand, whole)]
    starts = [0 if size == 0 else tap - low for tap in taps]
    return [(operand, whole.narrow(0, start, size)) for start in starts]


def _first_rows(array: Term, length: Size, title: str) -> Term:
    """The first `length` rows; a constraint where it cannot be proved that they exist."""
    own = array.shape[0]
    if own == length:
        return array
    if dims.prove_le(own + 1, length):
        raise _refused(ShapeError, f"{title}: a sequence", f"{own} rows", f"n_steps = {length}")
    cut = array.narrow(0, 0, length)
    if not dims.prove_le(length, own):
        constraints.attach(cut.value, [_enough(own, length, f"{title}: n_steps")])
    return cut


def _enough(own: Size, length: Size, subject: str) -> Constraint:
    """That there is a row for each step; of a number that the call finds out, in loops too."""
    if has_computed(length):
        return has_rows(own, length, subject)
    return constraints.must_equal(dims.minimum(own, length), length, subject)


def _flipped(x: Term) -> Term:
    rest = x.rank - 1
    return x.slice((x.shape[0] - 1, *(0,) * rest), x.shape, (-1, *(1,) * rest))


def states(outputs_info: Any, title: str) -> list[State] | None:
    """The states of the outputs; None when nothing is said of them: none has a state."""
    if outputs_info is None:
        return None
    given = listed(outputs_info)
    return [_state(one, f"{title}: outputs_info[{i}]") for i, one in enumerate(given)]


def _state(given: Any, subject: str) -> State:
    if given is None or (isinstance(given, Mapping) and not given):
        return State((), [])
    initial = given
    taps: tuple[int, ...] = (-1,)
    if isinstance(given, Mapping):
        _require_keys(given, _OUTPUT_KEYS, subject)
        initial = given.get("initial")
        if initial is None and given.get("taps") is None:
            return State((), [])
        taps = _taps(given.get("taps"), -1, subject)
        if initial is None:
            raise _refused(ShapeError, subject, "taps without initial", "an initial state")
    if any(tap >= 0 for tap in taps):
        raise _refused(DomainError, f"{subject}: taps of an output", taps, "numbers < 0")
    made = lift(initial, subject)
    if taps == (-1,):
        return State(taps, [made])
    depth = -min(taps)
    operand = made.__symc_operand__()
    shape = operand.value.type.shape
    if not shape or dims.prove_le(shape[0] + 1, depth):
        raise _refused(ShapeError, subject, operand.value.type, f"{depth} rows for taps {taps}")
    kept = [Term(operand.value).narrow(0, i, 1).reshape(shape[1:]) for i in range(depth)]
    if not dims.prove_le(depth, shape[0]):
        needed = constraints.must_equal(dims.minimum(shape[0], depth), depth, subject)
        for value in kept:
            constraints.attach(value.value, [needed])
    return State(taps, [Expr(Operand(value.value, operand.weak)) for value in kept])


def _taps(given: Any, usual: int, subject: str) -> tuple[int, ...]:
    """The taps, `usual` where nothing is said of them."""
    taps = [usual] if given is None else listed(given)
    wrong = [tap for tap in taps if isinstance(tap, bool) or not isinstance(tap, int)]
    if wrong or not taps or len(set(taps)) != len(taps):
        raise _refused(DomainError, f"{subject}: taps", given, "different ints")
    return tuple(taps)


def _require_keys(given: Mapping[str, Any], known: frozenset[str], subject: str) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise _refused(DTypeError, subject, unknown, " and ".join(sorted(known)))


def _refused(kind: type[SymcError], subject: str, got: Any, expected: Any) -> SymcError:
    return kind(message(subject, got=got, expected=expected, where=here()))


def newest_first(values: Sequence[Any], taps: Sequence[int]) -> list[Any]:
    """The values at negative taps of a row that ends with tap -1."""
    return [values[tap] for tap in taps]
