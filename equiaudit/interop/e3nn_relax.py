"""e3nn: where a dense map stands beside ``Linear`` and tensor products, and what a ``Linear`` can take over."""

from __future__ import annotations

from typing import Any

import torch
from e3nn import o3
from torch import Tensor, nn

from equiaudit.groups import O
from equiaudit.groups.base import Group
from equiaudit.relaxation.site import LinearSite, RelaxationError
from equiaudit.representations.base import RepresentationError
from equiaudit.representations.irreps import Irreps


def adapter(layer: nn.Module, group: Group | None) -> LinearSite | None:
    """The site of an ``o3.Linear`` or of a tensor product, which is relaxed in its first input.

    >>> from e3nn import o3
    >>> adapter(o3.Linear("4x0e+2x1o", "1x1o"), None).shape
    (3, 10)

    Raises:
        RelaxationError: a layer without features, or with channels besides the irreps.
    """
    if isinstance(layer, o3.Linear):
        irreps = layer.irreps_in
        if layer.weight.dim() > 1:
            raise RelaxationError("an o3.Linear with f_in and f_out has channels besides its irreps; give an adapter")
        fold = fold_linear if layer.internal_weights and layer.shared_weights else None
    elif isinstance(layer, o3.TensorProduct):
        irreps, fold = layer.irreps_in1, None
    else:
        return None
    if not irreps.dim or not layer.irreps_out.dim:
        raise RelaxationError(f"its irreps are {str(irreps) or 'empty'} -> {str(layer.irreps_out) or 'empty'}")
    rep_in, rep_out = _representation(irreps), _representation(layer.irreps_out)
    known = _acting(group, rep_in, rep_out)
    return LinearSite(
        rep_in, rep_out, known, irreps.dim, layer.irreps_out.dim, f"e3nn {type(layer).__name__}", fold=fold
    )


def _representation(irreps: Any) -> Irreps:
    return Irreps("+".join(str(term) for term in irreps if term.dim))


def _acting(group: Group | None, *reps: Irreps) -> Group:
    # the symmetry of the whole model may be of another kind (permutations): the layer's own is that of its irreps
    if group is None:
        return O(3)
    try:
        for rep in reps:
            rep.check(group)
    except RepresentationError:
        return O(3)
    return group


def fold_linear(layer: nn.Module, weight: Tensor) -> Tensor:
    """Add an equivariant W to the paths that an ``o3.Linear`` has, over their normalisation; what was added, dense."""
    added = torch.zeros_like(weight)
    rows, columns = layer.irreps_out.slices(), layer.irreps_in.slices()  # type: ignore[operator, union-attr]
    for index, path in enumerate(layer.instructions):  # type: ignore[arg-type]
        if path.i_in == -1 or 0 in path.path_shape:
            continue
        n, m = path.path_shape
        where = (rows[path.i_out], columns[path.i_in])
        d = (where[0].stop - where[0].start) // m
        # what W does equally to every component of each copy, once for each pair of copies
        rest = (weight - added)[where].reshape(m, d, n, d)
        mixing = torch.diagonal(rest, dim1=1, dim2=3).mean(-1)
        view = layer.weight_view_for_instruction(index)  # type: ignore[operator]
        view += (mixing.T / path.path_weight).to(view.dtype)
        added[where] += torch.kron(mixing, torch.eye(d, dtype=weight.dtype, device=weight.device))
    return added
