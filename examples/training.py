"""Train a relaxed model on charged particles, anneal, project, confirm: ``python -m examples.training``, under a minute.

The task is made on the spot: five charged particles, where they are after one unit of time. It shows the loop, not a benefit: on
this task a tuned model gains nothing from relaxation (see benchmarks/nbody).
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from equiaudit import Audit, ProjectionReport, Relaxed, project, relax, schedules
from examples.heartbeat import heartbeat
from examples.nbody.claims import MOTIONS, ORDER
from examples.nbody.data import Windows, make_windows
from examples.nbody.egnn import EGNN, linear_site

TRAIN, TEST = 600, 400
BATCH = 100
EXAMPLES = 25


def error(model: nn.Module, windows: Windows) -> float:
    """The mean squared error of the positions."""
    with torch.no_grad():
        return float((model(*windows.inputs) - windows.targets).square().mean())


def train(
    model: nn.Module, windows: Windows, steps: int, relaxed: Relaxed | None = None, stop: int | None = None
) -> None:
    """Adam with a cosine rate; with a handle also its penalties and the triangle schedule."""
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    schedule = None
    if relaxed is not None:
        relaxed.check_optimizer(optimizer)
        schedule = schedules.triangle(relaxed, steps)
    draws = torch.Generator().manual_seed(0)
    for _ in range(stop or steps):
        batch = windows[torch.randint(len(windows), (BATCH,), generator=draws)]
        loss = (model(*batch.inputs) - batch.targets).square().mean()
        if relaxed is not None:
            loss = loss + 0.01 * (relaxed.penalty("operator") + relaxed.penalty("magnitude"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
        if schedule is not None:
            schedule.step()


def make(seed: int) -> EGNN:
    """A fresh network."""
    torch.manual_seed(seed)
    return EGNN(layers=2, scalars=16, vectors=8)


def confirm_briefly(model: nn.Module, inputs: Any, symmetry: Any, **options: Any) -> Audit:
    """``confirm_equivariant`` with a quarter of its examples: the demo has a minute for all of it."""
    from equiaudit import confirm_equivariant

    return confirm_equivariant(model, inputs, symmetry, max_examples=EXAMPLES, **options)


def run(
    steps: int = 240, seed: int = 0, confirm: Any = "briefly", say: Callable[[str], None] = lambda doing: None
) -> Iterator[tuple[str, float, ProjectionReport | None]]:
    """Rows of the table as they are done: what was trained, its test error, and the report of its projection."""
    if confirm == "briefly":
        confirm = confirm_briefly if importlib.util.find_spec("hypothesis") else None
    say("simulating")
    windows, test = make_windows(TRAIN, seed=seed), make_windows(TEST, seed=seed + 1)
    say("plain: training")
    plain = make(seed)
    train(plain, windows, steps)
    yield "plain", error(plain, test), None
    few = test[slice(0, 64)].inputs
    for name, method, stop in (
        ("to the end", "drop", steps),
        ("half way", "drop", steps // 2),
        ("half way", "fold", steps // 2),
    ):
        say(f"relaxed, {name}: training")
        relaxed = relax(make(seed), [MOTIONS, ORDER], ["layers.*"], adapters=(linear_site,), init="default")
        train(relaxed.module, windows, steps, relaxed, stop)
        say(f"relaxed, {name}: projecting and auditing")
        model, report = project(
            relaxed, method, inputs=few, metric=lambda m: error(m, test), confirm=confirm if stop == steps else None
        )
        yield f"relaxed, trained {name}, {method}", error(model, test), report


def show(steps: int = 240, seed: int = 0, say: Callable[[str], None] = lambda doing: None) -> None:
    """Print the table, then the report of the run that went to its end."""
    start = time.perf_counter()
    print("charged particles: four trainings, under a minute", flush=True)
    print(f"{'':42} {'relaxed':>9} {'projected':>9}  {'theta':>5}  verdict", flush=True)
    reports = []
    for name, after, report in run(steps, seed, say=say):
        if report is None:
            print(f"{name:42} {'':>9} {after:9.5f}", flush=True)
            continue
        reports.append(report)
        verdict = report.audit_after.verdict.value if report.audit_after else ""
        checked = ", confirmed" if report.confirmed is not None and report.confirmed.passed else ""
        print(f"{name:42} {report.metric_before:9.5f} {after:9.5f}  {report.left:5.2f}  {verdict}{checked}", flush=True)
    print(f"test error of the positions; {time.perf_counter() - start:.0f} s")
    print()
    print(reports[0])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=240, help="of the optimizer (240)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with heartbeat("simulating") as beating:
        show(options.steps, options.seed, beating.begin)


if __name__ == "__main__":
    main()
