"""Internal LLVM functions over lanes: made from a body, and called.

What it is: the calling side and the defining side of the functions that `LlvmBuilder.rare` and
`LlvmBuilder.call` keep out of line.  Arguments and results are lanes in registers; several results
travel as one LLVM struct.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from symc.scalar.builder import Body

if TYPE_CHECKING:
    from symc.codegen_llvm.lanes import Lanes, LlvmBuilder


def outlined(
    inner: Callable[[], LlvmBuilder], body: Body, args: Sequence[Lanes], attributes: str
) -> str:
    """The text of an internal function `@symc.outlined` that returns `body(builder, *args)`."""
    builder = inner()
    parameters = [x._replace(name=f"%a{i}") for i, x in enumerate(args)]
    answer = body(builder, *parameters)
    results = (answer,) if hasattr(answer, "dtype") else tuple(answer)
    types = [builder.type(x.dtype) for x in results]
    returned = _ret(builder, results, types)
    signature = ", ".join(f"{builder.type(x.dtype)} {x.name}" for x in parameters)
    head = f"define internal {_result_type(types)} @symc.outlined({signature}) {attributes} {{"
    return "\n".join([head, "entry:", *builder.emitter.lines, returned, "}"])


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
