"""The scalar builder that writes LLVM vector instructions.

What it is: `LlvmBuilder(emitter, width)` turns each operation on lanes into text for
`<width x T>`, or for plain scalars when the width is 1.  Bool lanes are `i1` in registers;
`load_bool` and `store_bool` go to and from the bytes of memory.

Invariants
- No fast-math flags, no `nsw`/`nuw`, no undefined behaviour, no call that leaves the module: only
  intrinsics which LLVM expands in line on every target that has vector fma.
- The same bits for every width and every target (`NumpyBuilder` is the reference).
- Constants are operands, never instructions, so there is nothing to hoist.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from symc.codegen_llvm import lanes_functions as functions
from symc.codegen_llvm.text import FRAME, Emitter, Module, Reg
from symc.scalar.builder import BOOL, F64, Body


class Lanes(NamedTuple):
    """A register or constant; its LLVM type follows from the dtype and the builder's width."""

    name: str
    dtype: np.dtype[Any]


Type = np.dtype[Any]
_FLOATS = {"f2": ("half", "f16"), "f4": ("float", "f32"), "f8": ("double", "f64")}
_ORDERED = {"eq": "oeq", "ne": "une", "lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge"}


@functools.cache
def element_type(dtype: Type) -> str:
    """The LLVM type of one lane in a register: `i1` for bool."""
    if dtype.kind == "b":
        return "i1"
    return f"i{8 * dtype.itemsize}" if dtype.kind in "iu" else _FLOATS[dtype.str[1:]][0]


def memory_type(dtype: Type) -> str:
    """The LLVM type of one element in memory: `i8` for bool."""
    return "i8" if dtype.kind == "b" else element_type(dtype)


def literal(value: float, dtype: Type) -> str:
    """A scalar constant as LLVM writes it."""
    if dtype.kind == "f":
        return _float_literal(struct.pack(">d", value), dtype)
    if dtype.kind == "b":
        return "true" if value else "false"
    return str(int(value))


@functools.lru_cache(maxsize=4096)
def _float_literal(packed: bytes, dtype: Type) -> str:
    """From the bytes of the number, which tell -0 from 0."""
    exact = float(dtype.type(struct.unpack(">d", packed)[0]))
    if dtype.itemsize == 2:
        return "0xH" + struct.pack(">e", exact).hex().upper()
    return "0x" + struct.pack(">d", exact).hex().upper()


