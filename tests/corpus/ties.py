"""Symmetric inputs, ties, cutoffs on a shell, rare poses, cancellation: where rounding, jumps and faults look alike."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .case import BROKEN, EXACT, INVALID, VACUOUS, Act, Case, Claim
from .parts import SHIFT, envelope, molecule, net, pairs, radial, tetrahedron

JUMP = "discontinuity"


def given(model: nn.Module, positions: Tensor, outputs="invariant", group: str = "E(3)", dtype=torch.float64):
    return model.to(dtype), positions.to(dtype), Claim(group, "points", outputs)


def placed(*rows: tuple[float, float, float]) -> Tensor:
    """A fixture written down by hand, moved off the origin."""
    return torch.tensor(rows, dtype=torch.float64) + torch.tensor(SHIFT, dtype=torch.float64)


def cube() -> Tensor:
    """Corners of a cube of side 2."""
    return torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 3) + torch.tensor(
        SHIFT, dtype=torch.float64
    )


class Shell(nn.Module):
    """A pair energy inside a cutoff, cut hard or smoothly."""

    def __init__(self, cutoff: float, smooth: bool):
        super().__init__()
        self.cutoff, self.smooth, self.edge, self.out = cutoff, smooth, net(6, 16, 4), net(4, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        i, j = pairs(len(x))
        d = (x[j] - x[i]).norm(dim=-1)
        w = envelope(d, self.cutoff) if self.smooth else (d < self.cutoff).to(d)
        return self.out(torch.zeros(len(x), 4, dtype=x.dtype).index_add(0, i, self.edge(radial(d)) * w[:, None])).sum()


class Handedness(nn.Module):
    """The sign of a triple product, or its smooth cousin."""

    def __init__(self, hard: bool):
        super().__init__()
        self.hard = hard

    def forward(self, x: Tensor) -> Tensor:
        a, b, c = x[1] - x[0], x[2] - x[0], x[3] - x[0]
        volume = torch.linalg.cross(a, b) @ c
        size = (x[1:] - x[0]).norm(dim=-1).sum()
        return (torch.sign(volume) if self.hard else torch.tanh(volume)) * size


class Bend(nn.Module):
    """An angle by arccos, clamped as usual."""

    def forward(self, x: Tensor) -> Tensor:
        a, b = x[1] - x[0], x[2] - x[0]
        cosine = (a @ b) / (a.norm() * b.norm())
        return torch.arccos(cosine.clamp(-1, 1)) ** 2 + a.norm() + 2 * b.norm()


class Spectrum(nn.Module):
    """Eigenvalues of a distance matrix and of the gyration tensor: continuous also where they cross."""

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(0)
        i, j = pairs(len(x))
        d = torch.exp(-(x[j] - x[i]).norm(dim=-1))
        m = torch.zeros(len(x) ** 2, dtype=x.dtype).index_add(0, i * len(x) + j, d).reshape(len(x), -1)
        return torch.cat([torch.linalg.eigvalsh(m), torch.linalg.eigvalsh(centred.T @ centred)])


class Sorted(nn.Module):
    """A network on sorted distances: ties change nothing."""

    def __init__(self):
        super().__init__()
        self.out = net(20, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        i, j = pairs(len(x))
        return self.out((x[j] - x[i]).norm(dim=-1).sort().values)


class FarthestAtom(nn.Module):
    """A vector to the atom that is farthest from the centre: well defined unless two are as far."""

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(0)
        d = centred.norm(dim=-1)
        return centred[d.argmax()] * d.sum()


class Pole(nn.Module):
    """sin θ of every edge kept above a small number, for polar coordinates; ``hard``: a division that fails there."""

    def __init__(self, smallest: float = 0.0, hard: bool = False):
        super().__init__()
        self.smallest, self.hard, self.edge = smallest, hard, net(7, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        i, j = pairs(len(x))
        r = x[j] - x[i]
        d = r.norm(dim=-1)
        across = r[:, :2].norm(dim=-1)
        if self.hard:  # cos² φ + sin² φ, 1 everywhere but at the pole
            one = (r[:, 0] / across) ** 2 + (r[:, 1] / across) ** 2
        else:
            one = (across / d).clamp(min=self.smallest) ** 2 + (r[:, 2] / d) ** 2
        return (self.edge(torch.cat([radial(d), one[:, None]], -1)) * torch.exp(-d)[:, None]).sum()


class Cancelling(nn.Module):
    """Distances or a variance by subtracting large numbers: |x|² + |y|² − 2 x·y, ⟨x²⟩ − ⟨x⟩²."""

    def __init__(self, variance: bool):
        super().__init__()
        self.variance, self.inner = variance, net(6, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.variance:
            return (x.square().mean(0) - x.mean(0).square()).sum().reshape(1)
        s = x.square().sum(-1)
        d2 = (s[:, None] + s[None] - 2 * x @ x.T).clamp(min=0)
        i, j = pairs(len(x))
        return self.inner(radial((d2[i, j] + 1e-6).sqrt())).sum(0)


class IllConditioned(nn.Module):
    """A polynomial through all atoms by their distance to the centre: rounding is amplified a million times."""

    def forward(self, x: Tensor) -> Tensor:
        d = (x - x.mean(0)).norm(dim=-1)
        powers = (d / d.mean())[:, None] ** torch.arange(len(x), dtype=x.dtype)
        return torch.linalg.solve(powers, torch.sin(3 * d))


class OneRow(nn.Module):
    """Forces on sixty-four points; one row has a leak, or one row is a million times the others."""

    def __init__(self, leak: float = 0.0, huge: float = 1.0):
        super().__init__()
        self.leak, self.huge, self.edge = leak, huge, net(6, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        i, j = pairs(len(x))
        r = x[j] - x[i]
        forces = torch.zeros_like(x).index_add(0, i, r * self.edge(radial(r.norm(dim=-1))))
        row = torch.arange(len(x))[:, None]
        forces = forces + self.leak * torch.where(row == 17, forces.roll(1, -1), 0.0)
        return forces * torch.where(row == 3, self.huge, 1.0)


class Voxels(nn.Module):
    """A density projected on a grid as long as the bounding box: even its shape depends on the pose."""

    def forward(self, x: Tensor) -> Tensor:
        axis = torch.arange(float(x[:, 0].min()), float(x[:, 0].max()), 0.05, dtype=x.dtype)
        return torch.exp(-((axis[:, None] - x[:, 0]) ** 2)).sum(-1)


class ChannelsLast(nn.Module):
    """Vectors [n, 3, C], xyz in the middle; the fault's nonlinearity is divided by a norm over channels."""

    def __init__(self, fault: bool):
        super().__init__()
        self.fault, self.mix = fault, nn.Linear(4, 4, bias=False)

    def forward(self, v: Tensor) -> Tensor:
        v = self.mix(v)
        return v / (1 + v.norm(dim=-1 if self.fault else -2, keepdim=True))


