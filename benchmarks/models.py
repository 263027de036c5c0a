"""Models, inputs and claims whose audits are timed: large ones, where compute dominates, and small ones."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from equiaudit import Symmetry
from equiaudit.groups import Cyclic, E, O

RIGID = Symmetry(E(3), inputs="points", outputs="invariant")
FORCES = Symmetry(
    E(3),
    inputs={"positions": "points", "species": None, "batch": None},
    outputs={"energy": "invariant", "forces": "vector"},
)
STEERED = Symmetry(E(3), inputs=("points", None), outputs={"positions": "points", "features": "invariant"})
TURNS = Symmetry(Cyclic(4), inputs="image", outputs="image")

Built = tuple[nn.Module, Any, Symmetry]


@dataclass(frozen=True)
class Subject:
    """A model to be timed: ``build(device)`` gives model, inputs and claim; ``expected`` is the right verdict."""

    name: str
    build: Callable[[torch.device], Built]
    expected: str = "EXACT"
    needs: tuple[str, ...] = ()

    @property
    def available(self) -> bool:
        """Whether the libraries it needs are installed."""
        return all(importlib.util.find_spec(name) for name in self.needs)


class Graph(nn.Module):
    """E(n)-equivariant message passing on all pairs (Satorras et al. 2021): distances in, moved positions out."""

    def __init__(self, width: int = 64, layers: int = 4) -> None:
        super().__init__()

        def perceptron(inner: int, outer: int) -> nn.Sequential:
            return nn.Sequential(nn.Linear(inner, width), nn.SiLU(), nn.Linear(width, outer))

        self.edge = nn.ModuleList(perceptron(2 * width + 1, width) for _ in range(layers))
        self.node = nn.ModuleList(perceptron(2 * width, width) for _ in range(layers))
        self.pull = nn.ModuleList(perceptron(width, 1) for _ in range(layers))

    def forward(self, positions: Tensor, features: Tensor) -> dict[str, Tensor]:
        n = len(positions)
        for edge, node, pull in zip(self.edge, self.node, self.pull, strict=True):
            lines = positions[:, None] - positions  # [n, n, 3]
            square = lines.square().sum(-1, keepdim=True)
            pair = torch.cat([features[:, None].expand(n, n, -1), features.expand(n, n, -1), square], -1)
            messages = edge(pair)
            positions = positions + (lines / (1 + square) * pull(messages)).mean(1)
            features = features + node(torch.cat([features, messages.mean(1)], -1))
        return {"positions": positions, "features": features}


class Distances(nn.Module):
    """A perceptron on the sorted distances from the centroid: large matrix products, and invariant."""

    def __init__(self, points: int = 64, width: int = 2048, layers: int = 4) -> None:
        super().__init__()
        sizes = [points] + [width] * layers
        blocks = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.Tanh())]
        self.body = nn.Sequential(*blocks, nn.Linear(width, 8))

    def forward(self, points: Tensor) -> Tensor:
        """[clouds, points, 3] -> [clouds, 8]."""
        return self.body((points - points.mean(-2, keepdim=True)).norm(dim=-1))


class Transformer(nn.Module):
    """A transformer without positional encoding on the centred points: exact under shifts, and under nothing else."""

    def __init__(self, width: int = 128, layers: int = 4) -> None:
        super().__init__()
        self.lift = nn.Linear(3, width)
        block = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, batch_first=True)
        self.body = nn.TransformerEncoder(block, layers, enable_nested_tensor=False)
        self.out = nn.Linear(width, 8)

    def forward(self, points: Tensor) -> Tensor:
        """[clouds, points, 3] -> [clouds, 8]."""
        return self.out(self.body(self.lift(points - points.mean(-2, keepdim=True))).mean(-2))


class PlainCNN(nn.Module):
    """Convolutions with kernels that no turn leaves alone."""

    def __init__(self, width: int = 32, layers: int = 4) -> None:
        super().__init__()
        sizes = [3] + [width] * layers
        blocks = [m for a, b in pairwise(sizes) for m in (nn.Conv2d(a, b, 3, padding=1), nn.SiLU())]
        self.body = nn.Sequential(*blocks, nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        return self.body(image)


def placed(model: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The model for evaluation on a device in a dtype."""
    return model.eval().to(device, dtype)


