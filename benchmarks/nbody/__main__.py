"""Command line: make the runs that are missing, then write the page.

Run from the root of the repository::

    python -m benchmarks.nbody --preset cpu --jobs 2
    python -m benchmarks.nbody --cell n1000 --arm standard --arm early --seeds 0-3 --out mine
    python -m benchmarks.nbody --report

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
from benchmarks.nbody.plan import PRESETS, Part, next_runs
from benchmarks.nbody.workers import results, work_on
from examples.nbody.data import load


def main() -> None:
    options = _arguments()
    if not options.report:
        run(options)
    from benchmarks.nbody.report import write_page

    print(f"wrote {write_page(options.out)}")


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
        for setting, record in results(work, todo, options.jobs):
            if isinstance(record, Exception):
                failed.append(f"{setting['cell']} {setting['arm']} seed {setting['seed']}: {record!r}")
                print(f"{_now()} failed: {failed[-1]}", flush=True)
                continue
            store.append(record, options.out)
            done += 1
            print(
                f"{_now()} {done} done, {time.perf_counter() - began:.0f} s: {setting['cell']} {setting['arm']} seed "
                f"{setting['seed']} rate {setting['options']['rate']:g} valid {record.get('valid', float('nan')):.5f}",
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
        by_cell = {part.cell: part for part in (*PRESETS["gpu"], *PRESETS["smoke"], *parts)}
        parts = [by_cell[cell] for cell in options.cell]
    if options.arm:
        parts = [replace(part, arms=tuple(options.arm)) for part in parts]
    if options.seeds:
        parts = [replace(part, seeds=options.seeds) for part in parts]
    return parts


def _seeds(text: str) -> tuple[int, ...]:
    first, _, last = text.partition("-")
    return tuple(range(int(first), int(last or first) + 1))


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
    parser.add_argument("--out", type=Path, default=store.RESULTS, help="folder for records and page")
    parser.add_argument("--report", action="store_true", help="write the page from the records and run nothing")
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=shutil.which("g++") is not None,
        help="torch.compile the networks: half the time; needs a C++ compiler",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
