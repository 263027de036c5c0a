"""More faults that maintainers meet: absolute positions, single components, neighbours in the batch, rare poses."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .bias_norm import WIDTH, VectorNet
from .case import BROKEN, EXACT, INVALID, Case, Claim
from .parts import envelope, molecule, net, pairs, radial

RIGID = {"positions": "points", "species": None}
VECTORS = {"energy": "invariant", "dipole": "vector"}


def atoms(model: nn.Module, outputs="invariant", group: str = "E(3)", seed: int = 16):
    positions, species = molecule(seed=seed)
    return model, {"positions": positions, "species": species}, Claim(group, RIGID, outputs)


class ThenMix(nn.Module):
    """A nonlinearity in front of the channel mixing of ``VectorNet``."""

    def __init__(self, act):
        super().__init__()
        self.act, self.mix = act, nn.Linear(WIDTH, 2 * WIDTH, bias=False)

    def forward(self, v: Tensor) -> Tensor:
        return self.mix(self.act(v))


def by_norm(v: Tensor) -> Tensor:
    """SiLU of the length, along the vector."""
    d = (v.square().sum(1, keepdim=True) + 1e-8).sqrt()
    return v * nn.functional.silu(d) / d


def pooled(v: Tensor) -> Tensor:
    """Each component's maximum over atoms, mixed in."""
    return v + 0.2 * v.amax(0, keepdim=True)


def signed(v: Tensor) -> Tensor:
    """A square root that keeps the sign, component by component."""
    return v.sign() * v.abs().sqrt()


def normalised_over_atoms(v: Tensor) -> Tensor:
    """The wrong dimension to normalise over: atoms instead of xyz."""
    return v / v.norm(dim=0, keepdim=True)


def acting(act):
    return atoms(VectorNet(mix=ThenMix(act)), VECTORS)


class Leak(nn.Module):
    """A pair energy and pair forces plus a small term; which one is the fault."""

    def __init__(self, term: str = ""):
        super().__init__()
        self.term, self.embed, self.edge = term, nn.Embedding(2, 2), net(8, 16, 2)

    def centre(self, x: Tensor) -> Tensor:
        if self.term == "epsilon in the centroid":  # the guard against an empty molecule that pulls the centre to 0
            return x.sum(0) / (len(x) + 1e-8)
        return x.mean(0)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x, h = inputs["positions"], self.embed(inputs["species"])
        i, j = pairs(len(x))
        r = x[j] - x[i]
        d = r.norm(dim=-1)
        w = self.edge(torch.cat([radial(d), h[j]], -1)) * envelope(d, 6.0)[:, None]
        energy = w[:, 0].sum() + (x - self.centre(x)).norm(dim=-1).sum()
        forces = torch.zeros_like(x).index_add(0, i, r * w[:, 1:])
        if self.term == "position":
            energy = energy + 1e-4 * x[:, 0].sum()
        if self.term == "fourier":
            energy = energy + 0.1 * torch.sin(x @ torch.tensor([1.3, 0.4, -0.8], dtype=x.dtype)).sum()
        if self.term == "rare pose":  # only where some edge points within 20° of +z and is short
            energy = energy + 1e-2 * (((r[:, 2] / d) - 0.94).clamp(min=0) * envelope(d, 3.0)).sum()
        if self.term == "one atom":
            forces = forces + torch.where(torch.arange(len(x))[:, None] == 5, forces.roll(1, -1) * 1e-3, 0.0)
        if self.term == "gravity":
            forces = forces - forces.new_tensor([0.0, 0.0, 1e-3])
        return {"energy": energy, "forces": forces}


FORCES = {"energy": "invariant", "forces": "vector"}


class Magnitudes(nn.Module):
    """Outputs of 1e6 and of 1e-6 in one dict; the fault sits in the small one."""

    def __init__(self, fault: bool):
        super().__init__()
        self.fault, self.edge = fault, net(6, 16, 2)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x = inputs["positions"]
        i, j = pairs(len(x))
        r = x[j] - x[i]
        w = self.edge(radial(r.norm(dim=-1)))
        small = torch.zeros_like(x).index_add(0, i, r * w[:, 1:])
        if self.fault:
            small = small + small.relu() * 1e-2
        return {"large": 1e6 * w[:, 0].sum(), "small": 1e-6 * small}


