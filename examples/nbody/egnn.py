"""A message-passing network with scalar and vector channels, on dense pairs: small, exact under E(3), fast on a CPU.

In the family of E(n)-equivariant graph networks (Satorras, Hoogeboom and Welling 2021) and of PaiNN (Schütt, Unke and Gastegger
2021), with a linear self-connection in each update, which is where a relaxation stands and into which it can be folded.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from equiaudit.groups import O
from equiaudit.relaxation import LinearSite
from equiaudit.representations import Representation, Scalar, Vector
from examples.nbody.data import TIME


class EquivariantLinear(nn.Module):
    """A linear map of features [..., scalars + 3 · vectors] that mixes scalars with scalars and vectors with vectors."""

    def __init__(self, scalars_in: int, vectors_in: int, scalars_out: int, vectors_out: int) -> None:
        super().__init__()
        self.into, self.out = (scalars_in, vectors_in), (scalars_out, vectors_out)
        self.scalars = nn.Linear(scalars_in, scalars_out)
        self.vectors = nn.Linear(vectors_in, vectors_out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The image of features x, in the same layout."""
        s, v = split(x, self.into[0])
        return join(self.scalars(s), self.vectors(v))


def features(scalars: int, vectors: int) -> Representation:
    """How features turn: scalars, then vectors, each with its three components side by side."""
    return scalars * Scalar() + vectors * Vector()


def split(x: Tensor, scalars: int) -> tuple[Tensor, Tensor]:
    """Features as scalars [..., scalars] and vectors [..., 3, vectors]: channels last, where linear maps and sums are fast."""
    return x[..., :scalars], x[..., scalars:].unflatten(-1, (-1, 3)).transpose(-1, -2)


def join(scalars: Tensor, vectors: Tensor) -> Tensor:
    """The inverse of ``split``."""
    return torch.cat([scalars, vectors.transpose(-1, -2).flatten(-2)], -1)


class Layer(nn.Module):
    """Messages between all pairs, then an update: self-connection plus gated nonlinear part."""

    def __init__(self, scalars: int, vectors: int, attributes: int) -> None:
        super().__init__()
        self.scalars, self.vectors = scalars, vectors
        self.receiver = nn.Linear(scalars, scalars)
        self.sender = nn.Linear(scalars, scalars, bias=False)
        self.edge = nn.Linear(attributes + vectors, scalars, bias=False)
        self.message = nn.Linear(scalars, scalars)
        self.gates = nn.Linear(scalars, 2 * vectors)
        self.inner = nn.Linear(2 * scalars + vectors, scalars)
        self.outer = nn.Linear(scalars, scalars + vectors)
        self.mix = nn.Linear(2 * vectors, vectors, bias=False)
        self.self_connection = EquivariantLinear(2 * scalars, 2 * vectors, scalars, vectors)

    def forward(self, h: Tensor, apart: Tensor, attributes: Tensor) -> Tensor:
        """New features from h [batch, n, features], displacements [batch, n, n, 3] and invariants [batch, n, n, k]."""
        s, v = split(h, self.scalars)
        apart = apart.unsqueeze(-1)  # [batch, n, n, 3, 1]
        sent = v.unsqueeze(-4)  # [batch, 1, n, 3, vectors]
        edges = self.edge(torch.cat([attributes, (apart * sent).sum(-2)], -1))
        m = nn.functional.silu(self.receiver(s).unsqueeze(-2) + self.sender(s).unsqueeze(-3) + edges)
        m = nn.functional.silu(self.message(m))
        radial, passed = self.gates(m).unsqueeze(-2).chunk(2, -1)
        scalars = torch.cat([s, m.mean(-2)], -1)
        vectors = torch.cat([v, (radial * apart + passed * sent).mean(-3)], -1)
        return self.self_connection(join(scalars, vectors)) + self.update(scalars, vectors)

    def update(self, scalars: Tensor, vectors: Tensor) -> Tensor:
        """The gated part."""
        mixed = self.mix(vectors)
        inner = nn.functional.silu(self.inner(torch.cat([scalars, mixed.square().sum(-2).log1p()], -1)))
        s, gate = self.outer(inner).split([self.scalars, self.vectors], -1)
        return join(s, torch.sigmoid(gate).unsqueeze(-2) * mixed)


class EGNN(nn.Module):
    """Positions after ``TIME`` from positions, velocities [batch, n, 3] and charges [batch, n].

    Equivariant under E(3) and permutations: only displacements, velocities and charges are read, and the answer is added to
    the positions.
    """

    def __init__(self, layers: int = 2, scalars: int = 32, vectors: int = 16) -> None:
        super().__init__()
        self.embed = EquivariantLinear(3, 2, scalars, vectors)
        self.layers = nn.ModuleList(Layer(scalars, vectors, attributes=4) for _ in range(layers))
        self.head = nn.Linear(vectors, 1, bias=False)
        nn.init.zeros_(self.head.weight)  # free motion to begin with
        self.scalars = scalars

    def forward(self, positions: Tensor, velocities: Tensor, charges: Tensor) -> Tensor:
        """Positions [batch, n, 3]."""
        centred = shorten(positions - positions.mean(-2, keepdim=True))
        apart = positions.unsqueeze(-2) - positions.unsqueeze(-3)
        h = self.embed(
            join(
                torch.stack([charges, velocities.square().sum(-1).log1p(), centred.square().sum(-1)], -1),
                torch.stack([centred, velocities], -1),
            )
        )
        attributes, apart = pair_attributes(apart, charges), shorten(apart)
        for layer in self.layers:
            h = layer(h, apart, attributes)
        _, v = split(h, self.scalars)
        return positions + TIME * velocities + self.head(v).squeeze(-1)


def shorten(vectors: Tensor) -> Tensor:
    """Vectors [..., 3] in their own direction, no longer than 1: v / √(1 + |v|²). A few particles are far away."""
    return vectors * (1 + vectors.square().sum(-1, keepdim=True)).rsqrt()


def pair_attributes(apart: Tensor, charges: Tensor) -> Tensor:
    """Invariants of pairs: the product of the charges and smooth functions of the distance."""
    square = apart.square().sum(-1)
    product = charges.unsqueeze(-1) * charges.unsqueeze(-2)
    return torch.stack([product, square.log1p(), 1 / (0.1 + square), product / (0.1 + square)], -1)


def linear_site(layer: nn.Module) -> LinearSite | None:
    """How ``equiaudit.relaxation.relax`` learns about ``EquivariantLinear``: ``adapters=(linear_site,)``."""
    if not isinstance(layer, EquivariantLinear):
        return None
    (s, v), (t, w) = layer.into, layer.out
    return LinearSite(features(s, v), features(t, w), O(3), s + 3 * v, t + 3 * w, "EquivariantLinear", fold=fold)


def fold(layer: nn.Module, weight: Tensor) -> Tensor:
    """Add an equivariant W to the weights of an ``EquivariantLinear``; all of it fits."""
    assert isinstance(layer, EquivariantLinear)
    (s, v), (t, w) = layer.into, layer.out
    layer.scalars.weight += weight[:t, :s]
    layer.vectors.weight += weight[t:, s:].reshape(w, 3, v, 3).diagonal(dim1=1, dim2=3).mean(-1)
    return weight
