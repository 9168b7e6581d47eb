"""Accesses of one vector: which way of reading or writing fits, tails and guards included.

before: a `StageBody` whose outer levels are written, and the `Position` of a vector.
after: lanes of every access that varies along the vector axis, or the stores.

Invariants: plain accesses share one branch on "all lanes inside", everything else is safe for any
number of lanes; combining writes happen lane after lane, or on whole runs that cannot collide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from symc.codegen_llvm.contract.size import add, as_reg, mul, offset
from symc.codegen_llvm.contract.spec import Size as Extent
from symc.codegen_llvm.indirect import Checked, check, report
from symc.codegen_llvm.lanes import Lanes, LlvmBuilder, memory_type
from symc.codegen_llvm.memory import Position, VectorMemory
from symc.codegen_llvm.space import Access, Indirect, Write
from symc.codegen_llvm.text import Reg
from symc.ir.affine import Affine

if TYPE_CHECKING:
    from symc.codegen_llvm.body import StageBody

I64 = np.dtype(np.int64)
BOOL = np.dtype(np.bool_)


class VectorAccess:
    """Reads and writes of a stage at one position."""

    def __init__(self, body: StageBody, position: Position) -> None:
        self.body = body
        self.position = position
        self.memory: VectorMemory = body.memory
        self.k = body.k

    # What an access looks like along the vector axis.

    def _factor(self, form: Affine) -> Extent:
        axis = self.body.loops.axis
        return 0 if axis is None else self.k.size(form.factors[axis])

    def _varies(self, form: Affine) -> bool:
        axis = self.body.loops.axis
        return axis is not None and form.factors[axis] != 0

    def _vector_terms(self, access: Access) -> list[Indirect]:
        last = self.body.loops.last
        return [t for t in access.indirect if self.body.access_level(t.index) == last]

    def _plain(self, access: Access) -> bool:
        guarded = any(self._varies(guard.at) for guard in access.guards)
        known = self.body.valid[access] is None
        return known and not guarded and not self._vector_terms(access)

    def _pointer(self, access: Access) -> Reg:
        found = self.body.places.get((access, self.position.index))
        if found is None:
            found = self._place(access)
            self.body.places[access, self.position.index] = found
        return found

    def _place(self, access: Access) -> Reg:
        pointer, index = self.body.pointers[access], self.position.index
        step = mul(self.k, index, self._factor(access.at))
        if isinstance(step, int):
            return offset(self.k, pointer, step * access.dtype.itemsize)
        element = memory_type(access.dtype)
        return self.k.emit("ptr", f"getelementptr {element}, {pointer}, {step}")

    def lanes_of(self, form: Affine, *, clamp: bool = False) -> Reg:
        """The i64 value of a form in each lane; `clamp` keeps lanes outside to the last inside."""
        memory, factor = self.memory, self._factor(form)
        first = add(self.k, self.body.evaluate(form), mul(self.k, factor, self.position.index))
        steps = memory.clamped_iota(self.position.inside) if clamp else memory.iota()
        if factor != 1:
            by = memory.splat_extent(factor)
            steps = self.k.emit(steps.type, f"mul {steps}, {by.name}")
        start = memory.splat_extent(first)
        return self.k.emit(steps.type, f"add {start}, {steps.name}")

    # Reading.

    def read(self, accesses: Sequence[Access]) -> list[Lanes]:
        """Lanes of each access."""
        plain = [a for a in dict.fromkeys(accesses) if self._plain(a)]
        runs = [(a, self._pointer(a), self._factor(a.at)) for a in plain]

        def load(inside: Extent | None) -> list[Reg]:
            return [self.memory.load_run(p, a.dtype, f, inside) for a, p, f in runs]

        where = self.position
        if where.full is not None and plain:
            loaded = self.k.either(where.full, lambda: load(None), lambda: load(where.partial))
        else:
            loaded = tuple(load(where.inside))
        found = {a: self.memory.lanes(m, a.dtype) for a, m in zip(plain, loaded, strict=True)}
        for access in accesses:
            if access not in found:
                found[access] = self._read_guarded(access)
        return [found[access] for access in accesses]

    def _read_guarded(self, access: Access) -> Lanes:
        pointer, factor = self._pointer(access), self._factor(access.at)
        terms = self._vector_terms(access)
        contiguous = not terms and factor == 1 and access.dtype.itemsize >= 4
        if contiguous and self.memory.width > 1:
            valid = self._valid(access, clamp=False)
            mask = valid
            if self.position.inside is not None:
                mask = self.memory.both(mask, self.memory.mask(self.position.inside))
            assert mask is not None
            memory = self.memory.load_masked(pointer, access.dtype, mask)
            return self._filled(access, memory, valid)
        steps, valid = self._steps(access, terms, factor)
        return self._filled(access, self.memory.gather(pointer, steps, access.dtype, valid), valid)

    def _filled(self, access: Access, memory: Reg, valid: Reg | None) -> Lanes:
        builder = self.memory.builder
        value = self.memory.lanes(memory, access.dtype)
        if valid is None:
            return value
        fill = builder.const(access.fill, access.dtype)
        return builder.select(builder.wrap(valid, BOOL), value, fill)

    def _valid(self, access: Access, *, clamp: bool) -> Reg | None:
        """Which lanes the guards (and the levels above) allow."""
        outer = self.body.valid[access]
        valid = None if outer is None else self.memory.splat(outer)
        for guard in access.guards:
            if not self._varies(guard.at):
                continue
            value = self.lanes_of(guard.at, clamp=clamp)
            size = self.memory.splat_extent(self.k.size(guard.size))
            mask = self.memory.builder.type(BOOL)
            valid = self.memory.both(valid, self.k.emit(mask, f"icmp ult {value}, {size.name}"))
        return valid

    def _steps(
        self, access: Access, terms: Sequence[Indirect], factor: Extent
    ) -> tuple[Reg, Reg | None]:
        """Distances in elements from the first lane's address, and which lanes are valid."""
        memory = self.memory
        valid = self._valid(access, clamp=True)
        steps = memory.clamped_iota(self.position.inside)
        if factor != 1:
            by = memory.splat_extent(factor)
            steps = self.k.emit(steps.type, f"mul {steps}, {by.name}")
        for term in terms:
            checked = self._checked(term)
            stride = memory.splat_extent(self.k.size(term.stride))
            part = self.k.emit(steps.type, f"mul {steps.type} {checked.index.name}, {stride.name}")
            steps = self.k.emit(steps.type, f"add {steps}, {part.name}")
            if checked.usable is not None:
                valid = memory.both(valid, memory.builder.reg(checked.usable))
        return steps, valid

    def _checked(self, term: Indirect) -> Checked:
        builder = self.memory.builder
        (raw,) = self.read([term.index])
        index = builder.cast(raw, I64)
        size = builder.wrap(self.memory.splat_extent(self.k.size(term.size)), I64)
        checked = check(builder, term, index, size)
        if checked.offends is not None:
            self._report(term, builder.reg(index), checked.offends)
        return checked

    def _report(self, term: Indirect, index: Reg, offends: Lanes) -> None:
        start = add(
            self.k,
            self.body.evaluate(term.point),
            mul(self.k, self._factor(term.point), self.position.index),
        )
        flags = self.memory.builder.to_memory(offends)

        def lane(number: Reg, parts: tuple[Reg, ...]) -> None:
            bad = self.k.emit("i1", f"icmp ne {parts[0]}, 0")
            with self.k.when(bad):
                point = add(self.k, start, mul(self.k, number, self._factor(term.point)))
                report(self.k, term, as_reg(point), parts[1])

        with self.k.when(self._any(offends)):
            self.memory.each_lane((flags, index), self.position.inside, lane)

    def _any(self, mask: Lanes) -> Reg:
        width, reg = self.memory.width, self.memory.builder.reg(mask)
        if width == 1:
            return reg
        name = self.k.module.declare(f"llvm.vector.reduce.or.v{width}i1", f"i1 {{}}({reg.type})")
        return self.k.emit("i1", f"call i1 {name}({reg})")

    # Writing.

    def write(self, pairs: Sequence[tuple[Write, Lanes]]) -> None:
        """Store each value; plain writes share one branch."""
        plain = [(w, v) for w, v in pairs if w.combine is None and self._plain(w.access)]
        runs = [(self._pointer(w.access), v, self._factor(w.access.at)) for w, v in plain]

        def store(inside: Extent | None) -> list[Reg]:
            for pointer, value, factor in runs:
                self.memory.store_run(pointer, value, factor, inside)
            return []

        where = self.position
        if where.full is not None and plain:
            self.k.either(where.full, lambda: store(None), lambda: store(where.partial))
        else:
            store(where.inside)
        for write, value in pairs:
            if write.combine is not None or not self._plain(write.access):
                self._write_one(write, value)

    def _write_one(self, write: Write, value: Lanes) -> None:
        access = write.access
        terms = self._vector_terms(access)
        guarded = any(self._varies(guard.at) for guard in access.guards)
        if not terms and not guarded and self._factor(access.at) == 1:
            self._combine_run(write, value)
            return
        pointer = self._pointer(access)
        steps, valid = self._steps(access, terms, self._factor(access.at))
        parts = [self.memory.builder.to_memory(value), steps]
        if valid is not None:
            parts.append(self.memory.builder.to_memory(self.memory.builder.wrap(valid, BOOL)))

        def lane(number: Reg, parts: tuple[Reg, ...]) -> None:
            element = memory_type(access.dtype)
            at = self.k.emit("ptr", f"getelementptr {element}, {pointer}, {parts[1]}")
            if len(parts) == 2:
                self._combine_scalar(write, at, parts[0])
                return
            with self.k.when(self.k.emit("i1", f"icmp ne {parts[2]}, 0")):
                self._combine_scalar(write, at, parts[0])

        self.memory.each_lane(tuple(parts), self.position.inside, lane)

    def _combine_scalar(self, write: Write, at: Reg, part: Reg) -> None:
        dtype, builder = write.access.dtype, LlvmBuilder(self.k, 1)
        if write.combine is not None:
            old = self.k.emit(part.type, f"load {part.type}, {at}, align {dtype.itemsize}")
            new = _combined(builder, write.combine, (old, part), dtype)
            part = builder.to_memory(new)
        self.k.line(f"store {part}, {at}, align {dtype.itemsize}")

    def _combine_run(self, write: Write, value: Lanes) -> None:
        """Whole runs: the lanes of a vector write different elements."""
        pointer, dtype = self._pointer(write.access), write.access.dtype
        memory, where = self.memory, self.position

        def run(inside: Extent | None) -> list[Reg]:
            new = value
            if write.combine is not None:
                old = memory.load_run(pointer, dtype, 1, inside)
                parts = (old, memory.builder.to_memory(value))
                new = _combined(memory.builder, write.combine, parts, dtype)
            memory.store_run(pointer, new, 1, inside)
            return []

        def whole() -> None:
            if where.full is not None:
                self.k.either(where.full, lambda: run(None), lambda: run(where.partial))
            else:
                run(where.inside)

        valid = self.body.valid[write.access]
        if valid is None:
            whole()
            return
        with self.k.when(valid):
            whole()


def _combined(builder: LlvmBuilder, combine: str, parts: tuple[Reg, Reg], dtype: np.dtype) -> Lanes:
    """Old and new memory lanes combined as a scatter says."""
    old, new = (builder.from_memory(part, dtype) for part in parts)
    match combine:
        case "add":
            return builder.add(old, new)
        case "mul":
            return builder.mul(old, new)
        case "min":
            return builder.minimum(old, new)
        case _:
            return builder.maximum(old, new)
