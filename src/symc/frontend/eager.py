"""Array functions on concrete values: compiled once per kind of arguments, then called.

before: an array function and concrete arguments.  after: a NumPy array, with the bits that a traced
program gives.  A program is kept per function, static arguments, dtypes, ranks and options; its
sizes are symbolic where that can be.
"""

from __future__ import annotations

import inspect
import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from symc.frontend import backend, scope, tracing, trees
from symc.frontend.concrete import Concrete, in_trace
from symc.frontend.convert import as_array, is_scalar, packed
from symc.frontend.jit import Variant
from symc.frontend.settings import current
from symc.frontend.signature import LeafPlace
from symc.frontend.spec import compiled_dtype
from symc.frontend.specialise import Leaf, Specialiser
from symc.frontend.trees import Static, Structure
from symc.ir.dims import Dim
from symc.ir.errors import NonFiniteError, SymcError, SymcIndexError
from symc.ir.locations import here
from symc.ir.options import Options
from symc.ir.text import canonical_bytes
from symc.ir.types import TensorType

if TYPE_CHECKING:
    from symc.compile import Compiled

_kept: Final[OrderedDict[Hashable, Specialiser[Variant]]] = OrderedDict()
_contents: Final[OrderedDict[Hashable, backend.Loaded]] = OrderedDict()
# The most recent of each are kept.
KEPT: Final = 1024
CONTENTS: Final = 256


