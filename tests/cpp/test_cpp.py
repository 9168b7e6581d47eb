"""Runs the C++ test executables that the build made, so that one closing line counts all tests."""

import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BUILT = HERE.parents[1] / "build" / "cpp"
NAMES = sorted(source.stem for source in HERE.glob("test_*.cpp"))


@pytest.mark.parametrize("name", NAMES)
def test_executable(name: str) -> None:
    executable = BUILT / name
    assert executable.exists(), f"{executable} is missing: run `make build`"
    done = subprocess.run([executable], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
