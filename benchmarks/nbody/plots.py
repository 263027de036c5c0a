"""The pictures of the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from benchmarks.nbody.cells import CELLS
from benchmarks.nbody.store import Record

Runs = dict[str, dict[int, Record]]
BY_SAMPLES = ("n300", "n1000", "n3000", "n9000")
BY_DEPTH = ("n1000", "deep")


def draw_all(cells: dict[str, Runs], folder: Path) -> list[tuple[str, str]]:
    """Write every picture for which there are records; titles and file names."""
    drawn = [(f"Test error by arm, {cell}", f"arms-{cell}.svg", _arms(runs)) for cell, runs in cells.items()]
    drawn += [("Test error against the number of samples", "samples.svg", _against(cells, BY_SAMPLES, "samples"))]
    drawn += [("Test error against depth", "depth.svg", _against(cells, BY_DEPTH, "layers"))]
    drawn += [(f"Training, {cell}", f"training-{cell}.svg", _training(runs)) for cell, runs in cells.items()]
    written = []
    for title, name, figure in drawn:
        if figure is not None:
            folder.mkdir(parents=True, exist_ok=True)
            FigureCanvasSVG(figure).print_svg(folder / name, metadata={"Date": None})
            written.append((title, name))
    return written


def _arms(runs: Runs) -> Figure | None:
    shown = {arm: [r["test"] for r in seeds.values() if "test" in r] for arm, seeds in runs.items()}
    shown = {arm: values for arm, values in shown.items() if values}
    if not shown:
        return None
    figure = Figure(figsize=(7, 0.8 + 0.28 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    for row, values in enumerate(shown.values()):
        axes.plot(values, [row] * len(values), "o", color="0.6", markersize=3)
        axes.plot(np.exp(np.mean(np.log(values))), row, "|", color="C0", markersize=14, markeredgewidth=2)
    axes.set_yticks(range(len(shown)), list(shown))
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="test MSE; bars: geometric means")
    return figure


def _against(cells: dict[str, Runs], names: tuple[str, ...], what: str) -> Figure | None:
    present = [name for name in names if name in cells]
    common = [arm for arm in cells[present[0]] if all(arm in cells[c] for c in present)] if present else []
    if len(present) < 2 or not common:
        return None
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    where = [getattr(CELLS[name], what) for name in present]
    order = np.argsort(where)
    for arm in common:
        logs = [np.log([r["test"] for r in cells[name][arm].values() if "test" in r] or [np.nan]) for name in present]
        middle = np.exp([values.mean() for values in logs])
        axes.plot(np.array(where)[order], middle[order], "o-", markersize=3, label=arm)
    axes.set(xscale="log", yscale="log", xlabel=what, ylabel="test MSE, geometric mean")
    axes.legend(fontsize=7)
    return figure


def _training(runs: Runs) -> Figure | None:
    curves = {arm: seeds[min(seeds)] for arm, seeds in runs.items() if seeds and seeds[min(seeds)].get("looks")}
    curves = {arm: record for arm, record in curves.items() if "lie" in record["looks"][0]}
    if not curves:
        return None
    figure = Figure(figsize=(10, 6), layout="constrained")
    panels: tuple[tuple[str, Callable[[dict[str, Any]], Any], str], ...] = (
        ("validation MSE, projected", lambda look: look["valid"], "log"),
        ("relative Lie derivative", lambda look: look["lie"], "log"),
        ("θ (largest layer)", lambda look: max(look["theta"].values()) if "theta" in look else None, "linear"),
        ("‖[A, W]‖² per entry, by layer", lambda look: list(look["operator"].values()) if "operator" in look else None, "log"),
    )  # fmt: skip
    for axes, (title, read, scale) in zip(figure.subplots(2, 2).ravel(), panels, strict=True):
        for number, (arm, record) in enumerate(curves.items()):
            values = [(look["step"], read(look)) for look in record["looks"]]
            values = [(step, value) for step, value in values if value is not None]
            if values:
                steps, heights = zip(*values, strict=True)
                lines = axes.plot(steps, heights, color=f"C{number % 10}", linewidth=1)
                lines[0].set_label(arm)
        axes.set(title=title, xlabel="step", yscale=scale)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=7)
    return figure
