"""Nests to object code.

before: the nests of a program.
after: `Compiled`: object bytes, the launches of each nest, and the LLVM text they came from.

Invariants: nests of equal structure share their code; the object refers to no symbol outside.

LLVM generates some 20,000 instructions a second at level 2 and 70,000 at level 0.  A module above
`LARGE` instructions is generated at level 0, and at `LARGE_SUMS` when it has contractions, which
lose most by it.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

from symc.codegen_llvm.contraction import contract_kernels
from symc.codegen_llvm.costs import called, frequent
from symc.codegen_llvm.identity import nest_key
from symc.codegen_llvm.kernels import NestKernels, map_kernels
from symc.codegen_llvm.pairs import pair_kernel, paired
from symc.codegen_llvm.target import Target, emit_assembly, emit_object, host
from symc.codegen_llvm.text import Module
from symc.ir.launch import Launch, Launches
from symc.ir.nest import ContractStage, MapStage, Nest

LARGE: Final = 50_000
LARGE_SUMS: Final = 250_000


@dataclass(frozen=True, slots=True)
class Compiled:
    """Object code of a list of nests; `launches[i]` calls nest i.

    level: of LLVM's code generation; 2, or 0 for very long modules.
    """

    object: bytes
    launches: tuple[Launches, ...]
    llvm: str
    target: Target
    level: int = 2

    def assembly(self) -> str:
        """The assembly of the module."""
        return emit_assembly(self.llvm, self.target, self.level)


def compile_nests(nests: Sequence[Nest], target: Target | None = None) -> Compiled:
    """Generate code for `nests`, by default for this machine's CPU."""
    target = host() if target is None else target
    text, launches = generate(nests, target)
    level = _level(text, nests)
    return Compiled(emit_object(text, target, level), launches, text, target, level)


def _level(text: str, nests: Sequence[Nest]) -> int:
    """The level of code generation that a module's length allows; instructions are indented."""
    sums = any(isinstance(stage, ContractStage) for nest in nests for stage in nest.stages)
    return 2 if text.count("\n  ") <= (LARGE_SUMS if sums else LARGE) else 0


def generate(nests: Sequence[Nest], target: Target) -> tuple[str, tuple[Launches, ...]]:
    """The LLVM text of `nests`, and their launches.

    Math functions beside contractions are functions of the module: their constants would otherwise
    be kept in the registers that the sums need.
    """
    unique: dict[Hashable, Nest] = {}
    keys = [nest_key(nest) for nest in nests]
    for key, nest in zip(keys, nests, strict=True):
        unique.setdefault(key, nest)
    stages = [stage for nest in unique.values() for stage in nest.stages]
    outline = frequent(node for stage in stages for node in stage.body.nodes) | called(
        node for stage in stages if isinstance(stage, ContractStage) for node in stage.body.nodes
    )
    module = Module()
    made: dict[Hashable, Launches] = {}
    for number, (key, nest) in enumerate(unique.items()):
        name = f"k{number}_" + re.sub(r"\W", "_", nest.name)
        made[key] = _nest(NestKernels(module, nest, name, target.vector, outline))
    return module.text(), tuple(made[key] for key in keys)


def _nest(owner: NestKernels) -> tuple[Launch, ...]:
    run: list[MapStage] = []
    sums = [stage for stage in owner.nest.stages if isinstance(stage, ContractStage)]
    pair = paired(owner.nest, owner.nest.stages)
    if pair is not None:
        pair_kernel(owner, sums, pair)
        return tuple(owner.launches)
    if sums:
        owner.spill()
    for stage in owner.nest.stages:
        match stage:
            case MapStage():
                run.append(stage)
            case ContractStage():
                map_kernels(owner, run)
                contract_kernels(owner, stage)
                run = []
    map_kernels(owner, run)
    return tuple(owner.launches)
