"""`Expr`: a symbolic array, and what Python's operators on it mean.

before: an operand of the IR.  after: new operands; nothing is computed.

In-place statements rebind the value that the Python object holds, and so its aliases, as with an
ndarray; a result of indexing is a new value.  Variables, shared variables and values of an
enclosing trace cannot be rebound.  Where Python needs a concrete value, TracerError says what to
write instead.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any, NoReturn

import numpy as np

from symc.frontend import contract, emit, indexing, protocols, scope
from symc.frontend.dims import Dim, public
from symc.frontend.operand import Operand, operand, size_value
from symc.frontend.spec import as_dtype, compiled_dtype
from symc.ir import ops
from symc.ir.errors import DomainError, ShapeError, TracerError, UnsupportedError, message
from symc.ir.locations import here
from symc.ir.ops.record import Op
from symc.ir.term import Term
from symc.ir.types import BOOL, F64, TensorType, is_float


class Expr:
    """A symbolic array.  `shape`: ints and Dims; `dtype`: a NumPy dtype."""

    __slots__ = ("_operand", "_pinned", "_scope", "value_name")

    __array_priority__ = 1000.0

    def __init__(
        self, made: Operand, *, name: str | None = None, pinned: str | None = None
    ) -> None:
        self._operand = made
        self._pinned = pinned
        self._scope = scope.current()
        self.value_name = name

    def __symc_operand__(self) -> Operand:
        if self._scope is not None and not self._scope.open:
            raise TracerError(
                message(
                    f"a value of the trace of {self._scope.label} was used after it ended",
                    got=f"{self!r} (a leaked tracer)",
                    expected="values returned from the traced function",
                    where=here(),
                    advice="return the value instead of storing it outside",
                )
            )
        return self._operand

    def __reduce__(self) -> tuple[Any, ...]:
        raise protocols.no_pickle(self)

    def __copy__(self, _: object = None) -> Expr:
        made = Expr(self._operand, name=self.value_name)
        made._scope = self._scope
        return made

    __deepcopy__ = __copy__

    def __repr__(self) -> str:
        name = f"{self.value_name}: " if self.value_name else ""
        return f"<{name}{self._operand.type}{' weak' if self._operand.weak else ''}>"

    # Attributes.

    @property
    def type(self) -> TensorType:
        """The IR type: dtype and shape."""
        return self._operand.type

    @property
    def name(self) -> str | None:
        return self.value_name

    @property
    def weak(self) -> bool:
        """Whether the dtype gives way to that of an array it meets."""
        return self._operand.weak

    @property
    def shape(self) -> tuple[int | Dim, ...]:
        return tuple(public(size) for size in self._operand.type.shape)

    @property
    def dtype(self) -> np.dtype:
        return self._operand.dtype

    @property
    def ndim(self) -> int:
        return self._operand.type.rank

    @property
    def size(self) -> int | Dim:
        return public(self._operand.type.elements)

    @property
    def device(self) -> str:
        return "cpu"

    @property
    def T(self) -> Expr:  # noqa: N802  (the Array API's name)
        """All axes reversed."""
        return self._permuted(tuple(reversed(range(self.ndim))))

    @property
    def mT(self) -> Expr:  # noqa: N802  (the Array API's name)
        """The last two axes exchanged; rank 2 or more."""
        if self.ndim < 2:
            raise ShapeError(
                message(
                    "mT: rank below 2", got=self.type, expected="a matrix or more", where=here()
                )
            )
        rank = self.ndim
        return self._permuted((*range(rank - 2), rank - 1, rank - 2))

    def _permuted(self, axes: tuple[int, ...]) -> Expr:
        own = self.__symc_operand__()
        return Expr(Operand(Term(own.value).permute(axes).value, own.weak))

    @property
    def at(self) -> Places:
        """`x.at[key].set(v)` and the like: a new array with some elements changed."""
        return Places(self)

    def astype(self, dtype: Any, *, copy: bool = True) -> Expr:
        """The elements in `dtype`: floats to integers truncate and saturate, NaN gives 0."""
        wanted = compiled_dtype(as_dtype(dtype, subject="astype"), "astype")
        return Expr(Operand(emit.cast(self.__symc_operand__(), wanted, "astype")))

    def to_device(self, device: Any, /, *, stream: Any = None) -> Expr:
        """The value itself: where it lives is an option of the compiled function."""
        if device != "cpu":
            raise UnsupportedError(
                message(
                    "to_device",
                    got=device,
                    expected="cpu",
                    where=here(),
                    advice="sc.function(..., device=...)",
                )
            )
        return self

    # Operators.

    def __pos__(self) -> Expr:
        return Expr(self.__symc_operand__())

    def __neg__(self) -> Expr:
        own = self.__symc_operand__()
        if own.dtype == BOOL:
            raise emit.not_for("negative", BOOL, "numbers", "`~x`")
        return Expr(emit.unary(ops.NEG, "negative", own_expr(own)))

    def __abs__(self) -> Expr:
        own = self.__symc_operand__()
        return Expr(own) if own.dtype == BOOL else Expr(emit.unary(ops.ABS, "abs", own_expr(own)))

    def __invert__(self) -> Expr:
        return Expr(emit.on_bits(ops.NOT, "invert", self))

    def __add__(self, other: Any) -> Expr:
        return Expr(emit.arithmetic(ops.ADD, ops.OR, "add", self, other))

    def __radd__(self, other: Any) -> Expr:
        return Expr(emit.arithmetic(ops.ADD, ops.OR, "add", other, self))

    def __sub__(self, other: Any) -> Expr:
        return Expr(emit.arithmetic(ops.SUB, None, "subtract", self, other))

    def __rsub__(self, other: Any) -> Expr:
        return Expr(emit.arithmetic(ops.SUB, None, "subtract", other, self))

    def __mul__(self, other: Any) -> Expr:
        return Expr(emit.arithmetic(ops.MUL, ops.AND, "multiply", self, other))

    def __rmul__(self, other: Any) -> Expr:
        return Expr(emit.arithmetic(ops.MUL, ops.AND, "multiply", other, self))

    def __truediv__(self, other: Any) -> Expr:
        return Expr(emit.on_floats(ops.DIV, "divide", self, other))

    def __rtruediv__(self, other: Any) -> Expr:
        return Expr(emit.on_floats(ops.DIV, "divide", other, self))

    def __floordiv__(self, other: Any) -> Expr:
        return Expr(emit.on_numbers(ops.FLOORDIV, "floor_divide", self, other))

    def __rfloordiv__(self, other: Any) -> Expr:
        return Expr(emit.on_numbers(ops.FLOORDIV, "floor_divide", other, self))

    def __mod__(self, other: Any) -> Expr:
        return Expr(emit.on_numbers(ops.MOD, "remainder", self, other))

    def __rmod__(self, other: Any) -> Expr:
        return Expr(emit.on_numbers(ops.MOD, "remainder", other, self))

    def __divmod__(self, other: Any) -> tuple[Expr, Expr]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Expr, Expr]:
        return other // self, other % self

    def __pow__(self, other: Any) -> Expr:
        return Expr(power(self, other))

    def __rpow__(self, other: Any) -> Expr:
        return Expr(power(other, self))

    def __matmul__(self, other: Any) -> Expr:
        return Expr(contract.matmul(self, other))

    def __rmatmul__(self, other: Any) -> Expr:
        return Expr(contract.matmul(other, self))

    def __and__(self, other: Any) -> Expr:
        return Expr(emit.on_bits(ops.AND, "bitwise_and", self, other))

    def __rand__(self, other: Any) -> Expr:
        return Expr(emit.on_bits(ops.AND, "bitwise_and", other, self))

    def __or__(self, other: Any) -> Expr:
        return Expr(emit.on_bits(ops.OR, "bitwise_or", self, other))

    def __ror__(self, other: Any) -> Expr:
        return Expr(emit.on_bits(ops.OR, "bitwise_or", other, self))

    def __xor__(self, other: Any) -> Expr:
        return Expr(emit.on_bits(ops.XOR, "bitwise_xor", self, other))

    def __rxor__(self, other: Any) -> Expr:
        return Expr(emit.on_bits(ops.XOR, "bitwise_xor", other, self))

    def __eq__(self, other: object) -> Expr:  # type: ignore[override]
        return Expr(emit.comparison(ops.EQ, "equal", self, other))

    def __ne__(self, other: object) -> Expr:  # type: ignore[override]
        return Expr(emit.comparison(ops.NE, "not_equal", self, other))

    def __lt__(self, other: Any) -> Expr:
        return Expr(emit.comparison(ops.LT, "less", self, other))

    def __le__(self, other: Any) -> Expr:
        return Expr(emit.comparison(ops.LE, "less_equal", self, other))

    def __gt__(self, other: Any) -> Expr:
        return Expr(emit.comparison(ops.GT, "greater", self, other))

    def __ge__(self, other: Any) -> Expr:
        return Expr(emit.comparison(ops.GE, "greater_equal", self, other))

    __hash__ = object.__hash__

    # Statements that rebind.

    def __iadd__(self, other: Any) -> Expr:
        return self._rebind(self + other, "+=")

    def __isub__(self, other: Any) -> Expr:
        return self._rebind(self - other, "-=")

    def __imul__(self, other: Any) -> Expr:
        return self._rebind(self * other, "*=")

    def __itruediv__(self, other: Any) -> Expr:
        return self._rebind(self / other, "/=")

    def __ifloordiv__(self, other: Any) -> Expr:
        return self._rebind(self // other, "//=")

    def __imod__(self, other: Any) -> Expr:
        return self._rebind(self % other, "%=")

    def __ipow__(self, other: Any) -> Expr:
        return self._rebind(self**other, "**=")

    def __imatmul__(self, other: Any) -> Expr:
        return self._rebind(self @ other, "@=")

    def __iand__(self, other: Any) -> Expr:
        return self._rebind(self & other, "&=")

    def __ior__(self, other: Any) -> Expr:
        return self._rebind(self | other, "|=")

    def __ixor__(self, other: Any) -> Expr:
        return self._rebind(self ^ other, "^=")

    def __setitem__(self, key: Any, value: Any) -> None:
        self._writable("x[i] = v")
        self._operand = indexing.updated(self.__symc_operand__(), key, value, "set")

    def _rebind(self, new: Expr, statement: str) -> Expr:
        """Hold `new`, in this array's own shape and dtype, as an ndarray would."""
        self._writable(statement)
        own = self.__symc_operand__()
        if own.weak:
            self._operand = new.__symc_operand__()
            return self
        self._operand = indexing.updated(own, Ellipsis, new, "set")
        return self

    def _writable(self, statement: str) -> None:
        reason = self._pinned
        if reason is None and not scope.same(self._scope):
            reason = "a value captured from an enclosing trace"
        if reason is not None:
            raise TracerError(
                message(
                    f"`{statement}` on {reason}",
                    got=repr(self),
                    where=here(),
                    advice="a new value: x = x.at[i].set(v), x = x + v; updates= for shared ones",
                )
            )

    def __getitem__(self, key: Any) -> Expr:
        return Expr(indexing.index(self.__symc_operand__(), key))

    # Where Python needs a concrete value.

    def __iter__(self) -> Iterator[Expr]:
        return iter([self[i] for i in range(len(self))])

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a scalar: its shape is ()")
        size = self.shape[0]
        if isinstance(size, int):
            return size
        raise TracerError(
            message(
                f"len() of an array of {size} rows, which is not known before the call",
                got=repr(self),
                expected="a static size",
                where=here(),
                advice="x.shape[0] as a symbolic size; sc.scan or sc.map to loop over rows",
            )
        )

    def __bool__(self) -> NoReturn:
        self._concrete("bool()", "sc.cond or sc.where instead of `if`, sc.while_loop for `while`")

    def __float__(self) -> NoReturn:
        self._concrete("float()", "keep it symbolic; astype('f64') converts")

    def __int__(self) -> NoReturn:
        self._concrete("int()", "keep it symbolic; astype('i64') converts")

    def __complex__(self) -> NoReturn:
        self._concrete("complex()", "keep it symbolic")

    def __index__(self) -> NoReturn:
        self._concrete("an index or a size", "sc.take to index, sc.fori_loop to count")

    def __contains__(self, item: object) -> NoReturn:
        self._concrete("`in`", "sc.any(x == item)")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        self._concrete("a NumPy array", "sc.asarray of a list, sc.take for a[i] of an ndarray")

    def __dlpack__(self, **_: Any) -> NoReturn:
        self._concrete("a buffer", "sc.function or sc.jit to compile first")

    def _concrete(self, wanted: str, advice: str) -> NoReturn:
        raise TracerError(
            message(
                f"{wanted} of a symbolic value",
                got=repr(self),
                expected="a concrete value",
                where=here(),
                advice=advice,
            )
        )

    def __getattr__(self, name: str) -> Any:
        """The methods that ndarrays have: `x.sum(axis=0)`, `x.reshape(2, -1)`, ..."""
        found = protocols.METHODS.get(name)
        if found is None:
            raise AttributeError(f"a symbolic array has no attribute {name!r}")
        return partial(found, self)

    # Protocols of NumPy and the Array API.

    def __array_namespace__(self, *, api_version: str | None = None) -> ModuleType:
        return sys.modules["symc"]

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return protocols.ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        return protocols.function(function, args, kwargs)


