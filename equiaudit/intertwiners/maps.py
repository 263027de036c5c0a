"""Equivariant linear maps: the projection on them, an orthonormal basis, and how far a weight is from them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiaudit.groups.base import Group, Matrix
from equiaudit.intertwiners.atoms import Atoms, Kind, decompose, read
from equiaudit.intertwiners.pairs import Pair, pair
from equiaudit.representations.base import RepresentationError
from equiaudit.representations.simple import Scalar


class Hom:
    """Hom_G(V_in, V_out), prepared: both representations as copies of kinds, and the maps between the kinds.

    Args:
        group: the group.
        rep_in, rep_out: representations of one dimension, or what stands for one.
        shape: (dim_out, dim_in) of the weights, where it is known: scalars fit any length.

    Raises:
        RepresentationError: see ``decompose``.
    """

    def __init__(self, group: Group, rep_in: Any, rep_out: Any, shape: tuple[int, int] | None = None) -> None:
        self.group, self.rep_in, self.rep_out = group, read(rep_in), read(rep_out)
        self.into: Atoms = decompose(rep_in, group, None if shape is None else shape[1])
        self.out: Atoms = decompose(rep_out, group, None if shape is None else shape[0])
        self._orders = _moves(self.out), _moves(self.into)

    @property
    def shape(self) -> tuple[int, int]:
        """(dim_out, dim_in)."""
        return self.out.size, self.into.size

    def pair(self, out: Kind, into: Kind) -> Pair:
        """The maps between two of the kinds."""
        return pair(out, into)

    def check(self, weight: Tensor) -> None:
        """Raise where a weight is no floating-point matrix of this shape."""
        if not weight.is_floating_point() and not weight.is_complex():
            raise RepresentationError(f"a weight must be floating-point, got {weight.dtype}")
        if tuple(weight.shape) != self.shape:
            raise RepresentationError(
                f"a map from {self.rep_in!r} to {self.rep_out!r} of {self.group!r} has shape {list(self.shape)} "
                f"[out, in], the weight has {list(weight.shape)}"
            )

    def sorted(self, weight: Tensor) -> Tensor:
        """The weight with the copies of each kind side by side, in the precision that it is worked on."""
        rows, columns = self._orders
        out = weight.to(_wide(weight.dtype))
        if rows is not None:
            out = out[torch.from_numpy(rows).to(out.device)]
        if columns is not None:
            out = out[:, torch.from_numpy(columns).to(out.device)]
        return out

    def blocks(self, weight: Tensor) -> list[tuple[Kind, Kind, Tensor]]:
        """For each pair of kinds its part of a sorted weight, [copies out, d, copies in, e]."""
        found = []
        row = 0
        for a, above in zip(self.out.kinds, self.out.places, strict=True):
            column = 0
            for b, beside in zip(self.into.kinds, self.into.places, strict=True):
                part = weight[row : row + above.size, column : column + beside.size]
                found.append((a, b, part.reshape(len(above), a.size, len(beside), b.size)))
                column += beside.size
            row += above.size
        return found

    def project(self, weight: Tensor) -> Tensor:
        """The equivariant weight that is nearest."""
        self.check(weight)
        with torch.autocast(weight.device.type, enabled=False):
            flat = [_project(pair(a, b), block) for a, b, block in self.blocks(self.sorted(weight))]
            columns = len(self.into.kinds)
            rows = [torch.cat(flat[i : i + columns], 1) for i in range(0, len(flat), columns)]
            out = torch.cat(rows) if rows else torch.zeros_like(weight)
            back_rows, back_columns = (None if o is None else np.argsort(o) for o in self._orders)
            if back_rows is not None:
                out = out[torch.from_numpy(back_rows).to(out.device)]
            if back_columns is not None:
                out = out[:, torch.from_numpy(back_columns).to(out.device)]
            return self._shifted(out).to(weight.dtype)

    def _shifted(self, linear: Tensor) -> Tensor:
        # what moves with a translation must be moved by as much: W τ_in = τ_out
        if self.shifts is None:
            return linear
        gap = _like(self.shifts[1], linear) - linear @ _like(self.shifts[0], linear)
        return linear + gap @ _like(self._inverse_shift, linear)

    @cached_property
    def shifts(self) -> tuple[Tensor, Tensor] | None:
        """The velocities that translations give inputs [dim_in, K] and outputs [dim_out, K]; None for linear actions."""
        into, out = self.into.spread(lambda k: k.shift).T, self.out.spread(lambda k: k.shift).T
        if not into.any() and not out.any():
            return None
        if np.abs(out - out @ np.linalg.pinv(into) @ into).max(initial=0.0) > 1e-9:
            raise RepresentationError(
                f"no linear map takes {self.rep_in!r} to {self.rep_out!r} of {self.group!r}: the outputs move with "
                "translations and the inputs don't"
            )
        return _tensor(into), _tensor(out)

    @cached_property
    def _inverse_shift(self) -> Tensor:
        assert self.shifts is not None
        return torch.linalg.pinv(self.shifts[0].double())

    def basis(self) -> Tensor:
        """[n, dim_out, dim_in], orthonormal; the directions in which an equivariant weight may move."""
        rows: list[Matrix] = []
        for a, above in zip(self.out.kinds, self.out.places, strict=True):
            for b, beside in zip(self.into.kinds, self.into.places, strict=True):
                for element in pair(a, b).basis:
                    for i in above:
                        for j in beside:
                            full = np.zeros(self.shape, dtype=element.dtype)
                            full[np.ix_(i, j)] = element
                            rows.append(full)
        found = np.stack(rows) if rows else np.zeros((0, *self.shape))
        if self.shifts is not None and len(found):  # those that a shift of the inputs does not move
            moved = (found @ self.shifts[0].numpy()).reshape(len(found), -1)
            u, s, _ = np.linalg.svd(moved)
            free = u[:, int((s > 1e-9 * max(1.0, s.max(initial=0.0))).sum()) :]
            found = np.tensordot(free.T, found, 1)
        return torch.from_numpy(np.ascontiguousarray(found))

    def defect(self, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Σ_k ‖G_k W − W G_k‖², and what the bias and the translations add."""
        self.check(weight)
        with torch.autocast(weight.device.type, enabled=False):
            wide = self.sorted(weight)
            total = wide.new_zeros((), dtype=wide.real.dtype if wide.is_complex() else wide.dtype)
            for a, b, block in self.blocks(wide):
                total = total + commutators(a, b, block)
            return total + self.affine_defect(weight, bias)

    def affine_defect(self, weight: Tensor, bias: Tensor | None) -> Tensor | float:
        """Σ_k ‖W s_k − E_k b − t_k‖²: what the translations of inputs and outputs and the bias add to the defect."""
        if bias is None and self.shifts is None:
            return 0.0
        wide = weight.to(_wide(weight.dtype))
        gap: Any = 0.0
        if self.shifts is not None:
            gap = wide @ _like(self.shifts[0], wide) - _like(self.shifts[1], wide)
        if bias is not None:
            if tuple(bias.shape) != self.shape[:1]:
                raise RepresentationError(f"the bias must have shape [{self.shape[0]}], got {list(bias.shape)}")
            gap = gap - self.move(bias.to(wide.dtype))
        return squared(gap)

    def move(self, bias: Tensor) -> Tensor:
        """What each generator does to a constant output, dρ(A_k) b and (ρ(h) − 1) b: [dim_out, K]."""
        parts, order = [], torch.from_numpy(self.out.order()).to(bias.device)
        for kind, places in zip(self.out.kinds, self.out.places, strict=True):
            copies = bias[torch.from_numpy(places).to(bias.device)]  # [copies, d]
            still = _like(torch.from_numpy(kind.still), copies)
            parts.append(torch.einsum("kab,nb->nak", still, copies.to(still.dtype)).flatten(0, 1))
        return torch.cat(parts)[torch.argsort(order)]


