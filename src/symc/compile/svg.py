"""Pictures as SVG, without any tool outside this package.

before: a `Picture`.  after: one self-contained `<svg>` element.  Everything the user wrote is
escaped; a box shows the user's line to the pointer, an arrow the type of what it carries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from typing import Final

from symc.compile.dot import COLOURS
from symc.compile.layout import Layout, Point, place
from symc.compile.picture import Arrow, Box, Picture

_CHARACTER: Final = 6.7  # width of one, at 11 px
_LINE: Final = 15.0
_MOST: Final = 48  # characters of a line of a box
_HEAD: Final = (
    '<defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7"'
    ' orient="auto"><path d="M0 0L8 4L0 8z" fill="#6b7280"/></marker></defs>'
)


def write_svg(picture: Picture) -> str:
    """The picture as an SVG document that may also stand inside a page."""
    sizes = [_size(box) for box in picture.boxes]
    layout = place(sizes, [(arrow.source, arrow.target) for arrow in picture.arrows])
    return "\n".join(_lines(picture, sizes, layout)) + "\n"


def _lines(picture: Picture, sizes: Sequence[Point], layout: Layout) -> Iterator[str]:
    width, height = layout.width, layout.height
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}" font-family="ui-monospace,monospace"'
        ' font-size="11">'
    )
    yield f"<title>{_text(picture.name)}</title>"
    yield _HEAD
    for arrow, route in zip(picture.arrows, layout.routes, strict=True):
        yield _arrow(arrow, route, sizes)
    for number, box in enumerate(picture.boxes):
        yield _box(box, layout.middles[number], sizes[number])
    yield "</svg>"


def _size(box: Box) -> Point:
    longest = max(min(len(line), _MOST) for line in box.lines)
    return (longest * _CHARACTER + 16, len(box.lines) * _LINE + 8)


def _arrow(arrow: Arrow, route: Sequence[Point], sizes: Sequence[Point]) -> str:
    (x, y), (end_x, end_y) = route[0], route[-1]
    points = [(x, y + sizes[arrow.source][1] / 2), *route[1:-1]]
    points.append((end_x, end_y - sizes[arrow.target][1] / 2))
    path = f"M{_at(points[0])}"
    for (x0, y0), (x1, y1) in pairwise(points):
        half = (y0 + y1) / 2
        path += f"C{_at((x0, half))} {_at((x1, half))} {_at((x1, y1))}"
    title = f"<title>{_text(arrow.label)}</title>" if arrow.label else ""
    return f'<path d="{path}" fill="none" stroke="#6b7280" marker-end="url(#a)">{title}</path>'


def _box(box: Box, middle: Point, size: Point) -> str:
    (x, y), (width, height) = middle, size
    frame = (
        f'<rect x="{x - width / 2:.1f}" y="{y - height / 2:.1f}" width="{width:.1f}"'
        f' height="{height:.1f}" rx="5" fill="{COLOURS[box.kind]}" stroke="#9ca3af"/>'
    )
    title = f"<title>{_text(box.title)}</title>" if box.title else ""
    parts = [f'<g class="{box.kind}">', title, frame]
    top = y - height / 2 + _LINE
    for number, line in enumerate(box.lines):
        weight = ' font-weight="600"' if number == 0 else ' fill="#4b5563"'
        parts.append(
            f'<text x="{x:.1f}" y="{top + number * _LINE:.1f}" text-anchor="middle"{weight}>'
            f"{_text(_shortened(line))}</text>"
        )
    return "".join([*parts, "</g>"])


def _shortened(line: str) -> str:
    return line if len(line) <= _MOST else line[: _MOST - 1] + "…"


def _text(text: str) -> str:
    """Escaped, without the control characters that XML has no way to write."""
    shown = "".join(c if c >= " " and not 0xD800 <= ord(c) <= 0xDFFF else "\ufffd" for c in text)
    return escape(shown.replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd"))


def _at(point: Point) -> str:
    return f"{point[0]:.1f} {point[1]:.1f}"
