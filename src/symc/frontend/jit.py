"""`sc.jit`: the tracing door's compiled function.

before: a Python function over pytrees of arrays.  after: a `Jit` that traces it once per signature
(structure, dtypes, ranks, static arguments) and specialises on sizes as `specialise` says.  Calls
whose leaves are ndarrays and Python numbers of a known signature run without any Python, but that
of registered containers; the rest comes to `_miss`.

Called on symbolic values, or inside a trace, the function is inlined.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Sequence
from functools import partial, update_wrapper
from threading import RLock
from typing import Any, Final

import numpy as np

from symc.frontend import backend, scope, tracing, trees
from symc.frontend.convert import NUMERIC, argument, as_array, check_sizes, is_scalar, packed
from symc.frontend.expr import Expr
from symc.frontend.inspecting import Inspectable
from symc.frontend.operand import is_symbolic
from symc.frontend.prepared import Serving
from symc.frontend.settings import options as choosing
from symc.frontend.settings import resolve
from symc.frontend.signature import Choices, LeafPlace, Signature, example, require_exact
from symc.frontend.spec import Spec, compiled_dtype, tensor_type
from symc.frontend.specialise import Leaf, Specialiser
from symc.frontend.trees import Structure
from symc.ir.errors import DomainError, DTypeError, message
from symc.ir.locations import here
from symc.ir.options import Options
from symc.ir.types import TensorType
from symc.records import dataclass

NO_DATA: Final = f"{NUMERIC}; static_argnums for what is no data: 0 for the self of a method"


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


class Variant:
    """One traced program of a function, compiled when it is used, and the callables that run it."""

    def __init__(
        self,
        trace: tracing.Trace,
        options: Options,
        ready: Callable[[Variant, backend.Loaded], None] | None = None,
    ) -> None:
        self.trace = trace
        self.options = options
        self.loaded: backend.Loaded | None = None
        self._ready = ready

    def accepts(self, arrays: Sequence[np.ndarray]) -> bool:
        """Whether sizes fit and constraints hold."""
        return backend.accepts(self.trace.traced.entry, arrays)

    def compile(self) -> None:
        """Make it callable."""
        self.loaded = backend.load(self.trace.traced, self.options)
        if self._ready is not None:
            self._ready(self, self.loaded)

    def retire(self) -> None:
        """Forget it: the callables that run it do so no longer."""
        if self.loaded is not None:
            self.loaded.unregister()

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
        self._lock = RLock()

    def __repr__(self) -> str:
        return f"<symc jit {getattr(self.fn, '__name__', 'function')}>"

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Pickled by name where it stands under it, else with the Python function; traced again."""
        name: str = getattr(self, "__qualname__", "")
        found: Any = sys.modules.get(self.__module__)
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is self:
            return name
        choices = self._signature.choices
        return _restored, (self.fn, choices, self.options, bool(self.trust_input))

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
        given, tree = trees.flatten(self._signature.marked(args, kwargs))
        leaves = [example(leaf) for leaf in given]
        call = Call(leaves, tree, tuple(map(_kind, leaves)))
        with self._lock:
            family, arrays = self._family(call)
            if any(isinstance(leaf, Spec) and _named(leaf) for leaf in given):
                pairs = zip(given, arrays, family.places, strict=True)
                types = tuple(_lowered(leaf, array, place) for leaf, array, place in pairs)
                self._shown = family.specialiser.of_types(types)
            else:
                self._shown = family.specialiser.variant(arrays)
        return self

    def serving(self, args: tuple[Any, ...]) -> Serving:
        arrays, variant = self._prepared(self._read(args, {}))
        assert variant.loaded is not None
        tree = variant.trace.tree
        nested = None if trees.is_tuple(tree) else tree
        return Serving(variant.loaded, arrays, tree.is_leaf(), nested)

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
        if scope.current() is not None:
            return self._inlined(args, kwargs)
        call = self._read(args, kwargs)
        if SYMBOLIC in call.kinds:
            return self._inlined(args, kwargs)
        arrays, variant = self._prepared(call)
        return variant.run(arrays)

    def _resolve(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        call = self._read(args, kwargs)
        arrays, variant = self._prepared(call)
        if variant.loaded is not None:
            variant.loaded.require_native()
        converted, _ = trees.unflatten(call.tree, arrays)
        return tuple(map(tracing.unwrapped, converted))

    def _read(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        marked = self._signature.marked(args, kwargs, trusted=self.trust_input)
        leaves, tree = trees.flatten(marked)
        return Call(leaves, tree, tuple(map(_kind, leaves)))

    def _inlined(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The function's own results over symbolic arguments, which stay as they are outside."""
        own_args, own_kwargs = trees.mapped(
            lambda leaf: Expr(leaf.__symc_operand__()) if is_symbolic(leaf) else leaf,
            (args, kwargs),
        )
        return self.fn(*own_args, **own_kwargs)

    def _prepared(self, call: Call) -> tuple[list[np.ndarray], Variant]:
        """Converted leaves and the variant for them, compiled now if need be."""
        with self._lock:
            family, arrays = self._family(call)
            self._shown = family.specialiser.variant(arrays)
            return arrays, self._shown

    def _family(self, call: Call) -> tuple[Family, list[np.ndarray]]:
        """What is kept of the call's signature, and its converted leaves."""
        family = self._families.get((call.tree, call.kinds))
        places = self._signature.leaves(call.tree) if family is None else family.places
        if self.trust_input:
            require_exact(call.leaves, places)
        arrays = [_converted(x, place) for x, place in zip(call.leaves, places, strict=True)]
        _check_declared(places, arrays)
        if family is None:
            family = self._new_family(call, places, _leaves(call.leaves, arrays, places))
            self._families[call.tree, call.kinds] = family
        return family, arrays

    def _new_family(self, call: Call, places: list[LeafPlace], leaves: tuple[Leaf, ...]) -> Family:
        flat = trees.is_flat(call.tree)
        arguments = None if flat else trees.native(call.tree)

        def ready(variant: Variant, loaded: backend.Loaded) -> None:
            results = tracing.structure_of(variant.trace.tree)
            if results is not None and (flat or arguments is not None):
                loaded.register(self, results, arguments)

        def trace(types: tuple[TensorType, ...]) -> Variant:
            # What is differentiated inside is defined as these options ask for.
            chosen = {name: getattr(self.options, name) for name in ("contract", "memory_limit")}
            with choosing(**chosen):
                made = tracing.trace(self.fn, call.tree, leaves, places, types)
            return Variant(made, self.options, ready)

        return Family(places, Specialiser(leaves, trace))


def _restored(fn: Callable[..., Any], choices: Choices, options: Options, trust_input: bool) -> Jit:
    """A jit from what was pickled of one; nothing is compiled yet."""
    made = Jit(fn, choices, options)
    made.trust_input = trust_input
    return made


SYMBOLIC: Final = "symbolic"


@dataclass(slots=True)
class Call:
    """The arguments of one call."""

    leaves: list[Any]
    tree: Structure
    kinds: tuple[Hashable, ...]


def _kind(leaf: Any) -> Hashable:
    """What tells signatures apart besides the structure, without converting."""
    if type(leaf) is np.ndarray:
        return (leaf.dtype, leaf.ndim)
    if is_scalar(leaf):
        return type(leaf).__name__
    if is_symbolic(leaf):
        return SYMBOLIC
    array = as_array(leaf, "argument", NO_DATA)
    return (array.dtype, array.ndim)


def _named(spec: Spec) -> bool:
    return any(isinstance(part, str) for part in spec.shape)


def _lowered(leaf: Any, array: np.ndarray, place: LeafPlace) -> TensorType:
    """The type that `lower` compiles an argument for: as declared, as its spec, or as it is."""
    if place.declared is not None:
        return place.declared
    if isinstance(leaf, Spec):
        return tensor_type(leaf, f"argument {place.name}")
    return TensorType(array.dtype, array.shape)


def _check_declared(places: Sequence[LeafPlace], arrays: Sequence[np.ndarray]) -> None:
    """Compare sizes with the declared ones."""
    types, given, names = [], [], []
    for place, array in zip(places, arrays, strict=True):
        if place.declared is not None:
            types.append(place.declared)
            given.append(array)
            names.append(place.name)
    check_sizes(types, given, names)


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
