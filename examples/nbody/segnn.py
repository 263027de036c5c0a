"""A steerable graph network on e3nn parts, after SEGNN (Brandstetter et al. 2022), with a linear self-connection.

Messages and updates are fully connected tensor products with attributes of edges and nodes: spherical harmonics of relative
positions and of velocities. With 4 layers of 32 scalars and 32 vectors it has about 157 thousand parameters.
"""

from __future__ import annotations

import torch
from e3nn import nn as enn
from e3nn import o3
from torch import Tensor, nn

from examples.nbody.data import TIME

SHRINK = 0.4
"""Of the initial weights: features and attributes point the same way, so that products grow from layer to layer without it."""
ATTRIBUTES = o3.Irreps("1x0e+1x1o")


def irreps(scalars: int, vectors: int) -> o3.Irreps:
    """Scalars, then vectors, without empty terms."""
    return o3.Irreps([(n, ir) for n, ir in ((scalars, "0e"), (vectors, "1o")) if n])


class Steerable(nn.Module):
    """A tensor product with attributes, then a gate: SiLU on scalars, vectors times the sigmoid of a scalar each."""

    def __init__(self, into: o3.Irreps, scalars: int, vectors: int) -> None:
        super().__init__()
        self.gate = enn.Gate(
            irreps(scalars, 0), [torch.nn.functional.silu], irreps(vectors, 0), [torch.sigmoid], irreps(0, vectors)
        )
        self.product = o3.FullyConnectedTensorProduct(into, ATTRIBUTES, self.gate.irreps_in)

    def forward(self, x: Tensor, attributes: Tensor) -> Tensor:
        """Features [..., scalars + 3 · vectors]."""
        return self.gate(self.product(x, attributes))


class Layer(nn.Module):
    """Messages over edges, their sum, an update; the self-connection is linear, so that a map can be folded into it."""

    def __init__(self, scalars: int, vectors: int) -> None:
        super().__init__()
        self.scalars = scalars
        out = irreps(scalars, vectors)
        self.message = Steerable(irreps(2 * scalars + 2, 2 * vectors), scalars, vectors)
        self.second = Steerable(out, scalars, vectors)
        self.update = Steerable(irreps(2 * scalars, 2 * vectors), scalars, vectors)
        self.last = o3.FullyConnectedTensorProduct(out, ATTRIBUTES, out)
        self.self_connection = o3.Linear(irreps(2 * scalars, 2 * vectors), out)

    def forward(self, h: Tensor, edges: Edges, attributes: Tensor) -> Tensor:
        """New features of nodes [batch, n, features]."""
        pair = self.beside(h[:, edges.receiver], h[:, edges.sender], edges.invariants)
        messages = self.second(self.message(pair, edges.attributes), edges.attributes)
        total = messages.unflatten(1, (h.shape[1], -1)).sum(2) * edges.scale
        x = self.beside(h, total)
        return self.self_connection(x) + self.last(self.update(x, attributes), attributes)

    def beside(self, a: Tensor, b: Tensor, extra: Tensor | None = None) -> Tensor:
        """Two sets of features as one: all scalars first."""
        k = self.scalars
        more = [] if extra is None else [extra]
        return torch.cat([a[..., :k], b[..., :k], *more, a[..., k:], b[..., k:]], -1)


class Edges:
    """All ordered pairs of different nodes, those of one receiver side by side: indices, invariants and attributes."""

    def __init__(self, positions: Tensor, charges: Tensor, harmonics: nn.Module) -> None:
        n = positions.shape[-2]
        pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
        self.receiver, self.sender = torch.tensor(pairs, device=positions.device).T
        self.scale = max(1, n - 1) ** -0.5
        apart = positions[:, self.receiver] - positions[:, self.sender]
        square = apart.square().sum(-1)
        product = charges[:, self.receiver] * charges[:, self.sender]
        self.invariants = torch.stack([square.log1p(), product / (0.1 + square)], -1)
        self.attributes = harmonics(apart)


class SEGNN(nn.Module):
    """Positions after ``TIME`` from positions, velocities [batch, n, 3] and charges [batch, n]; exact under E(3).

    ``centre_over`` is the dimension that is averaged to centre the positions: −2, the particles. The public SEGNN code has
    ``pos.mean(1)`` where rows are particles, which is −1 here: the mean of x, y and z of each particle. See docs/nbody.md.
    """

    def __init__(self, layers: int = 4, scalars: int = 32, vectors: int = 32, centre_over: int = -2) -> None:
        super().__init__()
        self.centre_over = centre_over
        features = irreps(scalars, vectors)
        self.harmonics = o3.SphericalHarmonics(ATTRIBUTES, normalize=True, normalization="component")
        self.embed = o3.FullyConnectedTensorProduct(irreps(3, 2), ATTRIBUTES, features)
        self.layers = nn.ModuleList(Layer(scalars, vectors) for _ in range(layers))
        self.head = o3.Linear(features, irreps(0, 1))
        nn.init.zeros_(self.head.weight)  # free motion to begin with
        with torch.no_grad():
            for weight in self.layers.parameters():
                weight *= SHRINK

    def forward(self, positions: Tensor, velocities: Tensor, charges: Tensor) -> Tensor:
        """Positions [batch, n, 3]."""
        edges = Edges(positions, charges, self.harmonics)
        centred = positions - positions.mean(self.centre_over, keepdim=True)
        far = centred.square().sum(-1, keepdim=True)
        centred = centred * (1 + far).rsqrt()
        speed = velocities.square().sum(-1, keepdim=True).log1p()
        attributes = self.describe(edges, velocities)
        h = self.embed(torch.cat([charges.unsqueeze(-1), speed, far.log1p(), centred, velocities], -1), attributes)
        for layer in self.layers:
            h = layer(h, edges, attributes)
        return positions + TIME * velocities + self.head(h)

    def describe(self, edges: Edges, velocities: Tensor) -> Tensor:
        """Attributes of nodes: the mean over their edges plus the harmonics of the velocity."""
        around = edges.attributes.unflatten(1, (velocities.shape[1], -1)).mean(2)
        return around + self.harmonics(velocities)