class Places:
    """`x.at`: choose places by `[key]`."""

    __slots__ = ("_target",)

    def __init__(self, target: Expr) -> None:
        self._target = target

    def __getitem__(self, key: Any) -> Place:
        return Place(self._target, key)


class Place:
    """`x.at[key]`: what to do with the elements chosen.  Each method returns a new array.

    Repeated positions are visited in row-major order of the index: the last `set` stays, `add` and
    the others see each other.
    """

    __slots__ = ("_key", "_target")

    def __init__(self, target: Expr, key: Any) -> None:
        self._target = target
        self._key = key

    def get(self) -> Expr:
        """`x[key]`."""
        return self._target[self._key]

    def set(self, value: Any) -> Expr:
        """The array with `value` in the chosen places."""
        return self._updated(value, "set")

    def add(self, value: Any) -> Expr:
        """The array with `value` added in the chosen places."""
        return self._updated(value, "add")

    def mul(self, value: Any) -> Expr:
        """The array with the chosen places multiplied by `value`."""
        return self._updated(value, "mul")

    def min(self, value: Any) -> Expr:
        """The array with the smaller of old and `value` in the chosen places."""
        return self._updated(value, "min")

    def max(self, value: Any) -> Expr:
        """The array with the larger of old and `value` in the chosen places."""
        return self._updated(value, "max")

    def _updated(self, value: Any, combine: str) -> Expr:
        own = self._target.__symc_operand__()
        return Expr(indexing.updated(own, self._key, value, combine))


