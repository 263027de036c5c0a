"""What is run: presets, the search for the settings of each arm on seeds of its own, and the runs that are reported."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.nbody.arms import ARMS, DEFAULTS
from benchmarks.nbody.cells import CELLS
from benchmarks.nbody.setting import Setting, key_of, make_setting
from benchmarks.nbody.store import Record

TUNING_SEEDS = (1000, 1001, 1002, 1003)
"""Never among the reported ones. Only validation errors are read here."""
PRIMARY = "n1000"
"""Where all settings of an arm are searched; other cells search the learning rate again and keep the rest."""
FREE = tuple(name for name, arm in ARMS.items() if arm.fixed.get("network") == "transformer")
REMUL = tuple(name for name in FREE if ARMS[name].fixed.get("anchor"))
EXACT = tuple(name for name in ARMS if name not in FREE)
LATE = tuple(name for name, arm in ARMS.items() if arm.late)
ABLATIONS = tuple(name for name in EXACT if name not in LATE)
CORE = ("standard", "decay", "longer", "relaxed", "early", "w-rate", "learned")
EIGHT = tuple(range(8))
MAIN = ("standard", "decay", "relaxed", "early", "learned")


@dataclass(frozen=True)
class Part:
    """Arms and seeds of one cell."""

    cell: str
    arms: tuple[str, ...]
    seeds: tuple[int, ...] = tuple(range(16))


PRESETS: dict[str, tuple[Part, ...]] = {
    "smoke": (Part("smoke", ("standard", "early"), (0, 1)),),
    "cpu": (
        Part(PRIMARY, CORE + tuple(arm for arm in ABLATIONS if arm not in CORE)),
        Part("low-rate", ("standard", "decay", "longer", "relaxed", "early", "fold"), EIGHT),
        Part("n300", MAIN),
        Part("n3000", MAIN),
        Part(PRIMARY, LATE),
        Part(PRIMARY, tuple(arm for arm in FREE if arm not in REMUL), EIGHT),
        Part(PRIMARY, REMUL, tuple(range(3))),
    ),
}
PRESETS["night"] = (
    *PRESETS["cpu"],
    Part("segnn", ("standard", "relaxed")),
    Part("deep", ("standard", "relaxed"), EIGHT),
    Part("component", ("standard", "relaxed"), EIGHT),
)
PRESETS["gpu"] = (
    Part(PRIMARY, tuple(ARMS)),
    Part("n3000", CORE),
    Part("n300", CORE),
    Part("low-rate", CORE),
    Part("deep", CORE),
    Part("component", CORE),
    Part("segnn", CORE),
    Part("segnn-deep", CORE),
    Part("n9000", CORE),
)

Chosen = dict[str, Any]
Known = Mapping[str, Record]


@dataclass(frozen=True)
class Missing(Exception):
    """Runs that have to be made before the next step of the search."""

    settings: tuple[Setting, ...]


def tuning_seeds(cell: str, arm: str) -> tuple[int, ...]:
    """Four for the exact networks of the primary cell, where all is searched, and of the deep one, where two misled; else two.

    REMUL, the slowest, has one.
    """
    if cell == "smoke" or arm in REMUL:
        return TUNING_SEEDS[:1]
    return TUNING_SEEDS if cell == "deep" or (cell == PRIMARY and arm in ABLATIONS) else TUNING_SEEDS[:2]


def choose(name: str, arm: str, known: Known) -> Chosen:
    """The settings of an arm in a cell, from validation on the tuning seeds, one setting after another.

    Raises:
        Missing: with the runs that it needs first.
    """
    cell, grid, seeds = CELLS[name], ARMS[arm].grid, tuning_seeds(name, arm)
    inherited: Chosen = {}
    if name not in (PRIMARY, "smoke"):
        inherited = choose(PRIMARY, arm, known)
        grid = {"rate": cell.rates or grid["rate"]}
    if cell.rate is not None:  # the cell's own
        return {option: value for option, value in inherited.items() if option != "rate"}
    found = {**{option: start_of(arm, option) for option in grid}, **inherited}  # where the search begins
    for option, values in grid.items():
        tried = {v: [make_setting(cell, ARMS[arm], s, **(found | {option: v})) for s in seeds] for v in values}
        missing = [s for settings in tried.values() for s in settings if key_of(s) not in known]
        if missing:
            raise Missing(tuple(missing))
        found[option] = min(values, key=lambda v: sum(_log_error(known[key_of(s)]) for s in tried[v]))
    return found


def settings_of(part: Part, arm: str, known: Known) -> list[Setting]:
    """The reported runs of an arm, in the order of seeds."""
    chosen = choose(part.cell, arm, known)
    return [make_setting(CELLS[part.cell], ARMS[arm], seed, **chosen) for seed in part.seeds]


def next_runs(parts: Iterable[Part], known: Known) -> list[Setting]:
    """Runs that can be made now: those of the search where it is not over, else one seed after another for all arms."""
    for part in parts:
        search, report = [], []
        for arm in part.arms:
            try:
                report.append(settings_of(part, arm, known))
            except Missing as missing:
                search += missing.settings
        rows = [s for row in zip(*report, strict=True) for s in row] if report else []
        todo = list(_new(search or rows, known))
        if todo:
            return todo
    return []


def _new(settings: Iterable[Setting], known: Known) -> Iterator[Setting]:
    seen = set(known)
    for setting in settings:
        key = key_of(setting)
        if key not in seen:
            seen.add(key)
            yield setting


def start_of(arm: str, name: str) -> Any:
    """Where the search for an option begins: the middle of its grid, unless the arm itself says."""
    values = ARMS[arm].grid[name]
    return ARMS[arm].fixed.get(name, values[len(values) // 2] if name != "rate" else DEFAULTS["rate"])


def _log_error(record: Record) -> float:
    return math.log(record["valid"]) if "valid" in record else math.inf
