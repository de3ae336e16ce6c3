"""Turn a results file of the benchmarks into tables and pictures.

    python bench/report.py results.json [--out folder]

Tables say how many times as long as scratchnet the others take: above 1, scratchnet is faster. Without --out they
are printed; with it they go to report.md in the folder, with training.png, scaling.png and grid.png beside it.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

Contest = dict[str, Any]


def seconds(contest: Contest, by: str = "") -> dict[str, float]:
    return contest[by or contest.get("by", "best")]


def ratio(contest: Contest, name: str, by: str = "") -> float | None:
    """How many times as long as scratchnet somebody took; None if they did not take part."""
    times = seconds(contest, by)
    return times[name] / times[contest["ours"]] if name in times else None


def reached(contest: Contest, target: dict[str, Any]) -> tuple[float, str] | None:
    """A target's number and whom it was measured against: the fastest of those named."""
    times = seconds(contest, target.get("by", ""))
    rivals = {name: times[name] for name in target["among"] or [target["against"]] if name in times}
    if not rivals:
        return None
    fastest = min(rivals, key=rivals.__getitem__)
    number = rivals[fastest] / times[target.get("of") or contest["ours"]]
    return (1 / number if target["most"] else number), fastest


def is_met(target: dict[str, Any], number: float) -> bool:
    return number <= target["most"] if target["most"] else number >= target["least"]


def number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if value < 9.95 else f"{value:.1f}" if value < 99.5 else f"{value:.0f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def label(contest: Contest) -> str:
    """What a contest is called in the tables."""
    text = contest["work"]
    if "sizes" in contest:
        text += f", {contest['sizes']}"
    if "batch" in contest:
        text += f", batch {contest['batch']}"
    if "how" in contest:
        text += f", {contest['how']}"
    if contest["table"] == "training" and "data" in contest:
        text += f", {contest['data']}"
    if contest.get("threads", 1) > 1:
        text += f", {contest['threads']} threads"
    if contest["table"] == "busy":
        text += f" beside {contest['busy']} busy process{'' if contest['busy'] == 1 else 'es'}"
    return text


def head(results: dict[str, Any]) -> str:
    machine = results["machine_info"]["scratchnet"]
    threads = ", ".join(f"{name}={n}" for name, n in machine["threads"].items())
    versions = ", ".join(f"{name} {v}" for name, v in machine["versions"].items())
    return (
        f"Measured on {machine['date']}: {machine['cpu']}, {machine['processors']} processors, "
        f"{machine['system']}, kernels for {machine['isa']}; load at the start {number(machine['load'])}. "
        f"One thread unless said ({threads}). {versions}.\n\n"
        "Every number is a ratio of times within one race: contestants take turns, each one's best time of many "
        "counts (beside busy processes, the median and the 90th percentile), and nobody is timed whose result was "
        "not right."
    )


def targets(contests: Sequence[Contest]) -> str:
    rows = []
    many = {
        "every layer": [c for c in contests if c["table"] == "layers" and c["targets"]],
        "every product of the grid, but of a few numbers": [c for c in of_grid(contests) if c["targets"]],
    }
    others = [c for c in contests if c["table"] not in ("layers", "grid") and c.get("targets")]
    times = Counter(map(label, others))
    for contest in others:
        work = label(contest) + (f", {contest['dtype']}" if times[label(contest)] > 1 else "")
        for target in contest["targets"]:
            sign = f"at most {target['most']}x" if target["most"] else f"{target['least']}x"
            found = reached(contest, target)
            of = target.get("of")
            who = f"{work}, {of}" if of else work
            if found is None:
                rows.append((who, target["against"], sign, "–", "not measured"))
                continue
            value, name = found
            sign += ", 90th percentile" if target.get("by") == "p90" else ""
            against = target["against"] if name == target["against"] else f"{target['against']}: {name}"
            rows.append((who, against, sign, number(value), "met" if is_met(target, value) else "**no**"))
    rows += [slowest(of, found) for of, found in many.items() if found]
    rows += slowest_few(of_grid(contests))
    return "## Targets\n\n" + table(("work", "against", "target", "measured", ""), rows)


