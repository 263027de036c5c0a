"""What a training step costs with each penalty, in plain training steps, beside the extra forward of REMUL.

Run from the root of the repository, with one thread on a machine that is busy with other things::

    OMP_NUM_THREADS=1 python -m benchmarks.penalties --clock cpu

Each step (forward, loss, backward, SGD) is timed next to plain steps, round after round; the table shows medians of
ratios, results/penalties.json keeps quartiles, versions and the command. Also: the projection of a 1024 × 1024 map on the
equivariant ones, and the growth of the cost of weight penalties with the batch (none).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.models import RIGID, STEERED, Distances, Graph
from benchmarks.record import about, write
from benchmarks.timing import CLOCKS, Clock, Ratio, compare
from equiaudit import Symmetry, intertwiners
from equiaudit.groups import SO, Cyclic
from equiaudit.intertwiners.maps import Hom, commutators
from equiaudit.penalties import AugmentationPenalty, LieDerivativePenalty, OperatorPenalty, ResidualPathwayPrior
from equiaudit.representations import Irreps, Regular, Scalar, Vector

AIMS = {"operator": 1.10, "lie": 2.2, "projection": 1.0}
SPACES = "128x0e+96x1o+64x2e+24x3o+16x1e+2x2o+62x0o"
"""A direct sum of irreps of SO(3) of dimension 1024."""
LIBRARIES = ("torch", "numpy", "e3nn")
Run = Callable[[], Any]


@dataclass(frozen=True)
class Subject:
    """A model with data and its claim; ``weights`` says which weights a weight penalty sees, and as what."""

    name: str
    model: nn.Module
    inputs: Any
    targets: Any
    symmetry: Symmetry
    weights: tuple[tuple[nn.Parameter, Symmetry], ...] = ()


class Channels(nn.Module):
    """Dense maps between scalars and vectors, with gates that keep the symmetry: what relaxation adds to a network."""

    def __init__(self, scalars: int, vectors: int, layers: int) -> None:
        super().__init__()
        self.scalars, width = scalars, scalars + 3 * vectors
        self.maps = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.gates = nn.ModuleList(nn.Linear(scalars, vectors) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        for dense, gate in zip(self.maps, self.gates, strict=True):
            h = dense(x)
            s, v = h[:, : self.scalars], h[:, self.scalars :].unflatten(-1, (-1, 3))
            v = v * torch.sigmoid(gate(s))[..., None]
            x = torch.cat([nn.functional.silu(s), v.flatten(-2)], -1)
        return x


class Pixels(nn.Module):
    """Plain convolutions between regular fields of quarter turns."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        sizes = [1] + [4 * width] * layers
        self.maps = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.maps:
            x = nn.functional.silu(conv(x))
        return x.mean((1, 2, 3))


def channels(name: str, scalars: int, vectors: int, rows: int, layers: int, device: torch.device) -> Subject:
    torch.manual_seed(0)
    rep = scalars * Scalar() + vectors * Vector()
    model = Channels(scalars, vectors, layers).to(device)
    x = torch.randn(rows, scalars + 3 * vectors, device=device)
    claim = Symmetry(SO(3), rep, rep, batch=0)
    return Subject(name, model, x, torch.randn_like(x), claim, tuple((m.weight, claim) for m in model.maps))


def pixels(name: str, width: int, many: int, size: int, device: torch.device) -> Subject:
    torch.manual_seed(0)
    model = Pixels(width, 4).to(device)
    x = torch.randn(many, 1, size, size, device=device)
    reps = ["image"] + [width * Regular()] * 4
    weights = [(m.weight, Symmetry(Cyclic(4), a, b)) for m, (a, b) in zip(model.maps, pairwise(reps), strict=True)]
    claim = Symmetry(Cyclic(4), "image", "invariant", batch=0)
    return Subject(name, model, x, torch.randn(many, device=device), claim, tuple(weights))


def graph(device: torch.device) -> Subject:
    torch.manual_seed(0)
    x = (torch.randn(96, 3, device=device), torch.randn(96, 64, device=device))
    targets = {"positions": torch.randn_like(x[0]), "features": torch.randn_like(x[1])}
    return Subject("EGNN, 96 nodes", Graph().to(device), x, targets, STEERED)


def distances(device: torch.device) -> Subject:
    torch.manual_seed(0)
    x = torch.randn(128, 64, 3, device=device)
    claim = Symmetry(RIGID.group, "points", "invariant", batch=0)
    return Subject("perceptron on distances", Distances(width=1024).to(device), x, torch.randn(128, 8), claim)


def subjects(device: torch.device) -> list[Subject]:
    return [
        channels("channels 32 + 16, 128 rows", 32, 16, 128, 4, device),
        channels("channels 32 + 16, 4096 rows", 32, 16, 4096, 4, device),
        channels("channels 128 + 64, 4096 rows", 128, 64, 4096, 4, device),
        pixels("convolutions, 4 regular fields, 33 pixels", 4, 16, 33, device),
        pixels("convolutions, 16 regular fields, 33 pixels", 16, 8, 33, device),
        graph(device),
        distances(device),
    ]


def squared(output: Any, target: Any) -> Tensor:
    if isinstance(output, dict):
        return sum(((output[k] - target[k]).square().mean() for k in output), torch.zeros(()))
    return (output - target).square().mean()


