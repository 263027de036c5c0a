"""Frames and lab axes (BUGS 18 to 20), and others that look at x, y, z."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .case import BROKEN, EXACT, INVALID, Case, Claim
from .parts import envelope, molecule, net, pairs, radial, tetrahedron

ATOMS = {"positions": "points", "species": None}


def atoms(model: nn.Module, outputs="invariant", group: str = "E(3)", seed: int = 8, positions: Tensor | None = None):
    found, species = molecule(seed=seed)
    positions = found if positions is None else positions
    return model, {"positions": positions, "species": species[: len(positions)]}, Claim(group, ATOMS, outputs)


class Multipoles(nn.Module):
    """Energy of screened charges and dipoles; a dipole by the potential's gradient, or by steps along the lab axes."""

    def __init__(self, step: float | None = None):
        super().__init__()
        self.step, self.charge, self.weights = step, nn.Embedding(2, 1), net(6, 16, 1)

    def potential(self, r: Tensor) -> Tensor:
        d2 = r.square().sum(-1) + 0.3
        return torch.exp(-0.3 * d2) / d2.sqrt()

    def slope(self, r: Tensor) -> Tensor:
        """Gradient of the potential, [..., 3]."""
        if self.step is None:
            d2 = r.square().sum(-1, keepdim=True) + 0.3
            return -r * torch.exp(-0.3 * d2) * (0.6 / d2.sqrt() + d2 ** (-1.5))
        e = self.step * torch.eye(3, dtype=r.dtype)
        far = r[..., None, :]
        return (self.potential(far + e) - self.potential(far - e)) / (2 * self.step)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x, q = inputs["positions"], self.charge(inputs["species"])[:, 0]
        i, j = pairs(len(x))
        r = x[j] - x[i]
        mu = torch.zeros_like(x).index_add(0, i, r * self.weights(radial(r.norm(dim=-1))))
        return (q[i] * q[j] * self.potential(r)).sum() / 2 + (q[i] * (mu[j] * self.slope(r)).sum(-1)).sum()


class EdgeFrames(nn.Module):
    """Messages computed in a frame per edge: first axis along the edge, the others from a second direction.

    Clean: features in the plane across the edge enter by their length alone, so the second direction does not matter
    and may be random. Fault: they enter one by one.
    """

    def __init__(self, second: str, gauge_invariant: bool):
        super().__init__()
        self.second, self.gauge_invariant = second, gauge_invariant
        self.vector, self.message, self.out = net(6, 8, 1), net(9, 16, 4), net(4, 8, 1)

    def frames(self, r: Tensor) -> Tensor:
        first = r / r.norm(dim=-1, keepdim=True)
        if self.second == "random":
            other = torch.randn_like(r)
        elif self.second == "pole":  # the usual recipe: z, unless the edge is along z, then x
            z, x = r.new_tensor([0.0, 0.0, 1.0]), r.new_tensor([1.0, 0.0, 0.0])
            other = torch.where((first[:, 2].abs() > 0.99)[:, None], x, z).expand_as(r)
        else:
            raise ValueError(self.second)
        third = torch.linalg.cross(first, other)
        third = third / third.norm(dim=-1, keepdim=True)
        return torch.stack([first, torch.linalg.cross(third, first), third], 1)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x = inputs["positions"]
        i, j = pairs(len(x))
        r = x[j] - x[i]
        v = torch.zeros_like(x).index_add(0, i, r * self.vector(radial(r.norm(dim=-1))))
        local = torch.einsum("eab,eb->ea", self.frames(r), v[j])
        if self.gauge_invariant:
            across = local[:, 1:].square().sum(-1, keepdim=True)
            local = torch.cat([local[:, :1], across, across.square()], -1)
        m = self.message(torch.cat([local, radial(r.norm(dim=-1))], -1))
        return self.out(torch.zeros(len(x), 4, dtype=x.dtype).index_add(0, i, m)).sum()