def call(body: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`body(*args, **kwargs)` on concrete values."""
    operands, sequence = _operands(body)
    marked = (
        (
            *(_spelled(arg, body.__name__, sequence) for arg in args[:operands]),
            *map(_marked, args[operands:]),
        ),
        {name: _marked(value) for name, value in kwargs.items()},
    )
    given, tree = trees.flatten(marked)
    name = body.__name__
    arrays = [as_array(leaf, name) for leaf in given]
    leaves = tuple(
        Leaf(compiled_dtype(array.dtype, name), array.ndim, is_scalar(leaf))
        for leaf, array in zip(given, arrays, strict=True)
    )
    options = current()
    key = (body, tree, leaves, options)
    kept = _kept.get(key)
    if kept is None:
        kept = _kept[key] = _specialiser(body, tree, leaves, options)
        if len(_kept) > KEPT:
            _kept.popitem(last=False)
    try:
        with scope.outside():
            found = kept.variant(arrays).run([packed(array) for array in arrays])
    except (SymcIndexError, NonFiniteError) as error:
        raise _at_this_call(error) from None
    return in_trace(found) if any(isinstance(leaf, Concrete) for leaf in given) else found


def _at_this_call(error: SymcError) -> SymcError:
    """A kept program's error at the line of this call, not of the one that made the program."""
    place = f"  at: {here()}"
    lines = str(error).split("\n")
    placed = [place if line.startswith("  at: ") else line for line in lines]
    return type(error)("\n".join(placed if place in placed else [*placed, place]))


@cache
def _operands(body: Callable[..., Any]) -> tuple[int, bool]:
    """How many leading arguments are operands, and whether the first is a sequence of arrays.

    Operands are the positional-only parameters, or all; a sequence is called `arrays`.
    """
    parameters = list(inspect.signature(body).parameters.values())
    kinds = [parameter.kind for parameter in parameters]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return sys.maxsize, False
    return kinds.count(inspect.Parameter.POSITIONAL_ONLY), parameters[0].name == "arrays"


def _spelled(argument: Any, name: str, sequence: bool) -> Any:
    """An operand: lists are arrays; text, such as the subscripts of einsum, is an attribute."""
    if isinstance(argument, str):
        return Static(argument)
    if not isinstance(argument, list | tuple):
        return argument
    return [as_array(item, name) for item in argument] if sequence else as_array(argument, name)


def _marked(argument: Any) -> Any:
    """An attribute as part of the program; an array is an input wherever it stands."""
    if isinstance(argument, np.ndarray | np.generic):
        return argument
    return Static(tuple(argument) if isinstance(argument, list) else argument)


def _specialiser(
    body: Callable[..., Any], tree: Structure, leaves: tuple[Leaf, ...], options: Options
) -> Specialiser[Variant]:
    places = [LeafPlace(f"{body.__name__} {i}", None, False) for i in range(len(leaves))]

    def trace(types: tuple[TensorType, ...]) -> Variant:
        made = tracing.trace(body, tree, leaves, places, types)
        return Variant(made, options)

    return Specialiser(leaves, trace, symbolic_first=True)


def call_traced(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`fn(*args, **kwargs)` on concrete values: traced now, its code found by the IR's content.

    Sizes are symbolic where that can be, captured arrays are inputs; so neither other sizes nor
    other values compile again.
    """
    content, arrays = traced_content(fn, args, kwargs)
    return content.run(arrays)


def traced_content(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Content, list[np.ndarray]]:
    """The program of `fn` for concrete arguments, of the last time that it was traced, and the
    arrays to run it on.

    What is no array, such as text or a function, is passed as it is; so are Python numbers when
    tracing shows that Python itself needs them, as a count or an axis.
    """
    given, tree = trees.flatten((args, kwargs))
    fixed = {i for i, leaf in enumerate(given) if isinstance(leaf, str) or callable(leaf)}
    try:
        return _content(_with_fixed(fn, given, tree, fixed), _moving(given, fixed))
    except TypeError:
        numbers = {i for i, leaf in enumerate(given) if is_scalar(leaf)}
        if not numbers:
            raise
        fixed |= numbers
        return _content(_with_fixed(fn, given, tree, fixed), _moving(given, fixed))


def _moving(given: Sequence[Any], fixed: set[int]) -> list[Any]:
    return [leaf for i, leaf in enumerate(given) if i not in fixed]


def _with_fixed(
    fn: Callable[..., Any], given: Sequence[Any], tree: Structure, fixed: set[int]
) -> Callable[..., Any]:
    """`fn` as a function of the leaves of its arguments that are not fixed."""

    def of_leaves(*moving: Any) -> Any:
        rest = iter(moving)
        args, kwargs = trees.unflatten(
            tree, [leaf if i in fixed else next(rest) for i, leaf in enumerate(given)]
        )
        return fn(*args, **kwargs)

    of_leaves.__name__ = getattr(fn, "__name__", "function")
    return of_leaves


def _content(fn: Callable[..., Any], given: Sequence[Any]) -> tuple[Content, list[np.ndarray]]:
    """The program of a function of arrays."""
    name = fn.__name__
    _, tree = trees.flatten((tuple(given), {}))
    arrays = [as_array(leaf, name) for leaf in given]
    leaves = tuple(
        Leaf(compiled_dtype(array.dtype, name), array.ndim, is_scalar(leaf))
        for leaf, array in zip(given, arrays, strict=True)
    )
    places = [LeafPlace(f"argument {i}", None, False) for i in range(len(leaves))]

    def trace(types: tuple[TensorType, ...]) -> Content:
        pairs = zip(types, arrays, strict=True)
        sizes = {
            str(size): got
            for type, array in pairs
            for size, got in zip(type.shape, array.shape, strict=True)
            if isinstance(size, Dim)
        }
        with scope.example(sizes):
            return Content(tracing.trace(fn, tree, leaves, places, types, lift_captured=True))

    found = Specialiser(leaves, trace, symbolic_first=True).variant(arrays)
    return found, [packed(array) for array in arrays]


class Content:
    """A program that is compiled once for all traces of equal content."""

    def __init__(self, made: tracing.Trace) -> None:
        self.trace = made
        self._loaded: backend.Loaded | None = None

    def accepts(self, arrays: Sequence[np.ndarray]) -> bool:
        """Whether sizes fit and constraints hold."""
        return backend.accepts(self.trace.traced.entry, arrays)

    def compile(self) -> None:
        """Find the program, or compile it."""
        options = current()
        traced = self.trace.traced
        key = (canonical_bytes(traced.entry.function), options, tuple(map(id, traced.states)))
        self._loaded = _contents.get(key)
        if self._loaded is None:
            self._loaded = _contents[key] = backend.load(traced, options)
            if len(_contents) > CONTENTS:
                _contents.popitem(last=False)
        else:
            _contents.move_to_end(key)

    @property
    def compiled(self) -> Compiled:
        """What the inspecting calls ask."""
        assert self._loaded is not None
        return self._loaded.compiled

    def retire(self) -> None:
        """Nothing to do: programs are kept by content."""

    def run(self, arrays: Sequence[np.ndarray]) -> Any:
        """The results, in the form that the function returned them."""
        assert self._loaded is not None
        results = self._loaded.call([*arrays, *self.trace.traced.lifted])
        return trees.unflatten(self.trace.tree, results)
