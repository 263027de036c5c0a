"""Kinds of outputs and units: integers, masks, columns of many sizes, angles that wrap, solvers."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor, nn

from .case import BROKEN, EXACT, INVALID, VACUOUS, Case, Claim
from .parts import molecule, net, pairs, radial
from .ties import placed

F32, F64 = torch.float32, torch.float64


def given(model: nn.Module, outputs="invariant", group: str = "E(3)", seed: int = 100, dtype=F64, scale: float = 1.0):
    return model.to(dtype), (scale * molecule(seed=seed)[0]).to(dtype), Claim(group, "points", outputs)


class Counts(nn.Module):
    """Integers and masks beside an energy: neighbours in a cutoff, atoms outside a radius; the faults look along x."""

    def __init__(self, fault: str = ""):
        super().__init__()
        self.fault, self.edge = fault, net(6, 8, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        i, j = pairs(len(x))
        d = (x[j] - x[i]).norm(dim=-1)
        centred = x - x.mean(0)
        number = torch.zeros(len(x), dtype=torch.long).index_add(0, i, (d < 2.7).long())
        if self.fault == "integer":
            number = number + (centred[:, 0] > 0.4).long()
        return {
            "energy": self.edge(radial(d)).sum(),
            "neighbours": number,
            "outside": (centred[:, 0] if self.fault == "mask" else centred.norm(dim=-1)) > 1.5,
        }


class Columns(nn.Module):
    """Eight features per atom in one tensor; seven are of order 1e6, one is of order 1e-6, and the fault sits there."""

    def __init__(self, leak: float, small: int = 1):
        super().__init__()
        self.leak, self.edge = leak, net(6, 16, 8)
        self.register_buffer("units", torch.tensor([1e6] * (8 - small) + [1e-6] * small))

    def forward(self, x: Tensor) -> Tensor:
        i, j = pairs(len(x))
        h = torch.zeros(len(x), 8, dtype=x.dtype).index_add(0, i, self.edge(radial((x[j] - x[i]).norm(dim=-1))))
        last = torch.arange(8) == 7
        return self.units * (h + self.leak * torch.where(last, (x - x.mean(0))[:, :1], 0.0))


class Units(nn.Module):
    """Energy and forces of a Coulomb-like system in any units: no constant knows the scale."""

    def __init__(self, unit: float, energy: float, leak: float = 0.0):
        super().__init__()
        self.unit, self.energy, self.leak, self.edge = unit, energy, leak, net(6, 16, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        i, j = pairs(len(x))
        r = (x[j] - x[i]) / self.unit
        w = self.edge(radial(r.norm(dim=-1)))
        forces = torch.zeros_like(x).index_add(0, i, r * w[:, :1])
        forces = forces + self.leak * forces.abs()
        return {"energy": self.energy * w[:, 1].sum(), "forces": forces * (self.energy / self.unit)}


FORCES = {"energy": "invariant", "forces": "vector"}


class Named(nn.Module):
    """An output with attributes instead of keys."""

    def __init__(self):
        super().__init__()
        self.edge = net(6, 16, 1)

    def forward(self, x: Tensor) -> SimpleNamespace:
        i, j = pairs(len(x))
        r = x[j] - x[i]
        w = self.edge(radial(r.norm(dim=-1)))
        return SimpleNamespace(energy=w.sum(), forces=torch.zeros_like(x).index_add(0, i, r * w), name="pair", step=3)


class Dihedral(nn.Module):
    """A torsion angle by atan2, in (−π, π]; at ±π it jumps. ``smooth`` returns its cosine and sine."""

    def __init__(self, smooth: bool = False):
        super().__init__()
        self.smooth = smooth

    def forward(self, x: Tensor) -> Tensor:
        a, b, c = x[1] - x[0], x[2] - x[1], x[3] - x[2]
        n, m = torch.linalg.cross(a, b), torch.linalg.cross(b, c)
        angle = torch.atan2(torch.linalg.cross(n, m) @ b / b.norm(), n @ m)
        return torch.stack([angle.cos(), angle.sin()]) if self.smooth else angle


TRANS = placed((0, 0, 0), (1.2, 0.7, 0), (2.4, 0, 0), (3.6, 0.7, 0))


class Rounded(nn.Module):
    """Energies given to three decimals."""

    def __init__(self):
        super().__init__()
        self.edge = net(6, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        i, j = pairs(len(x))
        e = torch.zeros(len(x), 1, dtype=x.dtype).index_add(0, i, self.edge(radial((x[j] - x[i]).norm(dim=-1))))
        return torch.round(e[:, 0], decimals=3)


class Cubic(nn.Module):
    """An energy with a little cubic anisotropy: invariant under the turns of a cube, not under all rotations."""

    def __init__(self, strength: float):
        super().__init__()
        self.strength, self.inner = strength, net(2, 8, 1)

    def forward(self, v: Tensor) -> Tensor:
        s = v.square().sum(-1, keepdim=True)
        u = v / s.sqrt()
        quartic = u.pow(4).sum(-1, keepdim=True)
        return self.inner(torch.cat([s, self.strength * quartic], -1)).sum()


class SelfConsistent(nn.Module):
    """Charges by fixed-point iteration until a tolerance, or a few steps from where the last call ended."""

    def __init__(self, warm: bool):
        super().__init__()
        self.warm, self.edge, self.charges = warm, net(6, 16, 1), None

    def forward(self, x: Tensor) -> Tensor:
        n = len(x)
        i, j = pairs(n)
        d = (x[j] - x[i]).norm(dim=-1)
        coupling = torch.zeros(n * n, dtype=x.dtype).index_add(0, i * n + j, torch.exp(-d) * 1.5).reshape(n, n)
        field = torch.zeros(n, dtype=x.dtype).index_add(0, i, self.edge(radial(d))[:, 0])
        q = torch.zeros(n, dtype=x.dtype)
        if self.warm and self.charges is not None:
            q = self.charges
        for _ in range(5 if self.warm else 500):
            new = torch.tanh(coupling @ q + field)
            done = float((new - q).abs().max().detach()) < 1e-9
            q = new
            if done and not self.warm:
                break
        self.charges = q.detach()
        return q


class Float32Path(nn.Module):
    """A kernel with a coarser float32 path: a term that only float32 inputs see."""

    def __init__(self, leak: float):
        super().__init__()
        self.leak, self.edge = leak, net(6, 16, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        i, j = pairs(len(x))
        r = x[j] - x[i]
        w = self.edge(radial(r.norm(dim=-1)))
        forces = torch.zeros_like(x).index_add(0, i, r * w)
        if x.dtype == F32:
            forces = forces + self.leak * forces.abs()
        return {"energy": w.sum(), "forces": forces}


class ReZero(nn.Module):
    """A residual branch behind a gain of zero; the branch is equivariant, or acts on components."""

    def __init__(self, fault: bool):
        super().__init__()
        self.fault, self.gain, self.mix = fault, nn.Parameter(torch.zeros(())), nn.Parameter(torch.randn(()))

    def forward(self, v: Tensor) -> Tensor:
        norm = v.norm(dim=-1, keepdim=True)
        branch = torch.tanh(v) if self.fault else v * torch.tanh(norm)
        return self.mix * v * norm + self.gain * branch


class SpeciesOnly(nn.Module):
    """An energy that never looks at the positions."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(2, 1)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.embed(inputs["species"]).sum() * inputs["temperature"]


