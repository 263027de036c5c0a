"""Tests that could not have failed, and outputs that are no numbers (BUGS 32 and 33)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from .bias_norm import Directions, VectorNet
from .case import BROKEN, EXACT, INVALID, VACUOUS, Case, Claim
from .parts import molecule, net, pairs, radial

HIDDEN = "hidden by parameter"
PERTURB = {"perturb": True}


class Energy(nn.Module):
    """A pair energy; ``finish`` decides what becomes of it."""

    def __init__(self, finish=lambda e, x: e):
        super().__init__()
        self.finish, self.embed, self.edge, self.out = finish, nn.Embedding(2, 2), net(8, 16, 8), nn.Linear(8, 1)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x, h = inputs["positions"], self.embed(inputs["species"])
        i, j = pairs(len(x))
        m = self.edge(torch.cat([radial((x[j] - x[i]).norm(dim=-1)), h[j]], -1))
        return self.finish(self.out(torch.zeros(len(x), 8, dtype=x.dtype).index_add(0, i, m)).squeeze(-1), x)


def atoms(model: nn.Module, outputs="invariant", group: str = "E(3)"):
    positions, species = molecule(seed=15)
    claim = Claim(group, {"positions": "points", "species": None}, outputs)
    return model, {"positions": positions, "species": species}, claim


def zero_out(model: nn.Module) -> nn.Module:
    """The last layer starts at zero, as in many published heads."""
    for layer in (model.out,) if hasattr(model, "out") else (model.energy[-1], model.dipole):
        for p in layer.parameters():
            nn.init.zeros_(p)
    return model


class Along(nn.Module):
    """Off-centre directions: a fault that a zeroed head hides."""

    def forward(self, x: Tensor, i: Tensor, j: Tensor) -> Tensor:
        return Directions()(x, i, j) + x.new_tensor([0.3, 0.0, 0.0])


def one_nan(e: Tensor, x: Tensor) -> Tensor:
    """One atom of seven has no energy."""
    return torch.where(torch.arange(len(e)) == 4, torch.nan, e)


def sometimes_nan(e: Tensor, x: Tensor) -> Tensor:
    """A recipe without an answer in most poses, right in this one: NaN unless one atom is well above the centre."""
    up = x[3] - x.mean(0)
    return torch.where(up[2] > 0.2 * up.norm(), e, torch.nan)


class Downwards(nn.Module):
    """An error that only ever lowers the output: a signed maximum does not see it."""

    def __init__(self):
        super().__init__()
        self.energy = Energy()

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x = inputs["positions"] - inputs["positions"].mean(0)
        return self.energy(inputs) - 0.3 * x[:, 0].abs()


def about_z(groups):
    return groups.Group("about z", [[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])


def draw_about_z(rng) -> np.ndarray:
    a = rng.uniform(0, 2 * np.pi)
    return np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])


def linear_molecule():
    """All atoms on the axis of the only rotations that are tried."""
    positions = torch.zeros(4, 3, dtype=torch.float64)
    positions[:, 2] = torch.tensor([0.0, 1.1, 2.3, 3.2])
    inputs = {"positions": positions, "species": torch.tensor([0, 1, 1, 0])}
    return Energy(), inputs, Claim(about_z, {"positions": "vector", "species": None}, draw=draw_about_z)


class SubtractMean(nn.Module):
    """Centres over the batch: zero for a batch of one, and coupled for more."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.7))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * (x - x.mean(0))


def subtract_mean(rows: int, batch=None, group: str = "O(3)"):
    return SubtractMean(), torch.randn(rows, 3) + 0.5, Claim(group, "vector", "vector", batch=batch)


class Quadratic(nn.Module):
    """An invariant of vectors and a vector from them."""

    def __init__(self):
        super().__init__()
        self.gate = net(1, 8, 1)

    def forward(self, v: Tensor) -> dict[str, Tensor]:
        s = v.square().sum(-1, keepdim=True)
        return {"norm": s + 1.0, "vector": v * self.gate(s)}


