"""Compile options and the licences that they grant to rewrites and code generation."""

from __future__ import annotations

from dataclasses import fields

from symc.ir.errors import DomainError, message
from symc.ir.locations import here
from symc.records import dataclass

CONTRACTION = "contraction"
FAST_LICENCES = frozenset(
    {"reassoc", "contract", "no_nan", "no_inf", "no_signed_zero", "reciprocal", "approximate"}
)

_CHOICES: dict[str, tuple[object, ...]] = {
    "numerics": ("strict", "fast"),
    "contract": ("any", "chain"),
    "check": ("none", "nan", "bounds", "passes", "all"),
    "opt": (0, 1, 2, 3),
}


@dataclass(frozen=True, slots=True)
class Options:
    """Options of one compiled function (api.md §2)."""

    numerics: str = "strict"
    contract: str = "any"
    threads: int | None = None
    device: str = "cpu"
    check: str = "none"
    opt: int = 3
    trust_input: bool = False
    cache: bool = True
    sync: bool = False
    memory_limit: int | None = None
    no_python: bool = False

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise self._refused(name, choices)
        for name in ("trust_input", "cache", "sync", "no_python"):
            if type(getattr(self, name)) is not bool:
                raise self._refused(name, "True or False")
        threads = self.threads
        if threads is not None and (type(threads) is not int or threads < 1):
            raise self._refused("threads", "None or an int >= 1")
        limit = self.memory_limit
        if limit is not None and (type(limit) is not int or limit < 0):
            raise self._refused("memory_limit", "None or an int >= 0")

    def _refused(self, name: str, expected: object) -> DomainError:
        """The error for a value that the option `name` cannot have."""
        got = repr(getattr(self, name))
        return DomainError(message(f"option {name}", got=got, expected=expected, where=here()))

    @property
    def licences(self) -> frozenset[str]:
        """What rewrites may assume beyond exact IEEE 754 semantics."""
        fast = FAST_LICENCES if self.numerics == "fast" else frozenset()
        return fast | {CONTRACTION} if self.contract == "any" else fast


OPTION_NAMES = tuple(field.name for field in fields(Options))