class Stress(nn.Module):
    """A symmetric tensor, filled by halves; the fault mirrors the wrong half for one entry."""

    def __init__(self, fault: bool):
        super().__init__()
        self.fault, self.edge = fault, net(6, 16, 1)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x = inputs["positions"]
        i, j = pairs(len(x))
        r = x[j] - x[i]
        t = (r[:, :, None] * r[:, None, :] * self.edge(radial(r.norm(dim=-1)))[:, :, None]).sum(0)
        return t.triu() if self.fault else t.triu() + t.triu(1).T


class MinkowskiNet(nn.Module):
    """Jets: Minkowski products weight the four-momenta; the fault uses a Euclidean product or an energy."""

    def __init__(self, fault: str = ""):
        super().__init__()
        self.fault, self.edge, self.mass, self.weight = fault, net(3, 16, 8), net(8, 8, 1), net(8, 8, 1)

    def forward(self, p: Tensor) -> dict[str, Tensor]:
        metric = torch.diag(
            p.new_tensor([1.0, 1.0, 1.0, 1.0] if self.fault == "euclidean" else [1.0, -1.0, -1.0, -1.0])
        )
        products = torch.asinh(p @ metric @ p.T)
        norms = products.diagonal()
        own, other = norms[:, None].expand_as(products), norms[None].expand_as(products)
        h = self.edge(torch.stack([products, own, other], -1)).mean(1)
        if self.fault == "energy":
            h = h + 0.01 * p[:, :1]
        return {"mass": self.mass(h).mean(), "momentum": (self.weight(h) * p).sum(0)}


def jets(fault: str = ""):
    p = torch.randn(6, 3)
    p = torch.cat([(p.square().sum(-1, keepdim=True) + 0.5).sqrt(), p], -1)
    return MinkowskiNet(fault), p, Claim("Lorentz()", "vector", {"mass": "invariant", "momentum": "vector"})


class PhaseNet(nn.Module):
    """Complex features that turn with a global phase: complex-linear maps and a nonlinearity of the modulus."""

    def __init__(self, split: bool):
        super().__init__()
        self.split = split
        self.maps = nn.ParameterList(torch.randn(8, 8, dtype=torch.complex128) / 3 for _ in range(3))
        self.bias = nn.Parameter(torch.rand(8))

    def forward(self, z: Tensor) -> Tensor:
        for m in self.maps:
            z = z @ m
            if self.split:
                z = torch.complex(z.real.relu(), z.imag.relu())
            else:
                z = z * torch.tanh(z.abs().square() + self.bias)
        return z


def phase(element, z: Tensor) -> Tensor:
    """Every entry turns by the same phase."""
    return z * complex(element.matrix[0, 0])


def phases(split: bool):
    return PhaseNet(split), torch.randn(5, 8, dtype=torch.complex128), Claim("U(1)", phase, phase)


class Batched(nn.Module):
    """Vectors from each sample's own points [B, n, 3]; the faults let samples see one another.

    ``mean``: statistics over the batch; ``attention``: a softmax over the batch; ``padding``: a length that others set.
    """

    def __init__(self, fault: str = ""):
        super().__init__()
        self.fault, self.edge, self.score = fault, net(6, 16, 1), nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        i, j = pairs(x.shape[1])
        r = x[:, j] - x[:, i]
        w = self.edge(radial(r.norm(dim=-1)))
        v = torch.zeros_like(x).index_add(1, i, r * w)
        if self.fault == "mean":
            v = v - 0.1 * v.mean(0, keepdim=True)
        if self.fault == "attention":
            score = self.score(v.norm(dim=-1, keepdim=True)).mean(1)
            mix = (score - score.T).softmax(-1)
            v = v + 0.1 * torch.einsum("ab,bnc->anc", mix, v)
        return v


def batched(fault: str = "", batch=0):
    clouds = torch.stack([molecule(6, seed=s)[0] for s in (20, 21, 22, 23)])
    return Batched(fault), clouds, Claim("E(3)", "points", "vector", batch=batch)


