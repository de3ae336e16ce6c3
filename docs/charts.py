"""What a layer costs beside NumPy, as bars, and the way of an optimizer down a valley. The times are recorded."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from drawing import Picture

RECORDED: dict[str, Any] = json.loads((Path(__file__).resolve().parent / "times.json").read_text("utf-8"))


def duration(seconds: float) -> str:
    """A time for people: 3.2 µs, 1.4 ms."""
    for unit, size in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{float(f'{seconds / size:.2g}'):g} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def bars(work: str, ways: dict[str, str], faster: str) -> str:
    """The times of a layer or kernel as a list of pairs of bars; "" if there are none.

    `ways` has the words for "forward" and "backward"; `faster` those for a ratio, with a place for the number.
    """
    rows = []
    for sizes, times in RECORDED["times"].get(work, {}).items():
        for way, (ours, numpy) in times.items():
            longest = max(ours, numpy)
            label = " × ".join(f"{int(n):,}" for n in sizes.split("x")) + (f", {ways[way]}" if way else "")
            pair = "".join(
                f'<span class="bar {who}" style="width:{max(100 * time / longest, 0.7):.1f}%"></span>'
                for who, time in (("theirs", numpy), ("ours", ours))
            )
            words = f"{duration(numpy)} → {duration(ours)}"
            ratio = f"{numpy / ours:.1f}" if numpy / ours < 9.95 else f"{numpy / ours:.0f}"
            rows.append(
                f'<li><span class="what">{escape(label)}</span><span class="bars">{pair}</span>'
                f'<span class="times">{words} <b>{faster.format(ratio)}</b></span></li>'
            )
    return f'<ul class="cost">{"".join(rows)}</ul>' if rows else ""


RATES = {"SGD": 0.95, "Momentum": 0.1, "Nesterov": 0.1, "AdaGrad": 1.5, "RMSprop": 0.3, "Adam": 0.3}


def path_of(optimizer: Any, steps: int = 30) -> np.ndarray:
    """The way of an optimizer down x^2 / 20 + y^2 from (-7, 2), as in book 1, ch. 6.1: an array [steps+1, 2]."""
    place = [np.array([-7.0, 2.0])]
    path = [place[0].copy()]
    for _ in range(steps):
        optimizer.update(place, [place[0] * [0.1, 2.0]])
        path.append(place[0].copy())
    return np.array(path)


def valley(description: str, optimizer: Any) -> str:
    """The picture of that way, over the valley's lines of equal height."""
    picture = Picture(description)
    scale_x, scale_y = 26.0, 40.0
    for height in (0.25, 1, 2.25, 4):
        rx, ry = (20 * height) ** 0.5 * scale_x, height**0.5 * scale_y
        picture.raw(f'<ellipse class="level" rx="{rx:.1f}" ry="{ry:.1f}"/>', -rx, -ry, rx, ry)
    path = path_of(optimizer)
    points = [(float(x) * scale_x, -float(y) * scale_y) for x, y in path]
    picture.line(points, "path")
    for x, y in points:
        picture.raw(f'<circle class="step" cx="{x:.1f}" cy="{y:.1f}" r="3"/>', x - 3, y - 3, x + 3, y + 3)
    picture.raw('<circle class="goal" r="4"/>', -4, -4, 4, 4)
    x, y = points[0]
    picture.tex(x - 8, y - 8, "(-7, 2)", "shape", 13, anchor="end")
    return picture.svg()
