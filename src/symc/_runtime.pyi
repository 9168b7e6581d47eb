"""The native runtime of symc."""

from collections.abc import Callable as Function, Iterable, Sequence
from typing import Any

import numpy


ABI_VERSION: int = 2

class State:
    """A shared variable: a copy of `value`, read and updated by executables."""

    def __init__(self, value: numpy.ndarray, name: str = '', resizable: bool = False) -> None: ...

    def get(self, copy: bool = True) -> numpy.ndarray:
        """
        The contents as an ndarray; copy=False: a read-only view of the current buffer.
        """

    def set(self, value: numpy.ndarray) -> None:
        """Replace the contents: same dtype, and same shape unless resizable."""

    @property
    def name(self) -> str: ...

    @property
    def dtype(self) -> numpy.dtype: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

class Executable:
    """A verified program with its mapped object code and shared variables."""

    def __init__(self, program: bytes, object: bytes, states: Sequence[State] = ..., locations: tuple[str, ...] = ...) -> None: ...

    @property
    def threads(self) -> int:
        """Most threads that a call may use; 0: all that the process may use."""

    @threads.setter
    def threads(self, arg: int, /) -> None: ...

    @property
    def last_stats(self) -> dict[str, int]:
        """Counts of the last call that ended well."""

    def release_memory(self) -> None:
        """Free the arenas that are not in use."""

def usable_cpus() -> int:
    """CPUs that this process may use."""

def kept_bytes() -> int:
    """Bytes of result blocks that are kept for reuse."""

class Callable:
    """Callable(miss=None, resolve=None): a compiled function."""

    trust_input: bool

    def __init__(
        self,
        miss: Function[[tuple[object, ...], dict[str, object]], object] | None = None,
        resolve: Function[[tuple[object, ...], dict[str, object]], tuple[object, ...]] | None = None,
    ) -> None: ...

    def __call__(self, *args: object, **kwargs: object) -> Any: ...

    def __init_subclass__(cls, **kwargs: object) -> None: ...

    @property
    def entries(self) -> tuple[Executable, ...]:
        """The executables, in the order in which they are tried."""

    def add_entry(
        self,
        executable: Executable,
        results: int | Tree,
        first: bool = True,
        arguments: Tree | None = None,
    ) -> None:
        """Results: 0 a single array, 1 a tuple, 2 nothing; arguments: None the inputs."""

    def remove_entry(self, executable: Executable) -> None:
        """LookupError when absent."""

    def clear_entries(self) -> None: ...

    def call_matching(self, *args: object) -> Any:
        """Run the entry that matches; LookupError when none does."""

    def call_n(self, n: int, *args: object) -> Any:
        """n calls in native code, result of the last."""

    def bind(self, *args: object, out: object = None) -> Prepared:
        """A prepared call without arguments."""

    def last_stats(self) -> dict[str, int] | None:
        """Counts of the last call, or None."""

    def release_memory(self) -> None:
        """Free arenas and kept result blocks."""

class Tree:
    """The structure of nested containers: nodes (kind, count, *objects) in preorder."""

    def __init__(self, nodes: Iterable[tuple[Any, ...]]) -> None: ...

class Prepared:
    """A prepared call without arguments; made by Callable.bind."""

    def __call__(self) -> Any: ...
