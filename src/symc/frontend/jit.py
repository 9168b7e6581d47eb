"""`sc.jit`: the tracing door's compiled function.

before: a Python function over pytrees of arrays.  after: a `Jit` that traces it once per signature
(structure, dtypes, ranks, static arguments) and specialises on sizes as `specialise` says.  Calls
with nothing but positional ndarrays of a known signature run without any Python; the rest comes to
`_miss`.

Called on symbolic values, or inside a trace, the function is inlined.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial, update_wrapper
from typing import Any

import numpy as np

from symc.frontend import backend, scope, tracing, trees
from symc.frontend.convert import argument, as_array, check_sizes, is_scalar, packed
from symc.frontend.expr import Expr
from symc.frontend.inspecting import Inspectable
from symc.frontend.operand import is_symbolic
from symc.frontend.settings import resolve
from symc.frontend.signature import Choices, LeafPlace, Signature, example
from symc.frontend.spec import compiled_dtype
from symc.frontend.specialise import Leaf, Specialiser
from symc.frontend.trees import Structure
from symc.ir.errors import DomainError, DTypeError, message
from symc.ir.locations import here
from symc.ir.options import Options
from symc.ir.types import TensorType


def jit(
    fn: Callable[..., Any] | None = None,
    *,
    in_specs: Any = None,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    donate_argnums: int | Sequence[int] = (),
    **options: Any,
) -> Any:
    """Compile a Python function of arrays; used as `@sc.jit` or `@sc.jit(...)`.

    `in_specs`: one spec (or tree of specs, or None) per positional argument; annotations such as
    `x: "f32[n,784]"` serve as well.  Static arguments must be hashable and are part of the
    signature. A donated array may be overwritten.
    """
    choices = Choices(
        in_specs, _tuple(static_argnums), _tuple(static_argnames), _tuple(donate_argnums)
    )
    settings = resolve(options)
    if fn is None:
        return lambda inner: Jit(inner, choices, settings)
    if not callable(fn):
        raise DTypeError(message("jit", got=repr(fn), expected="a Python function", where=here()))
    return Jit(fn, choices, settings)


def _tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


@dataclass(slots=True)
class Variant:
    """One traced program of a function, compiled when it is used."""

    trace: tracing.Trace
    options: Options
    on_ready: Callable[[Variant], None]
    loaded: backend.Loaded | None = None

    def accepts(self, arrays: Sequence[np.ndarray]) -> bool:
        """Whether sizes fit and constraints hold."""
        return backend.accepts(self.trace.traced.entry, arrays)

    def compile(self) -> None:
        """Make it callable."""
        self.loaded = backend.load(self.trace.traced, self.options)
        self.on_ready(self)

    def run(self, arrays: Sequence[np.ndarray]) -> Any:
        """The results, in the form that the function returned them."""
        assert self.loaded is not None
        return trees.unflatten(self.trace.tree, self.loaded.call(arrays))


@dataclass(slots=True)
class Family:
    """Everything of one signature: where its leaves stand, and its variants."""

    places: list[LeafPlace]
    specialiser: Specialiser[Variant]


class Jit(Inspectable):
    """A traced and compiled function."""

    def __init__(self, fn: Callable[..., Any], choices: Choices, options: Options) -> None:
        super().__init__(self._miss, self._resolve)
        update_wrapper(self, fn)
        self.fn = fn
        self.options = options
        self.trust_input = options.trust_input
        self._signature = Signature(fn, choices)
        self._families: dict[Hashable, Family] = {}
        self._shown: Variant | None = None

    def __repr__(self) -> str:
        return f"<symc jit {getattr(self.fn, '__name__', 'function')}>"

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """As a method: the instance is passed first (declare it static)."""
        return self if instance is None else partial(self, instance)

    @property
    def compiles(self) -> int:
        """How many programs were compiled so far."""
        return sum(family.specialiser.compiles for family in self._families.values())

    @property
    def current(self) -> backend.Loaded:
        if self._shown is None or self._shown.loaded is None:
            raise DomainError(
                message(
                    f"{self!r} has no compiled program yet",
                    where=here(),
                    advice="call it, or f.lower(*args_or_specs)",
                )
            )
        return self._shown.loaded

    def lower(self, *args: Any, **kwargs: Any) -> Jit:
        """Compile for these arguments (arrays or specs) without running; the inspecting calls then
        show that program."""
        own_args, own_kwargs = trees.mapped(example, (args, kwargs))
        _, self._shown = self._prepared(own_args, own_kwargs)
        return self

    def variants(self) -> list[str]:
        """One line per compiled program: the types that it takes."""
        lines = []
        for family in self._families.values():
            made = family.specialiser
            for kind, found in (("sizes", made.variants), ("static", made.static.values())):
                for variant in found:
                    params = variant.trace.traced.entry.function.params[: len(family.places)]
                    types = ", ".join(f"{p.name}: {p.type}" for p in params)
                    lines.append(f"{kind}: ({types})")
        return ["variants", *(f"  {line}" for line in lines)] if lines else []

    def _miss(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if scope.current() is not None or any(map(is_symbolic, trees.leaves_of((args, kwargs)))):
            return self._inlined(args, kwargs)
        arrays, variant = self._prepared(args, kwargs)
        self._shown = variant
        return variant.run(arrays)

    def _resolve(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        arrays, variant = self._prepared(args, kwargs)
        self._shown = variant
        return tuple(arrays)

    def _inlined(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The function's own results over symbolic arguments, which stay as they are outside."""
        own_args, own_kwargs = trees.mapped(
            lambda leaf: Expr(leaf.__symc_operand__()) if is_symbolic(leaf) else leaf,
            (args, kwargs),
        )
        return self.fn(*own_args, **own_kwargs)

    def _prepared(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[list[np.ndarray], Variant]:
        """Converted leaves and the variant for them."""
        given, tree = trees.flatten(self._signature.marked(args, kwargs))
        kinds = tuple(map(_kind, given))
        family = self._families.get((tree, kinds))
        places = self._signature.leaves(tree) if family is None else family.places
        arrays = [_converted(leaf, place) for leaf, place in zip(given, places, strict=True)]
        declared = [i for i, place in enumerate(places) if place.declared is not None]
        check_sizes(
            [places[i].declared for i in declared],  # type: ignore[misc]
            [arrays[i] for i in declared],
            [places[i].name for i in declared],
        )
        if family is None:
            flat = not kwargs and len(args) == len(given) and all(map(_is, args, given))
            family = self._new_family(tree, places, _leaves(given, arrays, places), flat)
            self._families[tree, kinds] = family
        return arrays, family.specialiser.variant(arrays)

    def _new_family(
        self, tree: Structure, places: list[LeafPlace], leaves: tuple[Leaf, ...], flat: bool
    ) -> Family:
        def ready(variant: Variant) -> None:
            structure = tracing.structure_of(variant.trace.tree)
            if flat and structure is not None and variant.loaded is not None:
                variant.loaded.register(self, structure)

        def trace(types: tuple[TensorType, ...]) -> Variant:
            made = tracing.trace(self.fn, tree, leaves, places, types)
            return Variant(made, self.options, ready)

        return Family(places, Specialiser(leaves, trace))


def _is(left: object, right: object) -> bool:
    return left is right


def _kind(leaf: Any) -> Hashable:
    """What tells signatures apart besides the structure, without converting."""
    if isinstance(leaf, np.ndarray | np.generic):
        return (leaf.dtype.str, leaf.ndim)
    if is_scalar(leaf):
        return type(leaf).__name__
    array = as_array(leaf, "argument")
    return (array.dtype.str, array.ndim)


def _converted(leaf: Any, place: LeafPlace) -> np.ndarray:
    """The leaf as the array that its input takes."""
    subject = f"argument {place.name}"
    if place.donated and not (
        type(leaf) is np.ndarray and leaf.flags.carray and leaf.dtype.isnative and _owns(leaf)
    ):
        raise DomainError(
            message(
                f"{subject} is donated but cannot be overwritten",
                got="a read-only, strided, unaligned or borrowed array",
                expected="a row-major ndarray that owns its memory",
                where=here(),
                advice="pass a copy",
            )
        )
    if place.declared is not None:
        return argument(leaf, place.declared, subject)
    array = as_array(leaf, subject)
    compiled_dtype(array.dtype, subject)
    return packed(array)


def _owns(array: np.ndarray) -> bool:
    """Whether nobody else sees the array's memory: its own, or a result block of the runtime."""
    return array.flags.owndata or type(array.base).__name__ == "PyCapsule"


def _leaves(
    given: Sequence[Any], arrays: Sequence[np.ndarray], places: Sequence[LeafPlace]
) -> tuple[Leaf, ...]:
    return tuple(
        Leaf(array.dtype, array.ndim, is_scalar(leaf) and place.declared is None, place.declared)
        for leaf, array, place in zip(given, arrays, places, strict=True)
    )
