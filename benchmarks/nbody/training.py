"""One run: paired data, weights and batches by seed; the model that validation chose, projected; and what was seen on the way."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.nbody.cells import NETWORKS
from benchmarks.nbody.setting import Setting, key_of
from benchmarks.nbody.terms import Remul, WeightTerms, mean_squared_error, operator, turned
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
Compile = Callable[[Callable[..., Tensor]], Callable[..., Tensor]]


def train(setting: Setting, compiled: Compile | None = None, device: str = "cpu") -> dict[str, Any]:
    """Train, project, test.

    Args:
        setting: see ``make_setting``.
        compiled: a compiler for the task loss, or None.
        device: where.

    Returns:
        What becomes the record: errors, curves and times; plain numbers.
    """
    task, options, seed = setting["task"], setting["options"], setting["seed"]
    train_set, valid, test = (load(split, task["clip"]).to(device) for split in ("train", "valid", "test"))
    train_set = subset(train_set, task["samples"], seed)
    torch.manual_seed(seed)  # the same weights in every arm
    model = NETWORKS[task["network"]].build(task["layers"]).to(device)
    relaxed = _relax(model, task["network"], options)
    steps = round(task["steps"] * options["length"])
    schedule = _schedule(relaxed, options, round(steps * options["share"]))
    optimizer = _optimizer(model, relaxed, options)
    loss_of = _loss(model, relaxed, schedule, options, seed, compiled)

    looks: list[dict[str, Any]] = []
    best: tuple[float, dict[str, Tensor]] = (math.inf, {})
    batches, spins = torch.Generator().manual_seed(seed + 1), torch.Generator().manual_seed(seed + 2)
    clock = _Clock()
    folded = None
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = group["top"] * (1.0 if task["constant_rate"] else rate_at(step / steps))
        batch = train_set[torch.randint(len(train_set), (task["batch"],), generator=batches)]
        if options["augment"]:
            batch = turned(batch.to("cpu"), spins).to(device)
        loss = loss_of(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if not math.isfinite(loss_value := float(loss.detach())):
            return _diverged(setting, step)
        if relaxed is not None and schedule is not None and schedule.count < schedule.total:
            clock.pause()
            folded = _before_the_end(relaxed, schedule, options, valid) or folded
            clock.resume()
            schedule.step()
        if (step + 1) % max(1, steps // LOOKS) == 0 or step + 1 == steps:
            clock.pause()
            look = {"step": step + 1, "loss": loss_value} | _look(model, relaxed, valid, options, seed < CURVES)
            looks.append(look)
            if look["valid"] < best[0]:
                best = look["valid"], copy.deepcopy(model.state_dict())
            clock.resume()
    clock.pause()
    last = _projected(model, relaxed, options)
    found = {"test_last": evaluate(last, test)}
    model.load_state_dict(best[1])
    final = _projected(model, relaxed, options)
    found |= {"test": evaluate(final, test), "valid": best[0], "valid_last": looks[-1]["valid"]}
    found |= _symmetry(final, test, seed)
    return {
        "key": key_of(setting),
        "setting": setting,
        **found,
        "looks": looks if seed < CURVES else [],
        "stop": folded,
        "parameters": sum(p.numel() for p in final.parameters()),
        "extra_parameters": sum(p.numel() for p in relaxed.new_parameters()) if relaxed else 0,
        "steps": steps,
        "wall_per_step": clock.wall / steps,
        "cpu_per_step": clock.cpu / steps,
    }


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


def _optimizer(model: nn.Module, relaxed: Relaxed | None, options: dict[str, Any]) -> torch.optim.Optimizer:
    new = relaxed.new_parameters() if relaxed else []
    ids = {id(p) for p in new}
    groups = [{"params": [p for p in model.parameters() if id(p) not in ids], "top": options["rate"]}]
    if new:
        groups.append({"params": new, "top": options["rate"] * options["w_rate"]})
    return torch.optim.AdamW(groups, lr=options["rate"], weight_decay=options["weight_decay"], fused=True)


def _loss(
    model: nn.Module,
    relaxed: Relaxed | None,
    schedule: Any,
    options: dict[str, Any],
    seed: int,
    compiled: Compile | None,
) -> Callable[[nn.Module, Windows], Tensor]:
    if options["anchor"] is not None:
        return Remul(model, options, seed)
    task = compiled(mean_squared_error) if compiled else mean_squared_error
    if relaxed is None:
        return task
    if options["term"] == "activations":

        def on_activations(model: nn.Module, batch: Windows) -> Tensor:
            with relaxed.observe() as seen:
                loss = mean_squared_error(model, batch)
            for term in ("lie", "magnitude"):
                loss = loss + options[term] * sum(seen.penalties(term).values())
            return loss

        return on_activations
    terms = WeightTerms(relaxed, options)
    levels = schedule.penalty if options["theta"] in ("adaptive", "learned") else None

    def on_weights(model: nn.Module, batch: Windows) -> Tensor:
        loss = task(model, batch) + terms()
        return loss if levels is None else loss + levels()

    return on_weights


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


def _diverged(setting: Setting, step: int) -> dict[str, Any]:
    return {"key": key_of(setting), "setting": setting, "diverged": step}


class _Clock:
    def __init__(self) -> None:
        self.wall = self.cpu = 0.0
        self.resume()

    def resume(self) -> None:
        self._at = time.perf_counter(), time.process_time()

    def pause(self) -> None:
        self.wall += time.perf_counter() - self._at[0]
        self.cpu += time.process_time() - self._at[1]
