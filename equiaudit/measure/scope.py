"""What an audit did not try, said plainly."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from equiaudit.groups.base import Element
from equiaudit.measure.plan import Plan
from equiaudit.representations.base import Representation
from equiaudit.representations.simple import Points
from equiaudit.representations.structures import leaves, path_name
from equiaudit.symmetry import UNDECLARED, Symmetry

_POSITIONS = ("pos", "coord", "points", "xyz", "r_ij")


def untested_parts(symmetry: Symmetry, inputs: Any, plan: Plan) -> list[str]:
    """Parts of the larger group that one would expect, outputs that nobody declared, and elements left out."""
    group, said = symmetry.acts, []
    names = {p.name for p in group.parts}
    entries = symmetry.input_leaves(inputs)
    positions = any(
        isinstance(rep, Points) or any(word in path_name(path).lower() for word in _POSITIONS)
        for path, _, rep in entries
        if isinstance(rep, Representation)
    )
    if positions and not group.affine and "rotations" in names:
        said.append("translations")
    turns = "rotations" in names or repr(group).startswith(("SO(", "SE("))
    if turns and not group.discrete and group.space_dim > 1:
        said.append("reflections")
    if group.is_finite and not plan.extent.startswith("all "):
        said.append(f"{group!r}: {plan.extent} were tried")
    return said


def unchecked_outputs(symmetry: Symmetry, outputs: Any) -> list[str]:
    """A note that lists the output leaves without a declared representation; no note where there are none."""
    found = []
    for path, value, rep in symmetry.output_leaves(outputs):
        if rep is None or rep is UNDECLARED:
            found += [path_name(p) for p, v in leaves(value, path) if isinstance(v, Tensor)]
    return [f"not declared, so not checked: {', '.join(found)}"] if found else []


def pixel_elements(symmetry: Symmetry, inputs: Any) -> list[Element] | None:
    """The elements of a continuous group that only permute pixels, where it acts on images; else None."""
    if not symmetry.acts.dim:
        return None
    for _, _, rep in symmetry.input_leaves(inputs):
        if hasattr(rep, "exact_elements"):
            return list(rep.exact_elements(symmetry.acts))
    return None