class FrameAverage(nn.Module):
    """A plain network averaged over the frames of the covariance matrix (Puny et al. 2022): eight for E(3).

    Faults: ``rows`` takes rows of the eigenvector matrix for eigenvectors; ``one`` uses a single sign choice.
    """

    def __init__(self, fault: str = ""):
        super().__init__()
        self.fault, self.inner, self.out = fault, net(4, 16, 16), net(16, 16, 1)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x, s = inputs["positions"], inputs["species"].to(inputs["positions"].dtype)[:, None]
        centred = x - x.mean(0)
        vectors = torch.linalg.eigh(centred.T @ centred).eigenvectors
        if self.fault == "rows":
            vectors = vectors.T
        signs = torch.cartesian_prod(*[x.new_tensor([1.0, -1.0])] * 3)
        if self.fault == "one":
            signs = signs[:1]
        elif self.fault == "stochastic":
            signs = signs[torch.randint(len(signs), (1,))]
        y = (centred @ vectors) * signs[:, None]
        s = s.expand(len(signs), -1, -1)
        return self.out(self.inner(torch.cat([y, s], -1)).sum(1)).mean()


class OwnFrame(nn.Module):
    """A plain network in the molecule's own frame, its vector output turned back.

    The frame: SVD with signs fixed by third moments, or without; Gram-Schmidt on two invariantly weighted sums; or
    built on the atom that is highest in the lab.
    """

    def __init__(self, how: str):
        super().__init__()
        self.how, self.inner, self.vector, self.energy = how, net(4, 16, 16), net(16, 16, 3), net(16, 16, 1)
        self.weights = net(7, 8, 2)

    def frame(self, x: Tensor, s: Tensor) -> Tensor:
        """Rows are the axes."""
        if self.how.startswith("svd"):
            axes = torch.linalg.svd(x, full_matrices=False).Vh
            if self.how == "svd":
                axes = axes * torch.sign(((x @ axes.T) ** 3).sum(0))[:, None]
            return axes
        if self.how == "highest atom":
            a, b = x[x[:, 2].argmax()], x[x[:, 2].argmin()]
        else:
            d = x.norm(dim=-1)
            w = self.weights(torch.cat([radial(d), s], -1))
            a, b = (w.T @ x).unbind(0)
        first = a / a.norm()
        second = b - (b @ first) * first
        second = second / second.norm()
        return torch.stack([first, second, torch.linalg.cross(first, second)])

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x, s = inputs["positions"], inputs["species"].to(inputs["positions"].dtype)[:, None]
        x = x - x.mean(0)
        frame = self.frame(x, s)
        h = self.inner(torch.cat([x @ frame.T, s], -1)).sum(0)
        return {"energy": self.energy(h).sum(), "dipole": self.vector(h) @ frame}


FRAME = {"energy": "invariant", "dipole": "vector"}


class LabFeatures(nn.Module):
    """A pair energy with one feature too many, which looks at the lab's axes."""

    def __init__(self, feature: str = ""):
        super().__init__()
        self.feature, self.edge, self.out = feature, net(8, 16, 4), net(4, 8, 1)

    def extra(self, x: Tensor, r: Tensor, i: Tensor, j: Tensor) -> Tensor:
        d = r.norm(dim=-1)
        if self.feature == "azimuth":
            phi = torch.atan2(r[:, 1], r[:, 0])
            return torch.stack([phi.cos(), phi.sin()], -1)
        if self.feature == "order along x":
            rank = x[:, 0].argsort().argsort().to(x.dtype)
            return torch.stack([rank[i], rank[j]], -1) / len(x)
        if self.feature == "grid":
            cell = (x / 0.5).round() * 0.5
            return torch.stack([(cell[j] - cell[i]).norm(dim=-1), d], -1)
        if self.feature == "epsilon":
            return torch.stack([(r + r.new_tensor([1e-3, 0.0, 0.0])).norm(dim=-1), d], -1)
        if self.feature == "near the pole":  # sin θ kept away from 0: wrong only for edges within 6° of ±z
            sine = (r[:, :2].norm(dim=-1) / d).clamp(min=0.1)
            return torch.stack([sine.square() + (r[:, 2] / d).square(), d], -1)
        return torch.stack([d, d.square()], -1)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x = inputs["positions"]
        i, j = pairs(len(x))
        r = x[j] - x[i]
        d = r.norm(dim=-1)
        m = self.edge(torch.cat([radial(d), self.extra(x, r, i, j)], -1)) * envelope(d, 6.0)[:, None]
        return self.out(torch.zeros(len(x), 4, dtype=x.dtype).index_add(0, i, m)).sum()