MIDDLE = Act(
    own=lambda g, x: torch.einsum("ab,nbc->nac", torch.from_numpy(g.linear), x), rep=lambda r: r.Vector(dim=-2)
)
FLAT = placed((0, 0, 0), (1.1, 0.2, 0), (-0.3, 1.4, 0), (0.9, 1.7, 0))
LINE = placed((0, 0, 0), (1.16, 0, 0), (-1.3, 0, 0))
SQUARE = placed((1, 1, 0), (1, -1, 0), (-1, 1, 0), (-1, -1, 0), (0, 0, 0.4))
F32 = torch.float32


def in_middle(fault: bool):
    return ChannelsLast(fault), torch.randn(6, 3, 4), Claim("O(3)", MIDDLE, MIDDLE)


def cloud(n: int = 7) -> Tensor:
    return molecule(n, seed=80, spread=1.5 if n < 20 else 4.0)[0]


CASES = (
    Case("hard-cutoff", "own", lambda: given(Shell(2.7, False), cloud()), EXACT, note="no pair sits on the cutoff"),
    Case("hard-cutoff-on-the-shell", "own", lambda: given(Shell(2.0, False), cube()), BROKEN, JUMP),
    Case("smooth-cutoff-on-the-shell", "own", lambda: given(Shell(2.0, True), cube()), EXACT),
    Case("handedness", "own", lambda: given(Handedness(True), cloud(4), "pseudoscalar"), EXACT),
    Case("handedness-of-a-flat-molecule", "own", lambda: given(Handedness(True), FLAT, "pseudoscalar"), BROKEN, JUMP),
    Case("smooth-handedness-of-a-flat-molecule", "own", lambda: given(Handedness(False), FLAT, "pseudoscalar"), EXACT),
    Case(
        "angle-of-a-linear-molecule",
        "own",
        lambda: given(Bend(), LINE),
        EXACT,
        rounding=1e-6,
        note="arccos at −1: 1e-8",
    ),
    Case("spectrum-of-a-tetrahedron", "own", lambda: given(Spectrum(), tetrahedron()[0]), EXACT),
    Case("sorted-distances-of-a-tetrahedron", "own", lambda: given(Sorted(), tetrahedron()[0]), EXACT),
    Case("farthest-atom", "own", lambda: given(FarthestAtom(), cloud(), "vector"), EXACT),
    Case("farthest-atom-of-a-square", "own", lambda: given(FarthestAtom(), SQUARE, "vector"), BROKEN, JUMP),
    *(
        Case(f"pole-{size:.0e}", "own", lambda size=size: given(Pole(size), cloud()), BROKEN, brute="aligned")
        for size in (0.3, 0.03, 0.003)
    ),
    Case("pole-divided", "own", lambda: given(Pole(hard=True), cloud()), INVALID, note="NaN for an edge along z"),
    Case("gram-distances", "own", lambda: given(Cancelling(False), cloud()), EXACT, rounding=1e-10),
    Case("gram-distances-float32", "own", lambda: given(Cancelling(False), cloud(), dtype=F32), EXACT, rounding=1e-10),
    Case("variance-by-cancellation", "own", lambda: given(Cancelling(True), cloud()), EXACT, rounding=1e-10),
    Case("ill-conditioned", "own", lambda: given(IllConditioned(), cloud()), EXACT, rounding=1e-4),
    Case("sixty-four-atoms", "own", lambda: given(OneRow(), cloud(64), "vector"), EXACT),
    Case("one-atom-of-sixty-four", "own", lambda: given(OneRow(1e-6), cloud(64), "vector"), BROKEN),
    Case("one-atom-beside-a-huge-one", "own", lambda: given(OneRow(1e-3, 1e6), cloud(64), "vector"), BROKEN),
    Case("bounding-box-grid", "own", lambda: given(Voxels(), cloud()), INVALID, note="the shape depends on the pose"),
    Case("xyz-in-the-middle", "own", lambda: in_middle(False), EXACT),
    Case("xyz-in-the-middle-wrong-norm", "own", lambda: in_middle(True), BROKEN),
    Case("single-atom", "own", lambda: given(Shell(3.0, True), cloud(1)), VACUOUS, note="nothing to turn"),
)
