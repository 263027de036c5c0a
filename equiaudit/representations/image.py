"""Images: 90° turns and flips exactly, shifts by the Fourier series, other angles as an approximation on a disc."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiaudit.groups.base import Element, Group, Matrix, NotInGroupError
from equiaudit.representations.acting import cast, working_dtype
from equiaudit.representations.base import Representation, RepresentationError
from equiaudit.representations.resolve import as_representation
from equiaudit.representations.simple import linear_algebra, linear_part, not_orthogonal
from equiaudit.representations.spectral import centred, shift, slope, turn

SIGNS = (1, -1, -1)
"""Which way pixel numbers run along x, y and z: columns to the right, rows downwards, slices against z."""
ROUNDING = 1e-9


class Image(Representation):
    """A field on a grid of pixels: (ρ(g) f)(p) = ρ_channels(g) f(g⁻¹ p).

    x runs to the right along the last dimension, y upwards along the one before (as escnn has it), so a turn by 90° is
    ``torch.rot90(x, 1, (-2, -1))``; translations are in pixels. Turns by 90° and flips are index permutations for even
    and for odd sizes, whole shifts are rolls. Other shifts move the Fourier series. Other angles turn what lies in the
    disc, by three spectral shears, and leave the corners where they are: ``action_error`` says how well that works.

    Args:
        dims: the dimensions of the grid: one (signals), two or three (volumes, for shifts and Octahedral()).
        channels: how the dimension before the grid is acted on: a representation or its name; left alone if None.
        origin: what turns and flips leave in place: "center" of the grid, or the "corner" pixel 0.
        boundary: "circular", or "zeros" moving in, under which shifts lose content and are no exact action.
        radius: radius of the disc, as a fraction of half the image.

    >>> import torch
    >>> from equiaudit.groups import Cyclic, T
    >>> Image().act(Cyclic(4).element_at(1), torch.tensor([[1, 2], [3, 4]])).tolist()
    [[2, 4], [1, 3]]
    >>> Image().act(T(2).translation(1.0, 0.0), torch.tensor([[1, 2], [3, 4]])).tolist()
    [[2, 1], [4, 3]]
    """

    on_grid = True

    def __init__(
        self,
        dims: tuple[int, ...] = (-2, -1),
        channels: Any = None,
        origin: str = "center",
        boundary: str = "circular",
        radius: float = 0.8,
    ) -> None:
        if origin not in ("center", "corner"):
            raise RepresentationError(f"origin must be 'center' or 'corner', got {origin!r}")
        if boundary not in ("circular", "zeros"):
            raise RepresentationError(f"boundary must be 'circular' or 'zeros', got {boundary!r}")
        if not 1 <= len(dims) <= 3 or any(d >= 0 for d in dims):
            raise RepresentationError(f"dims must be one to three dimensions counted from the end, got {dims}")
        if not 0 < radius <= 1:
            raise RepresentationError(f"radius is a fraction of half the image, above 0 and up to 1, got {radius}")
        self.dims, self.origin, self.boundary, self.radius = tuple(dims), origin, boundary, radius
        self.axis = min(dims) - 1
        given = None if channels is None else as_representation(channels)
        if channels is not None and given is None:
            raise RepresentationError(f"channels must be a representation or its name, got {channels!r}")
        self.channels = given.moved(self.axis) if given is not None else None

    # -- what fits ------------------------------------------------------------------------------------------------

    def check(self, group: Group) -> None:
        """Rotations, reflections and translations of a space with as many dimensions as the grid."""
        fault = not_orthogonal(group, len(self.dims))
        if fault:
            raise RepresentationError(
                f"{self!r} can be turned, flipped and shifted in {len(self.dims)}-D; {group!r} {fault}"
            )
        if len(self.dims) == 3 and np.abs(linear_algebra(group)).max(initial=0.0) > 0:
            raise RepresentationError(
                f"volumes can't be turned by any angle: {group!r}; Octahedral() turns them exactly"
            )
        if self.channels is not None:
            self.channels.check(group)

    def size(self, group: Group) -> int | None:
        """The number of channels, where their representation says it."""
        return None if self.channels is None else self.channels.size(group)

    def fits(self, group: Group, x: Tensor) -> str | None:
        """The grid must be there, and square where it is turned; channels must fit."""
        if x.dim() < len(self.dims):
            return f"an image needs the dimensions {self.dims}, shape {list(x.shape)}"
        sizes = [x.shape[d] for d in self.dims]
        turned = [linear_part(group, h) for h in group.discrete.values()] + list(linear_algebra(group))
        if len(set(sizes)) > 1 and any(np.abs(m - np.diag(np.diag(m))).max() > ROUNDING for m in turned):
            return f"an image that is turned must be square, shape {list(x.shape)}"
        return self.channels.fits(group, x) if self.channels is not None else None

    def moved(self, dim: int) -> Representation:
        """Refused: an image has its own dimensions."""
        raise RepresentationError(f"{self!r} acts on dimensions {self.dims}; channels are given as channels=")

    # -- acting -----------------------------------------------------------------------------------------------------

    def act(self, g: Element, x: Tensor) -> Tensor:
        """Turned and flipped about the origin, then shifted, then the channels mixed."""
        angle, exact = self._split(g.linear)
        out = _permute(x, self.dims, exact, self.origin)
        if abs(angle) > 0:
            out = cast(self._turned(out.to(working_dtype(out)), angle), x)
        out = self._shifted(out, g.translation)
        return out if self.channels is None else self.channels.act(g, out)

    def _split(self, linear: Matrix) -> tuple[float, Matrix]:
        # linear = R(angle) · signed permutation, the angle within 45°; 0 where the signed permutation is all
        nearest = np.round(linear.real)
        if np.abs(linear - nearest).max() < ROUNDING:
            return 0.0, nearest
        if len(self.dims) != 2:
            raise RepresentationError(
                f"{self!r} can be turned by multiples of 90° only, got the matrix {linear.tolist()}"
            )
        flip = np.diag([np.sign(np.linalg.det(linear.real)), 1.0])
        rotation = linear.real @ flip
        angle = math.atan2(rotation[1, 0], rotation[0, 0])
        quarters = round(angle / (math.pi / 2))
        turned = np.linalg.matrix_power(np.array([[0.0, -1.0], [1.0, 0.0]]), quarters % 4)
        return angle - quarters * math.pi / 2, turned @ flip

    def _turned(self, x: Tensor, angle: float) -> Tensor:
        inside, window = self._disc(x)
        return torch.where(inside, turn(x * window, (self.dims[0], self.dims[1]), angle), x)

    def _disc(self, x: Tensor) -> tuple[Tensor, Tensor]:
        # the disc, and a window that is 1 on it and falls smoothly to 0 at the edge of the image
        half = min(x.shape[d] for d in self.dims) / 2
        r = self._coordinates(x).square().sum(0).sqrt() / half
        fall = ((r - self.radius) / max(1 - self.radius, 1e-9)).clamp(0, 1)
        return r <= self.radius, torch.cos(fall * math.pi / 2).square()

    def _coordinates(self, x: Tensor) -> Tensor:
        # x, y, … of every pixel, [d, *grid], broadcasting with x
        real = x.real.dtype
        axes = [sign * centred(x.shape[d], x.device, real) for sign, d in zip(SIGNS, reversed(self.dims), strict=False)]
        grids = torch.meshgrid(*axes, indexing="ij")  # in the order x, y, …
        order = sorted(range(len(self.dims)), key=lambda c: self.dims[len(self.dims) - 1 - c])
        stacked = torch.stack(grids).permute(0, *(1 + c for c in order))
        shape = [x.shape[d] if d - x.dim() in self.dims else 1 for d in range(x.dim())]
        return stacked.reshape(len(self.dims), *shape)

    def _shifted(self, x: Tensor, translation: Matrix) -> Tensor:
        out = x
        for c, amount in enumerate(np.asarray(translation).real[: len(self.dims)]):
            dim, pixels = self.dims[len(self.dims) - 1 - c], SIGNS[c] * float(amount)
            whole = round(pixels)
            if abs(pixels - whole) < ROUNDING:
                out = _roll(out, dim, whole, self.boundary) if whole else out
            elif self.boundary == "zeros":
                wide = shift(_extended(out.to(working_dtype(out)), dim), dim, pixels)
                out = cast(wide.narrow(dim, 0, x.shape[dim]), x)
            else:
                out = cast(shift(out.to(working_dtype(out)), dim, pixels), x)
        return out

    def act_tangent(self, group: Group, coordinates: Matrix, x: Tensor) -> Tensor:
        """−(Ω p + τ)·∇f with the gradient of the Fourier series; the turning part on the disc."""
        a = np.tensordot(np.asarray(coordinates, dtype=float), group.algebra, 1)
        velocity, drift = (a[:-1, :-1], a[:-1, -1]) if group.affine else (a, np.zeros(len(a)))
        wide = x.to(working_dtype(x))
        out = torch.zeros_like(wide)
        d = len(self.dims)
        if np.abs(velocity).max(initial=0.0) > 0:
            inside, window = self._disc(wide)
            p, inner = self._coordinates(wide), wide * window
            for c in range(d):
                speed = sum(float(velocity[c, k].real) * p[k] for k in range(d))
                out = out - torch.where(inside, speed * SIGNS[c] * slope(inner, self.dims[d - 1 - c]), 0.0)
        for c in np.flatnonzero(drift[:d]):
            out = out - float(drift[c].real) * SIGNS[c] * slope(wide, self.dims[d - 1 - c])
        out = cast(out, x)
        return out if self.channels is None else out + self.channels.act_tangent(group, coordinates, x)

    # -- how exact it is --------------------------------------------------------------------------------------------

    def is_exact(self, g: Element) -> bool:
        """Whether g only moves data: it permutes pixels, and the channels are not mixed with rounding."""
        return self.permutes_pixels(g) and (self.channels is None or self.channels.is_exact(g))

    def permutes_pixels(self, g: Element) -> bool:
        """Whether g permutes pixels: multiples of 90°, flips and whole shifts."""
        whole = bool(np.abs(g.linear - np.round(g.linear.real)).max() < ROUNDING)
        still = not np.abs(g.translation).max(initial=0.0) > 0
        circular = self.boundary == "circular" and bool(
            np.abs(g.translation - np.round(g.translation.real)).max() < ROUNDING
        )
        return whole and (still or circular)

    def action_error(self, g: Element, x: Tensor) -> float:
        """How far the action by g is from a group action on this image, relative to its size; 0 where it is exact.

        The larger of what turning forth and back changes, and (for angles other than 90°) of what lies outside the disc
        and is not turned at all.
        """
        if self.permutes_pixels(g):
            return 0.0
        wide = x.detach().to(working_dtype(x))
        size = float(wide.abs().square().mean().sqrt()) or 1.0
        back = self.act(g.inverse(), self.act(g, wide))
        found = float((back - wide).abs().square().mean().sqrt()) / size
        if np.abs(g.linear - np.round(g.linear.real)).max() >= ROUNDING:
            inside, _ = self._disc(wide)
            found = max(found, float(torch.where(inside, 0.0, wide.abs()).square().mean().sqrt()) / size)
        return found

    def exact_elements(self, group: Group) -> list[Element]:
        """Elements of ``group`` that only permute pixels, the identity left out: 90° turns, flips and whole shifts."""
        d = len(self.dims)
        turns = [np.eye(d)]
        for a, b in ((0, 1), (1, 2)):
            if b < d:
                quarter = np.eye(d)
                quarter[[a, b]] = quarter[[b, a]]
                quarter[a, b] = -1.0
                turns += [np.linalg.matrix_power(quarter, k) for k in (1, 2, 3)]
        flip = np.diag([-1.0] + [1.0] * (d - 1))
        shifts = [np.zeros(d), *np.eye(d), np.arange(2.0, 2.0 + d)] if group.affine else [np.zeros(d)]
        found = []
        for linear in [*turns, *(m @ flip for m in turns)]:
            for t in shifts:
                matrix = (
                    np.block([[linear, t[:, None]], [np.zeros((1, d)), np.ones((1, 1))]]) if group.affine else linear
                )
                if np.array_equal(matrix, np.eye(len(matrix))):
                    continue
                try:
                    g = group.element(matrix)
                except NotInGroupError:
                    continue
                found += [g] if self.permutes_pixels(g) else []
        return found

    def rows(self, x: Tensor) -> tuple[int, ...]:
        """The channels of a pixel where they are mixed; else every entry is its own row."""
        return self.channels.rows(x) if self.channels is not None else ()

    def describe(self) -> str:
        """The dimensions of the grid, and the channels."""
        return f"image on dims {self.dims}" + (f" with {self.channels.describe()}" if self.channels is not None else "")

    def __repr__(self) -> str:
        given = [f"dims={self.dims}"] * (self.dims != (-2, -1))
        given += [f"channels={self.channels!r}"] * (self.channels is not None)
        given += [f"origin={self.origin!r}"] * (self.origin != "center")
        given += [f"boundary={self.boundary!r}"] * (self.boundary != "circular")
        given += [f"radius={self.radius}"] * (self.radius != 0.8)
        return f"Image({', '.join(given)})"


def _permute(x: Tensor, dims: tuple[int, ...], linear: Matrix, origin: str) -> Tensor:
    # new(p) = old(Lᵀ p): coordinate c of the old grid is ± coordinate r of the new one, where L[r, c] = ±1
    d = len(dims)
    at = [dims[d - 1 - c] % x.dim() for c in range(d)]
    order, mirrored = list(range(x.dim())), []
    for c in range(d):
        r = int(np.abs(linear[:, c]).argmax())
        order[at[r]] = at[c]
        if linear[r, c] * SIGNS[c] * SIGNS[r] < 0:
            mirrored.append(at[r])
    out = x.permute(order)
    if mirrored:
        out = out.flip(mirrored)
        if origin == "corner":  # pixel i goes to −i: pixel 0 stays
            out = out.roll([1] * len(mirrored), mirrored)
    return out


def _roll(x: Tensor, dim: int, pixels: int, boundary: str) -> Tensor:
    if boundary == "circular":
        return x.roll(pixels, dim)
    n = x.shape[dim]
    kept = max(n - abs(pixels), 0)
    out = torch.zeros_like(x)
    if kept:
        out.narrow(dim, max(pixels, 0), kept).copy_(x.narrow(dim, max(-pixels, 0), kept))
    return out


def _extended(x: Tensor, dim: int) -> Tensor:
    # as much nothing again, so that what leaves on one side does not come in on the other
    return torch.cat([x, torch.zeros_like(x)], dim)
