"""Clean models of molecules: potentials with forces in several styles, tensor products, attention, frames."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .case import BROKEN, EXACT, Case, Claim
from .parts import molecule, net, pairs, radial, tetrahedron, traceless

ATOMS = {"positions": "points", "species": None}
RELABELLED = {"positions": "nodes", "species": "nodes"}
FORCES = {"energy": "invariant", "forces": "vector"}


class SchNet(nn.Module):
    """Continuous-filter convolutions on distances; forces as minus the gradient, in one of the usual styles."""

    def __init__(self, style: str = ""):
        super().__init__()
        self.style = style
        self.embed, self.out = nn.Embedding(2, 8), net(8, 8, 1)
        self.filters = nn.ModuleList(net(6, 16, 8) for _ in range(2))
        self.updates = nn.ModuleList(net(8, 8, 8) for _ in range(2))

    def energy(self, x: Tensor, species: Tensor) -> Tensor:
        h = self.embed(species)
        i, j = pairs(len(x))
        basis = radial((x[j] - x[i]).norm(dim=-1))
        for filter, update in zip(self.filters, self.updates, strict=True):
            h = h + update(torch.zeros_like(h).index_add(0, i, h[j] * filter(basis)))
        return self.out(h).sum()

    def forward(self, positions: Tensor, species: Tensor) -> dict[str, Tensor]:
        if self.style == "functional":
            slope, energy = torch.func.grad_and_value(self.energy)(positions, species)
            return {"energy": energy, "forces": -slope}
        x = positions
        if self.style in ("detached", "backward", "no graph"):
            x = x.detach()
        with torch.enable_grad():
            x.requires_grad_()
            energy = self.energy(x, species)
            if self.style == "backward":
                energy.backward()
                slope = x.grad
            else:
                (slope,) = torch.autograd.grad(energy, x, create_graph=self.style in ("create graph", "detached"))
        return {"energy": energy, "forces": -slope}


def schnet(style: str):
    return (
        SchNet(style),
        molecule(),
        (
            Claim("E(3)", ("points", None), FORCES),
            Claim("Permutations()", ("nodes", "nodes"), {"energy": "invariant", "forces": "nodes"}),
        ),
    )


class Hessian(SchNet):
    """Second derivatives [n, 3, n, 3], checked block by block as a tensor of their last two dimensions."""

    def forward(self, positions: Tensor, species: Tensor) -> Tensor:
        blocks = torch.func.hessian(self.energy)(positions, species)
        return blocks.permute(0, 2, 1, 3)  # [n, n, 3, 3]


class Strained(SchNet):
    """Stress by a derivative with respect to strain, symmetric; virial forces beside it."""

    def forward(self, positions: Tensor, species: Tensor) -> dict[str, Tensor]:
        def strained(strain: Tensor, x: Tensor) -> Tensor:
            return self.energy(x + x @ (strain + strain.T) / 2, species)

        centred = positions - positions.mean(0)
        stress, forces = torch.func.grad(strained, (0, 1))(positions.new_zeros(3, 3), centred)
        return {"stress": stress, "forces": -forces}


def second_order(model: nn.Module, outputs):
    return model, molecule(6), Claim("E(3)", ("points", None), outputs)


class EGNN(nn.Module):
    """Satorras et al. 2021: coordinates and features updated together, velocities kept."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(2, 6)
        self.edges = nn.ModuleList(net(13, 16, 8) for _ in range(2))
        self.shifts = nn.ModuleList(net(8, 8, 1) for _ in range(2))
        self.nodes = nn.ModuleList(net(14, 8, 6) for _ in range(2))

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x, v, h = inputs["positions"], inputs["velocities"], self.embed(inputs["species"])
        i, j = pairs(len(x))
        for edge, shift, node in zip(self.edges, self.shifts, self.nodes, strict=True):
            r = x[i] - x[j]
            m = edge(torch.cat([h[i], h[j], r.square().sum(-1, keepdim=True)], -1))
            v = 0.5 * v + torch.zeros_like(x).index_add(0, i, r * shift(m)) / len(x)
            x = x + v
            h = h + node(torch.cat([h, torch.zeros(len(x), 8, dtype=x.dtype).index_add(0, i, m)], -1))
        return {"positions": x, "velocities": v, "features": h}


def egnn():
    positions, species = molecule(6, seed=40)
    inputs = {"positions": positions, "velocities": torch.randn(6, 3), "species": species}
    moving = {"positions": "points", "velocities": "vector", "species": None}
    nodes = dict.fromkeys(("positions", "velocities", "species"), "nodes")
    return (
        EGNN(),
        inputs,
        (
            Claim("E(3)", moving, {"positions": "points", "velocities": "vector", "features": "invariant"}),
            Claim("Permutations()", nodes, "nodes"),
        ),
    )


