"""Timing side by side: each thing is timed next to a yardstick, round after round, and medians of ratios are kept."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.thread_time}
"""Wall time; or CPU time of this thread, for one thread on a machine that is busy with other things."""


@dataclass(frozen=True)
class Clock:
    """Reads time on a device: waits for what is queued there before each reading."""

    device: torch.device
    kind: str = "wall"

    def __call__(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return CLOCKS[self.kind]()

    def time(self, run: Callable[[], Any], at_least: float = 0.0) -> float:
        """Seconds per call, over as many calls as fill ``at_least`` seconds."""
        calls, start = 0, self()
        while True:
            run()
            calls += 1
            spent = self() - start
            if spent >= at_least:
                return spent / calls


@dataclass(frozen=True)
class Ratio:
    """What one thing costs in units of another: the median over rounds, the quartiles, and seconds of its median round."""

    median: float
    low: float
    high: float
    seconds: float

    def __str__(self) -> str:
        return f"{self.median:.1f}"


def compare(
    clock: Clock,
    yardstick: Callable[[], Any],
    runs: Mapping[str, Callable[[], Any]],
    rounds: int,
    at_least: float = 0.0,
    warm: bool = True,
) -> tuple[float, dict[str, Ratio]]:
    """Seconds of the yardstick, and each run in units of it: A B A C A …, each B over the mean of its two A.

    Drift of the machine hits a run and its neighbours alike and cancels in the ratio. With ``warm`` every run is called
    once before.
    ``at_least``: seconds that each reading lasts; short runs are repeated.
    """
    yardstick()
    for run in runs.values() if warm else ():
        run()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    units: list[float] = []
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            before = clock.time(yardstick, at_least)
            for name, run in runs.items():
                took = clock.time(run, at_least)
                after = clock.time(yardstick, at_least)
                found[name].append((took / ((before + after) / 2), took))
                units.append(before := after)
            gc.collect()
    finally:
        if collecting:
            gc.enable()
    return statistics.median(units), {name: _summary(pairs) for name, pairs in found.items()}


def _summary(pairs: list[tuple[float, float]]) -> Ratio:
    ratios = sorted(r for r, _ in pairs)
    last = len(ratios) - 1
    seconds = statistics.median(s for _, s in pairs)
    return Ratio(statistics.median(ratios), ratios[round(last / 4)], ratios[round(3 * last / 4)], seconds)


def count_forwards(module: nn.Module, run: Callable[[], Any]) -> int:
    """How often the module, or a copy of it, is called during a run."""
    calls = [0]

    def note(*_: Any) -> None:  # a function: deep copies of the module share it
        calls[0] += 1

    handle = module.register_forward_hook(note)
    try:
        run()
    finally:
        handle.remove()
    return calls[0]


def machine(device: torch.device) -> dict[str, Any]:
    """Cores, threads and the kind of device: nothing that names a machine."""
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "device": kind}
