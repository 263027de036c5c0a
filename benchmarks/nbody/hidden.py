"""Where the features of the relaxed network went by the peak of θ: do they carry the declared representation, or another one?

Run from the root of the repository::

    python -m benchmarks.nbody.hidden
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.nbody import store
from benchmarks.nbody.arms import ARMS
from benchmarks.nbody.cells import CELLS
from benchmarks.nbody.plan import PRIMARY, choose
from benchmarks.nbody.setting import Setting, make_setting
from benchmarks.nbody.training import Run, rate_at, update_of
from benchmarks.record import about, write
from equiaudit.relaxation import project
from examples.nbody.claims import TURNS

FILE = "hidden.json"
ARM = "relaxed"
WINDOWS = 256


def fits_at_the_peak(setting: Setting) -> list[dict[str, Any]]:
    """Train to the peak of θ and fit, layer by layer, the map that takes h(x) to h(gx).

    Returns:
        A ``HiddenFit`` for each relaxed layer, as a dict.
    """
    torch.set_num_threads(1)
    run = Run(setting, "cpu")
    update = update_of([run], None)
    assert run.relaxed is not None
    for step in range(run.schedule.total // 2):
        update.rate(1.0 if run.task["constant_rate"] else rate_at(step / run.steps))
        update([run.batch()])
        run.schedule.step()
    assert run.relaxed.theta == 1.0
    some = run.valid[:WINDOWS]
    _, report = project(run.relaxed, "drop", inputs=some.inputs, symmetry=TURNS, confirm=None)
    return [asdict(fit) for fit in report.hidden]


def hidden_table(folder: Path = store.RESULTS) -> list[str]:
    """The fits, as the page shows them."""
    path = folder / FILE
    if not path.exists():
        return []
    rows = [
        f"| {seed} | {fit['name']} | {_shown(fit['declared'])} | {_shown(fit['fitted'])} | {fit['verdict']} | {fit['note']} |"
        for seed, fits in json.loads(path.read_text())["fits"].items()
        for fit in fits
    ]
    return [
        "## The hidden representation at the peak of θ\n",
        f"Arm `{ARM}`: relative residual of h(gx) against the declared map of h(x), and against the best linear map, on windows",
        "held back. Not decided where the input of a layer carries the declared representation: any linear map of it has one.\n",
        "| seed | layer | declared | fitted | verdict | note |",
        "|---" * 6 + "|",
        *rows,
        "",
    ]


def main(arguments: list[str] | None = None) -> None:
    """Fit for the first seeds, with the published settings, and write hidden.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nbody.hidden", description=__doc__.splitlines()[0])
    parser.add_argument("--cell", default=PRIMARY)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--out", type=Path, default=store.RESULTS)
    options = parser.parse_args(arguments)
    if options.cell != PRIMARY and options.out.resolve() == store.RESULTS:
        parser.error(f"the published page has {PRIMARY}: name another folder with --out")
    chosen = choose(options.cell, ARM, {r["key"]: r for r in store.read()})
    fits = {}
    for seed in range(options.seeds):
        fits[str(seed)] = fits_at_the_peak(make_setting(CELLS[options.cell], ARMS[ARM], seed, **chosen))
        print(
            seed,
            *(f"{f['name']}: {f['verdict']} {_shown(f['declared'])} {_shown(f['fitted'])}" for f in fits[str(seed)]),
        )
    record = about("benchmarks.nbody.hidden", arguments, ("torch-equiaudit", "torch"))
    write(record | {"cell": options.cell, "arm": ARM, "windows": WINDOWS, "fits": fits}, options.out / FILE)


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}"


if __name__ == "__main__":
    main()
