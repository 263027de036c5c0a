"""Parity, irreps, layout, conventions (BUGS 8 to 13)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from .case import BROKEN, EXACT, Act, Case, Claim
from .parts import harmonics2, molecule, net, pairs, radial, traceless

ATOMS = {"positions": "points", "species": None}


def atoms(seed: int = 2) -> dict[str, Tensor]:
    positions, species = molecule(seed=seed)
    return {"positions": positions, "species": species}


class TwoVectors(nn.Module):
    """Two independent vectors and some invariants per atom: what every model below is built on."""

    def __init__(self):
        super().__init__()
        self.embed, self.weights, self.scalars = nn.Embedding(2, 4), net(10, 16, 3), net(4 + 3, 8, 4)

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x, h = inputs["positions"], self.embed(inputs["species"])
        i, j = pairs(len(x))
        r = x[j] - x[i]
        w = self.weights(torch.cat([radial(r.norm(dim=-1)), h[j]], -1))
        a, b, c = (torch.zeros_like(x).index_add(0, i, r * w[:, k : k + 1]) for k in range(3))
        dots = torch.stack([(a * b).sum(-1), (b * c).sum(-1), (a * a).sum(-1)], -1)
        return a, b, c, self.scalars(torch.cat([h, dots], -1))


class FirstLayer(nn.Module):
    """A dipole from a first layer and a product with it: 1o ⊗ 1e -> 1o needs a pseudovector.

    Clean: a × (b × c), a true vector. Fault: a × b kept as if it were one, as a wrong parity label does.
    """

    def __init__(self, fault: bool):
        super().__init__()
        self.fault, self.base, self.gate = fault, TwoVectors(), net(4, 8, 2)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        a, b, c, s = self.base(inputs)
        gate = self.gate(s)
        extra = torch.linalg.cross(a, b if self.fault else torch.linalg.cross(b, c))
        return (gate[:, :1] * a + gate[:, 1:] * extra).sum(0)


class CrossAsVector(nn.Module):
    """Forces with a term a × b: a magnetic-like term without a pseudovector or pseudoscalar to pair it with."""

    def __init__(self, fault: bool):
        super().__init__()
        self.fault, self.base, self.gate = fault, TwoVectors(), net(4, 8, 2)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        a, b, c, s = self.base(inputs)
        gate = self.gate(s)
        axial = torch.linalg.cross(a, b)
        chirality = (c * axial).sum(-1, keepdim=True)  # odd: it turns the axial vector into a polar one
        return {
            "forces": gate[:, :1] * c + gate[:, 1:] * axial * (1.0 if self.fault else chirality.tanh()),
            "torque": axial.sum(0),
            "handedness": chirality.sum(),
        }


class Chirality(nn.Module):
    """An 'energy' that knows left from right: exact under SE(3), broken under E(3)."""

    def __init__(self):
        super().__init__()
        self.base, self.out = TwoVectors(), net(5, 8, 1)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        a, b, c, s = self.base(inputs)
        volume = (c * torch.linalg.cross(a, b)).sum(-1, keepdim=True)
        return self.out(torch.cat([s, volume], -1)).sum()


class SphericalTargets(nn.Module):
    """Targets by degree λ and parity σ, as metatrain keeps them: inversion multiplies by σ(−1)^λ."""

    def __init__(self, fault: str = ""):
        super().__init__()
        self.fault, self.base = fault, TwoVectors()

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        a, b, c, s = self.base(inputs)
        axial, gate = torch.linalg.cross(a, b), s[:, :1].tanh()
        odd = (c * axial).sum(-1, keepdim=True).tanh()
        outer = traceless(a[:, :, None] * axial[:, None, :])
        even2 = harmonics2(a) * gate
        return {
            "l0 s+1": s.sum(),
            "l0 s-1": (odd if self.fault != "l0" else gate).sum(0),
            "l1 s+1": (a * gate).sum(0),
            "l1 s-1": (axial if self.fault != "l1" else odd * axial).sum(0),
            "l2 s+1": even2.sum(0),
            "l2 s-1": (outer if self.fault != "l2" else odd * outer).sum(0),
        }


SPHERICAL = {
    "l0 s+1": "invariant",
    "l0 s-1": "1x0o",
    "l1 s+1": "1x1o",
    "l1 s-1": "1x1e",
    "l2 s+1": "1x2e",
    "l2 s-1": "1x2o",
}


class SpinState(nn.Module):
    """Amplitude ψ(σ) of a spin chain, projected on a sector of the flip σ -> −σ: ψ(σ) + p ψ(−σ), p = ±1.

    The fault applies the sign to the logarithm of the amplitude, as an option called ``parity`` once did.
    """

    def __init__(self, sector: int, fault: bool):
        super().__init__()
        self.sector, self.fault, self.log_psi = sector, fault, net(8, 16, 1)

    def forward(self, spins: Tensor) -> Tensor:
        plus, minus = self.log_psi(spins), self.log_psi(-spins)
        if self.fault:
            return (plus + self.sector * minus).exp().squeeze(-1)
        return (plus.exp() + self.sector * minus.exp()).squeeze(-1)


def flip(element, value: Tensor) -> Tensor:
    """Multiply by the only entry of the 1 × 1 matrix."""
    return value * float(np.real(element.matrix[0, 0]))


def spins(sector: int, fault: bool):
    def z2(groups):
        return groups.Group("Z2", (), {"flip": [[-1.0]]})

    states = torch.randint(0, 2, (12, 8)).double() * 2 - 1
    outputs = flip if sector < 0 else "invariant"
    return SpinState(sector, fault), states, Claim(z2, flip, outputs, draw=lambda rng: -np.eye(1))


class Slots(nn.Module):
    """EGNN on one array [n, 3 + F]: coordinates first, features after. The fault returns features first."""

    def __init__(self, fault: bool):
        super().__init__()
        self.fault, self.edge, self.shift, self.node = fault, net(9, 16, 8), net(8, 8, 1), net(12, 8, 4)

    def forward(self, nodes: Tensor) -> Tensor:
        x, h = nodes[:, :3], nodes[:, 3:]
        i, j = pairs(len(x))
        r = x[i] - x[j]
        m = self.edge(torch.cat([h[i], h[j], r.square().sum(-1, keepdim=True)], -1))
        x = x.index_add(0, i, r * self.shift(m) / len(x))
        h = h + self.node(torch.cat([h, torch.zeros(len(x), 8, dtype=x.dtype).index_add(0, i, m)], -1))
        return torch.cat([h, x] if self.fault else [x, h], -1)


def slots(fault: bool):
    return Slots(fault), torch.cat([molecule(seed=3)[0], torch.randn(7, 4)], -1), Claim("E(3)", PACKED, PACKED)


PACKED = Act(
    own=lambda g, x: torch.cat([x[:, :3] @ torch.from_numpy(g.linear).T + torch.from_numpy(g.shift), x[:, 3:]], -1),
    rep=lambda r: r.Points() + 4 * r.Scalar(),
)


class Components(nn.Module):
    """A dipole and a quadrupole as spherical tensors in the order of e3nn, or in another convention's order."""

    def __init__(self, dipole: tuple[int, ...] = (0, 1, 2), quadrupole: tuple[int, ...] = (0, 1, 2, 3, 4)):
        super().__init__()
        self.base, self.order = TwoVectors(), (*dipole, *(3 + k for k in quadrupole))

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        a, b, _, s = self.base(inputs)
        gate = s[:, :1].tanh()
        out = torch.cat([(a * gate).sum(0), traceless(a[:, :, None] * b[:, None, :]).sum(0)], -1)
        return out[list(self.order)]