def species_only():
    positions, species = molecule(seed=101)
    inputs = {"positions": positions, "species": species, "temperature": torch.tensor(1.7)}
    return SpeciesOnly(), inputs, Claim("E(3)", {"positions": "points"})


def vectors(model: nn.Module, outputs="invariant", group: str = "SO(3)", inputs="vector"):
    return model, torch.randn(6, 3), Claim(group, inputs, outputs)


def same_rows():
    return net(3, 8, 2), torch.ones(5, 3), Claim("Permutations()", "nodes", "nodes")


COUNTS = {"energy": "invariant", "neighbours": "invariant", "outside": "invariant"}
CASES = (
    Case("integers-and-masks", "own", lambda: given(Counts(), COUNTS), EXACT),
    Case("integer-fault", "own", lambda: given(Counts("integer"), COUNTS), BROKEN),
    Case("mask-fault", "own", lambda: given(Counts("mask"), COUNTS), BROKEN),
    Case("columns", "own", lambda: given(Columns(0.0)), EXACT),
    Case("columns-leak-in-the-small", "own", lambda: given(Columns(1e-3)), BROKEN, brute="columns"),
    Case("columns-leak-in-the-small-half", "own", lambda: given(Columns(1e-3, small=4)), BROKEN, brute="columns"),
    Case("si-units", "own", lambda: given(Units(1e-10, 1e-19), FORCES, scale=1e-10), EXACT),
    Case("si-units-leak", "own", lambda: given(Units(1e-10, 1e-19, 1e-4), FORCES, scale=1e-10), BROKEN),
    Case("si-units-float32", "own", lambda: given(Units(1e-10, 1e-19), FORCES, scale=1e-10, dtype=F32), EXACT),
    Case("parsecs", "own", lambda: given(Units(1e16, 1e30), FORCES, scale=1e16), EXACT),
    Case("parsecs-leak", "own", lambda: given(Units(1e16, 1e30, 1e-4), FORCES, scale=1e16), BROKEN),
    Case("attributes-as-output", "own", lambda: given(Named(), FORCES), EXACT),
    Case("dihedral", "own", lambda: given(Dihedral(), group="SE(3)"), EXACT),
    Case("dihedral-reflected", "own", lambda: given(Dihedral()), BROKEN),
    Case("dihedral-trans", "own", lambda: (Dihedral(), TRANS, Claim("SE(3)", "points")), BROKEN, "discontinuity"),
    Case("dihedral-trans-smooth", "own", lambda: (Dihedral(True), TRANS, Claim("SE(3)", "points")), EXACT),
    Case("rounded-to-three-decimals", "own", lambda: given(Rounded()), EXACT),
    Case("cubic-anisotropy", "own", lambda: vectors(Cubic(1.0), group="Octahedral()"), EXACT),
    Case("cubic-anisotropy-1e-05", "own", lambda: vectors(Cubic(1e-5)), BROKEN),
    Case("self-consistent", "own", lambda: given(SelfConsistent(False)), EXACT, rounding=1e-8),
    Case(
        "self-consistent-warm-start",
        "own",
        lambda: given(SelfConsistent(True)),
        INVALID,
        note="depends on the last call",
    ),
    Case("float32-path", "own", lambda: given(Float32Path(0.0), FORCES, dtype=F32), EXACT),
    *(
        Case(
            f"float32-path-{leak:.0e}",
            "own",
            lambda leak=leak: given(Float32Path(leak), FORCES, dtype=F32),
            BROKEN,
            "low precision",
            brute="declared",
        )
        for leak in (1e-2, 1e-3, 1e-4)
    ),
    Case("rezero", "own", lambda: vectors(ReZero(False), "vector"), EXACT),
    Case("rezero-fault", "own", lambda: vectors(ReZero(True), "vector"), BROKEN, "hidden by parameter"),
    Case("species-only", "own", species_only, VACUOUS),
    Case("nothing-moves", "own", lambda: vectors(net(3, 8, 1), inputs="invariant"), VACUOUS),
    Case("same-rows", "own", same_rows, VACUOUS),
)
