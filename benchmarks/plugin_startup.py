"""What the plugin adds to the start of pytest: bare, and with the plugin, in turn; `python -m benchmarks.plugin_startup`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "plugin_startup.json"
RUNS = {
    "bare": ["-p", "no:equiaudit"],
    "plugin": ["-p", "pytest_equiaudit.plugin"],
    "report": ["-p", "pytest_equiaudit.plugin", "--equi-json=report.json"],
}


def measure(repeats: int) -> dict[str, list[float]]:
    """Wall-clock seconds of whole runs of one empty test; the kinds take turns, so that a busy machine is busy for all."""
    found: dict[str, list[float]] = {name: [] for name in RUNS}
    # Other plugins would add their own time and its noise.
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_empty.py").write_text("def test_empty(): pass\n")
        for _ in range(repeats + 1):
            for name, options in RUNS.items():
                command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
                started = time.perf_counter()
                subprocess.run(command, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
                found[name].append(time.perf_counter() - started)
    return {name: seconds[1:] for name, seconds in found.items()}  # the first of each writes the byte code


def summarise(found: dict[str, list[float]]) -> dict[str, object]:
    """Medians, and the median and the quartiles of the differences within a round, in milliseconds."""
    said: dict[str, object] = {name: round(1e3 * statistics.median(s), 1) for name, s in found.items()}
    for name in ("plugin", "report"):
        added = [1e3 * (b - a) for a, b in zip(found["bare"], found[name], strict=True)]
        low, middle, high = statistics.quantiles(added, n=4)
        said[f"{name} adds"] = {"median": round(middle, 1), "quartiles": [round(low, 1), round(high, 1)]}
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    options = parser.parse_args()
    found = {
        "milliseconds": summarise(measure(options.repeats)),
        "repeats": options.repeats,
        "python": platform.python_version(),
        "pytest": version("pytest"),
        "cpus": os.cpu_count(),
    }
    text = json.dumps(found, indent=1) + "\n"
    print(text, end="")
    if options.write:
        RESULTS.write_text(text)


if __name__ == "__main__":
    main()