class SphericalToCartesian(nn.Module):
    """A traceless tensor [3, 3] from degree-2 features; the fault reads them with z as the polar axis (e3nn's is y)."""

    def __init__(self, fault: bool):
        super().__init__()
        self.fault, self.base = fault, TwoVectors()

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        a, _, _, s = self.base(inputs)
        q = (harmonics2(a) * s[:, :1].tanh()).sum(0)
        axes = (2, 0, 1) if self.fault else (0, 1, 2)
        basis = torch.stack([traceless_basis(k) for k in range(5)]).to(q.dtype)
        return torch.einsum("k,kab->ab", q, basis)[list(axes)][:, list(axes)]


def traceless_basis(k: int) -> Tensor:
    """The symmetric traceless matrix whose component k of ``harmonics2`` is 1, others 0 (up to a common factor)."""
    grid = torch.eye(9, dtype=torch.float64).reshape(9, 3, 3)
    return torch.linalg.pinv(traceless(grid).T)[:, k].reshape(3, 3)


def with_atoms(model: nn.Module, outputs, group: str = "E(3)"):
    return model, atoms(), Claim(group, ATOMS, outputs)


def not_a_rotation(element, value: Tensor) -> Tensor:
    """A 'rotation' written down with two decimals, as a user's own action."""
    return value @ torch.from_numpy(np.round(element.matrix, 2)).to(value.dtype).T


