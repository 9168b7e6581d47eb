"""What `import symc` may load, and what the type stub of the extension must say."""

import subprocess
import sys
from pathlib import Path

import symc._runtime

STUB = "_runtime.pyi"
HEAVY = ["llvmlite", "rich", "matplotlib", "scipy", "sklearn", "cuda", "mpmath"]


def test_import_loads_nothing_heavy() -> None:
    program = f"import sys, symc; print(*sorted(set({HEAVY}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_public_names_exist_once() -> None:
    public = symc.__all__
    assert len(set(public)) == len(public)
    assert [name for name in public if not hasattr(symc, name)] == []


def test_stub_is_the_one_made_from_the_extension() -> None:
    built = Path(symc._runtime.__file__).with_name(STUB)
    committed = Path(__file__).parents[1] / "src" / "symc" / STUB
    assert built.read_text(encoding="utf-8") == committed.read_text(encoding="utf-8"), (
        "the extension changed: run `make stubs` and commit"
    )
