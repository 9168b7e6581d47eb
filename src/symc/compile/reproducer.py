"""Reproducers: the least function that a pass gets wrong, as a file that shows it again.

before: a function, the name of a pass, a trial.  after: a file of IR whose comments say what goes
wrong and how to see it: `python -m symc opt FILE -p PASS --check`.

Files lie in `reproducers` beside the disk cache's entries, named by their content, so that the same
defect is written once; the error says where.  Where that folder cannot be written, the folder for
temporary files serves.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from symc.compile.trial import Mismatch
from symc.ir.core import Function
from symc.ir.options import Options
from symc.ir.text import print_function
from symc.runtime.cache import default_directory

FOLDER: Final = "reproducers"
_OPTIONS: Final = ("numerics", "contract")


def write(name: str, function: Function, mismatch: Mismatch, options: Options) -> Path | None:
    """The file that shows what pass `name` does to `function`; None when none can be written."""
    text = reproducer(name, function, mismatch, options)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    plain = re.sub(r"\W+", "_", function.name) or "function"
    places = (default_directory() / FOLDER, Path(tempfile.gettempdir()) / f"symc-{FOLDER}")
    for folder in places:
        file = folder / f"{plain[:40]}-{name}-{digest}.ir"
        try:
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        except OSError:
            continue
        return file
    return None


def reproducer(name: str, function: Function, mismatch: Mismatch, options: Options) -> str:
    """The text of the file."""
    chosen = [f"{option}={getattr(options, option)}" for option in _OPTIONS]
    head = [
        f"pass {name} changes result {mismatch.number} of this function",
        f"got: {short(mismatch.found)}",
        f"expected: {short(mismatch.expected)}",
        f"seed: {mismatch.seed}",
        f"options: {' '.join(chosen)}",
        f"replay: python -m symc opt FILE -p {name} --check",
    ]
    return "".join(f"// {line}\n" for line in head) + print_function(function, locations=True)


def options_of(text: str) -> Options:
    """The options that a file of IR names in a comment `// options: contract=chain`."""
    found = re.search(r"^// options: (.*)$", text, re.MULTILINE)
    words = found[1].split() if found is not None else []
    given = dict(word.split("=", 1) for word in words if "=" in word)
    default = Options()
    return replace(
        default,
        numerics=given.get("numerics", default.numerics),
        contract=given.get("contract", default.contract),
    )


def short(value: object) -> str:
    """A value on one line."""
    if value is None:
        return "an error"
    text = np.array2string(value, threshold=6) if isinstance(value, np.ndarray) else str(value)
    return " ".join(text.split())
