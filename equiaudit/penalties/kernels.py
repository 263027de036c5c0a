"""How a group acts on convolution kernels [out, in, *k]: on the grid by moving pixels, on both channel dimensions by matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiaudit.groups.base import Element, Group, Matrix
from equiaudit.intertwiners.atoms import decompose, read
from equiaudit.intertwiners.maps import Hom, squared
from equiaudit.representations.base import RepresentationError
from equiaudit.representations.image import Image
from equiaudit.representations.resolve import as_representation
from equiaudit.representations.simple import Scalar, linear_algebra
from equiaudit.symmetry import Symmetry


class KernelAction:
    """The action K → ρ_out(h) K(h⁻¹ p), compared with K(p) ρ_in(h), for elements that permute the pixels of a kernel.

    Args:
        symmetry: the group and the representations of the channels.
        shape: [out, in, *k].
        grid: see ``OperatorPenalty``.
    """

    def __init__(self, symmetry: Symmetry, shape: tuple[int, ...], grid: str = "exact") -> None:
        self.group, self.shape = symmetry.acts, shape
        n = len(shape) - 2
        self.image = Image(tuple(range(-n, 0)))
        self.image.check(self.group)
        into, out = _channels(symmetry.inputs), _channels(symmetry.outputs)
        self.hom = Hom(self.group, into, out, _sizes(self.group, into, shape))
        problem = self.image.fits(self.group, torch.empty(shape, device="meta"))
        if problem:
            raise RepresentationError(f"the kernel of shape {list(shape)} can't be moved by {self.group!r}: {problem}")
        self.elements = self._generating(grid)
        self.matrices = [(_mixing(out, g, shape[0]), _mixing(into, g, shape[1])) for g in self.elements]

    def _generating(self, grid: str) -> list[Element]:
        group = self.group
        generators = [group.generator(name) for name in group.discrete]
        continuous = np.abs(linear_algebra(group)).max(initial=0.0) > 0
        if not continuous and all(self.image.permutes_pixels(g) for g in generators):
            return generators
        if grid == "exact":
            raise RepresentationError(
                f"{group!r} has elements that don't permute the pixels of a kernel, such as small turns, so its action "
                "on a kernel is not exact; give grid='subgroup' to penalise its multiples of 90° and flips alone, or "
                "penalise the layer's output with LieDerivativePenalty"
            )
        if continuous:
            found = [g for g in self.image.exact_elements(group) if not np.abs(g.translation).max(initial=0.0) > 0]
        else:
            found = [g for g in group.elements() if self.image.permutes_pixels(g) and not g.is_identity()]
        return found

    def moved(self, index: int, kernel: Tensor) -> tuple[Tensor, Tensor]:
        """ρ_out(h) K(h⁻¹p) and K(p) ρ_in(h) for the element with this number."""
        out, into = self.matrices[index]
        return _mix(out, self.image.act(self.elements[index], kernel), 0), _mix(into, kernel, 1)

    def penalty(self, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
        """Σ_h ‖ρ_out(h) K(h⁻¹p) − K(p) ρ_in(h)‖², and what the bias adds."""
        wide = kernel.float() if kernel.dtype in (torch.float16, torch.bfloat16) else kernel
        total = wide.new_zeros((), dtype=wide.real.dtype if wide.is_complex() else wide.dtype)
        for index in range(len(self.elements)):
            a, b = self.moved(index, wide)
            total = total + squared(a - b)
        if bias is not None:
            if bias.shape != kernel.shape[:1]:
                raise RepresentationError(f"the bias must have shape [{self.shape[0]}], got {list(bias.shape)}")
            total = total + squared(self.hom.move(bias.to(wide.dtype)))
        return total


def _channels(spec: Any) -> Any:
    rep = as_representation(spec)
    return Scalar() if isinstance(rep, Image) and rep.channels is None else read(spec).moved(-1)


def _sizes(group: Group, into: Any, shape: tuple[int, ...]) -> tuple[int, int]:
    try:
        decompose(into, group, shape[1])
    except RepresentationError as error:
        raise RepresentationError(
            f"{error}; a kernel is [out, in, *k]; of a transposed convolution [in, out, *k]: give transposed=True; of a "
            "grouped convolution [out, in / groups, *k], which no representation of all channels fits: penalise each "
            "group by itself"
        ) from None
    return shape[0], shape[1]


class _Mixing:
    # a matrix on channels: reordering with signs where it is one, else dense
    def __init__(self, matrix: Matrix) -> None:
        places = np.abs(matrix).argmax(0)
        signs = np.take_along_axis(matrix, places[None], 0)[0]
        plain = np.zeros_like(matrix)
        plain[places, np.arange(len(places))] = signs
        exact = np.abs(matrix - plain).max(initial=0.0) < 1e-12 and np.abs(np.abs(signs) - 1).max(initial=0.0) < 1e-12
        self.dense = None if exact else torch.from_numpy(np.ascontiguousarray(matrix))
        self.rows = torch.from_numpy(np.argsort(places)) if exact else None  # row j holds entry rows[j]
        self.columns = torch.from_numpy(places) if exact else None
        self.signs = torch.from_numpy(np.round(signs.real)) if exact else None
        self.trivial = exact and np.array_equal(places, np.arange(len(places))) and bool((signs > 0).all())


def _mixing(rep: Any, g: Element, length: int) -> _Mixing:
    matrix = np.asarray(rep.matrix(g))
    if matrix.shape[0] != length:  # a scalar or a pseudoscalar stands for any number of channels
        matrix = np.kron(np.eye(length), matrix)
    return _Mixing(matrix)


def _mix(mixing: _Mixing, x: Tensor, dim: int) -> Tensor:
    # dim 0: ρ x; dim 1: x ρ
    if mixing.trivial:
        return x
    if mixing.dense is not None:
        matrix = mixing.dense.to(x.device, x.dtype if not mixing.dense.is_complex() else None)
        moved = torch.tensordot(matrix if dim == 0 else matrix.mT, x, ([1], [dim]))
        return moved.movedim(0, dim)
    assert mixing.rows is not None
    assert mixing.columns is not None
    assert mixing.signs is not None
    shape = [-1 if d == dim else 1 for d in range(x.dim())]
    signs = mixing.signs.to(x.device, x.dtype)
    if dim == 0:
        rows = mixing.rows.to(x.device)
        return x.index_select(0, rows) * signs[rows].reshape(shape)
    return x.index_select(1, mixing.columns.to(x.device)) * signs.reshape(shape)