MACE, EQUIFORMER, FA = "BUGS 18: MACE #1719", "BUGS 19: equiformer_v2 #17, fairchem #895", "BUGS 20: fairchem 6f655571f"
SAME_SEED = {"randomness": "match"}
CASES = (
    Case("multipoles", MACE, lambda: atoms(Multipoles()), EXACT),
    Case("multipoles-by-lab-differences", MACE, lambda: atoms(Multipoles(0.02)), BROKEN),
    Case("multipoles-by-small-differences", MACE, lambda: atoms(Multipoles(1e-3)), BROKEN),
    Case("edge-frames", EQUIFORMER, lambda: atoms(EdgeFrames("pole", True)), EXACT),
    Case(
        "edge-frames-random",
        EQUIFORMER,
        lambda: atoms(EdgeFrames("random", True)),
        EXACT,
        note="random, but it cancels",
    ),
    Case("edge-frames-random-seen", EQUIFORMER, lambda: atoms(EdgeFrames("random", False)), INVALID),
    Case("edge-frames-random-matched", EQUIFORMER, lambda: atoms(EdgeFrames("random", False)), BROKEN, None, SAME_SEED),
    Case("edge-frames-seen", EQUIFORMER, lambda: atoms(EdgeFrames("pole", False)), BROKEN),
    Case("frame-average", FA, lambda: atoms(FrameAverage()), EXACT),
    Case("frame-average-rows", FA, lambda: atoms(FrameAverage("rows")), BROKEN),
    Case("frame-average-one-sign", FA, lambda: atoms(FrameAverage("one")), BROKEN),
    Case("frame-average-stochastic", FA, lambda: atoms(FrameAverage("stochastic")), INVALID),
    Case(
        "frame-average-tetrahedron",
        FA,
        lambda: atoms(FrameAverage(), positions=tetrahedron()[0]),
        BROKEN,
        "discontinuity",
    ),
    Case("own-frame-svd", "own", lambda: atoms(OwnFrame("svd"), FRAME), EXACT),
    Case("own-frame-svd-signs", "own", lambda: atoms(OwnFrame("svd without signs"), FRAME), BROKEN),
    Case("own-frame-gram-schmidt", "own", lambda: atoms(OwnFrame("gram schmidt"), FRAME, "SE(3)"), EXACT),
    Case(
        "own-frame-left-handed", "own", lambda: atoms(OwnFrame("gram schmidt"), FRAME), BROKEN, note="det of the frame"
    ),
    Case("own-frame-highest-atom", "own", lambda: atoms(OwnFrame("highest atom"), FRAME, "SE(3)"), BROKEN),
    Case("pair-features", "own", lambda: atoms(LabFeatures()), EXACT),
    Case("azimuth", "own", lambda: atoms(LabFeatures("azimuth")), BROKEN),
    Case("order-along-x", "own", lambda: atoms(LabFeatures("order along x")), BROKEN),
    Case("rounded-to-a-grid", "own", lambda: atoms(LabFeatures("grid")), BROKEN),
    Case("epsilon-in-one-component", "own", lambda: atoms(LabFeatures("epsilon")), BROKEN),
    Case("near-the-pole", "own", lambda: atoms(LabFeatures("near the pole")), BROKEN),
)
