"""A self-check for `python -m symc doctor`: compile a kernel, run it, compare with the oracle."""

from __future__ import annotations

import numpy as np

from symc.codegen_llvm.target import host, llvm_version
from symc.compile.driver import compile_entry
from symc.ir import term
from symc.ir.build import parameter
from symc.ir.core import Function, reachable
from symc.ir.entry import Entry, InputInfo
from symc.ir.errors import SymcError
from symc.ir.evaluate import evaluate
from symc.ir.ops import TANH
from symc.ir.options import Options
from symc.ir.types import F32
from symc.runtime.executable import Callable, Structure


def self_check() -> dict[str, str]:
    """What code is generated for, and `kernel`: "ok", or what went wrong."""
    found = {"llvm": ".".join(map(str, llvm_version())), "cpu": host().cpu}
    x = parameter("x", F32, (37,))
    y = term.make(TANH, term.Term(x)) * 2.0 + 1.0
    nodes, _ = reachable([y.value])
    function = Function("doctor", (x,), tuple(nodes), (y.value,))
    data = np.linspace(-3, 3, 37, dtype=np.float32)
    try:
        compiled = compile_entry(Entry(function, (InputInfo("x"),)), Options(cache=False), ())
        run = Callable()
        run.add_entry(compiled.executable, Structure.SINGLE)
        (expected,) = evaluate(function, [data])
        same = np.array_equal(run(data), expected)
    except SymcError as error:
        return found | {"kernel": str(error)}
    return found | {"kernel": "ok" if same else "wrong result"}
