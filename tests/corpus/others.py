"""Clean models that are not potentials: sets, sequences of invariants, other groups, other dtypes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.linalg import expm
from torch import Tensor, nn

from .case import BROKEN, EXACT, Case, Claim
from .leaks import Homogeneous
from .parts import molecule, net, pairs, radial


class DeepSets(nn.Module):
    """Zaheer et al. 2017: a permutation-equivariant layer, then a sum."""

    def __init__(self):
        super().__init__()
        self.own, self.rest, self.inner, self.out = nn.Linear(4, 8), nn.Linear(4, 8), net(8, 16, 8), net(8, 8, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = self.inner(torch.tanh(self.own(x) + self.rest(x.amax(-2, keepdim=True))))
        return {"elements": h, "set": self.out(h.mean(-2))}


def deep_sets(batch=None):
    x = torch.randn(9, 4) if batch is None else torch.randn(3, 9, 4)
    claim = Claim("Permutations()", "nodes", {"elements": "nodes", "set": "invariant"}, batch=batch)
    return DeepSets(), x, claim


class SortedDistances(nn.Module):
    """An LSTM that reads each atom's distances in ascending order: sequences are fine over invariants."""

    def __init__(self):
        super().__init__()
        self.reader, self.out = nn.LSTM(1, 8, batch_first=True), net(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        n = len(x)
        i, j = pairs(n)
        d = (x[j] - x[i]).norm(dim=-1).reshape(n, n - 1).sort(-1).values
        return self.out(self.reader(d[..., None])[0][:, -1]).sum()


class DistanceTransformer(nn.Module):
    """``nn.TransformerEncoder`` in eval over rows of radial features, pooled."""

    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(12, 2, 24, batch_first=True)
        self.embed, self.encoder = nn.Linear(6, 12), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(12, 1)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        n = len(x)
        i, j = pairs(n)
        h = self.embed(radial((x[j] - x[i]).norm(dim=-1))).reshape(n, n - 1, 12).sum(1)
        return self.out(self.encoder(h[None])[0]).sum()


class PlainTransformer(nn.Module):
    """A transformer on raw coordinates: permutations only."""

    def __init__(self):
        super().__init__()
        self.embed, self.layer = nn.Linear(3, 12), nn.TransformerEncoderLayer(12, 2, 24, batch_first=True)
        self.out = nn.Linear(12, 1)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.layer(self.embed(x)[None])[0]).sum()


def points(model: nn.Module, *groups: str, dtype=torch.float64):
    claims = tuple(Claim(g, "nodes" if g == "Permutations()" else "points") for g in groups)
    return model.to(dtype), molecule(seed=50)[0].to(dtype), claims


class BatchNormed(nn.Module):
    """Pair features through BatchNorm, in eval with given statistics or in train with those of the batch."""

    def __init__(self, training: bool):
        super().__init__()
        self.inner, self.norm, self.out = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 1)
        nn.init.normal_(self.norm.running_mean)
        nn.init.uniform_(self.norm.running_var, 0.5, 2.0)
        self.train(training)

    def forward(self, x: Tensor) -> Tensor:
        i, j = pairs(len(x))
        h = self.norm(self.inner(radial((x[j] - x[i]).norm(dim=-1))))
        return self.out(torch.tanh(h)).sum()


class GramNet(nn.Module):
    """O(n)-equivariant in any dimension: weights from the Gram matrix (Villar et al. 2021)."""

    def __init__(self, form: np.ndarray | None = None):
        super().__init__()
        self.inner = net(2, 16, 1)
        self.register_buffer("form", None if form is None else torch.from_numpy(form))

    def forward(self, v: Tensor) -> dict[str, Tensor]:
        products = v @ v.T if self.form is None else v @ self.form @ v.T
        squares = (products / 5).tanh()
        weights = self.inner(torch.stack([squares, squares.square().sum(-1, keepdim=True).expand_as(squares)], -1))[
            ..., 0
        ]
        return {"vectors": weights @ v, "products": products}


GRAM = {"vectors": "vector", "products": "invariant"}


def gram(group: str, n: int):
    return GramNet(), torch.randn(5, n) + 0.3, Claim(group, "vector", GRAM)


def symplectic():
    """Sp(2) on phase space (q1, q2, p1, p2): everything from the antisymmetric form."""
    form = np.block([[np.zeros((2, 2)), np.eye(2)], [-np.eye(2), np.zeros((2, 2))]])

    def draw(rng) -> np.ndarray:
        s = rng.standard_normal((4, 4)) / 4
        return expm(form @ (s + s.T))

    return GramNet(form), torch.randn(5, 4), Claim("Sp(2)", "vector", GRAM, draw=draw)


class Spinors(nn.Module):
    """Two-component complex features under SU(2): weights from inner products and determinants of two."""

    def __init__(self):
        super().__init__()
        self.inner = net(3, 16, 2)

    def forward(self, z: Tensor) -> Tensor:
        inner = z @ z.mH
        epsilon = z[:, None, 0] * z[None, :, 1] - z[:, None, 1] * z[None, :, 0]
        weights = self.inner(torch.stack([inner.real, inner.imag, epsilon.abs().square()], -1))
        return torch.complex(weights[..., 0], weights[..., 1]) @ z


