"""A penalty on the weights of a linear layer or a convolution, whose null space is the equivariant maps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from equiaudit.intertwiners.maps import Hom, commutators
from equiaudit.penalties.kernels import KernelAction
from equiaudit.representations.base import RepresentationError
from equiaudit.symmetry import Symmetry

REDUCTIONS = ("sum", "mean")
GRIDS = ("exact", "subgroup")


class OperatorPenalty:
    """How far the weight of a layer is from commuting with a group, from the weight alone.

    Σ_k ‖dρ_out(A_k) W − W dρ_in(A_k)‖² + Σ_h ‖ρ_out(h) W − W ρ_in(h)‖² over the basis of the algebra and the discrete
    generators, in closed form by pairs of irreps: between vectors of SO(3) it is 0, 2 and 6 times the squares of the
    scalar, antisymmetric and symmetric traceless parts of each 3 × 3 block. Zero exactly on the equivariant maps; its
    cost does not depend on the batch. The same number as ``equiaudit.intertwiners.defect``.

    A convolution kernel [out, in, *k] is turned with its channels: ρ_out(h) K(h⁻¹p) − K(p) ρ_in(h), for elements that
    permute the pixels of the kernel: multiples of 90°, flips. Translations hold by construction of a convolution with
    stride 1.

    Args:
        symmetry: the group, and one representation for the inputs and one for the outputs of the layer; for a
            convolution those of its channels, or images with channels.
        reduction: "sum", or "mean" over the entries of the weight, which makes layers of different sizes alike.
        grid: for kernels, "exact": refuse a group that has elements between the pixels; "subgroup": penalise the
            elements that permute pixels and leave the others (a turn by 45°) to another penalty.

    Raises:
        RepresentationError: sizes that differ, no matrices, or a group that does not act on the pixels of a kernel.

    >>> import torch
    >>> from equiaudit.groups import SO
    >>> penalty = OperatorPenalty(Symmetry(SO(3), inputs="4x1o", outputs="5x1o"))
    >>> exact = torch.kron(torch.randn(5, 4), torch.eye(3))
    >>> bool(penalty(exact) < 1e-10), bool(penalty(torch.ones(15, 12)) > 1)
    (True, True)

    Source: Pertigkiozoglou et al. 2024, "Improving Equivariant Model Training via Constraint Relaxation", equation 6;
    null space: Finzi, Welling and Wilson 2021.
    """

    def __init__(self, symmetry: Symmetry, *, reduction: str = "sum", grid: str = "exact") -> None:
        if not isinstance(symmetry, Symmetry):
            raise TypeError(f"expected one Symmetry, got {type(symmetry).__name__}")
        if reduction not in REDUCTIONS or grid not in GRIDS:
            raise ValueError(
                f"reduction must be one of {REDUCTIONS} and grid one of {GRIDS}, got {reduction!r}, {grid!r}"
            )
        self.symmetry, self.reduction, self.grid = symmetry, reduction, grid
        self._forms: dict[tuple[int, ...], Form] = {}
        self._kernels: dict[tuple[int, ...], KernelAction] = {}

    def __call__(
        self, weight: Tensor | nn.Module, bias: Tensor | None = None, *, transposed: bool | None = None
    ) -> Tensor:
        """The penalty.

        Args:
            weight: [dim_out, dim_in], or a kernel [out, in, *k]; or a linear layer or convolution with both.
            bias: [dim_out]; its own terms are added, it does not enter those of the weight.
            transposed: whether a kernel is that of a transposed convolution, [in, out, *k]; read from a layer.

        Returns:
            A scalar in the precision of the weight (float32 for half precisions, also under autocast).
        """
        if isinstance(weight, nn.Module):
            weight, bias, transposed = _read(weight, bias, transposed)
        if not isinstance(weight, Tensor):
            raise TypeError(f"expected a weight [out, in], a kernel or a layer, got {type(weight).__name__}")
        if weight.dim() < 2:
            raise RepresentationError(f"a weight has at least two dimensions [out, in], got {list(weight.shape)}")
        if transposed:
            if weight.dim() == 2:
                raise RepresentationError("transposed=True is for kernels [in, out, *k]; give a matrix as [out, in]")
            weight = weight.transpose(0, 1)  # and turned by 180°, which commutes with all that permutes its pixels
        with torch.autocast(weight.device.type, enabled=False):
            total = self.form(weight)(weight, bias) if weight.dim() == 2 else self._of_kernel(weight, bias)
        return total / weight.numel() if self.reduction == "mean" else total

    def form(self, weight: Tensor) -> Form:
        """The closed form for weights of this shape."""
        key = tuple(weight.shape)
        if key not in self._forms:
            s = self.symmetry
            self._forms[key] = Form(Hom(s.acts, s.inputs, s.outputs, (weight.shape[0], weight.shape[1])))
        return self._forms[key]

    def _of_kernel(self, kernel: Tensor, bias: Tensor | None) -> Tensor:
        key = tuple(kernel.shape)
        if key not in self._kernels:
            self._kernels[key] = KernelAction(self.symmetry, key, self.grid)
        return self._kernels[key].penalty(kernel, bias)

    def __repr__(self) -> str:
        return f"OperatorPenalty({self.symmetry!r})"


class Form:
    """The quadratic form of a space of maps, pair of kinds by pair of kinds."""

    def __init__(self, hom: Hom) -> None:
        self.hom = hom
        mask = torch.zeros(hom.shape, dtype=torch.float64)
        self.pairs: list[tuple[Any, Any, torch.Tensor | None, Any, Any]] = []
        for a, above in zip(hom.out.kinds, hom.out.places, strict=True):
            for b, beside in zip(hom.into.kinds, hom.into.places, strict=True):
                known = hom.pair(a, b)
                if known.factor is None and not math.isnan(known.constant):
                    mask[np.ix_(above.ravel(), beside.ravel())] = known.constant**0.5
                else:
                    factor = None if known.factor is None else torch.from_numpy(known.factor)
                    self.pairs.append((a, b, factor, _places(above), _places(beside)))
        self._mask = mask if bool(mask.any()) else None
        self._placed: dict[tuple[torch.device, torch.dtype], tuple[Tensor | None, list[Tensor | None]]] = {}

    def __call__(self, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Σ over pairs of ‖R w‖², and what bias and translations add."""
        self.hom.check(weight)
        wide = weight.float() if weight.dtype in (torch.float16, torch.bfloat16) else weight
        mask, factors = self._on(wide)
        parts: list[Any] = []
        if mask is not None:
            parts.append(_square(wide * mask))
        for (a, b, _, above, beside), factor in zip(self.pairs, factors, strict=True):
            rows = wide[above] if isinstance(above, slice) else wide.index_select(0, above.to(wide.device))
            block = rows[:, beside] if isinstance(beside, slice) else rows.index_select(1, beside.to(wide.device))
            parts_of = block.reshape(-1, a.size, block.shape[1] // b.size, b.size)
            if factor is None:  # too large for a factor: by its generators
                parts.append(commutators(a, b, parts_of))
                continue
            flat = parts_of.transpose(1, 2).reshape(-1, a.size * b.size)
            parts.append(_square(flat.to(factor.dtype) @ factor.mT))
        affine = self.hom.affine_defect(weight, bias)
        if isinstance(affine, Tensor):
            parts.append(affine)
        if not parts:  # every map is equivariant; stay on the graph
            return _square(wide * 0)
        return sum(parts[1:], parts[0])

    def _on(self, x: Tensor) -> tuple[Tensor | None, list[Tensor | None]]:
        key = (x.device, x.dtype)
        if key not in self._placed:
            real = x.real.dtype if x.is_complex() else x.dtype
            cplx = torch.complex128 if real == torch.float64 else torch.complex64
            mask = None if self._mask is None else self._mask.to(x.device, real)
            factors = [
                None if f is None else f.to(x.device, cplx if f.is_complex() else x.dtype)
                for _, _, f, _, _ in self.pairs
            ]
            self._placed[key] = mask, factors
        return self._placed[key]


def _read(layer: nn.Module, bias: Tensor | None, transposed: bool | None) -> tuple[Any, Tensor | None, bool]:
    weight, own = getattr(layer, "weight", None), getattr(layer, "bias", None)
    if not isinstance(weight, Tensor):
        raise TypeError(f"{type(layer).__name__} has no weight; give the matrix or kernel: penalty(weight, bias)")
    if getattr(layer, "groups", 1) != 1:
        raise RepresentationError(
            f"{type(layer).__name__} has groups={layer.groups}, so its kernel {list(weight.shape)} is not a map between all "
            "channels: penalise each group by itself, penalty(part) for part in weight.chunk(groups) with the "
            "representations of one group, or the layer's output with LieDerivativePenalty"
        )
    kind = bool(getattr(layer, "transposed", False)) if transposed is None else transposed
    return weight, own if bias is None and isinstance(own, Tensor) else bias, kind


def _places(places: Any) -> Any:
    # a slice where the copies stand side by side, else an index
    flat = places.ravel()
    if len(flat) and np.array_equal(flat, np.arange(flat[0], flat[0] + len(flat))):
        return slice(int(flat[0]), int(flat[0]) + len(flat))
    return torch.from_numpy(flat)


def _square(x: Tensor) -> Tensor:
    flat = x.reshape(-1)
    return torch.vdot(flat, flat).real if x.is_complex() else torch.dot(flat, flat)
