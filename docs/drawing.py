"""Pictures as SVG inside the pages: formulas as outlines, arrows, boxes. Colours come from the page's theme.

matplotlib sets the formulas, so that a picture needs neither a script nor a font, and knows how wide they are.
"""

from __future__ import annotations

from functools import cache
from html import escape
from itertools import pairwise
from math import hypot
from typing import NamedTuple

from matplotlib.font_manager import FontProperties
from matplotlib.path import Path as Outline
from matplotlib.textpath import TextPath

Point = tuple[float, float]

_LETTERS = {Outline.MOVETO: "M", Outline.LINETO: "L", Outline.CURVE3: "Q", Outline.CURVE4: "C"}
GAP = 4.5  # between the middle of an edge and each of its two arrows


class Set(NamedTuple):
    """A formula that has been set: its outline and its extent around the origin, y downwards."""

    outline: str
    left: float
    top: float
    right: float
    bottom: float


@cache
def set_tex(tex: str, size: float) -> Set:
    """Set a formula in TeX's notation, as far as matplotlib knows it."""
    path = TextPath((0, 0), f"${tex}$", size=size, prop=FontProperties(math_fontfamily="cm"))
    parts = []
    for points, code in path.iter_segments(curves=True, simplify=False):
        if code == Outline.CLOSEPOLY:
            parts.append("Z")
        else:
            numbers = [f"{-v if i % 2 else v:.2f}".rstrip("0").rstrip(".") for i, v in enumerate(points)]
            parts.append(_LETTERS[code] + " ".join(numbers))
    box = path.get_extents()
    return Set("".join(parts), box.x0, -box.y1, box.x1, -box.y0)


class Picture:
    """An SVG under construction; `svg` returns it, as large as what was drawn."""

    def __init__(self, description: str) -> None:
        self.description = description
        self._parts: list[str] = []
        self._box = [1e9, 1e9, -1e9, -1e9]

    def _cover(self, left: float, top: float, right: float, bottom: float) -> None:
        box = self._box
        self._box = [min(box[0], left), min(box[1], top), max(box[2], right), max(box[3], bottom)]

    def tex(
        self, x: float, y: float, tex: str, kind: str = "forward", size: float = 17, anchor: str = "middle"
    ) -> None:
        """Draw a formula whose baseline is at y; `anchor` says what x is: its start, middle or end."""
        done = set_tex(tex, size)
        shift = {"start": -done.left, "middle": -(done.left + done.right) / 2, "end": -done.right}[anchor]
        self._parts.append(
            f'<path class="{kind}" transform="translate({x + shift:.1f} {y:.1f})" d="{done.outline}"/>'
        )
        self._cover(x + shift + done.left, y + done.top, x + shift + done.right, y + done.bottom)

    def line(self, points: list[Point], kind: str) -> None:
        """Draw a line through points, without an arrow head."""
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        self._parts.append(f'<path class="line {kind}" d="{path}"/>')
        for x, y in points:
            self._cover(x, y, x, y)

    def arrow(self, points: list[Point], kind: str) -> None:
        """Draw a line through points that ends in an arrow head."""
        (x0, y0), (x1, y1) = points[-2:]
        length = hypot(x1 - x0, y1 - y0) or 1
        ux, uy = (x1 - x0) / length, (y1 - y0) / length
        bx, by = x1 - 8 * ux, y1 - 8 * uy
        self.line([*points[:-1], (bx, by)], kind)
        head = [(x1, y1), (bx - 3.6 * uy, by + 3.6 * ux), (bx + 3.6 * uy, by - 3.6 * ux)]
        self._parts.append(f'<path class="head {kind}" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in head)}Z"/>')

    def box(self, x: float, y: float, half_width: float, half_height: float, kind: str, radius: float = 8) -> None:
        """Draw a box, or a circle if the radius is half of it, around its middle."""
        left, top = x - half_width, y - half_height
        self._parts.append(
            f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{2 * half_width:.1f}" '
            f'height="{2 * half_height:.1f}" rx="{radius}"/>'
        )
        self._cover(left, top, x + half_width, y + half_height)

    def raw(self, svg: str, left: float, top: float, right: float, bottom: float) -> None:
        """Add SVG as it is, with its extent."""
        self._parts.append(svg)
        self._cover(left, top, right, bottom)

    def svg(self, kind: str = "graph", margin: float = 6) -> str:
        """Return the SVG, on one line: Markdown must not see an empty one."""
        left, top, right, bottom = self._box
        width, height = right - left + 2 * margin, bottom - top + 2 * margin
        return (
            f'<svg class="{kind}" xmlns="http://www.w3.org/2000/svg" role="img" width="{width:.0f}" '
            f'height="{height:.0f}" viewBox="{left - margin:.1f} {top - margin:.1f} {width:.1f} {height:.1f}">'
            f"<title>{escape(self.description)}</title>{''.join(self._parts)}</svg>"
        )


