# What nanobind cannot see: the types that are written against the C API.
_runtime.__suffix__:
    \from typing import Any
    \from collections.abc import Callable as Function, Iterable
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

