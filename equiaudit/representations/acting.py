"""Which element acts on which row: one element for a whole tensor, or one per sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiaudit.groups.base import Element, Group, Matrix


@dataclass(frozen=True)
class Acting:
    """Group elements on their way to a tensor.

    Args:
        elements: one element for everything, or one per sample.
        rows: for each row (first dimension) of the tensor, the sample that it belongs to, [rows]; None where one
            element acts on the whole tensor.
        nodes: what relabelling needs besides: the sample of each node [nodes], or the number of nodes in a sample.
        edges: the sample of each edge [edges].
    """

    elements: tuple[Element, ...]
    rows: Tensor | None = None
    nodes: Tensor | int | None = None
    edges: Tensor | None = None

    @classmethod
    def of(cls, elements: Element | Sequence[Element] | Acting) -> Acting:
        """One element, several with one per row, or an Acting as it is."""
        if isinstance(elements, Acting):
            return elements
        if isinstance(elements, Element):
            return cls((elements,))
        found = tuple(elements)
        return cls(found, torch.arange(len(found)) if len(found) > 1 else None)

    @property
    def group(self) -> Group:
        """The group of the elements."""
        return self.elements[0].group

    @property
    def single(self) -> Element | None:
        """The element, where there is one for the whole tensor."""
        return self.elements[0] if self.rows is None else None

    def inverse(self) -> Acting:
        """The inverse elements on the same rows."""
        return replace(self, elements=tuple(g.inverse() for g in self.elements))

    def on(self, rows: Tensor | None) -> Acting:
        """The same elements with other rows."""
        return replace(self, rows=rows)

    def stacked(self, matrix_of: Callable[[Element], Matrix], like: Tensor) -> Tensor:
        """Matrices [d, d], or [rows, d, d] where each row has its own, on the device of ``like``."""
        return (
            place(matrix_of(self.elements[0]), like)
            if self.rows is None
            else _per_row(np.stack([matrix_of(g) for g in self.elements]), self.rows, like)
        )


@dataclass(frozen=True)
class Moving:
    """Lie-algebra directions on their way to a tensor: coordinates [k], or [samples, k] with ``rows`` as in Acting."""

    group: Group
    coordinates: Matrix
    rows: Tensor | None = None

    def on(self, rows: Tensor | None) -> Moving:
        """The same directions with other rows."""
        return Moving(self.group, self.coordinates, rows)

    def stacked(self, basis: Matrix, like: Tensor) -> Tensor:
        """Σ_k c_k basis[k] as [d, d], or [rows, d, d]; ``basis`` is [k, d, d]."""
        combined = np.tensordot(np.asarray(self.coordinates, dtype=float), basis, 1)
        return place(combined, like) if self.rows is None else _per_row(combined, self.rows, like)


def _per_row(matrices: Matrix, rows: Tensor, like: Tensor) -> Tensor:
    return place(matrices, like)[rows.to(like.device)]


def working_dtype(like: Tensor, complex_matrix: bool = False) -> torch.dtype:
    """The dtype that an action is computed in: double, complex where needed; single where a device has no double."""
    wide = like.device.type != "mps"
    if complex_matrix or like.is_complex():
        return torch.complex128 if wide else torch.complex64
    return torch.float64 if wide else torch.float32


def place(matrix: Matrix, like: Tensor) -> Tensor:
    """A numpy matrix as a tensor on the device of ``like``, in the dtype that actions are computed in."""
    return torch.from_numpy(np.ascontiguousarray(matrix)).to(like.device, working_dtype(like, np.iscomplexobj(matrix)))


def apply_matrix(matrix: Tensor, x: Tensor, dim: int, shift: Tensor | None = None) -> Tensor:
    """matrix · x along ``dim``, plus ``shift`` [d] (or [rows, d]): rounded once, to the dtype of ``x``.

    ``matrix`` is [d, d], or [rows, d, d] with the rows of ``x`` along its first dimension. Integers stay integers where
    the matrix maps them to integers; a real tensor under a complex matrix becomes complex.
    """
    dim = dim % x.dim()
    moved = x.movedim(dim, -1).to(matrix.dtype)
    if matrix.dim() == 3:
        if dim == 0:
            raise ValueError(
                "with one element per row, a representation can't act on dimension 0, which holds the rows"
            )
        flat = moved.reshape(moved.shape[0], -1, moved.shape[-1])
        out = flat @ matrix.mT
        if shift is not None:
            out = out + shift[:, None, :]
        out = out.reshape(*moved.shape[:-1], matrix.shape[-2])
    else:
        out = moved @ matrix.mT
        if shift is not None:
            out = out + shift
    return cast(out.movedim(-1, dim), x)


def cast(out: Tensor, x: Tensor) -> Tensor:
    """``out`` in the dtype of ``x``; complex results stay complex in the matching precision."""
    if x.is_floating_point() and out.is_complex():
        return out.to(torch.complex64 if x.dtype.itemsize <= 4 else torch.complex128)
    if x.is_floating_point() or x.is_complex():
        return out.to(x.dtype)
    rounded = out.real.round() if out.is_complex() else out.round()
    if float((out - rounded).abs().max() if out.numel() else 0.0) > 1e-9:
        raise TypeError(
            f"an integer tensor ({x.dtype}) can't be turned by this matrix; convert it to floating point first"
        )
    return rounded.to(x.dtype)


def as_tensor(value: Any) -> Tensor:
    """Tensors as they are, numpy arrays and numbers converted."""
    return value if isinstance(value, Tensor) else torch.as_tensor(value)