class VectorAttention(nn.Module):
    """SE(3)-transformer in small: softmax over neighbours from invariant scores; vector values and a cross product."""

    def __init__(self):
        super().__init__()
        self.embed, self.query, self.key = nn.Embedding(2, 8), nn.Linear(8, 8), nn.Linear(14, 8)
        self.value, self.out = net(14, 16, 4), net(9, 8, 1)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x, h = inputs["positions"], self.embed(inputs["species"])
        n = len(x)
        i, j = pairs(n)
        r = x[j] - x[i]
        u = r / r.norm(dim=-1, keepdim=True)
        f = torch.cat([h[j], radial(r.norm(dim=-1))], -1)
        score = (self.query(h)[i] * self.key(f)).sum(-1).reshape(n, n - 1)
        weight = score.softmax(-1).reshape(-1, 1)
        values = self.value(f)
        a, b = ((weight * values[:, k : k + 1] * u).reshape(n, n - 1, 3).sum(1) for k in (0, 1))
        axial = torch.linalg.cross(a, b)
        s = self.out(torch.cat([h, (a * b).sum(-1, keepdim=True)], -1))
        return {"energy": s.sum(), "vector": a + s * b, "axial": axial}


class CartesianTensors(nn.Module):
    """Tensor-field network with Cartesian tensors: scalars, vectors and traceless matrices, products of all three."""

    def __init__(self):
        super().__init__()
        self.embed, self.filters, self.gates = nn.Embedding(2, 6), net(12, 16, 3 * 4), net(14, 16, 3 * 4 + 4)
        self.scalar = nn.Linear(4, 1)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x, h = inputs["positions"], self.embed(inputs["species"])
        i, j = pairs(len(x))
        r = x[j] - x[i]
        d = r.norm(dim=-1)
        u = r / d[:, None]
        q = u[:, :, None] * u[:, None, :] - torch.eye(3, dtype=x.dtype) / 3
        w0, w1, w2 = self.filters(torch.cat([radial(d), h[j]], -1)).chunk(3, -1)
        sum_to = lambda m: torch.zeros(len(x), *m.shape[1:], dtype=x.dtype).index_add(0, i, m)  # noqa: E731
        s, v, t = sum_to(w0), sum_to(w1[:, :, None] * u[:, None]), sum_to(w2[:, :, None, None] * q[:, None])
        tv = torch.einsum("ncab,ncb->nca", t, v)
        dots = torch.cat([s, (v * tv).sum(-1), (t * t).sum((-2, -1))], -1)
        g = self.gates(torch.cat([dots, h[:, :2]], -1)).chunk(4, -1)
        v = v * g[0][..., None] + tv * g[1][..., None]
        t = t * g[2][..., None, None] + v[..., :, None] * v[..., None, :]
        return {
            "energy": self.scalar(g[3]).sum(),
            "vector": v.sum((0, 1)),
            "quadrupole": traceless(t.sum((0, 1))),
            "tensor": t.sum(1),
        }


class AtomicBasis(nn.Module):
    """MACE-like: one message, then products of up to four factors on each atom (density trick), forces through them."""

    def __init__(self):
        super().__init__()
        self.embed, self.filter, self.out = nn.Embedding(2, 4), nn.Linear(6, 4), net(16, 8, 1)

    def energy(self, x: Tensor, species: Tensor) -> Tensor:
        h = self.embed(species)
        i, j = pairs(len(x))
        r = x[j] - x[i]
        d = r.norm(dim=-1)
        w = self.filter(radial(d)) * h[j]
        u = r / d[:, None]
        a0 = torch.zeros(len(x), 4, dtype=x.dtype).index_add(0, i, w)
        a1 = torch.zeros(len(x), 4, 3, dtype=x.dtype).index_add(0, i, w[:, :, None] * u[:, None])
        a2 = torch.zeros(len(x), 4, 3, 3, dtype=x.dtype).index_add(
            0, i, w[:, :, None, None] * (u[:, :, None] * u[:, None, :])[:, None]
        )
        b2 = (a1 * a1).sum(-1)
        b3 = torch.einsum("nca,ncab,ncb->nc", a1, a2, a1)
        b4 = torch.einsum("nca,ncab,ncbd,ncd->nc", a1, a2, a2, a1)
        return self.out(torch.cat([a0, b2, b3, b4], -1)).sum()

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x = inputs["positions"].detach().requires_grad_()
        with torch.enable_grad():
            energy = self.energy(x, inputs["species"])
            (slope,) = torch.autograd.grad(energy, x)
        return {"energy": energy.detach(), "forces": -slope}


@dataclass
class Properties:
    """An output object of its own class, with leaves that no group touches."""

    dipole: Tensor
    energies: Tensor
    count: int
    label: Tensor
    uncertainty: Tensor | None = None


class Labelled(nn.Module):
    """A dataclass with vectors, integers and None."""

    def __init__(self):
        super().__init__()
        self.embed, self.edge, self.out = nn.Embedding(2, 1), net(6, 8, 2), nn.Linear(1, 1)

    def forward(self, inputs: dict[str, Tensor]) -> Properties:
        x, q = inputs["positions"], self.embed(inputs["species"])
        i, j = pairs(len(x))
        w = self.edge(radial((x[j] - x[i]).norm(dim=-1)))
        charge = q + torch.zeros_like(q).index_add(0, i, w[:, :1])
        dipole = ((x - x.mean(0)) * charge).sum(0)
        return Properties(dipole, self.out(charge)[:, 0], len(x), inputs["species"])