class Graph(Picture):
    """A computational graph: nodes, and between them edges with an arrow forward and one backward."""

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self._nodes: dict[str, tuple[float, float, float, float]] = {}

    def node(self, name: str, x: float, y: float, tex: str, kind: str = "op") -> None:
        """Draw a node with a formula inside, a circle if it is short."""
        done = set_tex(tex, 17)
        width = done.right - done.left
        half_width, half_height = (17.0, 17.0) if width <= 22 else (width / 2 + 12, 19.0)
        self.box(x, y, half_width, half_height, kind, 17 if width <= 22 else 9)
        self.tex(x, y - (done.top + done.bottom) / 2, tex)
        self._nodes[name] = x, y, half_width, half_height

    def _end(self, end: str | Point, towards: Point) -> Point:
        """Return where an edge that comes from a point touches a node."""
        if not isinstance(end, str):
            return end
        x, y, half_width, half_height = self._nodes[end]
        dx, dy = towards[0] - x, towards[1] - y
        if half_width == half_height:  # a circle
            length = hypot(dx, dy) or 1
            return x + dx * (half_width + 2) / length, y + dy * (half_width + 2) / length
        if abs(dy) * half_width > abs(dx) * half_height:
            scale = (half_height + 2) / abs(dy)
        else:
            scale = (half_width + 2) / abs(dx)
        return x + dx * scale, y + dy * scale

    def _middle(self, end: str | Point) -> Point:
        return self._nodes[end][:2] if isinstance(end, str) else end

    def edge(
        self,
        start: str | Point,
        end: str | Point,
        name: str = "",
        shape: str = "",
        back: str = "",
        via: list[Point] | None = None,
        at: int = 0,
        both: bool = False,
    ) -> None:
        """Draw an edge: its value and shape on one side, the gradient that comes back on the other.

        `both` draws the arrow back also where it has no name. `via` are corners on the way, and `at` the part,
        counted from 0, that has the labels.
        """
        corners = via or []
        a = self._end(start, corners[0] if corners else self._middle(end))
        b = self._end(end, corners[-1] if corners else self._middle(start))
        points = [a, *corners, b]
        both = both or bool(back)
        if both:
            self.arrow(_moved(points, GAP), "forward")
            self.arrow(_moved(points, -GAP)[::-1], "backward")
        else:
            self.arrow(points, "forward")
        (x0, y0), (x1, y1) = points[at : at + 2]
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        gap = GAP if both else 0
        if abs(x1 - x0) >= abs(y1 - y0):
            if name:
                self.tex(x, y - gap - 7, name)
            if shape:
                self.tex(x, y - gap - (26 if name else 7), shape, "shape", 12.5)
            if back:
                self.tex(x, y + gap + 7 - set_tex(back, 17).top, back, "backward")
            return
        right = 1 if y1 > y0 else -1  # the arrow that goes up is on the left, so its labels are
        outer = "start" if right > 0 else "end"
        inner = "end" if right > 0 else "start"
        if name:
            self.tex(x + right * (gap + 7), y + (0 if shape else 5), name, anchor=outer)
        if shape:
            self.tex(x + right * (gap + 7), y + (17 if name else 5), shape, "shape", 12.5, anchor=outer)
        if back:
            self.tex(x - right * (gap + 7), y + 5, back, "backward", anchor=inner)


def _moved(points: list[Point], by: float) -> list[Point]:
    """Return a line of horizontal and vertical, or single, parts moved to its left by a distance."""
    normals = []
    for (x0, y0), (x1, y1) in pairwise(points):
        length = hypot(x1 - x0, y1 - y0) or 1
        normals.append(((y1 - y0) / length * by, -(x1 - x0) / length * by))
    moved = []
    for i, (x, y) in enumerate(points):
        before, after = normals[max(i - 1, 0)], normals[min(i, len(normals) - 1)]
        corner = before != after
        moved.append((x + before[0] + after[0] * corner, y + before[1] + after[1] * corner))
    return moved
