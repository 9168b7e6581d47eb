"""Internal LLVM functions over lanes: made from a body, and called.

What it is: the calling side and the defining side of the functions that `LlvmBuilder.rare` and
`LlvmBuilder.call` keep out of line.  Arguments and results are lanes in registers; several results
travel as one LLVM struct.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from symc.codegen_llvm.text import Module, Reg
from symc.records import dataclass
from symc.scalar.builder import Body

if TYPE_CHECKING:
    from symc.codegen_llvm.lanes import Lanes, LlvmBuilder


@dataclass(frozen=True, slots=True)
class Outlined:
    """A function without a name yet; `module` has what its body refers to."""

    module: Module
    result: str
    parameters: str
    body: str

    def text(self, name: str, attributes: str) -> str:
        """The definition of internal function `@name`."""
        head = f"define internal {self.result} @{name}({self.parameters}) {attributes} {{"
        return f"{head}\n{self.body}"


def outlined(builder: LlvmBuilder, body: Body, dtypes: Sequence[np.dtype[Any]]) -> Outlined:
    """A function that returns `body(builder, *lanes of the dtypes)`; the builder must be new."""
    parameters = [builder.wrap(Reg(f"%a{i}", ""), dtype) for i, dtype in enumerate(dtypes)]
    answer = body(builder, *parameters)
    results = (answer,) if hasattr(answer, "dtype") else tuple(answer)
    types = [builder.type(x.dtype) for x in results]
    returned = _ret(builder, results, types)
    return Outlined(
        builder.emitter.module,
        _result_type(types),
        ", ".join(str(builder.reg(x)) for x in parameters),
        "\n".join(["entry:", *builder.emitter.lines, returned, "}"]),
    )


def _result_type(types: Sequence[str]) -> str:
    return types[0] if len(types) == 1 else "{ " + ", ".join(types) + " }"


def _ret(builder: LlvmBuilder, results: Sequence[Lanes], types: Sequence[str]) -> str:
    if len(results) == 1:
        return f"  ret {types[0]} {results[0].name}"
    whole, aggregate = _result_type(types), "poison"
    for i, (type, x) in enumerate(zip(types, results, strict=True)):
        rhs = f"insertvalue {whole} {aggregate}, {type} {x.name}, {i}"
        aggregate = builder.emitter.emit(whole, rhs).name
    return f"  ret {whole} {aggregate}"


def call(
    builder: LlvmBuilder, name: str, results: Sequence[np.dtype[Any]], args: Sequence[Lanes]
) -> tuple[Lanes, ...]:
    """Call internal function `name`, whose results have these dtypes."""
    types = [builder.type(dtype) for dtype in results]
    arguments = ", ".join(str(builder.reg(x)) for x in args)
    type = _result_type(types)
    whole = builder.emitter.emit(type, f"call {type} @{name}({arguments})")
    if len(results) == 1:
        return (builder.wrap(whole, results[0]),)
    parts = [
        builder.emitter.emit(type, f"extractvalue {whole} , {i}") for i, type in enumerate(types)
    ]
    return tuple(builder.wrap(p, dtype) for p, dtype in zip(parts, results, strict=True))