def potential(device: torch.device) -> Built:
    """The demo's e3nn potential with forces, on a cloud of 64 atoms as dense as a liquid."""
    from examples.models.potential import Potential

    torch.manual_seed(0)
    grid = torch.cartesian_prod(*[torch.arange(4.0)] * 3) * 1.8
    positions = grid + 0.2 * torch.randn(grid.shape)
    inputs = {
        "positions": positions.to(device),
        "species": torch.randint(1, 9, (len(grid),), device=device),
        "batch": torch.zeros(len(grid), dtype=torch.long, device=device),
    }
    return placed(Potential(), device, torch.float32), inputs, FORCES


def product(device: torch.device) -> Built:
    """One tensor product of e3nn on 16 rows: what a unit test of a layer holds."""
    from e3nn import o3

    torch.manual_seed(0)
    kinds = "8x0e+4x1o+2x2e", "1x0e+1x1o", "8x0e+4x1o+2x2e"
    model = placed(o3.FullyConnectedTensorProduct(*kinds), device, torch.float32)
    inputs = tuple(o3.Irreps(kind).randn(16, -1).to(device) for kind in kinds[:2])
    return model, inputs, Symmetry(O(3), inputs=kinds[:2], outputs=kinds[2])


def graph(dtype: torch.dtype, n: int = 96, layers: int = 4) -> Callable[[torch.device], Built]:
    def build(device: torch.device) -> Built:
        torch.manual_seed(0)
        inputs = (torch.randn(n, 3, device=device, dtype=dtype), torch.randn(n, 64, device=device, dtype=dtype))
        return placed(Graph(layers=layers), device, dtype), inputs, STEERED

    return build


def clouds(make: Callable[[], nn.Module], many: int, dtype: torch.dtype) -> Callable[[torch.device], Built]:
    def build(device: torch.device) -> Built:
        torch.manual_seed(0)
        points = torch.randn(many, 64, 3, device=device, dtype=dtype)
        return placed(make(), device, dtype), points, RIGID

    return build


def steered_cnn(size: int, width: int, layers: int, many: int = 1) -> Callable[[torch.device], Built]:
    """An escnn network under quarter turns, vectors out; its size is odd, so that no pixel is lost."""

    def build(device: torch.device) -> Built:
        from escnn import gspaces
        from escnn import nn as enn

        torch.manual_seed(0)
        turns = gspaces.rot2dOnR2(4)
        image, hidden = (
            enn.FieldType(turns, 3 * [turns.trivial_repr]),
            enn.FieldType(turns, width * [turns.regular_repr]),
        )
        out = enn.FieldType(turns, 2 * [turns.irrep(1)])
        blocks: list[Any] = [enn.R2Conv(image, hidden, kernel_size=5, padding=2), enn.ReLU(hidden)]
        for _ in range(layers - 2):
            blocks += [enn.R2Conv(hidden, hidden, kernel_size=3, padding=1), enn.ReLU(hidden)]
        body = enn.SequentialModule(*blocks, enn.R2Conv(hidden, out, kernel_size=3, padding=1))
        model = placed(Opened(body), device, torch.float32)
        claim = Symmetry(Cyclic(4), inputs=image, outputs=out)
        return model, torch.randn(many, 3, size, size, device=device), claim

    return build


class Opened(nn.Module):
    """An escnn network from tensor to tensor; ``body`` is the network itself."""

    def __init__(self, body: Any) -> None:
        super().__init__()
        self.body = body

    def forward(self, image: Tensor) -> Tensor:
        from escnn import nn as enn

        return self.body(enn.GeometricTensor(image, self.body.in_type)).tensor


def plain_cnn(device: torch.device) -> Built:
    torch.manual_seed(0)
    return placed(PlainCNN(), device, torch.float32), torch.randn(16, 3, 65, 65, device=device), TURNS


LARGE = (
    Subject("e3nn potential, energy and forces", potential, needs=("e3nn",)),
    Subject("EGNN, float32", graph(torch.float32)),
    Subject("EGNN, float64", graph(torch.float64)),
    Subject("perceptron on distances", clouds(Distances, 128, torch.float32)),
    Subject("transformer on points", clouds(Transformer, 24, torch.float32), expected="BROKEN"),
    Subject("escnn C4 network", steered_cnn(65, 12, 4, 12), needs=("escnn",)),
    Subject("plain convolutions, C4", plain_cnn, expected="BROKEN"),
)
"""Models whose forward takes over 20 ms on two cores."""

SMALL = (
    Subject("e3nn tensor product", product, needs=("e3nn",)),
    Subject("EGNN of 2 layers, 8 nodes", graph(torch.float32, n=8, layers=2)),
    Subject("escnn C4 network, 10 pixels", steered_cnn(10, 4, 3, 3), needs=("escnn",)),
)
"""Models whose forward takes under 2 ms."""
