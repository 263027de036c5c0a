"""Sites of the layers that need no library: vector neurons, ``nn.Linear``, convolutions, and modules by declaration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from equiaudit.groups import O
from equiaudit.groups.base import Element, Group
from equiaudit.relaxation.site import Convolution, LinearSite, RelaxationError
from equiaudit.relaxation.vector_neurons import VNLinear
from equiaudit.representations.base import MatrixRepresentation, Representation, RepresentationError
from equiaudit.representations.compose import Kronecker, Sum
from equiaudit.representations.image import Image
from equiaudit.representations.irreps import Irreps
from equiaudit.representations.resolve import as_representation
from equiaudit.representations.simple import CartesianTensor, Points, Pseudovector, Scalar, Vector

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
GRIDS = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}


def vector_neurons(layer: nn.Module, group: Group) -> LinearSite | None:
    """The site of a ``VNLinear``: every channel is a vector of the group."""
    if not isinstance(layer, VNLinear):
        return None
    if getattr(group, "acts_on_indices", False):
        group = O(3)  # the symmetry of the whole model is of another kind: the layer's own is that of vectors
    d, n, m = group.space_dim, layer.in_channels, layer.out_channels
    return LinearSite(
        n * Vector(), m * Vector(), group, n * d, m * d, "vector neurons", (n, d), (m, d), fold=fold_channels_first
    )


def fold_channels_first(layer: nn.Module, weight: Tensor) -> Tensor:
    """Add to channel weights [m, n] what W [m·d, n·d] does equally to every direction of space; what was added."""
    return _fold_mixing(layer, weight, space_last=True)


def fold_channels_last(layer: nn.Module, weight: Tensor) -> Tensor:
    """The same for features [..., d, channels]."""
    return _fold_mixing(layer, weight, space_last=False)


def _fold_mixing(layer: Any, weight: Tensor, space_last: bool) -> Tensor:
    m, n = layer.weight.shape
    d = weight.shape[0] // m
    blocks = weight.reshape((m, d, n, d) if space_last else (d, m, d, n))
    mixing = torch.diagonal(blocks, dim1=1, dim2=3) if space_last else torch.diagonal(blocks, dim1=0, dim2=2)
    mixing = mixing.sum(-1) / d
    layer.weight += mixing.to(layer.weight.dtype)
    eye = torch.eye(d, dtype=weight.dtype, device=weight.device)
    return torch.kron(mixing, eye) if space_last else torch.kron(eye, mixing)


def fold_weight(layer: nn.Module, weight: Tensor) -> Tensor:
    """Add W to the weight of a dense layer; of a grouped convolution to the blocks that it has."""
    target: Any = layer.weight
    groups = int(getattr(layer, "groups", 1))
    if groups == 1:
        target += weight.reshape(target.shape).to(target.dtype)
        return weight
    added = torch.zeros_like(weight)
    outs, ins = weight.shape[0] // groups, weight.shape[1] // groups
    for g in range(groups):
        rows, columns = slice(g * outs, (g + 1) * outs), slice(g * ins, (g + 1) * ins)
        added[rows, columns] = weight[rows, columns]
        target[rows] += weight[rows, columns].to(target.dtype)
    return added


def declared(name: str, layer: nn.Module, pair: Any, group: Group) -> LinearSite:
    """The site of a layer whose representations were declared by ``hidden={name: (inputs, outputs)}``.

    Raises:
        RelaxationError: the declaration does not fit the layer.
    """
    if isinstance(layer, CONTAINERS):
        raise RelaxationError(
            f"{name} is a {type(layer).__name__}, which would run its relaxation as one of its own modules; "
            "relax the modules in it"
        )
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise RelaxationError(f"hidden[{name!r}] must be a pair (inputs, outputs) of representations, got {pair!r}")
    reps = [as_linear(name, value, group) for value in pair]
    if grid_of(layer):
        return _on_grid(name, layer, reps, group)
    features = (layer.in_features, layer.out_features) if isinstance(layer, nn.Linear) else (None, None)
    kind = "Linear" if isinstance(layer, nn.Linear) else f"{type(layer).__name__}, as declared"
    axes = {rep.axis for rep in reps if not isinstance(rep, Scalar)} or {-1}
    if axes == {-2} and isinstance(layer, nn.Linear):
        d = {rep.size(group) for rep in reps}
        if len(d) != 1 or None in d:
            raise RelaxationError(
                f"{name}: it mixes dimension -1, so dimension -2 must be the same in and out, got {pair!r}"
            )
        n, m, size = layer.in_features, layer.out_features, int(d.pop() or 1)
        first, last = (side_by_side(rep, k, group) for rep, k in zip(reps, (n, m), strict=True))
        return LinearSite(first, last, group, n * size, m * size, kind, (size, n), (size, m), fold=fold_channels_last)
    if axes != {-1}:
        raise RelaxationError(
            f"{name}: a representation of hidden features acts on the last dimension"
            f"{' or on dimension -2' if isinstance(layer, nn.Linear) else ''}, got dimensions {sorted(axes)}"
        )
    sized = [
        _sized(name, rep, n, group, side) for rep, n, side in zip(reps, features, ("input", "output"), strict=True)
    ]
    n, m = (int(rep.size(group) or 1) for rep in sized)
    fold = fold_weight if isinstance(layer, nn.Linear) else None
    return LinearSite(sized[0], sized[1], group, n, m, kind, fold=fold)


def as_linear(name: str, value: Any, group: Group) -> Representation:
    """A representation that a linear map can commute with.

    Raises:
        RelaxationError: none, or an affine one under a group with translations.
    """
    try:
        rep = as_representation(value)
        if rep is None:
            raise RepresentationError(f"{value!r} is not a representation")
        rep.check(group)
    except RepresentationError as error:
        raise RelaxationError(f"{name}: {error}") from None
    terms = [term for _, term in rep.terms] if isinstance(rep, Sum) else [rep]
    for term in terms:
        if isinstance(term, CartesianTensor):
            raise RelaxationError(
                f"{name}: {term!r} acts on dimensions {term.dims}; for flattened components declare Kronecker(Vector(), Vector())"
            )
        if not isinstance(term, (MatrixRepresentation, Image)):
            raise RelaxationError(f"{name}: {term!r} has no matrices, so that nothing can be said about W")
    if group.affine and any(isinstance(term, Points) for term in terms):
        raise RelaxationError(
            f"{name}: points move under translations and W is linear; centre the positions and declare 'vector'"
        )
    return rep


def _sized(name: str, rep: Representation, features: int | None, group: Group, side: str) -> Representation:
    size = rep.size(group)
    if features == 0:
        raise RelaxationError(f"{name}: the layer's {side} has no features")
    if size is None:
        if features is None:
            raise RelaxationError(f"{name}: {rep!r} fits any length; say how many: 16 * {rep!r} for the {side}")
        return features * rep
    if features is not None and size != features:
        several = f"; for {features // size} of them write {features // size} * {rep!r}" if features % size == 0 else ""
        raise RelaxationError(f"{name}: {rep!r} has size {size}, the layer's {side} has {features} features{several}")
    return rep


def side_by_side(rep: Representation, n: int, group: Group) -> Representation:
    """``n`` channels on a dimension after the one that is acted on, both flattened."""
    if isinstance(rep, Vector) and group.space_dim == 3 and not getattr(group, "acts_on_indices", False):
        try:
            parity = "e" if isinstance(rep, Pseudovector) else "o"
            flat = Irreps(f"{n}x1{parity}", layout="ir_mul")
            flat.check(group)
            return flat
        except RepresentationError:
            pass
    return Kronecker(rep.moved(-1), n * Scalar())  # type: ignore[arg-type]


def grid_of(layer: nn.Module) -> int:
    """The dimensions that a convolution slides over; 0 for other layers. Subclasses count."""
    return next((d for kind, d in GRIDS.items() if isinstance(layer, kind)), 0)


def _on_grid(name: str, layer: Any, reps: list[Representation], group: Group) -> LinearSite:
    d = grid_of(layer)
    channels = []
    for rep, n, side in zip(reps, (layer.in_channels, layer.out_channels), ("input", "output"), strict=True):
        own = (rep.channels or Scalar()) if isinstance(rep, Image) else rep
        channels.append(_sized(name, own.moved(-1), n, group, side))
    convolution = Convolution(
        tuple(layer.kernel_size),
        tuple(layer.stride),
        layer.padding if isinstance(layer.padding, str) else tuple(layer.padding),
        tuple(layer.dilation),
        layer.padding_mode,
        tuple(layer._reversed_padding_repeated_twice),
    )
    pixel = all(k == 1 for k in convolution.kernel)
    average = None if pixel else KernelAverage(channels[0], channels[1], group, d)
    exact = pixel or (average is not None and average.exact)
    return LinearSite(
        channels[0], channels[1], group, layer.in_channels, layer.out_channels, f"Conv{d}d",
        convolution=convolution, equivariant=average, fold=fold_weight if exact else None,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class KernelAverage:
    """The equivariant part of a convolution kernel: the mean of ρ_out(g) W(g⁻¹ p) ρ_in(g)⁻¹ over a finite group.

    Known where every element permutes the pixels of the kernel: turns by 90° and flips.
    """

    rep_in: Representation
    rep_out: Representation
    group: Group
    dims: int

    @property
    def exact(self) -> bool:
        """Whether every element permutes pixels."""
        return self.group.is_finite and all(_permutes(g) for g in self.group.elements())

    def __call__(self, layer: nn.Module, weight: Tensor) -> Tensor | None:
        """The mean over the group, or None where it is not known."""
        if not self.exact:
            return None
        grid = Image(tuple(range(-self.dims, 0)))
        elements = self.group.elements()
        total = torch.zeros_like(weight)
        for g in elements:
            turned = grid.act(g, weight).movedim(1, -1)  # [out, grid, in]
            turned = self.rep_in.act(g, turned) if not isinstance(self.rep_in, Scalar) else turned
            turned = self.rep_out.moved(0).act(g, turned.movedim(-1, 1))
            total = total + turned
        return total / len(elements)


def _permutes(g: Element) -> bool:
    return bool(np.abs(g.linear - np.round(g.linear)).max() < 1e-9 and np.abs(g.translation).max(initial=0.0) == 0)


def is_trivial(rep: Representation) -> bool:
    """Whether it is made of scalars only, so that every linear map commutes."""
    if isinstance(rep, Sum):
        return all(isinstance(term, Scalar) for _, term in rep.terms)
    return isinstance(rep, Scalar) or (isinstance(rep, Irreps) and all(ir.l == 0 and ir.p >= 0 for ir in rep))
