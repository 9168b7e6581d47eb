"""Pictures in the DOT language.

before: a `Picture`.  after: text for Graphviz.  What the user wrote stands in quotes, escaped.
"""

from __future__ import annotations

from typing import Final

from symc.compile.picture import Box, Picture

COLOURS: Final = {
    "input": "#dbeafe",
    "output": "#dcfce7",
    "constant": "#f3f4f6",
    "pointwise": "#ffffff",
    "view": "#fef9c3",
    "heavy": "#ffedd5",
    "kernel": "#ede9fe",
}


def write_dot(picture: Picture) -> str:
    """The picture as one digraph."""
    lines = [f"digraph {_quoted(picture.name)} {{"]
    lines.append('  node [shape=box, style="rounded,filled", fontname="sans-serif"];')
    lines += [f"  n{number} [{_attributes(box)}];" for number, box in enumerate(picture.boxes)]
    for arrow in picture.arrows:
        label = f" [tooltip={_quoted(arrow.label)}]" if arrow.label else ""
        lines.append(f"  n{arrow.source} -> n{arrow.target}{label};")
    lines.append("}")
    return "\n".join(lines) + "\n"


def _attributes(box: Box) -> str:
    label = "\\n".join(_escaped(line) for line in box.lines)
    parts = [f'label="{label}"', f'fillcolor="{COLOURS[box.kind]}"']
    if box.title:
        parts.append(f"tooltip={_quoted(box.title)}")
    return ", ".join(parts)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'
