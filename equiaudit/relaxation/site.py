"""LinearSite: where a linear map stands beside a layer, between which representations, and what the layer can take over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from equiaudit.groups.base import Group
from equiaudit.representations.base import Representation


class RelaxationError(ValueError):
    """A layer that can't be relaxed, or a declaration that does not fit it; the message names the layer."""


def title(name: str) -> str:
    """What a layer is called in messages: the model itself has an empty name."""
    return name or "the model itself"


@dataclass(frozen=True)
class Convolution:
    """How a relaxation slides over the grid: as the layer that it stands beside does."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...] | str
    dilation: tuple[int, ...]
    mode: str = "zeros"
    around: tuple[int, ...] = ()
    """Padding on both sides of each dimension, last dimension first, where ``mode`` is not "zeros"."""

    def __call__(self, x: Tensor, weight: Tensor) -> Tensor:
        """The convolution of x [..., dim_in, grid] with a kernel [dim_out, dim_in, *kernel]."""
        padding: Any = self.padding
        if self.mode != "zeros":
            x, padding = F.pad(x, self.around, mode=self.mode), 0
        convolve: Any = (F.conv1d, F.conv2d, F.conv3d)[len(self.kernel) - 1]
        return convolve(x, weight, None, self.stride, padding, self.dilation)


def first_tensor(value: Any) -> Tensor:
    """A tensor as it is: what ``LinearSite.read`` does unless an adapter says otherwise."""
    return value


def add_tensor(output: Any, delta: Tensor) -> Any:
    """Output plus delta in the dtype of the output: what ``LinearSite.write`` does unless an adapter says otherwise."""
    return output + delta.to(output.dtype)


@dataclass(frozen=True, eq=False)
class LinearSite:
    """A place for θ·W x beside a layer.

    An adapter ``adapter(layer) -> LinearSite | None`` returns one of these for the layers that it knows. Its functions
    must be module-level functions where the relaxed model is to be pickled.

    Args:
        rep_in: how the group acts on the flattened features of the first input [dim_in].
        rep_out: the same for the output [dim_out].
        group: the group.
        dim_in: length of the flattened features in.
        dim_out: length of the flattened features out.
        kind: what the layer is, for reports.
        shape_in: the trailing dimensions of the input that hold features, flattened for W; (dim_in,) if left out.
        shape_out: the same of the output; (dim_out,) if left out.
        read: from the first argument of the layer to the tensor of features.
        write: ``write(output, delta)``: from the output of the layer to the output with delta added.
        convolution: for layers that slide over a grid.
        equivariant: ``equivariant(layer, weight)``: the equivariant part of W where the representations alone don't say
            it (kernels on grids), or None where it is not known; left out: ``intertwiners.project``.
        fold: ``fold(layer, weight)``: adds an equivariant W to the layer's own parameters, as far as these can hold it,
            and returns what was added, in the shape of W. None: the layer can't take anything over.
        example: ``example(layer, generator)``: arguments for the trial call by which ``relax`` checks the declaration. The
            group acts on the features of the first one; the others are kept, so they must be invariant (else give
            ``check=False``). None: normal numbers as the only argument.

    >>> from equiaudit.groups import O
    >>> from equiaudit.representations import Vector
    >>> LinearSite(4 * Vector(), 2 * Vector(), O(3), 12, 6, "my layer").entries
    72
    """

    rep_in: Representation
    rep_out: Representation
    group: Group
    dim_in: int
    dim_out: int
    kind: str
    shape_in: tuple[int, ...] = ()
    shape_out: tuple[int, ...] = ()
    read: Callable[[Any], Tensor] = first_tensor
    write: Callable[[Any, Tensor], Any] = add_tensor
    convolution: Convolution | None = None
    equivariant: Callable[[nn.Module, Tensor], Tensor | None] | None = None
    fold: Callable[[nn.Module, Tensor], Tensor] | None = None
    example: Callable[[nn.Module, torch.Generator], tuple[Any, ...]] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> LinearSite:
        return self  # nothing in it changes

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of W."""
        return (self.dim_out, self.dim_in, *(self.convolution.kernel if self.convolution else ()))

    @property
    def entries(self) -> int:
        """The number of entries of W."""
        return int(torch.Size(self.shape).numel())

    def apply(self, weight: Tensor, x: Tensor) -> Tensor:
        """W x, in the shape that the layer's output has."""
        if self.convolution is not None:
            return self.convolution(x, weight)
        if len(self.shape_in) > 1:
            x = x.flatten(-len(self.shape_in))
        out = F.linear(x, weight)
        return out.unflatten(-1, self.shape_out) if len(self.shape_out) > 1 else out

    def equivariant_part(self, layer: nn.Module, weight: Tensor) -> Tensor | None:
        """The part of W that commutes with the group, differentiable; None where it is not known."""
        if self.equivariant is not None:
            return self.equivariant(layer, weight)
        from equiaudit import intertwiners

        flat = weight.reshape(self.dim_out, self.dim_in)  # kernels of one pixel only
        return intertwiners.project(flat, self.rep_in, self.rep_out, self.group).reshape(weight.shape)
