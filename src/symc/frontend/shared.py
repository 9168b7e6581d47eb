"""Shared variables: state that compiled functions read and update.

before: a concrete array.  after: a symbolic value that stands for the contents at the start of a
call;
`updates=` of sc.function writes new contents when the call succeeds.
"""

from __future__ import annotations

from itertools import count
from typing import Any, Final

import numpy as np

from symc.frontend.convert import argument, as_array, check_sizes, packed
from symc.frontend.expr import Expr
from symc.frontend.operand import Operand, StateValue
from symc.frontend.spec import Spec, checked_type, compiled_dtype
from symc.ir.types import TensorType
from symc.runtime.executable import State

_serial: Final = count()


class Shared(Expr):
    """State with a symbolic value.  Its dtype and shape are those of the first contents."""

    __slots__ = ("__weakref__", "serial", "state", "value")

    def __init__(self, array: np.ndarray, name: str | None) -> None:
        self.serial = next(_serial)
        self.state = State(array, name or "")
        self.value_name = name
        type = checked_type(TensorType(array.dtype, array.shape), name or "shared")
        self.value = StateValue(type, self)
        super().__init__(Operand(self.value), name=name, pinned="a shared variable")
        self._scope = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied by value: a variable of its own, with the same contents."""
        return Shared, (self.get(), self.value_name)

    def __copy__(self, _: object = None) -> Shared:
        return Shared(self.get(), self.value_name)

    __deepcopy__ = __copy__

    def __repr__(self) -> str:
        return f"<shared {self.value_name or ''}: {self.type}>"

    @property
    def spec(self) -> Spec:
        """Dtype and shape of the contents."""
        return Spec(self.dtype, self.value.type.shape)  # type: ignore[arg-type]

    def get(self, copy: bool = True) -> np.ndarray:
        """The contents; with `copy=False` a read-only view that later calls may change."""
        contents: np.ndarray = self.state.get(copy)
        return contents

    def set(self, value: Any) -> None:
        """Replace the contents; same dtype (safe casts allowed) and shape."""
        subject = f"shared {self.value_name or ''}.set"
        array = argument(value, self.type, subject)
        check_sizes([self.type], [array], [subject])
        self.state.set(array)


def shared(value: Any, name: str | None = None, borrow: bool = False) -> Shared:
    """A shared variable that holds `value`.

    `borrow=True` allows symc to keep the array itself; it copies all the same, since updates need
    memory of their own.
    """
    subject = f"shared {name or ''}".strip()
    array = as_array(value, subject)
    compiled_dtype(array.dtype, subject)
    return Shared(packed(array), name)
