"""Tables over cells: error against sample size and depth, symmetry over training, and the runs that are not there."""

from __future__ import annotations

import numpy as np

from benchmarks.nbody.arms import ARMS
from benchmarks.nbody.cells import CELLS
from benchmarks.nbody.plan import PRESETS
from benchmarks.nbody.store import Record

Runs = dict[str, dict[int, Record]]


def trend_table(cells: dict[str, Runs]) -> list[str]:
    """Test error of every arm in cells that differ in sample size or depth."""
    shown = [name for name in ("n300", "n1000", "n3000", "n9000", "deep") if name in cells]
    if len(shown) < 2:
        return []
    heads = [f"{CELLS[c].samples} samples, {CELLS[c].layers} layers" for c in shown]
    rows = []
    for arm in ARMS:
        values = [[r["test"] for r in cells[c].get(arm, {}).values() if "test" in r] for c in shown]
        if sum(map(bool, values)) > 1:
            rows.append(f"| {arm} | " + " | ".join(_mean(v) for v in values) + " |")
    head = "## Against sample size and depth\n\nGeometric mean of test MSE · 1000 (seeds). The network of `n9000` is SEGNN.\n"
    return [head, f"| arm | {' | '.join(heads)} |", "|---" * (1 + len(shown)) + "|", *rows, ""]


def training_table(cells: dict[str, Runs]) -> list[str]:
    """Total and per-layer Lie derivative and θ over training, medians over the seeds that kept them."""
    rows = []
    for cell, runs in cells.items():
        for arm, seeds in runs.items():
            kept = [r["looks"] for r in seeds.values() if r.get("looks") and "theta" in r["looks"][0]]
            for share in (0.3, 0.5, 1.0) if kept else ():
                looks = [look[round(share * (len(look) - 1))] for look in kept]
                layers = [[look["operator"][name] for look in looks] for name in looks[0]["operator"]]
                theta = np.median([max(look["theta"].values()) for look in looks])
                rows.append(
                    f"| {cell} | {arm} | {looks[0]['step']} | {theta:.2g} | {np.median([k['lie'] for k in looks]):.2g} | "
                    f"{', '.join(f'{np.median(v):.2g}' for v in layers)} | {len(kept)} |"
                )
    if not rows:
        return []
    return [
        "## Symmetry over training\n",
        "The relative Lie derivative of the relaxed model, and the squared commutator of W per entry, layer by layer.\n",
        "| cell | arm | step | θ (largest) | model | layers | seeds |",
        "|---" * 7 + "|",
        *rows,
        "",
    ]


def missing_table(cells: dict[str, Runs], preset: str = "cpu") -> list[str]:
    """What the preset plans and the records do not have, and the cells that are left out."""
    rows = []
    for part in PRESETS[preset]:
        for arm in part.arms:
            there = sum(seed in cells.get(part.cell, {}).get(arm, {}) for seed in part.seeds)
            if there < len(part.seeds):
                rows.append(f"| {part.cell} | {arm} | {there} of {len(part.seeds)} |")
    lines = [f"## What is missing\n\nOf the runs of `--preset {preset}`:\n"]
    lines += ["| cell | arm | seeds there |", "|---" * 3 + "|", *rows, ""] if rows else ["Nothing.\n"]
    left = [name for name in CELLS if name not in cells and name != "smoke"]
    return [*lines, f"Cells without runs: {', '.join(left) or 'none'}.\n"]


def _mean(values: list[float]) -> str:
    return f"{1e3 * np.exp(np.mean(np.log(values))):.3f} ({len(values)})" if values else "–"
