"""Pieces that the models share: inputs in general position, radial functions, small networks."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

SHIFT = (0.7, -1.3, 2.1)
"""Where molecules sit: a cloud centred on the origin would hide a broken translation."""


def molecule(n: int = 7, seed: int = 0, spread: float = 1.5, apart: float = 0.9) -> tuple[Tensor, Tensor]:
    """Positions [n, 3] in general position, not centred, and species [n] in {0, 1}."""
    generator = torch.Generator().manual_seed(seed)
    found: list[Tensor] = []
    while len(found) < n:
        p = spread * torch.randn(3, generator=generator, dtype=torch.float64)
        if all((p - q).norm() > apart for q in found):
            found.append(p)
    return torch.stack(found) + torch.tensor(SHIFT, dtype=torch.float64), torch.arange(n) % 3 % 2


def tetrahedron(side: float = 1.6) -> tuple[Tensor, Tensor]:
    """A methane-like molecule: positions [5, 3] with equal distances to machine precision, and species [5]."""
    corners = torch.tensor([[0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    return side / math.sqrt(8) * corners + torch.tensor(SHIFT, dtype=torch.float64), torch.tensor([0, 1, 1, 1, 1])


def pairs(n: int) -> tuple[Tensor, Tensor]:
    """Receiver and sender of all n(n − 1) ordered pairs."""
    i = torch.arange(n).repeat_interleave(n)
    j = torch.arange(n).repeat(n)
    keep = torch.tensor([a != b for a in range(n) for b in range(n)])
    return i[keep], j[keep]


def net(*sizes: int, bias: bool = True) -> nn.Sequential:
    """Linear layers with SiLU between them."""
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b, bias=bias), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


def radial(d: Tensor, n: int = 6, cutoff: float = 6.0) -> Tensor:
    """Gaussians times a smooth cutoff, [..., n]."""
    centres = torch.linspace(0.5, cutoff - 1, n, dtype=d.dtype, device=d.device)
    return torch.exp(-((d[..., None] - centres) ** 2)) * envelope(d, cutoff)[..., None]


def envelope(d: Tensor, cutoff: float) -> Tensor:
    """1 at 0, 0 from ``cutoff`` on, three times differentiable."""
    u = (d / cutoff).clamp(max=1.0)
    return (1 - u**2) ** 4


def harmonics2(v: Tensor) -> Tensor:
    """Real spherical harmonics of degree 2, e3nn's order and norm up to a factor, [..., 5]."""
    x, y, z = v.unbind(-1)
    r3 = math.sqrt(3)
    return torch.stack([r3 * x * z, r3 * x * y, y**2 - (x**2 + z**2) / 2, r3 * y * z, r3 / 2 * (z**2 - x**2)], -1)


def traceless(t: Tensor) -> Tensor:
    """Symmetric traceless matrix [..., 3, 3] -> its five components in the order of ``harmonics2``."""
    r3 = math.sqrt(3)
    t = (t + t.mT) / 2
    xx, yy, zz = t[..., 0, 0], t[..., 1, 1], t[..., 2, 2]
    xz, xy, yz = t[..., 0, 2], t[..., 0, 1], t[..., 1, 2]
    return torch.stack([r3 * xz, r3 * xy, yy - (xx + zz) / 2, r3 * yz, r3 / 2 * (zz - xx)], -1)
