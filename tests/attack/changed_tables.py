"""Changed tables and .safetensors files give what Python's csv or safetensors reads in them, or are refused."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from judge import outcome

from scratchnet import MultiLayerNet
from scratchnet.dataset.table import read_table

Rng = np.random.Generator


def table(rng: Rng, path: Path, change: Callable[[bytes], bytes]) -> str | None:
    columns, rows = int(rng.integers(1, 4)), int(rng.integers(2, 8))
    lines = [[f"x{k}" for k in range(columns)] + ["y"]] if rng.random() < 0.7 else []
    for k in range(rows):
        lines.append([*map(str, np.round(rng.standard_normal(columns), 3)), "pq"[k % 2] if lines else str(k % 2)])
    data = change("\n".join(map(",".join, lines)).encode())
    path.write_bytes(data)
    target = "y" if lines[0][-1] == "y" else str(columns + 1)
    loaded: list[Any] = []

    def right() -> str | None:
        found, given = loaded[0], list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
        given = [cells for cells in given if len(cells) > 1 or "".join(cells).strip()]
        names = [" ".join(cell.split()) for cell in given[0]]
        place = names.index("y") if target == "y" else columns
        body = given[1:] if found.columns.has_header else given
        x = [[float(cell) for k, cell in enumerate(cells) if k != place] for cells in body]
        t = [" ".join(cells[place].split()) for cells in body]
        if not all(isfinite(number) for row in x for number in row) or not np.array_equal(found.x, x):
            return "loaded other numbers"
        return None if [found.columns.classes[k] for k in found.t] == t else "loaded other classes"

    return outcome(lambda: loaded.append(read_table(path, target)), right, None)


def safetensors_file(rng: Rng, path: Path, change: Callable[[bytes], bytes]) -> str | None:
    from safetensors.numpy import load

    seeds = rng.integers(0, 1000, 2).tolist()
    saved, net = (MultiLayerNet(3, [4], 2, "sigmoid", 1.0, rng=seed) for seed in seeds)
    path = path.with_suffix(".safetensors")
    saved.save_params(path)
    data = change(path.read_bytes())
    path.write_bytes(data)

    def right() -> str | None:
        held = load(data)
        same = all(
            np.array_equal(held[name], p, equal_nan=True)
            for name, p in zip(("W1", "b1", "W2", "b2"), net.params, strict=True)
        )
        return None if same else "loaded other values"

    try:
        return outcome(lambda: net.load_params(path), right, net)
    finally:
        path.unlink()