class Kabsch(nn.Module):
    """Aligns the cloud to a stored template by SVD, minding the determinant's sign; returns the deformation."""

    def __init__(self):
        super().__init__()
        self.register_buffer("template", molecule(7, seed=41)[0] - molecule(7, seed=41)[0].mean(0))

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x = inputs["positions"] - inputs["positions"].mean(0)
        u, _, vh = torch.linalg.svd(self.template.T @ x)
        sign = torch.linalg.det(u @ vh).sign()
        fix = torch.stack([torch.ones_like(sign), torch.ones_like(sign), sign])
        turn = (u * fix) @ vh  # template @ turn ≈ x
        return {"rmsd": (x - self.template @ turn).norm(), "offsets": x - self.template @ turn}


class Dynamics(nn.Module):
    """Leapfrog steps of a soft charged system: a solver as a model."""

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x, v = inputs["positions"], inputs["velocities"]
        q = inputs["species"].to(x.dtype) * 2 - 1
        i, j = pairs(len(x))
        for _ in range(10):
            r = x[i] - x[j]
            push = r * (q[i] * q[j] / (r.square().sum(-1) + 0.1) ** 1.5)[:, None]
            v = v + 0.02 * torch.zeros_like(x).index_add(0, i, push)
            x = x + 0.02 * v
        return {"positions": x, "velocities": v}


def atoms(
    model: nn.Module, outputs="invariant", group: str = "E(3)", seed: int = 42, dtype=torch.float64, positions=None
):
    found, species = molecule(seed=seed)
    found = found if positions is None else positions
    inputs = {"positions": found.to(dtype), "species": species[: len(found)]}
    return model.to(dtype), inputs, Claim(group, ATOMS, outputs)


def dynamics():
    positions, species = molecule(5, seed=43)
    inputs = {"positions": positions, "velocities": 0.5 * torch.randn(5, 3), "species": species}
    moving = {"positions": "points", "velocities": "vector"}
    return Dynamics(), inputs, Claim("E(3)", moving | {"species": None}, moving)


def symmetric_molecule():
    """The dipole of a tetrahedral molecule is zero, and should be."""
    positions, species = tetrahedron()
    inputs = {"positions": positions, "species": species}
    return Labelled(), inputs, Claim("E(3)", ATOMS, PROPERTIES)


def energy_by_name(model: SchNet, inputs: dict[str, Tensor]) -> Tensor:
    """Calls a method with keywords, as trainers do."""
    return model.energy(x=inputs["positions"], species=inputs["species"])


ATTENTION = {"energy": "invariant", "vector": "vector", "axial": "pseudovector"}
TENSORS = {"energy": "invariant", "vector": "vector", "quadrupole": "1x2e", "tensor": "tensor"}
PROPERTIES = {"dipole": "vector", "energies": "invariant"}
CASES = (
    *(
        Case(f"schnet-forces-{style.replace(' ', '-')}", "own", lambda style=style: schnet(style), EXACT)
        for style in ("create graph", "no graph", "detached", "backward", "functional")
    ),
    Case("hessian", "own", lambda: second_order(Hessian(), "tensor"), EXACT),
    Case("stress-by-strain", "own", lambda: second_order(Strained(), {"stress": "tensor", "forces": "vector"}), EXACT),
    Case("called-by-keyword", "own", lambda: atoms(SchNet()), EXACT, options={"forward": energy_by_name}),
    Case("egnn", "own", egnn, EXACT),
    Case("vector-attention", "own", lambda: atoms(VectorAttention(), ATTENTION), EXACT),
    Case("vector-attention-float32", "own", lambda: atoms(VectorAttention(), ATTENTION, dtype=torch.float32), EXACT),
    Case("cartesian-tensors", "own", lambda: atoms(CartesianTensors(), TENSORS), EXACT),
    Case("cartesian-tensors-float32", "own", lambda: atoms(CartesianTensors(), TENSORS, dtype=torch.float32), EXACT),
    Case("atomic-basis", "own", lambda: atoms(AtomicBasis(), FORCES), EXACT),
    Case("atomic-basis-float32", "own", lambda: atoms(AtomicBasis(), FORCES, dtype=torch.float32), EXACT),
    Case("dataclass-output", "own", lambda: atoms(Labelled(), PROPERTIES), EXACT),
    Case("dipole-of-a-tetrahedron", "own", symmetric_molecule, EXACT, note="one leaf is zero, and rightly so"),
    Case("kabsch", "own", lambda: atoms(Kabsch(), {"rmsd": "invariant", "offsets": "vector"}, "SE(3)"), EXACT),
    Case("kabsch-under-reflection", "own", lambda: atoms(Kabsch(), {"rmsd": "invariant", "offsets": "vector"}), BROKEN),
    Case("leapfrog", "own", dynamics, EXACT),
)
