"""escnn: field types act as they say, geometric tensors are containers, and each gspace belongs to a group."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from escnn import group as groups_of_escnn
from escnn import nn

from equiaudit.groups import SO, Cyclic, Dihedral, FiniteGroup, Flip, Icosahedral, O, Octahedral
from equiaudit.groups.base import Element, Group, Matrix, NotInGroupError
from equiaudit.representations.base import MatrixRepresentation, Representation, RepresentationError
from equiaudit.representations.compose import Sum
from equiaudit.representations.image import Image
from equiaudit.representations.simple import linear_algebra, linear_part
from equiaudit.representations.structures import Rebuild, register_structure

TOLERANCE = 1e-5
"""How far a matrix of escnn may be from ours: its three-dimensional elements are stored in single precision."""
POINTS = 64
"""Points on a circle for the derivative of a representation: exact for frequencies below half of it."""


class Fiber(MatrixRepresentation):
    """A representation of escnn on a dimension; elements are matched by how they act on the base space.

    Args:
        representation: of escnn.
        gspace: the space that its group acts on; None where it acts on none.
        dim: the dimension of the channels.
    """

    def __init__(self, representation: Any, gspace: Any = None, dim: int = -1) -> None:
        self.representation, self.gspace, self.axis = representation, gspace, dim
        self._algebra: Matrix | None = None

    def size(self, group: Group) -> int | None:
        """The size that escnn says."""
        return int(self.representation.size)

    def check(self, group: Group) -> None:
        """Every generator of the group must have a partner in the group of escnn."""
        d = dimension(self.gspace, self.representation.group)
        if getattr(group, "acts_on_indices", False) or group.space_dim != d:
            raise RepresentationError(f"{self!r} belongs to {self._theirs} acting on {d}-D space, not to {group!r}")
        turning = bool(np.abs(linear_algebra(group)).max(initial=0.0) > 0)
        if turning and self.representation.group.order() > 0:
            raise RepresentationError(
                f"{self!r} belongs to the finite group {self._theirs}, and {group!r} is continuous"
            )
        for name in group.discrete:
            self.partner(linear_part(group, group.discrete[name]), f"{name!r} of {group!r}")

    @property
    def _theirs(self) -> str:
        return str(self.representation.group)

    def partner(self, linear: Matrix, what: str = "the matrix") -> Any:
        """The element of escnn that acts on the base space by this matrix.

        Raises:
            RepresentationError: there is none.
        """
        found = nearest(self.representation.group, self.gspace, linear)
        defect = np.abs(base_matrix(found, self.gspace) - linear).max()
        if defect > TOLERANCE:
            raise RepresentationError(
                f"{what} is not in {self._theirs} of {self!r}: the nearest element is off by {defect:.1e}"
            )
        return found

    def matrix(self, g: Element) -> Matrix:
        """The matrix that escnn gives for the partner of g."""
        return np.asarray(self.representation(self.partner(g.linear, repr(g))), dtype=float)

    def discrete_matrix(self, group: Group, name: str) -> Matrix:
        """The matrix of the generator's partner."""
        return self.matrix(group.generator(name))

    def algebra_matrices(self, group: Group) -> Matrix:
        """dρ(A_k): the derivative along the circles that turn each plane, of their Fourier series."""
        n = int(self.representation.size)
        linear = linear_algebra(group)
        if not np.abs(linear).max(initial=0.0) > 0:
            return np.zeros((group.dim, n, n))
        d = group.space_dim
        planes = [(j, i) for i in range(d) for j in range(i + 1, d)]
        return sum(linear[:, j, i, None, None] * self._slope(i, j, d) for j, i in planes)  # type: ignore[return-value]

    def _slope(self, i: int, j: int, d: int) -> Matrix:
        angles = 2 * math.pi * np.arange(POINTS) / POINTS
        values = []
        for angle in angles:
            turn = np.eye(d)
            turn[[i, j], [i, j]] = math.cos(angle)
            turn[j, i], turn[i, j] = math.sin(angle), -math.sin(angle)
            values.append(np.asarray(self.representation(self.partner(turn)), dtype=float))
        k = np.fft.fftfreq(POINTS, 1 / POINTS)
        k[POINTS // 2] = 0.0
        return np.tensordot(1j * k, np.fft.fft(np.stack(values), axis=0), 1).real / POINTS

    def __repr__(self) -> str:
        return f"Fiber({self.representation.name!r} of {self._theirs})"


def as_representation(spec: Any) -> Representation:
    """How escnn says that a field transforms: a ``FieldType`` as an image with channels, on both kinds of tensors.

    Where the gspace has no base space, the channels alone on the last dimension.

    Raises:
        RepresentationError: an object of escnn that stands for none.
    """
    if isinstance(spec, nn.FieldType):
        return _field(spec)
    if isinstance(spec, groups_of_escnn.Representation):
        return Fiber(spec)
    raise RepresentationError(
        f"{type(spec).__name__} of escnn is no representation; give a FieldType, or for a module Symmetry.of(module)"
    )


@lru_cache(maxsize=64)
def _field(field_type: Any) -> Representation:
    d = field_type.gspace.dimensionality
    channels = Sum.of(*_runs(field_type, -d - 1))
    return Image(tuple(range(-d, 0)), channels=channels) if d else channels


def _runs(field_type: Any, axis: int) -> list[Representation]:
    runs: list[tuple[Any, int]] = []
    for rep in field_type.representations:
        if runs and runs[-1][0] is rep:
            runs[-1] = (rep, runs[-1][1] + 1)
        else:
            runs.append((rep, 1))
    fibers: dict[int, Fiber] = {id(rep): Fiber(rep, field_type.gspace, axis) for rep, _ in runs}
    return [n * fibers[id(rep)] for rep, n in runs]


def group_of(field_type: Any) -> Group:
    """The group that a field type (or gspace) belongs to: Cyclic(n), Dihedral(n), Flip(2, 0), SO(2), O(2), …

    Raises:
        RepresentationError: a group of escnn that none of ours acts like.

    >>> from escnn import gspaces
    >>> group_of(gspaces.rot2dOnR2(4)), group_of(gspaces.flipRot2dOnR2(-1, maximum_frequency=1))
    (Cyclic(4), O(2))
    """
    gspace = field_type.gspace if isinstance(field_type, nn.FieldType) else field_type
    theirs = gspace.fibergroup
    order = theirs.order()
    if order < 0:
        candidates: list[Callable[[], Group]] = [lambda: O(2), lambda: SO(2), lambda: O(3), lambda: SO(3)]
        sizes = {groups_of_escnn.O2: 0, groups_of_escnn.SO2: 1, groups_of_escnn.O3: 2, groups_of_escnn.SO3: 3}
        candidates = [candidates[i] for kind, i in sizes.items() if isinstance(theirs, kind)]
    else:
        half = max(order // 2, 1)
        candidates = [
            lambda: Cyclic(order),
            lambda: Flip(2, 0),
            lambda: Flip(2, 1),
            lambda: Dihedral(half),
            lambda: Flip(3),
            lambda: Octahedral(),
            lambda: Octahedral(inversion=True),
            lambda: Icosahedral(),
            lambda: Icosahedral(inversion=True),
        ]
    d = dimension(gspace, theirs)
    for make in candidates:
        group = make()
        if group.space_dim == d and (order < 0 or group.order == order) and _acts_alike(group, theirs, gspace):
            return group
    if order > 0:
        generators = {f"h{i}": base_matrix(e, gspace) for i, e in enumerate(theirs.generators)}
        return FiniteGroup(f"{theirs} on {d}-D space", generators, size=d)
    raise RepresentationError(
        f"no group here acts like {theirs} on {gspace}; give the group: Symmetry.of(model, group=…)"
    )


def _acts_alike(group: Group, theirs: Any, gspace: Any) -> bool:
    try:
        for h in group.discrete.values():
            if np.abs(base_matrix(nearest(theirs, gspace, h), gspace) - h).max() > TOLERANCE:
                return False
        return theirs.order() < 0 or all(group.element(base_matrix(e, gspace)) is not None for e in theirs.generators)
    except (NotInGroupError, RepresentationError):
        return False


def dimension(gspace: Any, theirs: Any) -> int:
    """The dimension of the space that the group of escnn acts on: the base space, or the group's own."""
    if gspace is not None and gspace.dimensionality:
        return int(gspace.dimensionality)
    two = (groups_of_escnn.CyclicGroup, groups_of_escnn.DihedralGroup, groups_of_escnn.SO2, groups_of_escnn.O2)
    return 2 if isinstance(theirs, two) else 3


def base_matrix(element: Any, gspace: Any) -> Matrix:
    """How an element of escnn acts on the base space; without one, by its own rotations and the flip x → −x."""
    if gspace is not None and gspace.dimensionality:
        return np.asarray(gspace.basespace_action(element), dtype=float)
    theirs = element.group
    if isinstance(theirs, groups_of_escnn.CyclicGroup):
        return _turned(2 * math.pi * element.value / theirs.order())
    if isinstance(theirs, groups_of_escnn.SO2):
        return _turned(element.to("radians"))
    if isinstance(theirs, groups_of_escnn.DihedralGroup):
        flip, k = element.value
        return _turned(2 * math.pi * k / theirs.rotation_order) @ np.diag([-1.0 if flip else 1.0, 1.0])
    if isinstance(theirs, groups_of_escnn.O2):
        flip, angle = element.to("radians")
        return _turned(angle) @ np.diag([-1.0 if flip else 1.0, 1.0])
    if hasattr(theirs, "standard_representation"):
        rep = theirs.standard_representation
        # a property or a method: it depends on the group
        known = rep if isinstance(rep, groups_of_escnn.Representation) else rep()
        return np.asarray(known(element), dtype=float)
    raise RepresentationError(f"{theirs} of escnn acts on no space that is known here")


def nearest(theirs: Any, gspace: Any, linear: Matrix) -> Any:
    """The element of escnn whose action on the base space is nearest to a matrix."""
    if theirs.order() > 0:
        return min(theirs.elements, key=lambda e: float(np.abs(base_matrix(e, gspace) - linear).max()))
    improper = np.linalg.det(linear) < 0
    if isinstance(theirs, groups_of_escnn.SO2):
        return theirs.element(math.atan2(linear[1, 0], linear[0, 0]), "radians")
    if isinstance(theirs, groups_of_escnn.O2):
        flip = base_matrix(theirs.element((1, 0.0), "radians"), gspace)
        rotation = linear @ flip.T if improper else linear
        return theirs.element((int(improper), math.atan2(rotation[1, 0], rotation[0, 0])), "radians")
    if isinstance(theirs, groups_of_escnn.SO3):
        return theirs.element(-linear if improper else linear, "MAT")
    if isinstance(theirs, groups_of_escnn.O3):
        return theirs.element((int(improper), -linear if improper else linear), "MAT")
    raise RepresentationError(f"{theirs} of escnn has no partner here")


def _turned(angle: float) -> Matrix:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def open_geometric_tensor(value: Any) -> tuple[list[Any], list[Any], Rebuild]:
    """The tensor of a geometric tensor (and the coordinates of a point cloud); rebuilt with the same type."""
    if value.coords is None:
        return ["tensor"], [value.tensor], lambda new: nn.GeometricTensor(new[0], value.type)
    return (
        ["tensor", "coords"],
        [value.tensor, value.coords],
        lambda new: nn.GeometricTensor(new[0], value.type, new[1]),
    )


register_structure(nn.GeometricTensor, open_geometric_tensor)
