"""Images and grids (BUGS 24 to 27)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .case import APPROXIMATE, BROKEN, EXACT, Case, Claim


def turn(element, x: Tensor) -> Tensor:
    """Quarter turns and flips of the last two dimensions."""
    m = element.matrix
    k = round(math.atan2(m[1, 0], m[0, 0]) / (math.pi / 2)) % 4
    flipped = m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0] < 0
    return torch.rot90(x.flip(-2) if flipped else x, k, (-2, -1))


def turn_with_orientations(element, x: Tensor) -> Tensor:
    """The regular representation of C4: the image turns, its four orientation channels [B, C, 4, H, W] shift."""
    m = element.matrix
    return turn(element, x).roll(round(math.atan2(m[1, 0], m[0, 0]) / (math.pi / 2)) % 4, 2)


class Symmetric(nn.Module):
    """Convolutions with kernels averaged over the quarter turns (over all of D4 with ``mirror``), then a mean.

    ``stride``, ``pool`` and ``padding`` decide whether the grid that is left is still centred.
    """

    def __init__(
        self,
        stride: int = 1,
        pool: int = 0,
        padding=(1, 1, 1, 1),
        mirror: bool = False,
        dense: bool = False,
        k: int = 3,
    ):
        super().__init__()
        self.stride, self.pool, self.padding, self.mirror, self.dense = stride, pool, padding, mirror, dense
        self.first, self.second = (nn.Parameter(torch.randn(s) / 4) for s in ((6, 2, k, k), (3, 6, k, k)))

    def kernel(self, w: Tensor) -> Tensor:
        turned = [torch.rot90(w, k, (-2, -1)) for k in range(4)]
        if self.mirror:
            turned += [t.flip(-1) for t in turned]
        return torch.stack(turned).mean(0)

    def forward(self, image: Tensor) -> Tensor:
        x = F.conv2d(F.pad(image, self.padding), self.kernel(self.first), stride=self.stride)
        x = F.silu(x)
        if self.pool:
            x = F.max_pool2d(x, self.pool)
        x = F.silu(F.conv2d(F.pad(x, self.padding), self.kernel(self.second), stride=self.stride))
        return x if self.dense else x.mean((-2, -1))


def quarter(size: int, group: str = "Cyclic(4)", width: int | None = None, **options):
    outputs = turn if options.get("dense") else "invariant"
    inputs = turn if options.get("dense") else "image"
    return Symmetric(**options), torch.randn(2, 2, size, width or size), Claim(group, inputs, outputs)


class PlainCNN(nn.Module):
    """An ordinary CNN with a global mean: no quarter turn."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.SiLU(), nn.Conv2d(6, 3, 3, padding=1), nn.SiLU())

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image).mean((-2, -1))


class LiftAndTurn(nn.Module):
    """A C4 group CNN by hand: a lifting layer, a group convolution, fields [B, C, 4, H, W].

    The fault forgets to shift the orientation channels of the second layer's kernels when it turns them.
    """

    def __init__(self, fault: bool = False):
        super().__init__()
        self.fault = fault
        self.lift, self.conv = nn.Parameter(torch.randn(4, 2, 3, 3) / 3), nn.Parameter(torch.randn(3, 4, 4, 3, 3) / 6)

    def forward(self, image: Tensor) -> Tensor:
        x = torch.stack([F.conv2d(image, torch.rot90(self.lift, k, (-2, -1)), padding=1) for k in range(4)], 2).tanh()
        out = []
        for k in range(4):
            w = torch.rot90(self.conv, k, (-2, -1))
            w = w if self.fault else w.roll(k, 2)
            out.append(F.conv2d(x.flatten(1, 2), w.flatten(1, 2), padding=1))
        return torch.stack(out, 2).tanh()


def group_cnn(fault: bool = False):
    return LiftAndTurn(fault), torch.randn(2, 2, 7, 7), Claim("Cyclic(4)", turn, turn_with_orientations)