def spinors(dtype=torch.complex128):
    def draw(rng) -> np.ndarray:
        q, _ = np.linalg.qr(rng.standard_normal((2, 2)) + 1j * rng.standard_normal((2, 2)))
        return q / np.sqrt(np.linalg.det(q))

    model = Spinors()
    if dtype == torch.complex64:
        model = model.float()
    return model, torch.randn(4, 2, dtype=torch.complex128).to(dtype), Claim("SU(2)", "vector", "vector", draw=draw)


def scaled(element, x: Tensor) -> Tensor:
    """Times the factor."""
    return x * float(element.matrix[0, 0])


def scaled_down(element, x: Tensor) -> Tensor:
    """Divided by the factor."""
    return x / float(element.matrix[0, 0])


def scaling(epsilon: float):
    def draw(rng) -> np.ndarray:
        return np.eye(3) * rng.uniform(0.5, 2)

    return Homogeneous(epsilon), molecule(seed=51)[0], Claim("Scaling(3)", scaled, scaled_down, draw=draw)


class Flow(NamedTuple):
    """A named tuple as output."""

    velocity: Tensor
    divergence: Tensor
    spin: Tensor
    step: int
    extra: None


class PlaneFlow(nn.Module):
    """Vortices in the plane, SE(2): a quarter turn J commutes with rotations, so 2-D cross products make vectors."""

    def __init__(self):
        super().__init__()
        self.inner = net(6, 16, 2)

    def forward(self, x: Tensor) -> Flow:
        i, j = pairs(len(x))
        r = x[j] - x[i]
        w = self.inner(radial(r.norm(dim=-1)))
        turned = torch.stack([-r[:, 1], r[:, 0]], -1)
        v = torch.zeros_like(x).index_add(0, i, w[:, :1] * r + w[:, 1:] * turned)
        spin = (x - x.mean(0))[:, 0] * v[:, 1] - (x - x.mean(0))[:, 1] * v[:, 0]
        return Flow(v, v.square().sum(-1), spin, 3, None)


def plane(group: str):
    model = PlaneFlow()
    x = molecule(seed=52)[0][:, :2].contiguous()
    outputs = Flow("vector", "invariant", "invariant" if group == "SE(2)" else "pseudoscalar", None, None)
    return model, x, Claim(group, "points", outputs)


class Reader(nn.Module):
    """A GRU over frames of a trajectory [t, n, 3]: per-frame invariants in order of time."""

    def __init__(self):
        super().__init__()
        self.reader, self.out = nn.GRU(6, 8), net(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        i, j = pairs(x.shape[1])
        h = radial((x[:, j] - x[:, i]).norm(dim=-1)).sum(1)
        return self.out(self.reader(h[:, None])[0][:, 0])


def trajectory():
    start = molecule(6, seed=53)[0]
    frames = torch.stack([start + 0.1 * t * torch.randn(6, 3) for t in range(5)])
    return Reader(), frames, Claim("E(3)", "points")


class Statistics(nn.Module):
    """Median and extreme distances: sorting of invariants."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        i, j = pairs(len(x))
        d = (x[j] - x[i]).norm(dim=-1)
        return {"median": d.median(), "largest": d.max(), "nearest": d.reshape(len(x), -1).amin(-1)}


F32 = torch.float32
CASES = (
    Case("deep-sets", "own", deep_sets, EXACT),
    Case("deep-sets-batched", "own", lambda: deep_sets(0), EXACT),
    Case("lstm-over-distances", "own", lambda: points(SortedDistances(), "E(3)", "Permutations()"), EXACT),
    Case("distance-transformer", "own", lambda: points(DistanceTransformer(), "E(3)", "Permutations()"), EXACT),
    Case("distance-transformer-float32", "own", lambda: points(DistanceTransformer(), "E(3)", dtype=F32), EXACT),
    Case("plain-transformer-permuted", "own", lambda: points(PlainTransformer(), "Permutations()"), EXACT),
    Case("plain-transformer-turned", "own", lambda: points(PlainTransformer(), "SO(3)"), BROKEN),
    Case("batch-norm-eval", "own", lambda: points(BatchNormed(False), "E(3)", "Permutations()"), EXACT),
    Case("batch-norm-train", "own", lambda: points(BatchNormed(True), "E(3)", "Permutations()"), EXACT),
    Case("gram-o5", "own", lambda: gram("O(5)", 5), EXACT),
    Case("gram-lorentz", "own", lambda: gram("Lorentz()", 4), BROKEN, note="Euclidean products under boosts"),
    Case("symplectic", "own", symplectic, EXACT),
    Case("spinors", "own", spinors, EXACT),
    Case("spinors-complex64", "own", lambda: spinors(torch.complex64), EXACT),
    Case("scaling", "own", lambda: scaling(0.0), EXACT),
    Case("scaling-epsilon", "own", lambda: scaling(1e-6), BROKEN),
    Case("plane-flow", "own", lambda: plane("SE(2)"), EXACT),
    Case("plane-flow-reflected", "own", lambda: plane("E(2)"), BROKEN),
    Case("trajectory", "own", trajectory, EXACT),
    Case("statistics", "own", lambda: points(Statistics(), "E(3)"), EXACT),
)
