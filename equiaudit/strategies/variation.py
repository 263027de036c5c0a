"""Variations of the caller's own input: fewer nodes, special poses, other values; each is one call that evaluates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiaudit.measure.forms import add_noise
from equiaudit.measure.precision import is_inexact
from equiaudit.representations.base import FromFunction, Representation
from equiaudit.representations.image import Image
from equiaudit.representations.permutation import EdgeIndex, Nodes
from equiaudit.representations.samples import inner
from equiaudit.representations.simple import Points, Scalar, Vector
from equiaudit.representations.structures import Path, leaves, map_leaves
from equiaudit.strategies.poses import SINGULAR, SPECIAL, posed
from equiaudit.symmetry import Symmetry

AS_GIVEN = "as given"
POSES = (AS_GIVEN, *SPECIAL, *SINGULAR)


@dataclass(frozen=True)
class Variation:
    """What ``vary`` does to an input; the default leaves it as it is."""

    keep: tuple[int, ...] | None = None
    pose: str = AS_GIVEN
    scale: float = 1.0
    jitter: float = 0.0
    seed: int = 0

    @property
    def plain(self) -> bool:
        """Whether the input is left as it is."""
        return self.keep is None and self.pose == AS_GIVEN and self.scale == 1.0 and not self.jitter

    @property
    def code(self) -> str:
        """The call that makes the input: ``inputs`` itself, or ``equiaudit.strategies.vary(inputs, symmetry, …)``."""
        words = [f"keep={self.keep!r}"] if self.keep is not None else []
        words += [f"pose={self.pose!r}"] if self.pose != AS_GIVEN else []
        words += [f"scale={self.scale!r}"] if self.scale != 1.0 else []
        words += [f"jitter={self.jitter!r}, seed={self.seed}"] if self.jitter else []
        return f"equiaudit.strategies.vary({', '.join(['inputs', 'symmetry', *words])})" if words else "inputs"

    def of(self, inputs: Any, symmetries: Sequence[Symmetry]) -> Any:
        """The input that this makes of ``inputs``."""
        if self.plain:
            return inputs
        return vary(
            inputs, symmetries, keep=self.keep, pose=self.pose, scale=self.scale, jitter=self.jitter, seed=self.seed
        )


def vary(
    inputs: Any,
    symmetry: Symmetry | Sequence[Symmetry],
    *,
    keep: Sequence[int] | None = None,
    pose: str = AS_GIVEN,
    scale: float = 1.0,
    jitter: float = 0.0,
    seed: int = 0,
) -> Any:
    """A variation of an input by its declared representations: the code of a counterexample's input evaluates to it.

    Args:
        inputs: as they are given to the model.
        symmetry: says which leaves are points, vectors, … ; one or several.
        keep: the nodes (rows) that stay; edges between them stay too.
        pose: "as given", or a name of ``equiaudit.strategies.poses``: "whole", "along z", "coplanar", "coincident", …
        scale: factor for declared values that are not invariant; points grow about their centroid.
        jitter: relative size of normal noise on declared values.
        seed: of the noise.

    Returns:
        New inputs of the same structure, dtype and device.

    >>> from equiaudit.groups import E
    >>> rigid = Symmetry(E(3), {"pos": "points"}, "invariant")
    >>> vary({"pos": torch.eye(3), "z": torch.tensor([8, 1, 1])}, rigid, keep=(0, 2), pose="whole")["z"]
    tensor([8, 1])
    """
    if pose not in POSES:
        raise ValueError(f"pose must be one of {', '.join(map(repr, POSES))}, got {pose!r}")
    declared = declared_leaves([symmetry] if isinstance(symmetry, Symmetry) else symmetry, inputs)
    rng = np.random.default_rng(seed)
    if keep is not None:
        inputs = kept(inputs, declared, keep)

    def one(path: Path, value: Any) -> Any:
        rep = declared.get(path)
        if rep is None or not is_inexact(value) or not value.numel():
            return value
        wide = value.detach().cpu().to(torch.complex128 if value.is_complex() else torch.float64)
        new = posed(wide, rep, pose)
        new = _scaled(new, rep, scale) if scale != 1.0 else new
        new = _shaken(new, rep, jitter, rng) if jitter else new
        return new.to(value.device, value.dtype) if new is not wide else value

    return map_leaves(one, inputs)


def declared_leaves(symmetries: Sequence[Symmetry], inputs: Any) -> dict[Path, Representation]:
    """The floating-point leaves with their representations; points win over scalars where several symmetries say."""
    found: dict[Path, Representation] = {}
    for symmetry in symmetries:
        for path, value, rep in symmetry.input_leaves(inputs):
            rep = inner(rep)
            if not isinstance(rep, Representation) or isinstance(rep, FromFunction) or not is_inexact(value):
                continue
            known = found.get(path)
            if known is None or isinstance(known, Scalar) or isinstance(rep, Points):
                found[path] = rep
    return found


def can_pose(symmetries: Sequence[Symmetry], inputs: Any) -> bool:
    """Whether there are points or vectors that named poses are for."""
    declared, values = declared_leaves(symmetries, inputs), dict(leaves(inputs))
    return any(isinstance(rep, Vector) and values[path].dim() > 1 for path, rep in declared.items())


def count_rows(symmetries: Sequence[Symmetry], inputs: Any) -> int:
    """How many nodes (or rows) there are to leave out; 1 where none can be."""
    if any(isinstance(s.batch, str) and s.sample_count(inputs) > 1 for s in symmetries):
        return 1
    if any(path and path[-1] == "ptr" for path, _ in leaves(inputs)):
        return 1
    return _rows(declared_leaves(symmetries, inputs), dict(leaves(inputs)))


def _rows(declared: dict[Path, Representation], values: dict[Path, Any]) -> int:
    sizes: list[int] = []
    for kind in (Points, Vector, Representation):
        for path, rep in declared.items():
            value = values.get(path)
            if not isinstance(value, Tensor) or value.dim() < 2 or not isinstance(rep, kind):
                continue
            axis = getattr(rep, "axis", -1)
            if isinstance(rep, (Image, Nodes)) or axis % value.dim():
                sizes.append(value.shape[0])
        if sizes:
            return sizes[0]
    return 1


def kept(inputs: Any, declared: dict[Path, Representation], keep: Sequence[int]) -> Any:
    """The inputs with the rows ``keep`` alone, in every tensor that has one row for each; edges among them."""
    values = dict(leaves(inputs))
    count = _rows(declared, values)
    rows = torch.tensor(list(keep), dtype=torch.long)
    new = torch.full((count,), -1, dtype=torch.long)
    new[rows] = torch.arange(len(rows))
    edges, left = 0, rows
    for path, value in values.items():
        if is_edge_index(path, value) and value.numel():
            ends = new[value.cpu()]
            left = torch.nonzero((ends >= 0).all(0)).flatten()
            edges = value.shape[1]

    def one(path: Path, value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.dim():
            return value
        if is_edge_index(path, value):
            return new.to(value.device)[value][:, left.to(value.device)].to(value.dtype)
        if _is_cell(declared.get(path), value, count):
            return value
        about_edges = edges == value.shape[0] and bool(path) and str(path[-1]).startswith("edge")
        if value.shape[0] == count and not about_edges:
            out = value[rows.to(value.device)]
            square = value.dim() > 1 and value.shape[1] == count and count > 3
            return out[:, rows.to(value.device)] if square and not isinstance(declared.get(path), Vector) else out
        if edges and value.shape[0] == edges:
            return value[left.to(value.device)]
        return value

    return map_leaves(one, inputs)


def is_edge_index(path: Path, value: Any) -> bool:
    """Whether a leaf is an edge list [2, edges]."""
    named = bool(path) and path[-1] in ("edge_index", "edges", "edge_list")
    whole = isinstance(value, Tensor) and not is_inexact(value) and value.dim() == 2 and value.shape[0] == 2
    return named and whole


def _is_cell(rep: Representation | None, value: Tensor, count: int) -> bool:
    # three lattice vectors beside three atoms: only points are sure to be one row for each
    return value.shape == (count, count) and count <= 3 and not isinstance(rep, (Points, EdgeIndex))


def _scaled(x: Tensor, rep: Representation, scale: float) -> Tensor:
    if isinstance(rep, Scalar):
        return x
    if isinstance(rep, Points):
        centre = x.mean(-2, keepdim=True) if x.dim() > 1 and rep.axis in (-1, x.dim() - 1) else 0.0
        return centre + scale * (x - centre)
    return scale * x


def _shaken(x: Tensor, rep: Representation, size: float, rng: np.random.Generator) -> Tensor:
    noise = torch.from_numpy(np.asarray(rng.standard_normal(x.shape)))
    if isinstance(rep, Scalar):  # signs and zeros stay; so do whole numbers, which count or mark something
        whole = not x.is_complex() and bool((x == x.round()).all())
        return x if whole else x * torch.exp(size * noise)
    if not isinstance(rep, Points):
        return add_noise(x, rep, noise, size)
    spread = x - x.mean(-2, keepdim=True) if x.dim() > 1 else x
    typical = float(spread.abs().square().mean().sqrt())
    return x + size * (typical if typical > 0 and math.isfinite(typical) else 1.0) * noise