def commutators(out: Kind, into: Kind, block: Tensor) -> Tensor:
    """Σ_k ‖G_k W − W G_k‖² over the copies of a pair of kinds; block is [copies out, d, copies in, e]."""
    total = block.new_zeros((), dtype=block.real.dtype if block.is_complex() else block.dtype)
    for g, h in zip(out.generators, into.generators, strict=True):
        left, right = _like(torch.from_numpy(g), block), _like(torch.from_numpy(h), block)
        wide = block.to(torch.promote_types(left.dtype, block.dtype))
        total = total + squared(torch.einsum("ab,obic->oaic", left, wide) - torch.einsum("oaib,bc->oaic", wide, right))
    return total


def _project(known: Pair, block: Tensor) -> Tensor:
    o, a, i, b = block.shape
    if not len(known.basis):
        return block.new_zeros(o * a, i * b)
    if known.identity:  # Schur: a multiple of the identity for each pair of copies
        if a == 1:
            return block.reshape(o, i)
        mean = block.diagonal(dim1=1, dim2=3).mean(-1)
        return torch.einsum("oi,ab->oaib", mean, torch.eye(a, dtype=mean.dtype, device=mean.device)).reshape(o * a, -1)
    basis = torch.from_numpy(known.basis).to(block.device)
    if basis.is_complex() and not block.is_complex():
        raise RepresentationError("the representations are complex, so the weight must be complex: weight.to(complex)")
    basis = basis.to(block.dtype)
    coordinates = torch.einsum("oaib,nab->oin", block, basis.conj())
    return torch.einsum("oin,nab->oaib", coordinates, basis).reshape(o * a, i * b)