class GraphBatch(nn.Module):
    """Several molecules in one list, told apart by ``batch``: edges inside a molecule, a dipole each.

    The fault centres every molecule on the mean of all atoms.
    """

    def __init__(self, fault: bool):
        super().__init__()
        self.fault, self.charge, self.edge = fault, nn.Embedding(2, 1), net(6, 16, 1)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x, graph = inputs["positions"], inputs["batch"]
        n = 3
        i, j = pairs(len(x))
        same = graph[i] == graph[j]
        i, j = i[same], j[same]
        q = torch.zeros(len(x), 1, dtype=x.dtype).index_add(0, i, self.edge(radial((x[j] - x[i]).norm(dim=-1))))
        if self.fault:
            centre = x.mean(0, keepdim=True).expand(n, -1)
        else:
            count = torch.bincount(graph, minlength=n).to(x.dtype)[:, None]
            centre = torch.zeros(n, 3, dtype=x.dtype).index_add(0, graph, x) / count
        return torch.zeros(n, 3, dtype=x.dtype).index_add(0, graph, (x - centre[graph]) * q)


def graph_batch(fault: bool):
    clouds = [molecule(n, seed=30 + n)[0] for n in (4, 6, 5)]
    graph = torch.arange(3).repeat_interleave(torch.tensor([4, 6, 5]))
    claim = Claim("E(3)", {"positions": "points", "batch": None}, "vector", batch="batch")
    return GraphBatch(fault), {"positions": torch.cat(clouds), "batch": graph}, claim


class Homogeneous(nn.Module):
    """Positions scale, energies scale with the inverse; an epsilon breaks it."""

    def __init__(self, epsilon: float):
        super().__init__()
        self.epsilon, self.inner = epsilon, net(1, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        i, j = pairs(len(x))
        d = (x[j] - x[i]).norm(dim=-1)
        return self.inner((d / d.mean())[:, None]).sum() / (d.mean() + self.epsilon)


COUPLED = "own: samples coupled"
CASES = (
    Case("activation-of-the-norm", "own", lambda: acting(by_norm), EXACT),
    Case("activation-of-components", "own", lambda: acting(torch.relu), BROKEN),
    Case("pooling-of-components", "own", lambda: acting(pooled), BROKEN),
    Case("signed-root-of-components", "own", lambda: acting(signed), BROKEN),
    Case("normalised-over-atoms", "own", lambda: acting(normalised_over_atoms), BROKEN),
    Case("pair-forces", "own", lambda: atoms(Leak(), FORCES), EXACT),
    Case("position-leak", "own", lambda: atoms(Leak("position"), FORCES), BROKEN),
    Case("epsilon-in-the-centroid", "own", lambda: atoms(Leak("epsilon in the centroid"), FORCES), BROKEN),
    Case("fourier-features-of-positions", "own", lambda: atoms(Leak("fourier"), FORCES), BROKEN),
    Case("rare-pose", "own", lambda: atoms(Leak("rare pose"), FORCES), BROKEN),
    Case("one-atom-of-seven", "own", lambda: atoms(Leak("one atom"), FORCES), BROKEN),
    Case("gravity", "own", lambda: atoms(Leak("gravity"), FORCES), BROKEN),
    Case("magnitudes", "own", lambda: atoms(Magnitudes(False), {"large": "invariant", "small": "vector"}), EXACT),
    Case(
        "magnitudes-fault-in-the-small",
        "own",
        lambda: atoms(Magnitudes(True), {"large": "invariant", "small": "vector"}),
        BROKEN,
    ),
    Case("stress-mirrored", "own", lambda: atoms(Stress(False), "tensor"), EXACT),
    Case("stress-upper-triangle", "own", lambda: atoms(Stress(True), "tensor"), BROKEN),
    Case("jets", "own", jets, EXACT),
    Case("jets-euclidean", "own", lambda: jets("euclidean"), BROKEN),
    Case("jets-energy", "own", lambda: jets("energy"), BROKEN),
    Case("phases", "own", lambda: phases(False), EXACT),
    Case("phases-split-relu", "own", lambda: phases(True), BROKEN),
    Case("batched", "own", batched, EXACT),
    Case("batched-one-element", "own", lambda: batched(batch=None), EXACT),
    Case("batch-mean", COUPLED, lambda: batched("mean"), BROKEN),
    Case("batch-attention", COUPLED, lambda: batched("attention"), BROKEN),
    Case(
        "batch-attention-one-element",
        COUPLED,
        lambda: batched("attention", None),
        EXACT,
        note="one element can't see it",
    ),
    Case("graph-batch", "own", lambda: graph_batch(False), EXACT),
    Case("graph-batch-common-centre", COUPLED, lambda: graph_batch(True), BROKEN),
    Case(
        "declared-vector-is-a-scalar",
        "own",
        lambda: atoms(Leak(), {"energy": "vector", "forces": "vector"}),
        INVALID,
        note="a vector has 3",
    ),
)