def slowest(of: str, contests: Sequence[Contest]) -> tuple[str, ...]:
    """The targets of many contests in one row of the table: there are hundreds."""
    last = min(contests, key=lambda c: reached(c, c["targets"][0]))
    target, (value, against) = last["targets"][0], reached(last, last["targets"][0])
    below = sum(not is_met(target, reached(c, target)[0]) for c in contests)
    work = ", ".join([label(last), last["dtype"], *([last["way"]] if "way" in last else [])])
    verdict = f"**no**, {below} of {len(contests)}" if below else "met"
    return f"{of}; the slowest: {work}", against, f"{target['least']}x", number(value), verdict


def of_grid(contests: Sequence[Contest]) -> list[Contest]:
    return [c for c in contests if c["table"] == "grid"]


def slower(contest: Contest) -> float:
    """Seconds that we take longer than NumPy; below 0 if we do not."""
    times = seconds(contest)
    return times[contest["ours"]] - times["NumPy"]


def slowest_few(contests: Sequence[Contest]) -> list[tuple[str, ...]]:
    """The row of those that are held to a difference, not to a ratio."""
    few = [c for c in contests if c["slower"] is not None]
    if not few:
        return []
    last = max(few, key=slower)
    most, above = last["slower"], sum(slower(c) > c["slower"] for c in few)
    work = f"products of the grid of a few numbers; the slowest: {label(last)}, {last['dtype']}"
    verdict = f"**no**, {above} of {len(few)}" if above else "met"
    return [(work, "NumPy", f"at most {most * 1e6:g} µs slower", f"{slower(last) * 1e6:.1f} µs", verdict)]


def contestants(contests: Sequence[Contest]) -> list[str]:
    """Everybody in these contests but ours, in the order of their first appearance."""
    return list(dict.fromkeys(name for c in contests for name in seconds(c) if name != c["ours"]))


def plain(title: str, contests: Sequence[Contest]) -> str:
    """A row a contest, a column a contestant."""
    names = contestants(contests)
    rows = [(label(c), c["dtype"], *(number(ratio(c, name)) for name in names)) for c in contests]
    return f"## {title}\n\n" + table(("work", "dtype", *names), rows)


def busy(contests: Sequence[Contest]) -> str:
    """A row a contest, two columns a contestant."""
    names = contestants(contests)
    measures = {"median": "median", "p90": "90th percentile"}
    rows = [(label(c), *(number(ratio(c, name, by)) for name in names for by in measures)) for c in contests]
    columns = (f"{name}, {measure}" for name in names for measure in measures.values())
    return "## Beside busy processes\n\n" + table(("work", *columns), rows)


def by_dtype(title: str, contests: Sequence[Contest]) -> str:
    """A row for a work, a column for each contestant and dtype."""
    names, dtypes = contestants(contests), ("float32", "float64")
    rows: dict[str, dict[str, Contest]] = defaultdict(dict)
    for contest in contests:
        rows[label(contest)][contest["dtype"]] = contest
    columns = [(name, dtype) for dtype in dtypes for name in names]
    cells = [
        (work, *(number(ratio(found[dtype], name)) if dtype in found else "–" for name, dtype in columns))
        for work, found in rows.items()
    ]
    return f"## {title}\n\n" + table(("work", *(f"{name}, {dtype}" for name, dtype in columns)), cells)


def layers(contests: Sequence[Contest]) -> str:
    """A row for a layer in one size, a column for each way and dtype; what is slower than NumPy stands out."""
    columns = [(way, dtype) for dtype in ("float32", "float64") for way in ("forward", "backward")]
    rows: dict[str, dict[tuple[str, str], str]] = defaultdict(dict)
    for c in contests:
        value = ratio(c, "NumPy")
        text = number(value)
        rows[label(c)][c["way"], c["dtype"]] = f"**{text}**" if value is not None and value < 1 else text
    cells = [(name, *(found.get(column, "–") for column in columns)) for name, found in rows.items()]
    heading = ("layer", *(f"{way}, {dtype}" for way, dtype in columns))
    return "## Every layer, against NumPy\n\n" + table(heading, cells)


def scripts(contests: Sequence[Contest]) -> str:
    """A row a script: plain NumPy's seconds, and how many times as fast ours is, by processor and by clock."""
    names = [contests[0]["ours"], *(name for name in contestants(contests) if name != "NumPy")]
    rows = []
    for c in contests:
        ratios = (c[by]["NumPy"] / c[by][n] if n in c[by] else None for by in ("best", "wall") for n in names)
        rows.append((c["work"], c["data"], f"{c['best']['NumPy']:.2f}", *map(number, ratios)))
    heading = ("script", "data", "NumPy, seconds", *names, *(f"{name}, by the clock" for name in names))
    about = "Processes from start to end: times as fast as plain NumPy, in seconds of the processor unless said."
    return f"## Whole scripts\n\n{about}\n\n" + table(heading, rows)