def quadratic(v: Tensor, group: str = "O(3)"):
    return Quadratic(), v, Claim(group, "vector", {"norm": "invariant", "vector": "vector"})


class Mean(nn.Module):
    """Quarter-turn invariant: a mean over pixels of a pointwise network."""

    def __init__(self):
        super().__init__()
        self.inner = net(2, 8, 3)

    def forward(self, image: Tensor) -> Tensor:
        return self.inner(image.movedim(1, -1)).mean((1, 2))


def declared_but_missing():
    return atoms(Energy(lambda e, x: {"energy": e.sum()}), {"energy": "invariant", "forces": "vector"})


def mixed_dtypes():
    model, inputs, claim = atoms(Energy())
    return model.float(), inputs, claim


FIXTURE, ZERO_INIT = "BUGS 33: the test itself", "BUGS 32: equiformer-pytorch 09bb3fe"
VECTORS = {"energy": "invariant", "dipole": "vector"}
CASES = (
    Case("zero-head", ZERO_INIT, lambda: atoms(zero_out(Energy())), VACUOUS),
    Case("zero-head-perturbed", ZERO_INIT, lambda: atoms(zero_out(Energy())), EXACT, None, PERTURB),
    Case("zero-head-fault", ZERO_INIT, lambda: atoms(zero_out(VectorNet(start=Along())), VECTORS), VACUOUS),
    Case(
        "zero-head-fault-perturbed",
        ZERO_INIT,
        lambda: atoms(zero_out(VectorNet(start=Along())), VECTORS),
        BROKEN,
        HIDDEN,
        PERTURB,
    ),
    Case("nan-everywhere", FIXTURE, lambda: atoms(Energy(lambda e, x: e * torch.nan)), INVALID),
    Case("nan-in-one-atom", FIXTURE, lambda: atoms(Energy(one_nan)), INVALID),
    Case("nan-in-other-poses", FIXTURE, lambda: atoms(Energy(sometimes_nan)), INVALID),
    Case("inf", FIXTURE, lambda: atoms(Energy(lambda e, x: e / 0.0)), INVALID),
    Case("constant", FIXTURE, lambda: atoms(Energy(lambda e, x: torch.full_like(e, 3.5))), VACUOUS),
    Case("saturated", FIXTURE, lambda: atoms(Energy(lambda e, x: torch.sigmoid(e.abs() * 100 + 100))), VACUOUS),
    Case("ignores-its-input", FIXTURE, lambda: atoms(Energy(lambda e, x: torch.arange(7.0).to(e))), VACUOUS),
    Case("error-of-one-sign", FIXTURE, lambda: atoms(Downwards()), BROKEN),
    Case("molecule-on-the-axis", FIXTURE, linear_molecule, VACUOUS),
    Case("zero-vectors", FIXTURE, lambda: quadratic(torch.zeros(5, 3)), VACUOUS),
    Case("vectors", FIXTURE, lambda: quadratic(torch.randn(5, 3)), EXACT),
    Case("trivial-group", FIXTURE, lambda: (Mean(), torch.randn(2, 2, 6, 6), Claim("Cyclic(1)", "image")), VACUOUS),
    Case("symmetric-image", FIXTURE, lambda: (Mean(), torch.ones(2, 2, 6, 6), Claim("Cyclic(4)", "image")), VACUOUS),
    Case("generic-image", FIXTURE, lambda: (Mean(), torch.randn(2, 2, 6, 6), Claim("Cyclic(4)", "image")), EXACT),
    Case("batch-of-one", FIXTURE, lambda: subtract_mean(1), VACUOUS),
    Case("batch-of-six", FIXTURE, lambda: subtract_mean(6), EXACT),
    Case("batch-of-six-per-sample", FIXTURE, lambda: subtract_mean(6, batch=0), BROKEN),
    Case("declared-but-missing", "own", declared_but_missing, INVALID),
    Case("dtypes-do-not-match", "own", mixed_dtypes, INVALID),
)
