"""The table of docs/subgradients.md, row by row, in both modes and compiled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symc as sc

PAGE = Path(__file__).parents[2] / "docs" / "subgradients.md"
NUMBERS = {"inf": np.inf, "nan": np.nan}


def rows() -> list[tuple[str, str, str, str]]:
    """Function, point, variable and derivative of each row of each table."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `"):
            assert len(cells) >= 6, line
            found.append((cells[0].strip("`"), cells[1].strip("`"), cells[2], cells[3]))
    return found


class Names(dict[str, Any]):
    """Names of a row: its variables, and symc's functions."""

    def __missing__(self, name: str) -> Any:
        return getattr(sc, name)


@pytest.mark.parametrize(("function", "at", "along", "shown"), rows())
def test_row(function: str, at: str, along: str, shown: str) -> None:
    point = eval(f"dict({at})", dict(NUMBERS))
    names, arrays = list(point), [np.array(x) for x in point.values()]
    number = names.index(along)

    def total(*values: Any) -> Any:
        known = Names({**NUMBERS, "array": np.array, **dict(zip(names, values, strict=True))})
        return sc.sum(eval(function, known))

    def forward(unit: np.ndarray) -> np.ndarray:
        moves = [unit if i == number else np.zeros(x.shape) for i, x in enumerate(arrays)]
        return np.asarray(sc.jvp(total, tuple(arrays), tuple(moves))[1])

    expected = np.array(eval(shown, dict(NUMBERS)), np.float64)
    units = np.eye(arrays[number].size).reshape(-1, *arrays[number].shape)
    pushed = np.array([forward(unit) for unit in units]).reshape(arrays[number].shape)
    np.testing.assert_array_equal(sc.grad(total, argnums=number)(*arrays), expected)
    np.testing.assert_array_equal(pushed, expected)


def test_the_table_is_whole() -> None:
    functions = " ".join(function for function, *_ in rows())
    for name in (
        "abs relu maximum minimum clip max min sign floor ceil round trunc floor_divide remainder "
        "sqrt log log1p ** / sum std prod exp tanh sigmoid softplus sin softmax logsumexp where "
        "take set add mul argmax"
    ).split():
        assert name in functions, name
    assert {m for m in ("clip", "wrap", "fill", "raise") if f"mode='{m}'" in functions} == {
        "clip",
        "wrap",
        "fill",
        "raise",
    }
