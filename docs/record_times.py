"""Write docs/times.json, the costs on the layers' pages, from a benchmark's results: float32, seconds, the best.

    python docs/record_times.py bench-results/results.json

`make bench` writes that file; run it where little else runs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def recorded(results: dict[str, Any]) -> dict[str, Any]:
    """Pick the times of layers and kernels: work, sizes and direction to [scratchnet, NumPy]."""
    times: dict[str, dict[str, dict[str, list[float]]]] = {}
    for benchmark in results["benchmarks"]:
        info = benchmark["extra_info"]
        best = info.get("best", {})
        if info.get("table") in ("layers", "kernels") and info["dtype"] == "float32" and "NumPy" in best:
            work = times.setdefault(info["work"], {})
            pair = [float(f"{best[who]:.3g}") for who in ("scratchnet", "NumPy")]
            work.setdefault(str(info["sizes"]), {})[info.get("way", "")] = pair
    machine = results["machine_info"]["scratchnet"]
    about = {name: machine[name] for name in ("date", "cpu", "isa", "load")}
    return {"machine": about | {"numpy": machine["versions"]["numpy"]}, "times": times}


if __name__ == "__main__":
    found = recorded(json.loads(Path(sys.argv[1]).read_text("utf-8")))
    (HERE / "times.json").write_text(json.dumps(found, indent=0) + "\n", "utf-8")
