"""`sc.var`: symbolic variables of the explicit door."""

from __future__ import annotations

from typing import Any

from symc.frontend.expr import Expr
from symc.frontend.operand import Operand, VarValue
from symc.frontend.spec import spec, tensor_type
from symc.frontend.statistical import variance
from symc.ir.errors import DTypeError, message
from symc.ir.locations import here


class Variable(Expr):
    """A symbolic variable: an input of the functions compiled from it."""

    __slots__ = ("value",)

    def __init__(self, value: VarValue) -> None:
        self.value = value
        super().__init__(Operand(value), name=value.name, pinned="a symbolic variable")
        self._scope = None

    def __copy__(self, _: object = None) -> Variable:
        return self  # functions know their inputs by identity

    __deepcopy__ = __copy__


def var(name: Any, /, *args: Any, **kwargs: Any) -> Any:
    """A variable: `sc.var("x", "f32[batch,784]")`; of an array, its variance (Array API)."""
    if isinstance(name, str):
        return _variable(name, *args, **kwargs)
    return variance(name, *args, **kwargs)


def _variable(name: str, type: Any) -> Variable:
    if not name:
        raise DTypeError(
            message(
                "var: name",
                got=repr(name),
                expected="a non-empty str",
                where=here(),
                advice='sc.var("x", "f32[n]")',
            )
        )
    return Variable(VarValue(tensor_type(spec(type), f"var {name}"), name))
