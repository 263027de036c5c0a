"""The residual r(g, x) = ρ_out(g)⁻¹ f(ρ_in(g) x) − f(x): one definition for tests, reports, penalties and proofs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiaudit.groups import parse
from equiaudit.groups.base import Element
from equiaudit.measure.evaluate import Evaluator
from equiaudit.measure.precision import widen
from equiaudit.representations.base import FromFunction, Representation
from equiaudit.representations.structures import Path, StructureError, leaves, path_name
from equiaudit.symmetry import Symmetry, declared_nothing


@dataclass(frozen=True)
class Leaf:
    """One checked output leaf: its path, its value in wide precision, and the dimensions that one residual vector spans."""

    path: Path
    value: Tensor
    span: tuple[int, ...]
    rep: str
    dtype: torch.dtype
    grid: bool = False

    @property
    def name(self) -> str:
        """The path as a person writes it."""
        return path_name(self.path)

    def norms(self, x: Tensor) -> Tensor:
        """Norms of the rows of a tensor of this leaf's shape: vectors along ``span``, single entries elsewhere."""
        return x.norm(dim=self.span) if self.span else x.abs()

    def made_of(self) -> Tensor:
        """How large the numbers are that each row is made of: rounding is at least a share of them, however small the row is.

        A turn mixes pixels and their channels, of which some vanish here and not there, so the whole image bounds that. Other
        columns may differ by magnitudes, and each counts by itself.
        """
        size = self.norms(self.value)
        found = size + medians(size)
        if self.grid:
            return found.clamp(min=rms(size))
        if size.dim() > 1:
            return torch.maximum(found, size.square().mean(tuple(range(size.dim() - 1))).sqrt())
        return torch.where(found > 0, found, torch.full_like(found, rms(size)))


def checked_leaves(symmetry: Symmetry, outputs: Any) -> list[Leaf]:
    """The output leaves with a declared representation, in wide precision.

    Raises:
        StructureError: a declared leaf is missing, is no tensor or has the wrong shape.
    """
    found: list[Leaf] = []
    nothing = declared_nothing(symmetry.outputs, outputs)
    if nothing:
        raise StructureError(
            f"declared {', '.join(path_name(p) for p in nothing)} is None; declare None to leave it unchecked"
        )
    for path, value, rep in symmetry.output_leaves(outputs):
        if not isinstance(rep, Representation):
            continue
        entries: Iterable[tuple[Path, Any]] = leaves(value, path) if isinstance(rep, FromFunction) else [(path, value)]
        for where, leaf in entries:
            if leaf is None or isinstance(leaf, str):
                continue
            if isinstance(leaf, (bool, int, float, complex, np.generic, np.ndarray)):
                leaf = as_tensor(leaf)
            if not isinstance(leaf, Tensor):
                if isinstance(rep, FromFunction):
                    continue
                raise StructureError(f"{path_name(where)}: {rep!r} was declared, got {type(leaf).__name__}")
            if symmetry.group is not None:
                problem = rep.fits(symmetry.group, leaf)
                if problem:
                    raise StructureError(f"{path_name(where)} can't be {rep!r} of {symmetry.group!r}: {problem}")
            span = () if isinstance(rep, FromFunction) else rep.rows(leaf)
            wide = leaf.to(widen(leaf.dtype) if leaf.is_floating_point() or leaf.is_complex() else torch.float64)
            found.append(Leaf(where, wide, span, repr(rep), leaf.dtype, rep.on_grid))
    return found


def as_tensor(value: Any) -> Tensor:
    """A number or an array as a tensor that keeps its digits: a Python float is a double, whatever torch's default is.

    >>> as_tensor(1 / 3).dtype, as_tensor(True).dtype, as_tensor(np.float32(0.5)).dtype
    (torch.float64, torch.bool, torch.float32)
    """
    if type(value) is float:
        return torch.tensor(value, dtype=torch.float64)
    if type(value) is complex:
        return torch.tensor(value, dtype=torch.complex128)
    return torch.as_tensor(np.array(value) if isinstance(value, (np.generic, np.ndarray)) else value)


def pull_back(symmetry: Symmetry, elements: Element | Sequence[Element], moved: Any, inputs: Any) -> Any:
    """ρ_out(g)⁻¹ y for the outputs of a transformed input."""
    found = (elements,) if isinstance(elements, Element) else tuple(elements)
    return symmetry.act_on_outputs(tuple(g.inverse() for g in found), moved, inputs)