def rounded_action(fault: bool):
    action = not_a_rotation if fault else "vector"
    positions = molecule(seed=4)[0]
    return Gram(), positions - positions.mean(0), Claim("SO(3)", action)


class Gram(nn.Module):
    """A function of all dot products."""

    def __init__(self):
        super().__init__()
        self.out = net(7, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x @ x.T).sum()


CROSS = {"forces": "vector", "torque": "pseudovector", "handedness": "pseudoscalar"}
MACE, METATRAIN, E3NN = "BUGS 8: MACE 43d484e1", "BUGS 9: metatrain #447", "BUGS 12: e3nn #195, #149, #369, escnn #43"
CASES = (
    Case("first-layer-parity", MACE, lambda: with_atoms(FirstLayer(False), "vector"), EXACT),
    Case("first-layer-parity-fault", MACE, lambda: with_atoms(FirstLayer(True), "vector"), BROKEN),
    Case("first-layer-parity-proper", MACE, lambda: with_atoms(FirstLayer(True), "vector", "SE(3)"), EXACT),
    Case("cross-products", "own", lambda: with_atoms(CrossAsVector(False), CROSS), EXACT),
    Case("cross-product-as-vector", "own", lambda: with_atoms(CrossAsVector(True), CROSS), BROKEN),
    Case("chirality", "own", lambda: with_atoms(Chirality(), "invariant", "SE(3)"), EXACT),
    Case("chirality-under-reflection", "own", lambda: with_atoms(Chirality(), "invariant"), BROKEN),
    Case("spherical-targets", METATRAIN, lambda: with_atoms(SphericalTargets(), SPHERICAL), EXACT),
    *(
        Case(f"spherical-targets-{k}", METATRAIN, lambda k=k: with_atoms(SphericalTargets(k), SPHERICAL), BROKEN)
        for k in ("l0", "l1", "l2")
    ),
    Case("spin-flip-even", "BUGS 10: netket #812", lambda: spins(1, False), EXACT),
    Case("spin-flip-odd", "BUGS 10: netket #812", lambda: spins(-1, False), EXACT),
    Case("spin-flip-odd-in-the-log", "BUGS 10: netket #812", lambda: spins(-1, True), BROKEN),
    Case("egnn-slots", "BUGS 11: egnn-pytorch #10", lambda: slots(False), EXACT),
    Case("egnn-slots-swapped", "BUGS 11: egnn-pytorch #10", lambda: slots(True), BROKEN),
    Case("component-order", E3NN, lambda: with_atoms(Components(), "1x1o+1x2e"), EXACT),
    Case("component-order-yzx", E3NN, lambda: with_atoms(Components(dipole=(1, 2, 0)), "1x1o+1x2e"), BROKEN),
    Case("component-order-l2", E3NN, lambda: with_atoms(Components(quadrupole=(4, 0, 2, 3, 1)), "1x1o+1x2e"), BROKEN),
    Case("wigner-cartesian", E3NN, lambda: with_atoms(SphericalToCartesian(False), "tensor"), EXACT),
    Case("wigner-cartesian-axes", E3NN, lambda: with_atoms(SphericalToCartesian(True), "tensor"), BROKEN),
    Case("own-rotation", "BUGS 13: e3nn #420", lambda: rounded_action(False), EXACT),
    Case(
        "own-rotation-rounded",
        "BUGS 13: e3nn #420",
        lambda: rounded_action(True),
        BROKEN,
        note="the action, not the model",
    ),
)
