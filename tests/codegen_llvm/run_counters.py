"""Counters in emitted code: how often each body of a loop or a choice was run, and each kernel.

Code that is generated inside of `counting()` adds one to a number of ours at each run: of a body
(a step of a loop, its condition, a branch that was taken), by the name of the traced function, and
of a kernel.  Nothing of it is in the compiler: the lines are written around the functions that
write bodies and kernels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest

import symc as sc
from symc.codegen_llvm import compile as modules
from symc.codegen_llvm import native_loops
from symc.codegen_llvm.abi import KernelEmitter
from symc.codegen_llvm.lanes import Lanes
from symc.codegen_llvm.native import Places, Runner
from symc.codegen_llvm.registers import Elements, Registers
from symc.codegen_llvm.text import Module
from symc.ir.core import Function
from symc.ir.launch import Launch
from symc.ir.program import Program
from symc.passes.plan import Control

ROOM = 4096
KERNEL = "kernel"


class Counts:
    """The numbers that the code counts in, and what each counts."""

    def __init__(self) -> None:
        self._numbers = np.zeros(ROOM, np.int64)
        self._keys: list[tuple[str, str]] = []

    def add(self, kind: str, name: str) -> str:
        """The instruction that adds one to a new number."""
        at = self._numbers.ctypes.data + 8 * len(self._keys)
        self._keys.append((kind, name))
        assert len(self._keys) <= ROOM
        return f"atomicrmw add ptr inttoptr (i64 {at} to ptr), i64 1 monotonic"

    def reset(self) -> None:
        """Start from zero."""
        self._numbers[:] = 0

    @property
    def runs(self) -> Counter[str]:
        """How often the bodies of each name were run since the start."""
        return self._summed(1)

    @property
    def kinds(self) -> Counter[str]:
        """The same by kind: `scan 0` is the body of a scan, `while 1` that of a while loop."""
        return self._summed(0)

    def _summed(self, part: int) -> Counter[str]:
        found: Counter[str] = Counter()
        for key, number in zip(self._keys, self._numbers.tolist(), strict=False):
            found[key[part]] += number
        return found


@contextmanager
def counting() -> Iterator[Counts]:
    """Count in what is compiled inside; the counters live as long as the `Counts`."""
    counts = Counts()
    controls: list[Control] = []
    launch, run, registers = native_loops.native_launch, Runner.run, Registers.run
    finish = KernelEmitter.finish

    def native_launch(
        module: Module,
        control: Control,
        programs: Sequence[Program],
        symbol: str,
        outline: frozenset[str],
    ) -> Launch:
        controls.append(control)
        made = launch(module, control, programs, symbol, outline)
        controls.pop()
        return made

    def of_runner(self: Runner, places: Places) -> None:
        number = int(self._name.rpartition(".")[2])
        node = controls[-1].node
        key = f"{node.op.name} {number}", node.regions[number].name
        self._k.emit("i64", counts.add(*key))
        run(self, places)

    def of_registers(
        self: Registers, function: Function, given: Sequence[Elements]
    ) -> list[list[Lanes]]:
        node = controls[-1].node
        key = f"{node.op.name} {node.regions.index(function)}", function.name
        self._k.emit("i64", counts.add(*key))
        return registers(self, function, given)

    def of_kernel(self: KernelEmitter, name: str) -> None:
        self.at_entry("i64", counts.add(KERNEL, KERNEL))
        finish(self, name)

    with pytest.MonkeyPatch.context() as patch, sc.options(cache=False, threads=1):
        for module in (native_loops, modules):
            if hasattr(module, "native_launch"):
                patch.setattr(module, "native_launch", native_launch)
        patch.setattr(Runner, "run", of_runner)
        patch.setattr(Registers, "run", of_registers)
        patch.setattr(KernelEmitter, "finish", of_kernel)
        yield counts
