"""sc.draw: well-formed pictures with every node and edge, whatever the user's names are."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import symc as sc
from symc import draw
from symc.frontend.draw import Drawing

SVG = "{http://www.w3.org/2000/svg}"


def sample() -> sc.Function:
    x, w = sc.var("x", "f32[n,3]"), sc.shared(np.zeros((3, 2), np.float32), name="W")
    y = sc.tanh(x @ w)
    return sc.function([x], [y, sc.sum(y)], updates={w: w * 0.5}, name="sample")


def boxes(svg: str) -> list[list[str]]:
    root = ET.fromstring(svg)
    return [
        [text.text or "" for text in group.iter(f"{SVG}text")] for group in root.iter(f"{SVG}g")
    ]


def arrows(svg: str) -> int:
    paths = ET.fromstring(svg).iter(f"{SVG}path")
    return sum(path.get("marker-end") is not None for path in paths)


def edges(function: object) -> tuple[int, int]:
    """Boxes and arrows that the picture of a function must have."""
    nodes, params, results = function.nodes, function.params, function.results  # type: ignore[attr-defined]
    operands = sum(len(node.operands) for node in nodes)
    return len(nodes) + len(params) + len(results), operands + len(results)


@pytest.mark.parametrize("stage", ["traced", "defined", "optimized"])
def test_every_node_and_edge_is_drawn(stage: str) -> None:
    f = sample()
    entry = getattr(f.current.compiled.stages, stage)
    count, joined = edges(entry.function)
    svg, dot = draw(f, stage=stage), draw(f, format="dot", stage=stage)
    assert (len(boxes(svg)), arrows(svg)) == (count, joined)
    assert len(re.findall(r"^  n\d+ \[", dot, re.MULTILINE)) == count
    assert dot.count(" -> ") == joined
    names = [lines[0] for lines in boxes(svg)]
    assert {"x", "W", "tanh", "result 0", "result 1", "new W"} <= set(names)


def test_kernels_are_drawn_with_what_they_make() -> None:
    f = sample()
    svg = draw(f, stage="kernels")
    shown = boxes(svg)
    kernels = [kernel.name for kernel in f.explain().kernels]
    assert [lines[0] for lines in shown if lines[0] in kernels] == kernels
    assert any("tanh(x @ W)" in line for lines in shown for line in lines)
    assert "test_draw.py:" in svg


def test_boxes_of_a_picture_do_not_overlap() -> None:
    root = ET.fromstring(draw(sample(), stage="traced"))
    found = []
    for rect in root.iter(f"{SVG}rect"):
        x, y, w, h = (float(rect.get(k) or 0) for k in ("x", "y", "width", "height"))
        assert x >= 0
        assert y >= 0
        assert x + w <= float(root.get("width") or 0)
        assert y + h <= float(root.get("height") or 0)
        found.append((x, y, x + w, y + h))
    for i, a in enumerate(found):
        for b in found[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


NAMES = ["a<b>&\"'", "x\n\ty", 'back\\slash"', "]]>", "ü→ \x00\x1b", "</svg><script>"]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_escaped(name: str) -> None:
    shared = sc.shared(np.zeros(3), name=name)
    x = sc.var("x", "f64[3]")
    f = sc.function([x], x * shared, name=name)
    first = boxes(draw(f))
    assert any(lines[0][:1] == name[:1] for lines in first)
    page = f.explain(html=True)
    assert "<script" not in page
    assert "<script" not in str(f._repr_html_())
    dot = draw(f, format="dot")
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", dot)
    assert set(outside) <= set("digraph {}\n[]=,;->n0123456789abcdefghijklmnopqrstuvwxyz")


def test_expressions_and_lists_of_them() -> None:
    x = sc.var("x", "f64[n]")
    svg = draw(sc.exp(x) + 1)
    assert ["exp", "f64[n]"] in boxes(svg)
    assert len([b for b in boxes(draw([sc.exp(x), sc.sin(x)])) if b[0].startswith("result")]) == 2


def test_large_graphs_are_drawn_by_kernels() -> None:
    x = sc.var("x", "f64[n]")
    y = x
    for _ in range(600):
        y = sc.tanh(y + 1)
    for picture in (draw(y), draw(sc.function([x], y, cache=False))):
        assert len(boxes(picture)) < 100
        assert any(lines[0] == "k0" for lines in boxes(picture))


def test_files_and_formats(tmp_path: Path) -> None:
    f = sample()
    text = draw(f, tmp_path / "a.dot")
    assert text.startswith("digraph")
    assert (tmp_path / "a.dot").read_text() == text
    assert draw(f, str(tmp_path / "a.svg")).startswith("<svg")
    assert draw(f, tmp_path / "a.txt", "dot").startswith("digraph")
    shown = draw(f)
    assert isinstance(shown, Drawing)
    assert shown._repr_svg_() == shown
    assert draw(f, format="dot")._repr_svg_() is None


def test_a_jit_is_drawn_once_it_was_called() -> None:
    f = sc.jit(lambda x: x * 2)
    with pytest.raises(sc.DomainError, match="no compiled program"):
        draw(f)
    assert f._repr_html_() is None
    f(np.ones(3))
    assert len(boxes(draw(f))) >= 3
    assert "<svg" in str(f._repr_html_())


@pytest.mark.parametrize(
    ("what", "more", "error"),
    [
        (3, {}, sc.DTypeError),
        (np.ones(2), {}, sc.DTypeError),
        (lambda x: x, {}, sc.DTypeError),
        ([], {}, sc.DTypeError),
        (sc.var("x", "f64[2]"), {"stage": "traced"}, sc.DomainError),
        (sample(), {"stage": "nowhere"}, sc.DomainError),
        (sample(), {"format": "png"}, sc.DomainError),
    ],
)
def test_what_cannot_be_drawn(what: object, more: dict[str, str], error: type[Exception]) -> None:
    with pytest.raises(error):
        draw(what, **more)  # type: ignore[arg-type]
