"""Command line: make the runs that are missing, then write the page.

Run from the root of the repository::

    python -m benchmarks.nbody --preset cpu --jobs 2
    python -m benchmarks.nbody --cell n1000 --arm standard --arm early --seeds 0-3 --out mine
    python -m benchmarks.nbody --report
    python -m benchmarks.nbody --time

Killed at any time, the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import datetime
import os
import shutil
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.nbody import store
from benchmarks.nbody.arms import ARMS
from benchmarks.nbody.cells import CELLS
from benchmarks.nbody.costs import BASELINE, write_costs
from benchmarks.nbody.plan import PRESETS, PRIMARY, TUNING_SEEDS, Part, next_runs, start_of
from benchmarks.nbody.rerun import beside_published
from benchmarks.nbody.setting import Setting, make_setting
from benchmarks.nbody.workers import results, together, work_on
from examples.nbody.data import load


def main() -> None:
    options = _arguments()
    if options.time:
        time_steps(options)
    elif not options.report:
        run(options)
    from benchmarks.nbody.report import write_page

    page = write_page(options.out)
    if options.out.resolve() != store.RESULTS:
        print(*beside_published(options.out), sep="\n")
    print(f"wrote {page}")


def time_steps(options: argparse.Namespace) -> None:
    """Steps of all arms of the primary cell, side by side."""
    if options.out.resolve() == store.RESULTS and (options.arm or options.device != "cpu"):
        raise SystemExit(
            "--time with --arm or --device would replace the published costs: name another folder with --out"
        )
    settings = {
        name: make_setting(CELLS[PRIMARY], arm, 0, **{option: start_of(name, option) for option in arm.grid})
        for name, arm in ARMS.items()
        if not options.arm or name in {BASELINE, *options.arm}
    }
    print(f"wrote {write_costs(options.out, settings, options.device, options.compile)}")


def run(options: argparse.Namespace) -> None:
    """Everything that is missing, until nothing is."""
    parts = _selected(options)
    for clip in {CELLS[part.cell].clip for part in parts}:
        for split in ("train", "valid", "test"):
            load(split, clip)  # once, before several processes ask for it
    began, done = time.perf_counter(), 0
    work = partial(work_on, compiling=options.compile, device=options.device)
    failed: list[str] = []
    while todo := next_runs(parts, _known(options.out)):
        for group, records in results(work, together(todo, options.stack), options.jobs):
            if isinstance(records, Exception):
                failed += [f"{_name(setting)}: {records!r}" for setting in group]
                print(f"{_now()} failed: {failed[-1]}", flush=True)
                continue
            for record in records:
                store.append(record, options.out)
                done += 1
                print(
                    f"{_now()} {done} done, {time.perf_counter() - began:.0f} s: {_name(record['setting'])} rate "
                    f"{record['setting']['options']['rate']:g} valid {record.get('valid', float('nan')):.5f}",
                    flush=True,
                )
        if failed:
            raise SystemExit(f"{len(failed)} runs failed; the others are kept. The same command tries these again.")


def _known(folder: Path) -> dict[str, store.Record]:
    # what is published counts as known where it tunes; reported runs are made again in another folder
    published = [r for r in store.read(store.RESULTS) if r["setting"]["seed"] >= 1000]
    return {record["key"]: record for record in [*published, *store.read(folder)]}


def _selected(options: argparse.Namespace) -> list[Part]:
    parts = list(PRESETS[options.preset])
    if options.cell:
        others = [*PRESETS["gpu"], *PRESETS["smoke"]]
        parts = [
            p for c in options.cell for p in [q for q in parts if q.cell == c] or [q for q in others if q.cell == c]
        ]
    if options.arm:
        planned = {(part.cell, arm): part for part in reversed(parts) for arm in part.arms}
        cells = dict.fromkeys(part.cell for part in parts)
        parts = [replace(planned.get((c, a), Part(c, ())), arms=(a,)) for c in cells for a in options.arm]
    if options.seeds:
        parts = [replace(part, seeds=options.seeds) for part in parts]
    return parts


def _seeds(text: str) -> tuple[int, ...]:
    first, _, last = text.partition("-")
    seeds = tuple(range(int(first), int(last or first) + 1))
    if not seeds or seeds[-1] >= min(TUNING_SEEDS):
        raise argparse.ArgumentTypeError(f"seeds go up, as in 0-3, and stay below {min(TUNING_SEEDS)}; got {text}")
    return seeds


def _name(setting: Setting) -> str:
    return f"{setting['cell']} {setting['arm']} seed {setting['seed']}"


def _now() -> str:
    return datetime.datetime.now().strftime("%H:%M:%S")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nbody", description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="cpu", help="cpu takes about two hours on two cores")
    parser.add_argument("--cell", action="append", choices=CELLS, help="only this cell; may be repeated")
    parser.add_argument("--arm", action="append", choices=ARMS, help="only this arm; may be repeated")
    parser.add_argument("--seeds", type=_seeds, help="instead of the preset's: 3, or 0-15")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes, of one thread each")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--stack", type=int, help="runs that are trained as one stacked network: 16 on a GPU, else 1")
    parser.add_argument("--out", type=Path, default=store.RESULTS, help="folder for records and page")
    parser.add_argument("--report", action="store_true", help="write the page from the records and run nothing")
    parser.add_argument("--time", action="store_true", help="time a step of every arm side by side, and train nothing")
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=shutil.which("g++") is not None,
        help="torch.compile the networks: half the time; needs a C++ compiler",
    )
    options = parser.parse_args()
    options.stack = options.stack or (1 if options.device == "cpu" else 16)
    return options


if __name__ == "__main__":
    main()