def grid(contests: Sequence[Contest]) -> str:
    """A line for each dtype; the ratios of all shapes are in the picture."""
    lines = []
    for dtype in dict.fromkeys(c["dtype"] for c in contests):
        of = [c for c in contests if c["dtype"] == dtype]
        large, few = [c for c in of if c["slower"] is None], [c for c in of if c["slower"] is not None]
        said = []
        if large:
            last = min(large, key=lambda c: ratio(c, "NumPy"))
            middle = median(ratio(c, "NumPy") for c in large)
            said.append(f"at the least {number(ratio(last, 'NumPy'))} ({last['sizes']}), median {number(middle)}")
        if few:
            last = max(few, key=slower)
            said.append(
                f"with a few numbers as output at most {slower(last) * 1e6:.1f} µs slower ({last['sizes']})"
            )
        lines.append(f"- {dtype}, {len(of)} shapes: {'; '.join(said)}")
    return "## Products x W of N x D x M, against NumPy\n\n" + "\n".join(lines)


def memory(contests: Sequence[Contest]) -> str:
    rows = []
    for c in contests:
        for name, peak in c["peaks"].items():
            rows.append(
                (c["work"], name, f"{peak / 2**20:.1f} MB", number(peak / c["needed"]), number(peak / c["data"]))
            )
    heading = ("work", "who", "peak above the data", "over what is needed", "over the data's size")
    return "## Memory of a fit\n\n" + table(heading, rows)


def scaling(contests: Sequence[Contest]) -> str:
    names = contestants(contests)
    rows = [(f"{c['work']} {c['value']}", *(number(ratio(c, name)) for name in names)) for c in contests]
    return "## A step of 784-50-10 by batch, and of 784-width-10, batch 100, by width\n\n" + table(
        ("", *names), rows
    )


def gpu(contests: Sequence[Contest]) -> str:
    """Microseconds a step: on a GPU, which nobody shares, times of their own say something."""
    names = [contests[0]["ours"], *contestants(contests)]
    rows = [
        (label(c), *(f"{seconds(c)[n] / c['steps'] * 1e6:.1f}" if n in seconds(c) else "–" for n in names))
        for c in contests
    ]
    about = ", ".join(f"{name} {value}" for name, value in contests[0]["gpu"].items())
    return f"## Training on a GPU, microseconds a step\n\n{about}\n\n" + table(("work", *names), rows)


def skipped(contests: Sequence[Contest]) -> str:
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    for contest in contests:
        for name, reason in contest.get("skipped", {}).items():
            reasons[name, reason].append(label(contest))
    lines = [
        f"- {name}: {reason} ({works[0] if len(works) == 1 else f'{len(works)} contests'})"
        for (name, reason), works in reasons.items()
    ]
    return "## Who did not take part\n\n" + "\n".join(lines)


SECTIONS = {
    "training": partial(plain, "Training"),
    "books": partial(by_dtype, "The later chapters"),
    "scripts": scripts,
    "layers": layers,
    "busy": busy,
    "inference": partial(plain, "Prediction"),
    "estimators": partial(plain, "scikit-learn's estimators"),
    "limits": partial(plain, "Kernels and the machine's limits"),
    "grid": grid,
    "kernels": partial(by_dtype, "Every kernel"),
    "scaling": scaling,
    "memory": memory,
    "gpu": gpu,
}


def render(results: dict[str, Any]) -> str:
    """The whole report as Markdown."""
    contests = [b["extra_info"] for b in results["benchmarks"] if "table" in b["extra_info"]]
    of = {name: [c for c in contests if c["table"] == name] for name in {c["table"] for c in contests}}
    parts = [head(results), targets(contests)]
    for name, section in SECTIONS.items():
        if name in of:
            parts.append(section(of[name]))
    if any(c.get("skipped") for c in contests):
        parts.append(skipped(contests))
    return "# Benchmarks\n\n" + "\n\n".join(parts) + "\n"