def steps(subject: Subject) -> tuple[Run, Mapping[str, Run]]:
    """The plain step and the steps with penalties."""
    model, x, y = subject.model, subject.inputs, subject.targets
    optimizer = torch.optim.SGD(model.parameters(), 1e-6)

    def step(loss: Callable[[], Tensor]) -> Run:
        def run() -> None:
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()

        return run

    def forward() -> Any:
        return model(*x) if type(x) is tuple else model(x)

    def on_outputs(penalty: Any) -> Callable[[], Tensor]:
        def loss() -> Tensor:
            output, size = penalty.with_output(model, x, y)
            return squared(output, y) + 0.1 * size

        return loss

    def on_weights(make: Callable[[Symmetry], Any], every: int = 1) -> Callable[[], Tensor]:
        # one penalty for each claim: layers that are alike share it
        shared: dict[str, Any] = {}
        pairs = [(w, shared.setdefault(repr(s), make(s))) for w, s in subject.weights]
        count = [0]

        def loss() -> Tensor:
            total = squared(forward(), y)
            count[0] += 1
            if count[0] % every == 0:
                for weight, penalty in pairs:
                    total = total + every * 0.1 * penalty(weight)
            return total

        return loss

    runs: dict[str, Run] = {}
    if subject.weights:
        runs["operator"] = step(on_weights(OperatorPenalty))
        runs["operator, every 10th"] = step(on_weights(OperatorPenalty, 10))
        if subject.weights[0][0].dim() == 2:
            runs["by generators"] = step(on_weights(by_generators))
            runs["pathway prior"] = step(on_weights(lambda s: ResidualPathwayPrior(s)))
    runs["two forwards"] = step(lambda: squared(forward(), y) + 0.1 * squared(forward(), y))
    runs["remul"] = step(on_outputs(AugmentationPenalty(subject.symmetry)))
    if subject.symmetry.acts.dim:
        runs["lie"] = step(on_outputs(LieDerivativePenalty(subject.symmetry, discrete=None)))
    else:
        runs["residual of a generator"] = step(on_outputs(LieDerivativePenalty(subject.symmetry)))
    return step(lambda: squared(forward(), y)), runs


def by_generators(symmetry: Symmetry) -> Callable[[Tensor], Tensor]:
    """The same penalty from the commutators with each generator, without closed forms."""
    homs: dict[tuple[int, ...], Hom] = {}

    def penalty(weight: Tensor) -> Tensor:
        key = (weight.shape[0], weight.shape[1])
        hom = homs.setdefault(key, Hom(symmetry.acts, symmetry.inputs, symmetry.outputs, key))
        return sum((commutators(a, b, block) for a, b, block in hom.blocks(hom.sorted(weight))), torch.zeros(()))

    return penalty


def measure(subject: Subject, clock: Clock, rounds: int) -> dict[str, Any]:
    """Ratios to the plain step."""
    plain, runs = steps(subject)
    seconds, ratios = compare(clock, plain, runs, rounds, at_least=0.05)
    return {"plain step, s": seconds, "ratios": {name: vars(r) for name, r in ratios.items()}}


def measure_projection(clock: Clock, rounds: int) -> dict[str, Any]:
    """Seconds to project 1024 × 1024 maps, the first time and later."""
    rep = Irreps(SPACES)
    found: dict[str, Any] = {"space": SPACES, "dimension": rep.dim, "maps": intertwiners.dimension(SO(3), rep, rep)}
    for dtype in (torch.float32, torch.float64):
        weight = torch.randn(rep.dim, rep.dim, dtype=dtype, device=clock.device)
        times = [clock.time(lambda w=weight: intertwiners.project(w, rep, rep, SO(3))) for _ in range(rounds)]
        found[str(dtype).removeprefix("torch.")] = {"first, s": times[0], "median, s": sorted(times)[len(times) // 2]}
        projected = intertwiners.project(weight, rep, rep, SO(3))
        left = intertwiners.defect(projected, rep, rep, SO(3)) / weight.square().sum()
        found[str(dtype).removeprefix("torch.")]["defect left, relative"] = float(left)
    return found


def show(results: Mapping[str, Any]) -> Table:
    """One row for each model, one column for each penalty."""
    names = list(dict.fromkeys(n for r in results.values() for n in r["ratios"]))
    table = Table("model", "plain step", *names, title="training steps, in plain steps")
    for name, found in results.items():
        cells = [f"{Ratio(**found['ratios'][n]).median:.2f}" if n in found["ratios"] else "" for n in names]
        table.add_row(name, f"{1e3 * found['plain step, s']:.1f} ms", *cells)
    return table


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run and write results/penalties.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.penalties", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--only", default="", help="models whose name contains this")
    default = Path(__file__).parent / "results" / "penalties.json"
    parser.add_argument("--output", type=Path, default=default)
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    clock, console = Clock(device, options.clock), Console()
    results: dict[str, Any] = {}
    for subject in subjects(device):
        if options.only in subject.name:
            with console.status(subject.name):
                results[subject.name] = measure(subject, clock, options.rounds)
    console.print(show(results))
    projection = measure_projection(clock, options.rounds)
    console.print(f"projection of a {projection['dimension']} x {projection['dimension']} map:", projection)
    record = {
        **about("benchmarks.penalties", arguments, LIBRARIES, device),
        "seed": 0,
        "clock": options.clock,
        "aims": AIMS,
        "steps": results,
        "projection": projection,
    }
    write(record, options.output)
    console.print(f"written to {options.output}")
    return record


if __name__ == "__main__":
    main()