class Circular(nn.Module):
    """A circular CNN on a line; a stride or a pooling layer aliases, a smoothing filter before it aliases less."""

    def __init__(self, strides: int = 0, smooth: bool = False):
        super().__init__()
        self.smooth = smooth
        options = {"padding": 2, "padding_mode": "circular"}
        self.layers = nn.ModuleList(
            nn.Conv1d(c, 6, 5, stride=2 if k < strides else 1, **options) for k, c in enumerate((2, 6, 6))
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            if self.smooth:  # a Hann window of nine points, far from ideal
                taps = torch.hann_window(11, periodic=False, dtype=x.dtype)[1:-1]
                x = F.conv1d(
                    F.pad(x, (4, 4), mode="circular"), (taps / taps.sum()).expand(x.shape[1], 1, -1), groups=x.shape[1]
                )
            x = F.silu(layer(x))
        return x.mean(-1)


def shift(element, x: Tensor) -> Tensor:
    """Circular shift of the last dimension: the element is a turn by 2π k / n."""
    m = element.matrix
    return x.roll(round(math.atan2(m[1, 0], m[0, 0]) / (2 * math.pi) * x.shape[-1]), -1)


def circular(**options):
    return Circular(**options), torch.randn(2, 2, 24), Claim("Cyclic(24)", shift)


class SphereActivation(nn.Module):
    """From degree 0 and 1 -> signal on the sphere -> tanh, back, on a ``points`` (Gauss) × 2 ``points`` grid."""

    def __init__(self, points: int):
        super().__init__()
        nodes, weights = gauss_legendre(points)
        phi = torch.arange(2 * points) * (math.pi / points) + 0.3
        sine = (1 - nodes**2).sqrt()[:, None]
        grid = torch.stack([sine * phi.cos(), sine * phi.sin(), nodes[:, None].expand(-1, 2 * points)], -1).flatten(
            0, 1
        )
        self.register_buffer("basis", torch.cat([torch.ones(len(grid), 1), math.sqrt(3) * grid], -1))  # [points, 4]
        self.register_buffer("weights", (weights[:, None] / (4 * points)).expand(-1, 2 * points).flatten())

    def forward(self, x: Tensor) -> Tensor:
        signal = torch.tanh(1.5 * x @ self.basis.T)
        return torch.einsum("...p,p,pk->...k", signal, self.weights, self.basis)


def gauss_legendre(n: int) -> tuple[Tensor, Tensor]:
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(n)
    return torch.from_numpy(nodes), torch.from_numpy(weights)


def sphere(points: int):
    return SphereActivation(points), torch.randn(6, 4), Claim("SO(3)", "1x0e+1x1o", "1x0e+1x1o")


class Periodic(nn.Module):
    """A 2-D CNN with circular padding; shifts act on the last dimension."""

    def __init__(self, mode: str):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2, 6, 3, padding=1, padding_mode=mode),
            nn.SiLU(),
            nn.Conv2d(6, 3, 3, padding=1, padding_mode=mode),
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)


def padded(mode: str):
    return Periodic(mode), torch.randn(1, 2, 6, 9), Claim("Cyclic(9)", shift, shift)


E2CNN, SIZES = "BUGS 24: e2cnn #36", "BUGS 25: escnn #72, ReDet #133, GroupPy #26, #21"
ALIAS, SPHERE = "BUGS 26: harmonicConvolutions #5, s2cnn #41", "BUGS 27: S2Activation"
CASES = (
    Case("c4-stride-odd-size", E2CNN, lambda: quarter(9, stride=2), EXACT),
    Case("c4-stride-even-size", E2CNN, lambda: quarter(8, stride=2), BROKEN),
    Case(
        "c4-stride-size-11",
        E2CNN,
        lambda: quarter(11, stride=2),
        BROKEN,
        note="11 -> 6: the second stride is off centre",
    ),
    Case("c4-pool-even-size", SIZES, lambda: quarter(8, pool=2), EXACT),
    Case("c4-pool-odd-size", SIZES, lambda: quarter(9, pool=2), BROKEN),
    Case("c4-padding", SIZES, lambda: quarter(8), EXACT),
    Case("c4-padding-asymmetric", SIZES, lambda: quarter(8, padding=(0, 2, 0, 2)), BROKEN),
    Case("c4-dense", "own", lambda: quarter(8, dense=True), EXACT),
    Case("d4-mirrored-kernels", "own", lambda: quarter(7, "Dihedral(4)", mirror=True, k=5, padding=(2,) * 4), EXACT),
    Case("d4-claimed-of-c4", "own", lambda: quarter(7, "Dihedral(4)", k=5, padding=(2,) * 4), BROKEN),
    Case("plain-cnn-turned", "own", lambda: (PlainCNN(), torch.randn(2, 2, 7, 7), Claim("Cyclic(4)", "image")), BROKEN),
    Case("group-cnn", "own", group_cnn, EXACT),
    Case("group-cnn-orientations", "own", lambda: group_cnn(True), BROKEN),
    Case("circular-cnn", ALIAS, circular, EXACT),
    Case("circular-cnn-stride", ALIAS, lambda: circular(strides=1), BROKEN),
    Case("circular-cnn-two-strides", ALIAS, lambda: circular(strides=2), BROKEN),
    Case("circular-cnn-smoothed", ALIAS, lambda: circular(strides=1, smooth=True), BROKEN),
    Case(
        "circular-cnn-smoothed-tolerated",
        ALIAS,
        lambda: circular(strides=1, smooth=True),
        APPROXIMATE,
        None,
        {"tolerance": 0.5},
    ),
    Case("circular-padding", "own", lambda: padded("circular"), EXACT),
    Case("zero-padding", "own", lambda: padded("zeros"), BROKEN),
    Case("sphere-grid-fine", SPHERE, lambda: sphere(64), EXACT),
    Case("sphere-grid-coarse", SPHERE, lambda: sphere(4), BROKEN),
    Case("sphere-grid-medium", SPHERE, lambda: sphere(10), BROKEN),
    Case("sphere-grid-medium-tolerated", SPHERE, lambda: sphere(10), APPROXIMATE, None, {"tolerance": 0.5}),
)
