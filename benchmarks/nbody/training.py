"""One run: paired data, weights and batches by seed; the model that validation chose, projected; and what was seen on the way."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.nbody.cells import NETWORKS
from benchmarks.nbody.setting import Setting, key_of
from benchmarks.nbody.terms import mean_squared_error, operator, turned
from benchmarks.nbody.updates import Alone, Compile, Learner, Stacked
from equiaudit import audit, lie_derivative
from equiaudit.relaxation import Relaxed, project, relax, schedules
from examples.nbody.claims import MOTIONS, TURNS
from examples.nbody.data import Windows, load

LOOKS = 10
"""Times that a run is validated; the last is at its end."""
WARM_UP = 0.05
CHUNK = 500
CURVES = 4
"""Seeds below this keep what was seen on the way."""


def train(setting: Setting, compiled: Compile | None = None, device: str = "cpu") -> dict[str, Any]:
    """Train, project, test.

    Args:
        setting: see ``make_setting``.
        compiled: a compiler for the task loss, or None.
        device: where.

    Returns:
        What becomes the record: errors, curves and times; plain numbers.
    """
    return train_together([setting], compiled, device)[0]


def train_together(
    settings: Sequence[Setting], compiled: Compile | None = None, device: str = "cpu"
) -> list[dict[str, Any]]:
    """Train runs that differ in their seed alone as one stacked model; one run by itself as it is.

    Raises:
        ValueError: settings that differ in more than the seed, or that can't be stacked.
    """
    runs = [Run(setting, device) for setting in settings]
    first = runs[0]
    clock = _Clock()
    update = update_of(runs, compiled)
    for step in range(first.steps):
        constant = first.task["constant_rate"]
        update.rate(1.0 if constant else rate_at(step / first.steps))
        losses = update([run.batch() for run in runs])
        with clock.paused():
            for run, loss in zip(runs, losses, strict=True):
                run.after(step, loss)
        if all(run.diverged is not None for run in runs):
            break
    clock.pause()
    spent = {
        "steps": first.steps,
        "wall_per_step": clock.wall / first.steps / len(runs),
        "cpu_per_step": clock.cpu / first.steps / len(runs),
    }
    return [run.record(spent) for run in runs]


class Run:
    """One seed: its windows, weights and schedule, and what was seen on the way."""

    def __init__(self, setting: Setting, device: str) -> None:
        self.setting, self.device = setting, device
        self.task, self.options, self.seed = setting["task"], setting["options"], setting["seed"]
        splits = (load(split, self.task["clip"]).to(device) for split in ("train", "valid", "test"))
        pool, self.valid, self.test = splits
        self.windows = subset(pool, self.task["samples"], self.seed)
        torch.manual_seed(self.seed)  # the same weights in every arm
        self.model = NETWORKS[self.task["network"]].build(self.task["layers"]).to(device)
        self.relaxed = _relax(self.model, self.task["network"], self.options)
        self.steps = round(self.task["steps"] * self.options["length"])
        self.schedule = _schedule(self.relaxed, self.options, round(self.steps * self.options["share"]))
        self.batches = torch.Generator().manual_seed(self.seed + 1)
        self.spins = torch.Generator().manual_seed(self.seed + 2)
        self.looks: list[dict[str, Any]] = []
        self.best: tuple[float, dict[str, Tensor]] = (math.inf, {})
        self.stop: dict[str, Any] | None = None
        self.diverged: int | None = None

    def batch(self) -> Windows:
        """The next one."""
        drawn = torch.randint(len(self.windows), (self.task["batch"],), generator=self.batches)
        batch = self.windows[drawn]
        return turned(batch.to("cpu"), self.spins).to(self.device) if self.options["augment"] else batch

    def after(self, step: int, loss: float) -> None:
        """θ moves on, and ten times a run its projected model is validated."""
        if self.diverged is not None:
            return
        if not math.isfinite(loss):
            self.diverged = step
            return
        relaxed, schedule = self.relaxed, self.schedule
        if relaxed is not None and schedule is not None and schedule.count < schedule.total:
            self.stop = _before_the_end(relaxed, schedule, self.options, self.valid) or self.stop
            schedule.step()
        if (step + 1) % max(1, self.steps // LOOKS) == 0 or step + 1 == self.steps:
            seen = _look(self.model, relaxed, self.valid, self.options, self.seed < CURVES)
            if not math.isfinite(seen["valid"]):
                self.diverged = step
                return
            self.looks.append({"step": step + 1, "loss": loss} | seen)
            if seen["valid"] < self.best[0]:
                self.best = seen["valid"], {k: v.clone() for k, v in self.model.state_dict().items()}

    def record(self, spent: dict[str, Any]) -> dict[str, Any]:
        """The model that validation chose, projected, and its test error."""
        if self.diverged is not None:
            return {"key": key_of(self.setting), "setting": self.setting, "diverged": self.diverged}
        last = _projected(self.model, self.relaxed, self.options)
        found = {"test_last": evaluate(last, self.test)}
        self.model.load_state_dict(self.best[1])
        final = _projected(self.model, self.relaxed, self.options)
        found |= {"test": evaluate(final, self.test), "valid": self.best[0], "valid_last": self.looks[-1]["valid"]}
        found |= _symmetry(final, self.test, self.seed)
        return {
            "key": key_of(self.setting),
            "setting": self.setting,
            **found,
            "looks": self.looks if self.seed < CURVES else [],
            "stop": self.stop,
            "parameters": sum(p.numel() for p in final.parameters()),
            "extra_parameters": sum(p.numel() for p in self.relaxed.new_parameters()) if self.relaxed else 0,
            **spent,
        }


def update_of(runs: Sequence[Run], compiled: Compile | None) -> Alone | Stacked:
    """What makes a step of all runs."""
    learners = [Learner(run.model, run.relaxed, run.schedule, run.options, run.seed) for run in runs]
    return Alone(learners[0], compiled) if len(runs) == 1 else Stacked(learners, compiled)


def subset(windows: Windows, count: int, seed: int) -> Windows:
    """The windows that a seed trains on."""
    order = torch.randperm(len(windows), generator=torch.Generator().manual_seed(seed))
    return windows[order[:count].to(windows.charges.device)]


def rate_at(t: float) -> float:
    """The learning rate at a share t of the training over its top: a linear rise, then half a cosine down to 0."""
    return t / WARM_UP if t < WARM_UP else 0.5 + 0.5 * math.cos(math.pi * (t - WARM_UP) / (1 - WARM_UP))


@torch.no_grad()
def evaluate(model: nn.Module, windows: Windows) -> float:
    """The mean squared error."""
    total = 0.0
    for first in range(0, len(windows), CHUNK):
        part = windows[first : first + CHUNK]
        total += float(mean_squared_error(model, part)) * len(part)
    return total / len(windows)


def _relax(model: nn.Module, network: str, options: dict[str, Any]) -> Relaxed | None:
    if not options["relax"]:
        return None
    known = NETWORKS[network]
    learned = 1.0 if options["theta"] in ("adaptive", "learned") else None
    return relax(
        model, TURNS, known.relaxed, init=options["init"], adapters=known.adapters, learned=learned, check=False
    )  # type: ignore[arg-type]


def _schedule(relaxed: Relaxed | None, options: dict[str, Any], total: int) -> Any:
    if relaxed is None:
        return None
    kind = options["theta"]
    if kind == "kept":
        relaxed.theta = 1.0
        return None
    if kind == "adaptive":
        return schedules.dual_ascent(relaxed, total, rate=options["pull"])
    if kind == "learned":
        return schedules.learned(relaxed, total, pull=options["pull"])
    return {"triangle": schedules.triangle, "constant": schedules.constant}[kind](relaxed, total)


def _before_the_end(relaxed: Relaxed, schedule: Any, options: dict[str, Any], valid: Windows) -> dict[str, Any] | None:
    """At the peak of θ, what relaxed, dropped and folded models would score; where W is folded at the end, do it."""
    at_peak = options["theta"] == "triangle" and schedule.count == schedule.total // 2
    at_end = schedule.count == schedule.total - 1 and options["theta"] == "constant"
    if not (at_peak or at_end):
        return None
    few = valid[:8]
    found: dict[str, Any] = {"theta": relaxed.theta, "relaxed": evaluate(relaxed.module, valid)}
    for method in ("drop", "fold"):
        model, report = project(relaxed, method, inputs=few.inputs, symmetry=[], confirm=None)
        found[method] = evaluate(model, valid)
        found[f"{method}_change"], found[f"{method}_bound"] = report.change, report.bound
    if at_end and options["project"] == "fold":
        with torch.no_grad():
            for name, relaxation in relaxed.relaxations.items():
                layer = relaxed.layer(name)
                part = relaxation.site.equivariant_part(layer, relaxation.weight)
                relaxation.site.fold(layer, relaxation.strength() * part)  # type: ignore[misc]
    return found


def _look(
    model: nn.Module, relaxed: Relaxed | None, valid: Windows, options: dict[str, Any], closely: bool
) -> dict[str, Any]:
    found: dict[str, Any] = {"lie": relative_derivative(model, valid[:16])} if closely else {}
    if relaxed is None:
        return found | {"valid": evaluate(model, valid)}
    with relaxed.at(theta=relaxed.theta if options["theta"] == "kept" else 0.0):
        found["valid"] = evaluate(model, valid)
    if not closely:
        return found
    found["relaxed"] = evaluate(model, valid)
    found["theta"] = {name: float(r.strength().detach()) for name, r in relaxed.relaxations.items()}
    found["norm"] = {name: float(r.weight.detach().norm()) for name, r in relaxed.relaxations.items()}
    found["operator"] = {name: float(operator(r.site)(r.weight.detach())) for name, r in relaxed.relaxations.items()}
    return found


def relative_derivative(model: nn.Module, windows: Windows) -> float:
    """RMS of the Lie derivative along turns over the RMS of what the network adds to free motion."""
    moved = lie_derivative(model, windows.inputs, TURNS)
    with torch.no_grad():
        free = windows.positions + windows.velocities
        size = (model(*windows.inputs) - free).square().mean().sqrt()
    return float(moved.square().mean().sqrt() / size) if size > 0 else 0.0  # before the first step nothing is added


def _projected(model: nn.Module, relaxed: Relaxed | None, options: dict[str, Any]) -> nn.Module:
    if relaxed is None or options["theta"] == "kept":
        return model
    return project(relaxed, "drop", confirm=None)[0]  # what is to be folded was folded before


def _symmetry(model: nn.Module, windows: Windows, seed: int) -> dict[str, Any]:
    again = turned(windows.to("cpu"), torch.Generator().manual_seed(seed)).to(windows.positions.device)
    found: dict[str, Any] = {"test_turned": evaluate(model, again), "lie": relative_derivative(model, windows[:16])}
    if seed == 0:
        found["verdict"] = str(audit(model, windows[:4].inputs, MOTIONS, effort="quick").verdict)
    return found


class _Clock:
    def __init__(self) -> None:
        self.wall = self.cpu = 0.0
        self.resume()

    def resume(self) -> None:
        self._at = time.perf_counter(), time.process_time()

    @contextmanager
    def paused(self) -> Iterator[None]:
        self.pause()
        yield
        self.resume()

    def pause(self) -> None:
        self.wall += time.perf_counter() - self._at[0]
        self.cpu += time.process_time() - self._at[1]
