"""What a training step costs: every arm beside the plain one in a single run, and whether stacking seeds pays."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.nbody import store
from benchmarks.nbody.arms import ARMS, DEFAULTS
from benchmarks.nbody.setting import Setting
from benchmarks.nbody.training import Run, update_of
from benchmarks.nbody.updates import compiles
from benchmarks.nbody.workers import compiler
from benchmarks.record import about, write
from benchmarks.timing import Clock, compare

FILE = "costs.json"
BASELINE = "standard"
STACKED = ("standard", "relaxed")
COUNTS = (4, 16)
Costs = dict[str, Any]


def measure(settings: dict[str, Setting], device: str, compiling: bool, rounds: int) -> Costs:
    """Ratios of steps to the plain one and, for stacked runs, of a step per seed to a step of one run alone.

    Args:
        settings: of each arm, the plain one among them.
        device: where.
        compiling: whether networks are compiled.
        rounds: of which medians and quartiles are kept.
    """
    torch.set_num_threads(1)
    clock = Clock(torch.device(device), "cpu" if device == "cpu" else "wall")
    steps = {arm: _step([setting], device, compiling) for arm, setting in settings.items()}
    plain = steps.pop(BASELINE)
    seconds, arms = compare(clock, plain, steps, rounds, at_least=0.05)
    stacked: dict[str, dict[str, Any]] = {}
    for arm in (a for a in STACKED if a in settings):
        alone = _step([settings[arm]], device, compiling)
        groups = {
            str(n): _step([settings[arm] | {"seed": seed} for seed in range(n)], device, compiling) for n in COUNTS
        }
        _, found = compare(clock, alone, groups, rounds, at_least=0.05)
        stacked[arm] = {n: {k: v / int(n) for k, v in vars(ratio).items()} for n, ratio in found.items()}
    return {
        "clock": clock.kind,
        "compiled": compiling,
        "rounds": rounds,
        "network": network_of(settings[BASELINE]),
        "plain step, s": seconds,
        "arms": {arm: vars(ratio) for arm, ratio in arms.items()},
        "stacked, a seed": stacked,
    }


def write_costs(folder: Path, settings: dict[str, Setting], device: str, compiling: bool, rounds: int = 7) -> Path:
    """Measure and keep them in ``costs.json``, beside the records."""
    measured = measure(settings, device, compiling, rounds)
    head = about("benchmarks.nbody", None, ("torch-equiaudit", "torch", "numpy", "e3nn"), device)
    write(head | {"seeds": "from 0"} | measured, folder / FILE)
    return folder / FILE


def read_costs(folder: Path = store.RESULTS) -> Costs | None:
    """What was measured, or None."""
    path = folder / FILE
    return json.loads(path.read_text()) if path.exists() else None


def network_of(setting: Setting) -> str:
    """The network and its depth."""
    return f"{setting['task']['network']}-{setting['task']['layers']}"


def costs_table(costs: Costs | None) -> list[str]:
    """Time per step by arm, and whether stacking pays."""
    if costs is None:
        return []
    plain = costs["plain step, s"]
    arms = [f"| {BASELINE} | {1e3 * plain:.1f} | 1 |"]
    for arm, found in costs["arms"].items():
        eager = "" if compiles(DEFAULTS | ARMS[arm].fixed) else " °"
        arms.append(f"| {arm}{eager} | {1e3 * plain * found['median']:.1f} | {_ratio(found)} |")
    rows = [
        f"| {arm} | {n} | {_ratio(found)} |"
        for arm, counts in costs["stacked, a seed"].items()
        for n, found in counts.items()
    ]
    kind = {"cpu": "CPU time", "wall": "Wall time"}[costs["clock"]]
    how = "compiled, but for arms marked °" if costs["compiled"] else "eager"
    return [
        "## Time per step\n",
        f"{kind} of a training step of {costs['network']} on {costs['machine']['device']}, each beside a step of `{BASELINE}`: "
        f"median and quartiles of {costs['rounds']} rounds; {how}.\n",
        "| arm | ms | over the plain step |",
        "|---" * 3 + "|",
        *arms,
        "",
        "Seeds stacked into one network (`--stack`): time for each seed over that of a run alone. Below 1 it pays.\n",
        "| arm | seeds together | time a seed |",
        "|---" * 3 + "|",
        *rows,
        "",
    ]


def _ratio(found: dict[str, float]) -> str:
    return f"{found['median']:.2f} ({found['low']:.2f} … {found['high']:.2f})"


def _step(settings: Sequence[Setting], device: str, compiling: bool) -> Callable[[], object]:
    runs = [Run(setting, device) for setting in settings]
    for run in runs:
        if run.relaxed is not None:
            run.relaxed.theta = 0.5  # in the middle of its training
    update = update_of(runs, compiler() if compiling else None)
    return lambda: update([run.batch() for run in runs])
