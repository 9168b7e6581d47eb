"""The kernel ABI: offsets as C sees them, and objects that need nothing from outside."""

import subprocess
from pathlib import Path

import numpy as np

from codegen_llvm.nest_maker import elementwise, reduction
from symc.codegen_llvm import abi, compile_nests, x86

HEADER = Path(__file__).parents[2] / "cpp" / "runtime"

FIELDS = {
    "symc_ctx, cancel": abi.CTX_CANCEL,
    "symc_ctx, status": abi.CTX_STATUS,
    "symc_ctx, parallel_for": abi.CTX_PARALLEL_FOR,
    "symc_ctx, contractions": abi.CTX_CONTRACTIONS,
    "symc_ctx, scratch": abi.CTX_SCRATCH,
    "symc_ctx, scratch_bytes": abi.CTX_SCRATCH_BYTES,
    "symc_status, code": abi.STATUS_CODE,
    "symc_status, node": abi.STATUS_NODE,
    "symc_status, step": abi.STATUS_STEP,
    "symc_status, index": abi.STATUS_INDEX,
    "symc_status, value": abi.STATUS_VALUE,
}


def test_offsets_are_those_of_the_header(tmp_path):
    tests = "\n".join(
        f'_Static_assert(offsetof({field}) == {offset}, "{field}");'
        for field, offset in FIELDS.items()
    )
    source = tmp_path / "offsets.c"
    source.write_text(
        f'#include <stddef.h>\n#include "symc.h"\n{tests}\n'
        f'_Static_assert(SYMC_TRAPPED == {abi.TRAPPED}, "trapped");\n'
    )
    command = ["gcc", "-fsyntax-only", f"-I{HEADER}", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def undefined(object_file: bytes, path: Path) -> list[str]:
    path.write_bytes(object_file)
    listed = subprocess.run(["nm", "-u", str(path)], capture_output=True, text=True, check=True)
    return listed.stdout.split()


def test_objects_refer_to_nothing_outside(tmp_path):
    def every(op, x, y):
        found = [op(name, x) for name in ("exp", "log", "tanh", "sqrt", "floor", "rint", "sign")]
        found += [op(name, x, y) for name in ("div", "floordiv", "mod", "maximum", "pow")]
        return found

    def integers(op, x, y):
        return [op(name, x, y) for name in ("floordiv", "mod", "mul", "minimum")]

    nests = []
    for dtype in ("f4", "f8"):
        nests.append(elementwise((100,), [dtype] * 2, [dtype] * 12, every))
        nests.append(reduction((3000, 50), (0,), dtype, "sum"))
        nests.append(reduction((3, 5000), (1,), dtype, "argmax", result=np.int64))
    nests += [elementwise((100,), [t] * 2, [t] * 4, integers) for t in ("i4", "i8")]
    for target in (None, x86(3), x86(4)):
        compiled = compile_nests(nests, target)
        assert undefined(compiled.object, tmp_path / "module.o") == []