def draw(results: dict[str, Any], folder: Path) -> list[Path]:
    """The pictures that the results have data for."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    contests = [b["extra_info"] for b in results["benchmarks"]]
    drawn = []
    for name, (figure_of, wanted) in PICTURES.items():
        of = [c for c in contests if c.get("table") == name and wanted(c)]
        if of:
            figure = figure_of(of)
            drawn.append(folder / f"{name}.png")
            figure.savefig(drawn[-1], dpi=150)
            pyplot.close(figure)
    return drawn


def draw_training(training: Sequence[Contest]) -> Any:
    from matplotlib import pyplot

    names = contestants(training)
    height = 0.8 / len(names)
    figure, ax = pyplot.subplots(figsize=(8, 1 + 0.9 * len(training)), layout="constrained")
    for k, name in enumerate(names):
        places = [(i + (k - (len(names) - 1) / 2) * height, ratio(c, name)) for i, c in enumerate(training)]
        places = [(y, r) for y, r in places if r is not None]
        bars = ax.barh([y for y, _ in places], [r for _, r in places], height, label=name)
        ax.bar_label(bars, [number(r) for _, r in places], padding=2, fontsize=7)
    ax.axvline(1, color="black", linewidth=0.8)
    ax.set_xscale("log")
    ax.set_yticks(range(len(training)), [label(c) for c in training], fontsize=8)
    ax.invert_yaxis()
    ax.set_xlabel("time, scratchnet = 1")
    ax.legend(fontsize=7)
    return figure


def draw_scaling(curves: Sequence[Contest]) -> Any:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for ax, what, where in zip(axes, ("batch", "width"), ("784-50-10", "784-width-10, batch 100"), strict=True):
        points = [c for c in curves if c["work"] == what]
        if not points:
            continue
        unit = seconds(points[0])[points[0]["ours"]] / points[0]["steps"]  # a time of its own says little
        for name in seconds(points[0]):
            steps = [seconds(c)[name] / c["steps"] / unit for c in points]
            ax.plot([c["value"] for c in points], steps, ".-", label=name)
        ax.set(xscale="log", yscale="log", xlabel=what, title=where)
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("time a step, scratchnet's first = 1")
    axes[0].legend()
    return figure


def draw_grid(contests: Sequence[Contest]) -> Any:
    """A map of depth by columns for each number of rows and dtype: blue where we are faster, red where not."""
    from matplotlib import pyplot
    from matplotlib.colors import LogNorm

    rows, depths, columns = (sorted({c["shape"][i] for c in contests}) for i in range(3))
    dtypes = list(dict.fromkeys(c["dtype"] for c in contests))
    figure, axes = pyplot.subplots(
        len(dtypes),
        len(rows),
        figsize=(1 + 1.7 * len(rows), 1 + 1.9 * len(dtypes)),
        layout="constrained",
        squeeze=False,
        sharex=True,
        sharey=True,
    )
    for i, dtype in enumerate(dtypes):
        for ax, N in zip(axes[i], rows, strict=True):
            found = {
                tuple(c["shape"][1:]): ratio(c, "NumPy")
                for c in contests
                if c["dtype"] == dtype and c["shape"][0] == N
            }
            ratios = [[found.get((D, M), float("nan")) for M in columns] for D in depths]
            image = ax.imshow(ratios, cmap="RdBu", norm=LogNorm(1 / 4, 4), origin="lower")
            ax.set_title(f"{N} row{'' if N == 1 else 's'}, {dtype}", fontsize=8)
            ax.set_xticks(range(len(columns)), columns, rotation=90, fontsize=7)
            ax.set_yticks(range(len(depths)), depths, fontsize=7)
    figure.supxlabel("columns", fontsize=9)
    figure.supylabel("depth", fontsize=9)
    bar = figure.colorbar(image, ax=axes, extend="both", ticks=[0.25, 0.5, 1, 2, 4], format="%g")
    bar.minorticks_off()
    bar.set_label("NumPy's time, scratchnet = 1")
    return figure


# By table: who draws it, and which of its contests.
PICTURES = {
    "training": (draw_training, lambda c: c["dtype"] == "float32"),
    "scaling": (draw_scaling, lambda c: True),
    "grid": (draw_grid, lambda c: True),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="what pytest wrote with --benchmark-json")
    parser.add_argument("--out", type=Path, help="folder for report.md and the pictures")
    options = parser.parse_args(arguments)
    results = json.loads(options.results.read_text())
    text = render(results)
    if options.out is None:
        print(text)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    for picture in draw(results, options.out):
        text += f"\n![{picture.stem}]({picture.name})\n"
    (options.out / "report.md").write_text(text)
    print(options.out / "report.md")


if __name__ == "__main__":
    main()
