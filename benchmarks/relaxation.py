"""What relaxing a model costs: a training step with W, and with W and its penalties, in plain training steps; parameters.

Run from the root of the repository, with one thread on a machine that is busy with other things::

    OMP_NUM_THREADS=1 python -m benchmarks.relaxation --clock cpu

Each step (forward, loss, backward, Adam) is timed next to plain steps, round after round; results/relaxation.json keeps
medians and quartiles of the ratios, versions and the command.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from benchmarks.record import about, write
from benchmarks.timing import CLOCKS, Clock, compare
from equiaudit import Relaxed, Symmetry, relax
from equiaudit.groups import O
from equiaudit.relaxation.vector_neurons import VNBatchNorm, VNInvariant, VNLeakyReLU, VNLinear
from examples.nbody.claims import TURNS
from examples.nbody.egnn import EGNN, linear_site

LIBRARIES = ("torch", "numpy", "e3nn", "escnn")


@dataclass(frozen=True)
class Subject:
    """A model, positional inputs, and how it is relaxed."""

    name: str
    model: nn.Module
    inputs: tuple[Any, ...]
    symmetry: Symmetry | None
    layers: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


def subjects(device: torch.device) -> Iterator[Subject]:
    """Vector neurons, the networks of the charged particles, and a steerable convolutional network."""
    torch.manual_seed(0)
    vectors = nn.Sequential(
        *(VNLinear(16, 64), VNBatchNorm(64), VNLeakyReLU(64), VNLinear(64, 64), VNLeakyReLU(64), VNLinear(64, 64)),
        VNInvariant(64),
    )
    yield Subject("vector neurons, 1024 rows", vectors, (torch.randn(1024, 16, 3),), Symmetry(O(3)))
    for batch in (50, 500):
        five = torch.randn(batch, 5, 3), torch.randn(batch, 5, 3), torch.randn(batch, 5).sign()
        adapters = {"adapters": (linear_site,)}
        yield Subject(f"EGNN, {batch} systems", EGNN(), five, TURNS, "layers.*.self_connection", adapters)
    if importlib.util.find_spec("e3nn"):
        from examples.nbody.segnn import SEGNN

        yield Subject("SEGNN on e3nn, 500 systems", SEGNN(), five, TURNS, "layers.*.self_connection")
    if importlib.util.find_spec("escnn"):
        from escnn import gspaces
        from escnn import nn as enn

        space = gspaces.rot2dOnR2(4)
        one, many = enn.FieldType(space, [space.trivial_repr]), enn.FieldType(space, 8 * [space.regular_repr])
        network = enn.SequentialModule(
            *(enn.R2Conv(one, many, 5, padding=2), enn.ReLU(many), enn.R2Conv(many, many, 5, padding=2)),
            *(enn.ReLU(many), enn.R2Conv(many, one, 5, padding=2)),
        )
        x = one(torch.randn(8, 1, 33, 33).to(device))
        yield Subject("escnn C4, 8 regular fields, 8 images of 33 pixels", network, (x,), Symmetry.of(network))


def step_of(model: nn.Module, inputs: tuple[Any, ...], extra: Callable[[], Any] = lambda: 0.0) -> Callable[[], None]:
    """One training step on the mean square of the output."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-6)

    def run() -> None:
        optimizer.zero_grad()
        output = model(*inputs)
        (getattr(output, "tensor", output).square().mean() + extra()).backward()
        optimizer.step()

    return run


def measure(subject: Subject, clock: Clock, rounds: int) -> dict[str, Any]:
    """Ratios to the plain step, and how many parameters W adds."""

    def relaxed() -> Relaxed:
        found = relax(
            copy.deepcopy(plain), subject.symmetry, subject.layers, init="normal(1e-4)", check=False, **subject.options
        )
        found.theta = 0.5
        return found

    device = clock.device
    plain = subject.model.to(device)
    inputs = tuple(x.to(device) for x in subject.inputs)
    bare, both = relaxed(), relaxed()
    runs = {
        "relaxed": step_of(bare.module, inputs),
        "relaxed, both penalties": step_of(
            both.module, inputs, lambda: both.penalty("operator") + both.penalty("magnitude")
        ),
    }
    seconds, ratios = compare(clock, step_of(plain, inputs), runs, rounds, at_least=0.05)
    return {
        "plain step, s": seconds,
        "parameters": sum(p.numel() for p in plain.parameters()),
        "parameters of W": sum(p.numel() for p in bare.new_parameters()),
        "relaxed layers": list(bare.thetas),
        "ratios": {name: vars(r) for name, r in ratios.items()},
    }


def show(results: dict[str, dict[str, Any]]) -> Table:
    """One row for each model."""
    table = Table("model", "plain step", "relaxed", "both penalties", "parameters", "of W", title="in plain steps")
    for name, found in results.items():
        ratios = [f"{r['median']:.2f}" for r in found["ratios"].values()]
        counts = [f"{found[k]:,}" for k in ("parameters", "parameters of W")]
        table.add_row(name, f"{1e3 * found['plain step, s']:.1f} ms", *ratios, *counts)
    return table


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run and write results/relaxation.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relaxation", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--only", default="", help="models whose name contains this")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "relaxation.json")
    options = parser.parse_args(arguments)
    device, console = torch.device(options.device), Console(width=120)
    clock = Clock(device, options.clock)
    results = {s.name: measure(s, clock, options.rounds) for s in subjects(device) if options.only in s.name}
    console.print(show(results))
    record = {
        **about("benchmarks.relaxation", arguments, LIBRARIES, device),
        "seed": 0,
        "clock": options.clock,
        "steps": results,
    }
    write(record, options.output)
    console.print(f"written to {options.output}")
    return record


if __name__ == "__main__":
    main()