class LlvmBuilder:
    """See `Builder`.

    emitter: where instructions go; `rare` opens blocks in it.  width: lanes per value.  outline:
    names of math functions that become one internal function of the module each; others are
    expanded in place.  deferred: where not None, `rare` adds masks there (integers) and takes the
    usual result: the caller does it all again elsewhere when some lane is set.
    """

    def __init__(
        self, emitter: Emitter, width: int, *, outline: frozenset[str] = frozenset()
    ) -> None:
        self.emitter = emitter
        self.width = width
        self.outline = outline
        self.deferred: list[Lanes] | None = None
        self._negated: dict[str, Lanes] = {}  # floats by the names of their opposites
        self._types: dict[Type, str] = {}
        self._intrinsics: dict[tuple[str, Type], str] = {}

    # Types and the way in and out.

    def type(self, dtype: Type) -> str:
        """The LLVM type of lanes of `dtype`."""
        text = self._types.get(dtype)
        if text is None:
            element = element_type(dtype)
            text = element if self.width == 1 else f"<{self.width} x {element}>"
            self._types[dtype] = text
        return text

    def memory_type(self, dtype: Type) -> str:
        """The LLVM type in which lanes of `dtype` are loaded and stored."""
        element = memory_type(dtype)
        return element if self.width == 1 else f"<{self.width} x {element}>"

    def reg(self, x: Lanes) -> Reg:
        """The lanes as a register of the emitter."""
        return Reg(x.name, self.type(x.dtype))

    def wrap(self, reg: Reg, dtype: Type) -> Lanes:
        """A register of type `type(dtype)` as lanes."""
        return Lanes(reg.name, dtype)

    def from_memory(self, reg: Reg, dtype: Type) -> Lanes:
        """A loaded register (`memory_type(dtype)`) as lanes."""
        if dtype.kind != "b":
            return Lanes(reg.name, dtype)
        zero = "0" if self.width == 1 else "zeroinitializer"
        return self._op(BOOL, f"icmp ne {reg.type} {reg.name}, {zero}")

    def to_memory(self, x: Lanes) -> Reg:
        """Lanes as a register of type `memory_type(dtype)`, ready to store."""
        if x.dtype.kind != "b":
            return self.reg(x)
        memory = self.memory_type(x.dtype)
        return self.emitter.emit(memory, f"zext {self.type(BOOL)} {x.name} to {memory}")

    def dtype(self, x: Lanes) -> Type:
        return x.dtype

    def const(self, value: float, dtype: Type) -> Lanes:
        text = literal(value, dtype)
        return Lanes(self._splat(f"{element_type(dtype)} {text}", text), dtype)

    def _splat(self, typed: str, plain: str) -> str:
        return plain if self.width == 1 else f"splat ({typed})"

    def _suffix(self, dtype: Type) -> str:
        if dtype.kind == "f":
            element = _FLOATS[dtype.str[1:]][1]
        else:
            element = element_type(dtype)
        return element if self.width == 1 else f"v{self.width}{element}"

    def _op(self, dtype: Type, rhs: str) -> Lanes:
        name = self.emitter.fresh()
        self.emitter.lines.append(f"  {name} = {rhs}")
        return Lanes(name, dtype)

    def _binary(self, op: str, a: Lanes, b: Lanes) -> Lanes:
        return self._op(a.dtype, f"{op} {self.type(a.dtype)} {a.name}, {b.name}")

    def _intrinsic(self, op: str, *operands: Lanes) -> Lanes:
        dtype = operands[0].dtype
        type = self.type(dtype)
        name = self._intrinsics.get((op, dtype))
        if name is None:
            name = f"llvm.{op}.{self._suffix(dtype)}"
            signature = ", ".join([type] * len(operands))
            self.emitter.module.declare(name, f"{type} {{}}({signature})")
            self._intrinsics[op, dtype] = name
        arguments = ", ".join([f"{type} {x.name}" for x in operands])
        return self._op(dtype, f"call {type} @{name}({arguments})")

    # Arithmetic.

    def add(self, a: Lanes, b: Lanes) -> Lanes:
        return self._binary("fadd" if a.dtype.kind == "f" else "add", a, b)

    def sub(self, a: Lanes, b: Lanes) -> Lanes:
        return self._binary("fsub" if a.dtype.kind == "f" else "sub", a, b)

    def mul(self, a: Lanes, b: Lanes) -> Lanes:
        for factor, other in ((a, b), (b, a)):
            if factor.name in self._negated:  # a fused step takes the sign of a product for free
                return self.neg(self.mul(self._negated[factor.name], other))
        return self._binary("fmul" if a.dtype.kind == "f" else "mul", a, b)

    def neg(self, x: Lanes) -> Lanes:
        if x.dtype.kind == "f":
            opposite = self._op(x.dtype, f"fneg {self.type(x.dtype)} {x.name}")
            self._negated[opposite.name] = x
            return opposite
        return self.sub(self.const(0, x.dtype), x)

    def abs(self, x: Lanes) -> Lanes:
        if x.dtype.kind == "f":
            return self._intrinsic("fabs", x)
        if x.dtype.kind == "u":
            return x
        return self.maximum(x, self.neg(x))

    def minimum(self, a: Lanes, b: Lanes) -> Lanes:
        return self._intrinsic(_extremum(a.dtype, "min"), a, b)

    def maximum(self, a: Lanes, b: Lanes) -> Lanes:
        return self._intrinsic(_extremum(a.dtype, "max"), a, b)

    def div(self, a: Lanes, b: Lanes) -> Lanes:
        return self._binary("fdiv", a, b)

    def sqrt(self, x: Lanes) -> Lanes:
        return self._intrinsic("sqrt", x)

    def fma(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes:
        return self._intrinsic("fma", a, b, c)

    def floor(self, x: Lanes) -> Lanes:
        return self._intrinsic("floor", x)

    def ceil(self, x: Lanes) -> Lanes:
        return self._intrinsic("ceil", x)

    def rint(self, x: Lanes) -> Lanes:
        return self._intrinsic("roundeven", x)

    def trunc(self, x: Lanes) -> Lanes:
        return self._intrinsic("trunc", x)

    def copysign(self, magnitude: Lanes, sign: Lanes) -> Lanes:
        return self._intrinsic("copysign", magnitude, sign)

    # Integers.

    def floordiv(self, a: Lanes, b: Lanes) -> Lanes:
        quotient, rest, wraps = self._divide(a, b)
        if a.dtype.kind == "i":
            below = self._signs_differ(rest, b)
            lower = self.sub(quotient, self.const(1, a.dtype))
            quotient = self.select(wraps, self.neg(a), self.select(below, lower, quotient))
        zero = self.const(0, a.dtype)
        return self.select(self.eq(b, zero), zero, quotient)

    def mod(self, a: Lanes, b: Lanes) -> Lanes:
        _, rest, wraps = self._divide(a, b)
        zero = self.const(0, a.dtype)
        if a.dtype.kind == "i":
            rest = self.select(self._signs_differ(rest, b), self.add(rest, b), rest)
            rest = self.select(wraps, zero, rest)
        return self.select(self.eq(b, zero), zero, rest)

    def _divide(self, a: Lanes, b: Lanes) -> tuple[Lanes, Lanes, Lanes]:
        """Quotient toward zero and rest, b read as 1 where it is 0 or -1; and where it is -1."""
        one = self.const(1, a.dtype)
        wraps = self.eq(b, self.const(-1, a.dtype)) if a.dtype.kind == "i" else self.const(0, BOOL)
        safe = self.select(self.bor(self.eq(b, self.const(0, a.dtype)), wraps), one, b)
        if a.dtype.itemsize <= 4:  # exact in f64, which has a vector division
            ratio = self.div(self.cast(a, F64), self.cast(safe, F64))
            convert = "fptosi" if a.dtype.kind == "i" else "fptoui"
            quotient = self._convert(convert, ratio, a.dtype)
        else:
            quotient = self._binary("sdiv" if a.dtype.kind == "i" else "udiv", a, safe)
        return quotient, self.sub(a, self.mul(quotient, safe)), wraps

    def _signs_differ(self, rest: Lanes, b: Lanes) -> Lanes:
        zero = self.const(0, b.dtype)
        return self.band(self.ne(rest, zero), self.lt(self.bxor(rest, b), zero))

    def shift_left(self, x: Lanes, count: Lanes) -> Lanes:
        inside, safe = self._shift_count(count)
        return self.select(inside, self._binary("shl", x, safe), self.const(0, x.dtype))

    def shift_right(self, x: Lanes, count: Lanes) -> Lanes:
        inside, safe = self._shift_count(count)
        if x.dtype.kind == "i":
            return self._binary("ashr", x, safe)
        return self.select(inside, self._binary("lshr", x, safe), self.const(0, x.dtype))

    def _shift_count(self, count: Lanes) -> tuple[Lanes, Lanes]:
        last = self.const(8 * count.dtype.itemsize - 1, count.dtype)
        type = self.type(count.dtype)
        inside = self._op(BOOL, f"icmp ule {type} {count.name}, {last.name}")
        return inside, self.select(inside, count, last)

    def lsl(self, x: Lanes, count: int) -> Lanes:
        return self._binary("shl", x, self.const(count, x.dtype))

    def lsr(self, x: Lanes, count: int) -> Lanes:
        return self._binary("lshr", x, self.const(count, x.dtype))

    def asr(self, x: Lanes, count: int) -> Lanes:
        return self._binary("ashr", x, self.const(count, x.dtype))

    def band(self, a: Lanes, b: Lanes) -> Lanes:
        return self._binary("and", a, b)

    def bor(self, a: Lanes, b: Lanes) -> Lanes:
        return self._binary("or", a, b)

    def bxor(self, a: Lanes, b: Lanes) -> Lanes:
        return self._binary("xor", a, b)

    def bnot(self, x: Lanes) -> Lanes:
        ones = self.const(1 if x.dtype.kind == "b" else -1, x.dtype)
        return self._binary("xor", x, ones)

    # Comparisons, selection, conversion.

    def _compare(self, relation: str, a: Lanes, b: Lanes) -> Lanes:
        kind = a.dtype.kind
        if kind == "f":
            op = "fcmp " + _ORDERED[relation]
        elif relation in ("eq", "ne"):
            op = "icmp " + relation
        else:
            op = f"icmp {'s' if kind == 'i' else 'u'}{relation}"
        return self._op(BOOL, f"{op} {self.type(a.dtype)} {a.name}, {b.name}")

    def eq(self, a: Lanes, b: Lanes) -> Lanes:
        return self._compare("eq", a, b)

    def ne(self, a: Lanes, b: Lanes) -> Lanes:
        return self._compare("ne", a, b)

    def lt(self, a: Lanes, b: Lanes) -> Lanes:
        return self._compare("lt", a, b)

    def le(self, a: Lanes, b: Lanes) -> Lanes:
        return self._compare("le", a, b)

    def gt(self, a: Lanes, b: Lanes) -> Lanes:
        return self._compare("gt", a, b)

    def ge(self, a: Lanes, b: Lanes) -> Lanes:
        return self._compare("ge", a, b)

    def select(self, mask: Lanes, a: Lanes, b: Lanes) -> Lanes:
        type = self.type(a.dtype)
        rhs = f"select {self.type(BOOL)} {mask.name}, {type} {a.name}, {type} {b.name}"
        return self._op(a.dtype, rhs)

    def cast(self, x: Lanes, dtype: Type) -> Lanes:
        if x.dtype == dtype:
            return x
        if dtype.kind == "b":
            return self.ne(x, self.const(0, x.dtype))
        if x.dtype.kind == "f" and dtype.kind in "iu":
            return self._saturating(x, dtype)
        return self._convert(_conversion(x.dtype, dtype), x, dtype)

    def _convert(self, op: str, x: Lanes, dtype: Type) -> Lanes:
        if element_type(x.dtype) == element_type(dtype):
            return Lanes(x.name, dtype)
        return self._op(dtype, f"{op} {self.type(x.dtype)} {x.name} to {self.type(dtype)}")

    def _saturating(self, x: Lanes, dtype: Type) -> Lanes:
        """Out-of-range lanes are replaced first: LLVM's own saturating intrinsic is scalar code."""
        limits = np.iinfo(dtype)
        high = self.const(limits.max, x.dtype)
        # The largest integer may round up to a float outside the range, which is excluded then.
        exact = int(x.dtype.type(limits.max)) == limits.max
        above = self.gt(x, high) if exact else self.ge(x, high)
        enough = self.ge(x, self.const(limits.min, x.dtype))
        inside = self.select(self.band(enough, self.bnot(above)), x, self.const(0, x.dtype))
        op = "fptosi" if dtype.kind == "i" else "fptoui"
        whole = self._op(dtype, f"{op} {self.type(x.dtype)} {inside.name} to {self.type(dtype)}")
        below = self.lt(x, self.const(limits.min, x.dtype))
        result = self.select(below, self.const(limits.min, dtype), whole)
        return self.select(above, self.const(limits.max, dtype), result)

    def bitcast(self, x: Lanes, dtype: Type) -> Lanes:
        return self._convert("bitcast", x, dtype)

    # Tables, branches, calls.

    def table(self, values: Sequence[float], dtype: Type, index: Lanes) -> Lanes:
        element = element_type(dtype)
        body = ", ".join(f"{element} {literal(v, dtype)}" for v in values)
        name = "symc.table." + _digest(body)
        base = self.emitter.module.constant(name, f"[{len(values)} x {element}] [{body}], align 64")
        pointers = "ptr" if self.width == 1 else f"<{self.width} x ptr>"
        at = self.emitter.emit(
            pointers, f"getelementptr {element}, ptr {base}, {self.type(index.dtype)} {index.name}"
        )
        if self.width == 1:
            return self._op(dtype, f"load {element}, ptr {at.name}")
        return self._gather(at, dtype)

    def _gather(self, at: Reg, dtype: Type) -> Lanes:
        type, mask = self.type(dtype), self.type(BOOL)
        name = f"llvm.masked.gather.{self._suffix(dtype)}.v{self.width}p0"
        # With the alignment as an operand, which LLVM 20 needs and later ones still read.
        self.emitter.module.declare(name, f"{type} {{}}({at.type}, i32, {mask}, {type})")
        arguments = f"{at}, i32 {dtype.itemsize}, {mask} splat (i1 true), {type} poison"
        return self._op(dtype, f"call {type} @{name}({arguments})")

    def rare(self, mask: Lanes, fast: Any, slow: Body, args: Sequence[Lanes]) -> Any:
        if self.deferred is not None:
            self.deferred.append(self._wide(mask, args[0].dtype))
            return fast
        usual: tuple[Lanes, ...] = (fast,) if isinstance(fast, Lanes) else fast
        emitter = self.emitter
        function = _outlined(slow, tuple(x.dtype for x in args), self.width)
        name = "symc.rare." + _digest(function.parameters + function.body)
        emitter.module.include(function.module)
        emitter.module.internal(name, lambda: function.text(name, f"cold noinline {FRAME}"))
        before, unusual, after = emitter.block, emitter.new_label("rare"), emitter.new_label("go")
        emitter.branch(self.any(mask), unusual, after, rare=True)
        emitter.open(unusual)
        results = functions.call(self, name, [x.dtype for x in usual], args)
        merged = [self.select(mask, s, f) for s, f in zip(results, usual, strict=True)]
        emitter.jump(after)
        emitter.open(after)
        arms = zip(usual, merged, strict=True)
        joined = tuple(self._join(f, before, m, unusual) for f, m in arms)
        return joined[0] if isinstance(fast, Lanes) else joined

    def _join(self, fast: Lanes, before: str, slow: Lanes, unusual: str) -> Lanes:
        arms = [(self.reg(fast), before), (self.reg(slow), unusual)]
        return self.wrap(self.emitter.phi(self.type(fast.dtype), arms), fast.dtype)

    def _wide(self, mask: Lanes, dtype: Type) -> Lanes:
        """All bits of a lane set where the mask is, as integers as long as `dtype`."""
        integer = np.dtype(f"i{dtype.itemsize}")
        return self._op(integer, f"sext {self.type(BOOL)} {mask.name} to {self.type(integer)}")

    def nonzero(self, x: Lanes) -> Reg:
        """Whether some integer lane is not 0, as an i1."""
        whole = self.reg(x)
        if self.width > 1:
            element = element_type(x.dtype)
            name, type = f"llvm.vector.reduce.or.{self._suffix(x.dtype)}", self.type(x.dtype)
            self.emitter.module.declare(name, f"{element} {{}}({type})")
            whole = self.emitter.emit(element, f"call {element} @{name}({type} {x.name})")
        return self.emitter.emit("i1", f"icmp ne {whole}, 0")

    def any(self, mask: Lanes) -> Reg:
        """Whether some lane of a bool is set, as an i1."""
        if self.width == 1:
            return self.reg(mask)
        name, type = f"llvm.vector.reduce.or.v{self.width}i1", self.type(BOOL)
        self.emitter.module.declare(name, f"i1 {{}}({type})")
        return self.emitter.emit("i1", f"call i1 @{name}({type} {mask.name})")

    def call(self, name: str, body: Body, args: Sequence[Lanes]) -> Lanes:
        if name not in self.outline:
            result: Lanes = body(self, *args)
            return result
        symbol = ".".join(["symc", name, *(self._suffix(x.dtype) for x in args)])

        def make() -> str:
            function = _outlined(body, tuple(x.dtype for x in args), self.width)
            self.emitter.module.include(function.module)
            return function.text(symbol, f"noinline {FRAME}")

        self.emitter.module.internal(symbol, make)
        return functions.call(self, symbol, [args[0].dtype], args)[0]


@functools.lru_cache(maxsize=512)
def _outlined(body: Body, dtypes: tuple[Type, ...], width: int) -> functions.Outlined:
    """Written once per process; calls inside are expanded in place."""
    return functions.outlined(LlvmBuilder(Emitter(Module()), width), body, dtypes)


def _extremum(dtype: Type, which: str) -> str:
    return {"f": f"{which}imum", "i": f"s{which}", "u": f"u{which}", "b": f"u{which}"}[dtype.kind]


def _conversion(source: Type, target: Type) -> str:
    """The LLVM instruction from one dtype to another (not float to integer, not to bool)."""
    if source.kind == "f":
        return "fptrunc" if target.itemsize < source.itemsize else "fpext"
    if target.kind == "f":
        return "sitofp" if source.kind == "i" else "uitofp"
    if source.kind != "b" and target.itemsize < source.itemsize:
        return "trunc"
    return "sext" if source.kind == "i" else "zext"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
