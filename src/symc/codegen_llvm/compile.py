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
from typing import Final

from symc.codegen_llvm.contraction import contract_kernels
from symc.codegen_llvm.costs import called, frequent
from symc.codegen_llvm.identity import nest_key
from symc.codegen_llvm.kernels import NestKernels, map_kernels
from symc.codegen_llvm.native_loops import native_launch
from symc.codegen_llvm.pairs import pair_kernel, paired
from symc.codegen_llvm.target import Target, emit_assembly, emit_object, host
from symc.codegen_llvm.text import Module
from symc.ir.launch import Launch, Launches
from symc.ir.nest import ContractStage, MapStage, Nest
from symc.passes import buffers
from symc.passes.plan import Control
from symc.records import dataclass

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


def compile_nests(nests: Sequence[Nest | Control], target: Target | None = None) -> Compiled:
    """Generate code for `nests`, by default for this machine's CPU."""
    target = host() if target is None else target
    text, launches, level = generate(nests, target)
    return Compiled(emit_object(text, target, level), launches, text, target, level)


def generate(
    nests: Sequence[Nest | Control], target: Target
) -> tuple[str, tuple[Launches, ...], int]:
    """The LLVM text of `nests`, their launches, and the level that the text's length allows.

    Math functions beside contractions are functions of the module: their constants would otherwise
    be kept in the registers that the sums need.
    """
    controls = _controls(nests)
    inner = [step.nest for c in controls for plan in c.bodies for step in plan.steps]
    plain = [nest for nest in (*nests, *inner) if isinstance(nest, Nest)]
    keys = {id(nest): nest_key(nest) for nest in plain}
    unique: dict[Hashable, Nest] = {}
    for nest in plain:
        unique.setdefault(keys[id(nest)], nest)
    stages = [stage for nest in unique.values() for stage in nest.stages]
    outline = frequent(node for stage in stages for node in stage.body.nodes) | called(
        node for stage in stages if isinstance(stage, ContractStage) for node in stage.body.nodes
    )
    module = Module()
    made: dict[Hashable, Launches] = {}
    for number, (key, nest) in enumerate(unique.items()):
        name = f"k{number}_" + re.sub(r"\W", "_", nest.name)
        made[key] = _nest(NestKernels(module, nest, name, target.vector, outline))
    found = {id(nest): made[keys[id(nest)]] for nest in plain}
    for number, control in enumerate(reversed(controls)):
        programs = [
            buffers.run(plan, [found[id(step.nest)] for step in plan.steps], control.symbols)
            for plan in control.bodies
        ]
        symbol = f"loop{number}_" + re.sub(r"\W", "_", control.name)
        found[id(control)] = (native_launch(module, control, programs, symbol, outline),)
    text = module.text()
    sums = any(isinstance(stage, ContractStage) for stage in stages)
    # Instructions are indented.
    level = 2 if text.count("\n  ") <= (LARGE_SUMS if sums else LARGE) else 0
    return text, tuple(found[id(nest)] for nest in nests), level


def _controls(nests: Sequence[Nest | Control]) -> list[Control]:
    """All loops and choices, to any depth; one before those in its bodies."""
    found: list[Control] = []
    todo = [nest for nest in nests if isinstance(nest, Control)]
    while todo:
        control = todo.pop()
        found.append(control)
        steps = [step for plan in control.bodies for step in plan.steps]
        todo += [step.nest for step in steps if isinstance(step.nest, Control)]
    return found


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