def own_expr(made: Operand) -> Expr:
    """An Expr of an operand."""
    return Expr(made)


def power(base: Any, exponent: Any) -> Operand:
    """`base ** exponent`; integers to a negative literal power are a DomainError, as in NumPy."""
    values, dtype, weak = emit.promoted("pow", base, exponent)
    if not is_float(dtype) and isinstance(exponent, int) and exponent < 0:
        raise DomainError(
            message(
                "pow: integers to a negative power",
                got=f"{dtype.name} ** {exponent}",
                where=here(),
                advice="astype('f64') first, or x ** float(n)",
            )
        )
    if dtype == BOOL:
        values = [emit.value_of(ops.CAST, (value,), {"dtype": F64}) for value in values]
    return Operand(emit.elementwise(ops.POW, values, "pow"), weak)


def elementwise(op: Op, subject: str, x: Any) -> Expr:
    """An op on floats applied to one argument."""
    return Expr(emit.on_floats(op, subject, x))


def lift(x: Any, subject: str) -> Expr:
    """Any argument of an array function as an Expr; Exprs as they are."""
    return x if isinstance(x, Expr) else Expr(operand(x, subject))


def of_size(size: Dim) -> Expr:
    """A Dim as a weakly typed i64 scalar."""
    return Expr(Operand(size_value(size.size), weak=True))


Dim.as_expr = staticmethod(of_size)
