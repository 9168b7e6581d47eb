"""Runs the Python blocks of README.md and docs/: a `text` block after one is what it prints."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\s*```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)


def blocks(text: str) -> list[tuple[str, str | None]]:
    """Each Python block with the output shown below it, if any."""
    return [(found[1], found[2]) for found in BLOCK.finditer(text)]


EXAMPLES = [
    pytest.param(code, shown, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, (code, shown) in enumerate(blocks(page.read_text(encoding="utf-8")))
]


@pytest.mark.parametrize(("code", "shown"), EXAMPLES)
def test_block(code: str, shown: str | None, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert shown is None or done.stdout.strip() == shown.strip()


def test_blocks_are_found() -> None:
    page = "a\n```python\nprint(1)\n```\n\n```text\n1\n```\nb\n```python\npass\n```\n"
    assert blocks(page) == [("print(1)\n", "1\n"), ("pass\n", None)]
