"""The test itself was wrong (BUGS 28 to 31): inputs left unturned, a stochastic model compared with itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .case import BROKEN, EXACT, INVALID, Case, Claim
from .parts import envelope, molecule, net, pairs, radial


class Crystal(nn.Module):
    """Energy and a tensor of a periodic cell: neighbours in 27 images; lattice vectors are the rows of ``cell``.

    Faults: lattice vectors read from the columns; nearest images found by rounding Cartesian components.
    """

    def __init__(self, fault: str = ""):
        super().__init__()
        self.fault, self.embed, self.edge = fault, nn.Embedding(2, 2), net(10, 16, 2)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x, cell, h = inputs["positions"], inputs["cell"], self.embed(inputs["species"])
        vectors = cell.T if self.fault == "columns" else cell
        i, j = pairs(len(x))
        r = x[j] - x[i]
        if self.fault == "cartesian rounding":
            lengths = cell.norm(dim=-1)
            r = (r - lengths * (r / lengths).round())[None]
        else:
            steps = torch.cartesian_prod(*[torch.arange(-1.0, 2.0, dtype=x.dtype)] * 3)
            r = r[None] + (steps @ vectors)[:, None]
        d = r.norm(dim=-1)
        pair = torch.cat([h[i], h[j]], -1).expand(len(r), -1, -1)
        w = self.edge(torch.cat([radial(d), pair], -1)) * envelope(d, 4.0)[..., None]
        tensor = (r[..., :, None] * r[..., None, :] * w[..., 1, None, None]).sum((0, 1))
        return {"energy": w[..., 0].sum(), "tensor": tensor}


SKEW = torch.tensor([[4.1, 0.3, -0.2], [-0.5, 4.4, 0.4], [0.6, -0.3, 4.8]], dtype=torch.float64)


def crystal(cell="vector", fault: str = "", lattice: Tensor = SKEW, group: str = "E(3)"):
    positions, species = molecule(5, seed=11)
    claim = Claim(group, {"positions": "points", "cell": cell}, {"energy": "invariant", "tensor": "tensor"})
    return Crystal(fault), {"positions": positions, "cell": lattice, "species": species}, claim


def transposed(element, value: Tensor) -> Tensor:
    """``x @ R`` for row vectors: the inverse turn."""
    return value @ torch.from_numpy(element.matrix[:3, :3]).to(value.dtype)


class Dipole(nn.Module):
    """A vector from weighted differences."""

    def __init__(self):
        super().__init__()
        self.edge = net(6, 16, 1)

    def forward(self, positions: Tensor) -> Tensor:
        i, j = pairs(len(positions))
        r = positions[j] - positions[i]
        return torch.zeros_like(positions).index_add(0, i, r * self.edge(radial(r.norm(dim=-1))))


def dipole(outputs):
    positions = molecule(seed=12)[0]
    return Dipole(), positions - positions[0], Claim("SO(3)", "vector", outputs)


class EdgeAttributes(nn.Module):
    """Convolution over given edge vectors: they carry the frame, so they must be turned with the features."""

    def __init__(self):
        super().__init__()
        self.weights = net(6, 16, 2)

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        send, receive = edge_index
        a, b = self.weights(radial(edge_attr.norm(dim=-1))).split(1, -1)
        m = a * x[send] + b * edge_attr * (x[send] * edge_attr).sum(-1, keepdim=True)
        return torch.zeros_like(x).index_add(0, receive, m)


def edge_attributes(turned: bool):
    positions = molecule(seed=13)[0]
    i, j = pairs(len(positions))
    inputs = (torch.randn(7, 3), torch.stack([j, i]), positions[j] - positions[i])
    return EdgeAttributes(), inputs, Claim("O(3)", ("vector", None, "vector" if turned else None), "vector")


class Sampler(nn.Module):
    """One denoising step: a mean that is equivariant, and noise added in the lab, or to the invariant weights alone."""

    def __init__(self, noise: str):
        super().__init__()
        self.noise, self.edge = noise, net(6, 16, 1)

    def forward(self, positions: Tensor) -> Tensor:
        i, j = pairs(len(positions))
        r = positions[j] - positions[i]
        w = self.edge(radial(r.norm(dim=-1)))
        if self.noise == "weights":
            w = w * (1 + 0.3 * torch.randn_like(w))
        mean = torch.zeros_like(positions).index_add(0, i, r * w)
        return mean + 0.1 * torch.randn_like(mean) if self.noise == "lab" else mean


def sampler(noise: str):
    return Sampler(noise), molecule(seed=14)[0], Claim("SE(3)", "points", "vector")


class Dropping(nn.Module):
    """Dropout that stays on in eval."""

    def __init__(self):
        super().__init__()
        self.edge = net(6, 16, 1)

    def forward(self, positions: Tensor) -> Tensor:
        i, j = pairs(len(positions))
        d = (positions[j] - positions[i]).norm(dim=-1)
        return self.edge(nn.functional.dropout(radial(d), 0.2, training=True)).sum()


class Counting(nn.Module):
    """Remembers how often it was called: the same input gives another output each time."""

    def __init__(self):
        super().__init__()
        self.calls, self.edge = 0, net(6, 16, 1)

    def forward(self, positions: Tensor) -> Tensor:
        self.calls += 1
        i, j = pairs(len(positions))
        return self.edge(radial((positions[j] - positions[i]).norm(dim=-1))).sum() * (1 + 0.01 * self.calls)


class Turning(nn.Module):
    """Random rotation augmentation left on, in front of a network that is not invariant."""

    def __init__(self):
        super().__init__()
        self.inner = net(3, 16, 1)

    def forward(self, positions: Tensor) -> Tensor:
        turn = torch.linalg.qr(torch.randn(3, 3, dtype=positions.dtype)).Q
        return self.inner((positions - positions.mean(0)) @ turn).sum()


def on_points(model: nn.Module):
    return model, molecule(seed=14)[0], Claim("E(3)", "points")


CUBE = 4.4 * torch.eye(3, dtype=torch.float64)
CELL, EDGE, DFTK, DIFFUSION = (
    "BUGS 28: equiformer_v2 #5",
    "BUGS 29: e3nn #282",
    "BUGS 30: DFTK #593",
    "BUGS 31: equidiff #9",
)
SAME_SEED = {"randomness": "match"}
CASES = (
    Case("crystal", CELL, crystal, EXACT),
    Case("crystal-cell-not-turned", CELL, lambda: crystal(cell=None), BROKEN, note="the claim, not the model"),
    Case("crystal-cartesian-rounding", "own", lambda: crystal(fault="cartesian rounding"), BROKEN),
    Case("output-turned", CELL, lambda: dipole("vector"), EXACT),
    Case("output-turned-back", CELL, lambda: dipole(transposed), BROKEN, note="x @ R where x @ R.T is meant"),
    Case("edge-attributes", EDGE, lambda: edge_attributes(True), EXACT),
    Case("edge-attributes-not-turned", EDGE, lambda: edge_attributes(False), BROKEN),
    Case("cubic-cell", DFTK, lambda: crystal(lattice=CUBE), EXACT),
    Case("cubic-cell-columns", DFTK, lambda: crystal(fault="columns", lattice=CUBE), BROKEN),
    Case(
        "cubic-cell-columns-octahedral",
        DFTK,
        lambda: crystal(fault="columns", lattice=CUBE, group="Octahedral()"),
        BROKEN,
        brute="jittered",
        note="exact on this very input: a cubic lattice is its own transpose under the cube's turns",
    ),
    Case("skew-cell-columns", DFTK, lambda: crystal(fault="columns"), BROKEN),
    Case("sampler", DIFFUSION, lambda: sampler("none"), EXACT),
    Case("sampler-noise", DIFFUSION, lambda: sampler("lab"), INVALID),
    Case("sampler-noise-matched", DIFFUSION, lambda: sampler("lab"), BROKEN, None, SAME_SEED),
    Case("sampler-invariant-noise", DIFFUSION, lambda: sampler("weights"), INVALID),
    Case("sampler-invariant-noise-matched", DIFFUSION, lambda: sampler("weights"), EXACT, None, SAME_SEED),
    Case("dropout-left-on", "own", lambda: on_points(Dropping()), INVALID),
    Case("counts-its-calls", "own", lambda: on_points(Counting()), INVALID),
    Case("augmentation-left-on", "own", lambda: on_points(Turning()), INVALID),
)