def _moves(atoms: Atoms) -> Matrix | None:
    order = atoms.order()
    return None if np.array_equal(order, np.arange(atoms.size)) else order


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def _like(matrix: Tensor, x: Tensor) -> Tensor:
    dtype = x.dtype
    if matrix.is_complex() and not x.is_complex():
        dtype = torch.complex128 if x.dtype == torch.float64 else torch.complex64
    return matrix.to(x.device, dtype)


def _tensor(matrix: Matrix) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(matrix))


def squared(x: Tensor) -> Tensor:
    """Σ |x|², of real and imaginary parts: the absolute value has no second derivative at zero."""
    return (x.real.square() + x.imag.square()).sum() if x.is_complex() else x.square().sum()


def project(weight: Tensor, rep_in: Any, rep_out: Any, group: Group) -> Tensor:
    """The equivariant part of a linear map: its orthogonal projection on ρ_out(g) W = W ρ_in(g).

    For orthogonal (unitary) representations of a compact group it is the Reynolds operator ∫ ρ_out(g) W ρ_in(g)⁻¹ dg;
    for others, such as the Lorentz group, the nearest equivariant map in the Frobenius norm. Where inputs and outputs
    are points of a group with translations, the nearest W that also moves as much as its inputs. Linear in the weight
    (affine for points), hence differentiable to any order.

    Args:
        weight: [dim_out, dim_in], any floating-point or complex dtype.
        rep_in: the representation of the inputs: a ``Representation``, its name, or an object of e3nn or escnn.
        rep_out: that of the outputs.
        group: the group.

    Returns:
        [dim_out, dim_in], in the dtype and on the device of the weight.

    Raises:
        RepresentationError: sizes that differ, representations without a matrix, or no equivariant map at all.

    >>> import torch
    >>> from equiaudit.groups import SO
    >>> project(torch.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0], [0.0, 0.0, 4.0]]), "vector", "vector", SO(3)).tolist()
    [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]]

    Source: Schur's lemma; for the general case Finzi, Welling and Wilson 2021, equation 7.
    """
    return Hom(group, rep_in, rep_out, _shape(weight)).project(weight)


def project_bias(bias: Tensor, rep_out: Any, group: Group) -> Tensor:
    """The invariant part of a bias: its orthogonal projection on ρ_out(g) b = b (translations leave vectors alone).

    Args:
        bias: [dim_out].
        rep_out: the representation of the outputs.
        group: the group.

    >>> import torch
    >>> from equiaudit.groups import SO
    >>> project_bias(torch.ones(5), "2x0e+1x1o", SO(3)).tolist()
    [1.0, 1.0, 0.0, 0.0, 0.0]
    """
    if bias.dim() != 1:
        raise RepresentationError(f"a bias must be a vector [dim_out], got shape {list(bias.shape)}")
    hom = Hom(group, Scalar(), rep_out, (len(bias), 1))
    hom.__dict__["shifts"] = None  # a constant is not moved by translations: the linear part alone speaks
    return hom.project(bias[:, None])[:, 0]


def basis(group: Group, rep_in: Any, rep_out: Any) -> Tensor:
    """An orthonormal basis of the equivariant maps, [n, dim_out, dim_in], float64 (complex128 for complex ones).

    >>> from equiaudit.groups import SO
    >>> basis(SO(3), "vector", "1x0e+1x1o").shape
    torch.Size([1, 4, 3])

    Where translations act, of the directions in which such a map can move without breaking the symmetry.
    """
    return Hom(group, rep_in, rep_out).basis()


def defect(weight: Tensor, rep_in: Any, rep_out: Any, group: Group, bias: Tensor | None = None) -> Tensor:
    """How far a linear layer is from equivariant: Σ_k ‖dρ_out(A_k) W − W dρ_in(A_k)‖² + Σ_h ‖ρ_out(h) W − W ρ_in(h)‖².

    Over the basis A_k of the algebra and the discrete generators h; zero exactly on the equivariant maps. A bias adds
    ‖dρ_out(A_k) b‖² and ‖ρ_out(h) b − b‖²; for points, translations add the affine parts of both.

    Args:
        weight: [dim_out, dim_in].
        rep_in, rep_out: representations of inputs and outputs.
        group: the group.
        bias: [dim_out], or None.

    Returns:
        A scalar, differentiable in weight and bias.

    >>> import torch
    >>> from equiaudit.groups import SO
    >>> float(defect(torch.eye(3), "vector", "vector", SO(3))), float(defect(torch.ones(1, 3), "vector", "scalar", SO(3)))
    (0.0, 6.0)
    """
    return Hom(group, rep_in, rep_out, _shape(weight)).defect(weight, bias)


def _shape(weight: Tensor) -> tuple[int, int]:
    if not isinstance(weight, Tensor) or weight.dim() != 2:
        raise RepresentationError(
            f"a weight must be a matrix [dim_out, dim_in], got {list(getattr(weight, 'shape', ())) or type(weight)}"
        )
    return weight.shape[0], weight.shape[1]
