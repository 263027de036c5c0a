"""Irreps("2x0e+1x1o"): direct sums of irreducible representations of SO(3) and O(3), as e3nn spells and orders them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiaudit.groups.base import Element, Group, Matrix
from equiaudit.representations.acting import Acting, Moving, apply_matrix, place
from equiaudit.representations.base import MatrixRepresentation, RepresentationError, direct_sum
from equiaudit.representations.simple import linear_algebra, linear_part, not_orthogonal
from equiaudit.representations.wigner import generators, rotation_matrix

_TERM = re.compile(r"^(?:(\d+)\s*x\s*)?(\d+)([eo]?)$")
LAYOUTS = ("mul_ir", "ir_mul")


@dataclass(frozen=True)
class Irrep:
    """``mul`` copies of the irrep of degree ``l`` and parity ``p`` (+1 even, −1 odd, 0 not said)."""

    mul: int
    l: int
    p: int

    @property
    def dim(self) -> int:
        """mul (2l + 1)."""
        return self.mul * (2 * self.l + 1)

    def __str__(self) -> str:
        return f"{self.mul}x{self.l}{ {1: 'e', -1: 'o', 0: ''}[self.p] }"


class Irreps(MatrixRepresentation):
    """A direct sum of irreps of rotations (and reflections) of 3-D space along one dimension.

    The basis is that of e3nn ≥ 0.4: y is the polar axis, ``1o`` is a vector (x, y, z), and orders run from −l to l.
    SO(3) and SE(3) take no notice of parities; groups with reflections need them. Groups whose matrices are rotations
    or reflections of 3-D space, such as Octahedral(), act by restriction.

    Args:
        irreps: such as "2x0e+1x1o"; for groups without reflections "2x0+1x1" will do.
        layout: "mul_ir": the copies of an irrep stand one after the other, each whole (e3nn); "ir_mul": the first
            components of all copies, then the second components (cuEquivariance).
        dim: the dimension of the tensor that is acted on. The attribute ``dim`` is the size of the representation.

    Raises:
        RepresentationError: not a sum of irreps.

    >>> from equiaudit.groups import SO
    >>> import torch
    >>> Irreps("2x0e+1x1o").dim
    5
    >>> Irreps("1x0e+1x1o").act(SO(3).turn("z", 1 / 4), torch.tensor([7.0, 1.0, 0.0, 0.0])).tolist()
    [7.0, 0.0, 1.0, 0.0]
    """

    def __init__(self, irreps: str, layout: str = "mul_ir", dim: int = -1) -> None:
        if layout not in LAYOUTS:
            raise RepresentationError(f"layout must be one of {', '.join(LAYOUTS)}, got {layout!r}")
        self.irreps, self.layout, self.axis = tuple(parse_irreps(irreps)), layout, dim

    @property
    def dim(self) -> int:
        """The size of the representation, Σ mul (2l + 1)."""
        return sum(ir.dim for ir in self.irreps)

    def slices(self) -> list[slice]:
        """Where each term lies along the dimension."""
        ends = np.cumsum([0, *(ir.dim for ir in self.irreps)]).tolist()
        return [slice(a, b) for a, b in pairwise(ends)]

    def size(self, group: Group) -> int | None:
        """``dim``."""
        return self.dim

    def check(self, group: Group) -> None:
        """The group must consist of rotations, reflections and translations of 3-D space."""
        fault = not_orthogonal(group, 3)
        if fault:
            raise RepresentationError(
                f"{self!r} belongs to rotations and reflections of 3-D space, such as SO(3), O(3), SE(3), E(3) or "
                f"Octahedral(); {group!r} {fault}"
            )
        bare = next((ir for ir in self.irreps if ir.p == 0), None)
        if bare is not None and any(np.linalg.det(linear_part(group, h)) < 0 for h in group.discrete.values()):
            raise RepresentationError(
                f"{group!r} has reflections, so {bare} needs a parity: '{bare}e' (even) or '{bare}o' (odd)"
            )

    # -- matrices -------------------------------------------------------------------------------------------------

    def matrix(self, g: Element) -> Matrix:
        """ρ(g), dense [dim, dim]; actions never build it."""
        return self._dense(lambda ir: _blocks(ir, g.linear[None])[0])

    def algebra_matrices(self, group: Group) -> Matrix:
        """dρ(A_k), dense [k, dim, dim]."""
        if not group.dim:
            return np.zeros((0, self.dim, self.dim))
        axes = _axes(linear_algebra(group))
        return self._dense(lambda ir: np.tensordot(axes, generators(ir.l), 1))

    def discrete_matrix(self, group: Group, name: str) -> Matrix:
        """ρ(h), dense."""
        return self.matrix(group.generator(name))

    def _dense(self, of: Callable[[Irrep], Matrix]) -> Matrix:
        blocks = []
        for ir in self.irreps:
            pair = (np.eye(ir.mul), of(ir))
            blocks.append(np.kron(*(pair if self.layout == "mul_ir" else pair[::-1])))
        return direct_sum(blocks)

    # -- acting -----------------------------------------------------------------------------------------------------

    def apply(self, acting: Acting, x: Tensor) -> Tensor:
        """D^l on each copy; one small matrix for each degree and parity."""
        linear = np.stack([g.linear for g in (acting.elements if acting.rows is not None else acting.elements[:1])])
        return self._each(x, acting.rows, lambda ir: _blocks(ir, linear))

    def tangent(self, moving: Moving, x: Tensor) -> Tensor:
        """The generators on each copy."""
        axes = _axes(linear_algebra(moving.group)) if moving.group.dim else np.zeros((0, 3))
        turning = np.atleast_2d(np.asarray(moving.coordinates, dtype=float)) @ axes  # [samples or 1, 3]
        return self._each(x, moving.rows, lambda ir: np.tensordot(turning, generators(ir.l), 1))

    def _each(self, x: Tensor, rows: Tensor | None, of: Callable[[Irrep], Matrix]) -> Tensor:
        if rows is not None and self.axis % x.dim() == 0:
            raise RepresentationError(f"{self!r} can't act on dimension 0, which holds the rows of the samples")
        moved = x.movedim(self.axis, -1)
        matrices: dict[tuple[int, int], Tensor] = {}
        out = []
        for ir, where in zip(self.irreps, self.slices(), strict=True):
            if (ir.l, ir.p) not in matrices:
                found = place(of(ir), x)
                matrices[ir.l, ir.p] = found[0] if rows is None else found[rows.to(x.device)]
            copies_first = self.layout == "mul_ir"
            shape = (ir.mul, 2 * ir.l + 1) if copies_first else (2 * ir.l + 1, ir.mul)
            block = moved[..., where].unflatten(-1, shape)
            out.append(apply_matrix(matrices[ir.l, ir.p], block, -1 if copies_first else -2).flatten(-2))
        return torch.cat(out, -1).movedim(-1, self.axis)

    def rows(self, x: Tensor) -> tuple[int, ...]:
        """One irrep is one vector; in a sum every entry is its own row, as terms may differ by magnitudes."""
        return super().rows(x) if len(self.irreps) == 1 and self.irreps[0].mul == 1 else ()

    def __iter__(self) -> Iterator[Irrep]:
        return iter(self.irreps)

    def __eq__(self, other: Any) -> bool:
        same = isinstance(other, Irreps) and (self.irreps, self.layout) == (other.irreps, other.layout)
        return same and self.axis == other.axis

    def __hash__(self) -> int:
        return hash((self.irreps, self.layout, self.axis))

    def __str__(self) -> str:
        return "+".join(map(str, self.irreps))

    def __repr__(self) -> str:
        extra = (f", layout={self.layout!r}" if self.layout != "mul_ir" else "") + (
            f", dim={self.axis}" if self.axis != -1 else ""
        )
        return f"Irreps({str(self)!r}{extra})"


def parse_irreps(text: str) -> list[Irrep]:
    """The terms of a sum of irreps.

    >>> [str(ir) for ir in parse_irreps("2x0e + 1o + 3")]
    ['2x0e', '1x1o', '1x3']
    """
    found = []
    for term in str(text).split("+") if str(text).strip() else []:
        match = _TERM.match(term.strip())
        if match is None:
            raise RepresentationError(f"{text!r} is not a sum of irreps: {term.strip()!r}; write '2x0e+1x1o'")
        mul, l, p = match.groups()
        found.append(Irrep(int(mul) if mul else 1, int(l), {"e": 1, "o": -1, "": 0}[p]))
    if not found:
        raise RepresentationError("no irreps are given; write '2x0e+1x1o'")
    return found


def _blocks(ir: Irrep, linear: Matrix) -> Matrix:
    # D^l [samples, 2l+1, 2l+1] from orthogonal matrices [samples, 3, 3]: the rotation left without the inversion
    sign = np.sign(np.linalg.det(linear.real))[:, None, None]
    return rotation_matrix(ir.l, sign * linear.real) * np.where(sign < 0, ir.p or 1, 1)


def _axes(algebra: Matrix) -> Matrix:
    # rotation vectors [k, 3] of antisymmetric matrices [k, 3, 3]
    return np.stack([algebra[:, 2, 1], algebra[:, 0, 2], algebra[:, 1, 0]], -1).real