def residuals(symmetry: Symmetry, base: Sequence[Leaf], moved: Any) -> list[Tensor]:
    """For each checked leaf the residual in wide precision; ``moved`` is already pulled back.

    Raises:
        StructureError: the structure or a shape differs between f(x) and f(ρ(g) x).
    """
    there = {leaf.path: leaf for leaf in checked_leaves(symmetry, moved)}
    out = []
    for leaf in base:
        other = there.get(leaf.path)
        if other is None:
            raise StructureError(f"{leaf.name} is an output for x and missing for ρ(g) x")
        if other.value.shape != leaf.value.shape:
            raise StructureError(
                f"{leaf.name} has shape {list(leaf.value.shape)} for x and {list(other.value.shape)} for ρ(g) x"
            )
        out.append(other.value - leaf.value)
    return out


def equivariance_error(
    model: Any,
    inputs: Any,
    symmetry: Symmetry,
    elements: Element | Iterable[Element],
    *,
    forward: Callable[[Any, Any], Any] | None = None,
) -> list[float]:
    """The equivariance error for each element, relative to the size of the output: plain numbers without a verdict.

    For each g the RMS of ρ_out(g)⁻¹ f(ρ_in(g) x) − f(x) over the RMS of f(x), for the worst leaf, at the precision of the
    model as it is. An output that vanishes gives the absolute number.

    Args:
        model: a module or any callable.
        inputs: its input; an exact tuple means several positional arguments.
        symmetry: the claim.
        elements: one element or several; also their code, or matrices.
        forward: ``forward(model, inputs)`` for models that are called otherwise.

    Returns:
        One float per element; NaN where an output is not finite.

    >>> import torch
    >>> from equiaudit import Symmetry
    >>> from equiaudit.groups import SO
    >>> turn = SO(3).turn("z", 1 / 4)
    >>> equivariance_error(lambda x: x.sum(-1), torch.eye(3), Symmetry(SO(3), "vector", "invariant"), [turn])
    [1.1547005383792515]
    """
    from equiaudit.measure.state import preserved

    found = read_elements(symmetry, elements)
    evaluator = Evaluator(model, None, forward)
    with preserved(model):
        base = checked_leaves(symmetry, evaluator(inputs))
        if not base:
            raise StructureError(f"no output is declared in {symmetry!r}, so there is nothing to compare")
        out = []
        for g in found:
            count = symmetry.sample_count(inputs)
            acting = (g,) * count if symmetry.batch is not None else (g,)
            moved = pull_back(symmetry, acting, evaluator(symmetry.act_on_inputs(acting, inputs)), inputs)
            out.append(
                worst_ratio([(r, leaf.value) for r, leaf in zip(residuals(symmetry, base, moved), base, strict=True)])
            )
    return out


def read_elements(symmetry: Symmetry, elements: Any) -> list[Element]:
    """Elements of the symmetry's group, from elements, their code, or matrices; one or several.

    Raises:
        ValueError: an element of another group, or a matrix that is not in the group.
    """
    if not isinstance(symmetry, Symmetry):
        raise TypeError(f"expected one Symmetry, got {type(symmetry).__name__}; for several, call once for each")
    group, found = symmetry.acts, []
    several = not isinstance(elements, (Element, str)) and (not hasattr(elements, "ndim") or elements.ndim == 3)
    for g in elements if several else [elements]:
        if isinstance(g, str):
            g = parse(g)
        elif not isinstance(g, Element):
            g = group.element(g)
        if g.group != group:
            raise ValueError(f"{g!r} is an element of {g.group!r}, the symmetry is about {group!r}")
        found.append(g)
    return found


def rms(x: Tensor) -> float:
    """Root mean square of all entries; NaN if any is, 0 for none."""
    return float(x.abs().double().square().mean().sqrt()) if x.numel() else 0.0


def worst_ratio(pairs: Sequence[tuple[Tensor, Tensor]]) -> float:
    """The largest RMS ratio over pairs of residual and value; a NaN anywhere gives NaN."""
    found = [rms(r) / (rms(y) or 1.0) for r, y in pairs]
    return float("nan") if any(f != f for f in found) else max(found, default=0.0)


def median(x: Tensor) -> float:
    """The median of the entries, 0 for none."""
    return float(x.flatten().double().nanmedian()) if x.numel() else 0.0


def medians(x: Tensor) -> Tensor:
    """Medians over rows, for each column of the last dimension, in the shape of ``x``.

    Columns may differ in size by magnitudes. With fewer than four rows, one median for all.
    """
    if x.dim() < 2 or x.numel() < 4 * x.shape[-1]:
        return torch.full_like(x, median(x))
    return x.flatten(0, -2).median(0).values.expand(x.shape)
