"""Bias, norm, init: faults that add a fixed direction to vector features (BUGS 1 to 7)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .case import BROKEN, EXACT, Case, Claim
from .parts import molecule, net, pairs, radial

E3 = "E(3)"
ATOMS = {"positions": "points", "species": None}
WIDTH = 8


class VectorNet(nn.Module):
    """A torchmd-net-like layer: vectors [n, 3, C] from edges, mixed, normalised, read out as energy and dipole."""

    def __init__(self, mix: nn.Module | None = None, norm: nn.Module | None = None, start: nn.Module | None = None):
        super().__init__()
        self.embed = nn.Embedding(2, WIDTH)
        self.filter = net(6 + WIDTH, 16, WIDTH)
        self.start = start or Directions()
        self.mix = mix or nn.Linear(WIDTH, 2 * WIDTH, bias=False)
        self.norm = norm or nn.Identity()
        self.gate = net(WIDTH, 16, WIDTH)
        self.energy = net(WIDTH, 16, 1)
        self.dipole = nn.Linear(WIDTH, 1, bias=False)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x, h = inputs["positions"], self.embed(inputs["species"])
        i, j = pairs(len(x))
        weights = self.filter(torch.cat([radial((x[j] - x[i]).norm(dim=-1)), h[j]], -1))
        edges = self.start(x, i, j)[:, :, None] * weights[:, None, :]
        v = torch.zeros(len(x), 3, WIDTH, dtype=x.dtype).index_add(0, i, edges)
        a, b = self.mix(self.norm(v)).chunk(2, -1)
        s = (a * b).sum(1)
        return {"energy": self.energy(h + s).sum(), "dipole": self.dipole(a * self.gate(s)[:, None]).sum((0, 2))}


class Directions(nn.Module):
    """Unit vectors from receiver to sender."""

    def forward(self, x: Tensor, i: Tensor, j: Tensor) -> Tensor:
        d = x[j] - x[i]
        return d / d.norm(dim=-1, keepdim=True)


class VectorRMS(nn.Module):
    """Divide [n, 3, C] by its RMS length; ``per_component`` learns a gain for every (component, channel)."""

    def __init__(self, per_component: bool):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(3 if per_component else 1, WIDTH))

    def forward(self, v: Tensor) -> Tensor:
        return self.gain * v / (v.square().mean((1, 2), keepdim=True) + 1e-6).sqrt()


class AbsoluteDirections(nn.Module):
    """Normalised absolute coordinates of the sender, taken for a direction."""

    def forward(self, x: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return x[j] / x[j].norm(dim=-1, keepdim=True)


class ScaledDifferences(nn.Module):
    """Coordinates normalised to a learnt length (CoorsNorm), before or after taking differences."""

    def __init__(self, before: bool):
        super().__init__()
        self.before, self.scale = before, nn.Parameter(torch.tensor(1.3))

    def normalise(self, v: Tensor) -> Tensor:
        return self.scale * v / v.norm(dim=-1, keepdim=True).clamp(min=1e-8)

    def forward(self, x: Tensor, i: Tensor, j: Tensor) -> Tensor:
        if self.before:
            y = self.normalise(x)
            return y[j] - y[i]
        return self.normalise(x[j] - x[i])


class FromCentre(nn.Module):
    """Offsets from a centre; the mean runs over atoms (axis 0) or, wrongly, over xyz (axis 1)."""

    def __init__(self, axis: int):
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return (x - x.mean(self.axis, keepdim=True))[j]


def vectors(**pieces: nn.Module):
    model = VectorNet(**pieces)
    positions, species = molecule()
    claim = Claim(E3, ATOMS, {"energy": "invariant", "dipole": "vector"})
    return model, {"positions": positions, "species": species}, claim


def biased(zero: bool) -> nn.Module:
    layer = nn.Linear(WIDTH, 2 * WIDTH)
    if zero:
        nn.init.zeros_(layer.bias)
    return layer


def trained_gain() -> nn.Module:
    norm = VectorRMS(per_component=True)
    norm.gain = nn.Parameter(1 + 0.1 * torch.randn(3, WIDTH))
    return norm


class PaiNN(nn.Module):
    """One PaiNN block: scalar and vector messages, then an update with U v and V v; the fault is a bias in U and V."""

    def __init__(self, bias: bool):
        super().__init__()
        c = WIDTH
        self.embed, self.phi, self.filter = nn.Embedding(2, c), net(c, c, 3 * c), nn.Linear(6, 3 * c)
        self.u, self.v = nn.Linear(c, c, bias=bias), nn.Linear(c, c, bias=bias)
        self.update, self.energy, self.read = net(2 * c, c, 3 * c), net(c, c, 1), nn.Linear(c, 1, bias=False)

    def block(self, x: Tensor, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        i, j = pairs(len(x))
        r = x[j] - x[i]
        d = r.norm(dim=-1)
        ds, dv, dr = (self.phi(s)[j] * self.filter(radial(d))).chunk(3, -1)
        message = v[j] * dv[:, None] + (r / d[:, None])[:, :, None] * dr[:, None]
        s, v = s.index_add(0, i, ds), v.index_add(0, i, message)
        uv, vv = self.u(v), self.v(v)
        ss, sv, gv = self.update(torch.cat([s, (vv.square().sum(1) + 1e-8).sqrt()], -1)).chunk(3, -1)
        return s + ss + sv * (uv * vv).sum(1), v + gv[:, None] * uv

    def forward(self, positions: Tensor, species: Tensor) -> dict[str, Tensor]:
        s = self.embed(species)
        v = torch.zeros(len(positions), 3, WIDTH, dtype=positions.dtype)
        for _ in range(2):
            s, v = self.block(positions, s, v)
        return {"energy": self.energy(s).sum(), "atomic_vectors": self.read(v).squeeze(-1)}


def painn(bias: bool):
    claim = Claim(E3, ("points", None), {"energy": "invariant", "atomic_vectors": "vector"})
    return PaiNN(bias), molecule(seed=1), claim


class IrrepsBatchNorm(nn.Module):
    """BatchNorm in eval for blocks (count, dim, is scalar): scalars are centred, all are scaled.

    The fault: a running mean is found by the block's place in the list instead of by how many scalars came before.
    """

    def __init__(self, blocks: tuple[tuple[int, int, bool], ...], fault: bool):
        super().__init__()
        self.blocks, self.fault = blocks, fault
        self.register_buffer("mean", torch.randn(sum(n for n, _, _ in blocks)))
        self.register_buffer("var", 0.5 + torch.rand(sum(n for n, _, _ in blocks)))

    def forward(self, x: Tensor) -> Tensor:
        out, start, channel, scalars = [], 0, 0, 0
        for count, dim, scalar in self.blocks:
            block = x[..., start : start + count * dim].reshape(*x.shape[:-1], count, dim)
            # a mean is due to every scalar; the fault spends it on whatever block has the same number in line
            centred = scalar if not self.fault else channel == 0
            if centred:
                block = block - self.mean[scalars : scalars + count, None]
            out.append((block / (self.var[channel : channel + count, None] + 1e-5).sqrt()).flatten(-2))
            start, channel, scalars = start + count * dim, channel + count, scalars + count * centred
        return torch.cat(out, -1)


class NormThenGate(nn.Module):
    """Irreps in, BatchNorm, vectors gated by scalars."""

    def __init__(self, fault: bool):
        super().__init__()
        self.norm = IrrepsBatchNorm(((2, 3, False), (3, 1, True)), fault)
        self.gate = net(3, 8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        v, s = x[..., :6].unflatten(-1, (2, 3)), x[..., 6:]
        return torch.cat([(v * self.gate(s)[..., None]).flatten(-2), s.tanh()], -1)


def batch_norm(fault: bool):
    return NormThenGate(fault), torch.randn(10, 9), Claim("O(3)", "2x1o+3x0e", "2x1o+3x0e")


PERTURB = {"perturb": True}
HIDDEN = "hidden by parameter"
CASES = (
    Case("vector-projection", "BUGS 1: torchmd-net #57", vectors, EXACT),
    Case("vector-projection-bias", "BUGS 1: torchmd-net #57", lambda: vectors(mix=biased(False)), BROKEN),
    Case("vector-projection-perturbed", "BUGS 1: torchmd-net #57", vectors, EXACT, options=PERTURB),
    Case(
        "vector-projection-zero-bias",
        "BUGS 1: torchmd-net #57",
        lambda: vectors(mix=biased(True)),
        BROKEN,
        HIDDEN,
        PERTURB,
    ),
    Case(
        "vector-projection-zero-bias-as-it-is",
        "BUGS 1: torchmd-net #57",
        lambda: vectors(mix=biased(True)),
        BROKEN,
        HIDDEN,
    ),
    Case("painn", "BUGS 2: HydraGNN PR 511", lambda: painn(False), EXACT),
    Case("painn-bias", "BUGS 2: HydraGNN PR 511", lambda: painn(True), BROKEN),
    Case("vector-norm", "BUGS 3: Pocket2Mol #16", lambda: vectors(norm=VectorRMS(False)), EXACT, options=PERTURB),
    Case("vector-norm-gain", "BUGS 3: Pocket2Mol #16", lambda: vectors(norm=trained_gain()), BROKEN),
    Case(
        "vector-norm-gain-of-one",
        "BUGS 3: Pocket2Mol #16",
        lambda: vectors(norm=VectorRMS(True)),
        BROKEN,
        HIDDEN,
        PERTURB,
    ),
    Case("layer-norm-over-xyz", "own", lambda: vectors(norm=nn.LayerNorm((3, WIDTH))), BROKEN),
    Case(
        "absolute-coordinates-as-vectors", "BUGS 4: Pocket2Mol #23", lambda: vectors(start=AbsoluteDirections()), BROKEN
    ),
    Case("coors-norm", "BUGS 5: EquiScore #8", lambda: vectors(start=ScaledDifferences(False)), EXACT),
    Case(
        "coors-norm-before-difference", "BUGS 5: EquiScore #8", lambda: vectors(start=ScaledDifferences(True)), BROKEN
    ),
    Case("mean-over-atoms", "BUGS 6: Steerable-E3-GNN #12", lambda: vectors(start=FromCentre(0)), EXACT),
    Case("mean-over-xyz", "BUGS 6: Steerable-E3-GNN #12", lambda: vectors(start=FromCentre(1)), BROKEN),
    Case("batch-norm-vectors-first", "BUGS 7: e3nn-jax #5", lambda: batch_norm(False), EXACT),
    Case("batch-norm-vectors-first-fault", "BUGS 7: e3nn-jax #5", lambda: batch_norm(True), BROKEN),
)
