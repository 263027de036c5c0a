"""Rotations and reflections: SO(n) and O(n)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from scipy.linalg import expm

from equiaudit.groups.base import Element, Exp, Group, Matrix
from equiaudit.groups.haar import draw_rotation
from equiaudit.groups.rotations import (
    AXES,
    GENERIC,
    as_fraction,
    cos_sin,
    orthogonalised,
    planes,
    rotation_basis,
    rotation_logarithm,
    whole_where_possible,
)


class Turning(Group):
    """What groups that contain the rotations of n-space share: turns by exact fractions, named poses, logarithms."""

    def turn(self, *arguments: Any) -> Element:
        """A rotation by a fraction of a full turn.

        ``turn(axis, fraction)`` in 3-D, where axis is "x", "y", "z" or a vector; ``turn((i, j), fraction)`` turns
        axis i towards axis j in any dimension; ``turn(fraction)`` in 2-D. Quarter and half turns about coordinate axes
        have entries 0 and ±1 exactly.

        >>> SO(3).turn("z", 1 / 4).matrix.tolist()
        [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
        >>> SO(3).turn((1, 1, 1), 1 / 3)
        SO(3).turn((1, 1, 1), 1/3)

        Raises:
            ValueError: the axis does not fit the dimension.
        """
        n = self.space_dim
        if len(arguments) == 1 and n == 2:
            axis, amount = (0, 1), arguments[0]
        elif len(arguments) == 2:
            axis, amount = arguments
        else:
            raise ValueError(f"{self!r}.turn takes an axis or plane and a fraction of a turn, got {arguments!r}")
        fraction = as_fraction(amount)
        c, s = cos_sin(fraction)
        axis, unit = self._generator(axis)  # unit: skew, its non-zero angle is 1
        plane = -unit @ unit  # the projector on the plane that turns
        linear = whole_where_possible(np.eye(n) - plane + c * plane + s * unit)
        signed = (fraction + Fraction(1, 2)) % 1 - Fraction(1, 2) if isinstance(fraction, Fraction) else fraction
        angle = 2.0 * math.pi * float(signed)
        coordinates = tuple(0.0 + float(v) for v in self.project(self.homogeneous(angle * unit, 0.0)))
        spelt = (fraction,) if len(arguments) == 1 else (axis, fraction)
        return self.make(Exp(coordinates, self.homogeneous(linear), ("turn", spelt)))

    def _generator(self, axis: Any) -> tuple[Any, Matrix]:
        n = self.space_dim
        if isinstance(axis, str):
            if n != 3 or axis not in AXES:
                raise ValueError(f"{self!r} has no axis {axis!r}; {_known_axes(n)}")
            return axis, rotation_basis(3)["xyz".index(axis)]
        numbers = tuple(v.item() if hasattr(v, "item") else v for v in axis)
        if len(numbers) == 2:
            i, j = numbers
            if not (isinstance(i, int) and isinstance(j, int) and 0 <= i < n and 0 <= j < n and i != j):
                raise ValueError(f"{self!r} has no plane {numbers!r}; {_known_axes(n)}")
            unit = np.zeros((n, n))
            unit[j, i], unit[i, j] = 1.0, -1.0
            return numbers, unit
        if n != 3 or len(numbers) != 3:
            raise ValueError(f"{self!r} has no axis {numbers!r}; {_known_axes(n)}")
        length = math.hypot(*map(float, numbers))
        if not (length > 0 and math.isfinite(length)):
            raise ValueError(f"the axis of a turn must be a finite vector other than zero, got {numbers!r}")
        return numbers, np.tensordot(np.array(numbers, dtype=float) / length, rotation_basis(3), 1)

    @property
    def order(self) -> int | None:
        """In one dimension there are only the components; else None."""
        return 1 + len(self.discrete) if self.is_finite else None

    def rotation(self, *angles: float) -> Element:
        """The rotation exp(Σ_k angle_k L_k): ``exp`` without the coordinates of other parts. Angles in radians.

        >>> SO(3).rotation(0.0, 0.0, 0.5)
        SO(3).exp(0.0, 0.0, 0.5)
        """
        wanted = self.space_dim * (self.space_dim - 1) // 2
        if len(angles) != wanted:
            raise ValueError(f"{self!r}.rotation takes {wanted} angles, got {len(angles)}")
        return self.exp(*angles, *(0.0,) * (self.dim - wanted))

    def haar_rotation(self, rng: np.random.Generator) -> Element:
        """A rotation drawn from Haar measure."""
        n = self.space_dim
        if n == 1:
            return self.rotation()
        if n == 2:
            return self.rotation(float(rng.uniform(-math.pi, math.pi)))
        if n == 3:  # a uniform unit quaternion; q and −q are one rotation
            w, *v = rng.standard_normal(4)
            length = math.hypot(*v)
            angle = 2.0 * math.atan2(length, abs(w))
            return self.rotation(*(float(angle / length * c) for c in v))
        log = rotation_logarithm(draw_rotation(n, rng))
        return self.rotation(*(float(log[j, i]) for i, j in planes(n)))

    def exponential(self, coordinates: Sequence[float]) -> Matrix:
        """The matrix exponential, with the rotation orthogonal to rounding."""
        out = expm(np.tensordot(coordinates, self.algebra, 1))
        if self.affine:
            out[:-1, :-1] = orthogonalised(out[:-1, :-1])
            return out
        return orthogonalised(out)

    def logarithm(self, matrix: Matrix) -> Matrix:
        """Angles, half turns included."""
        return self.compact_logarithm(matrix)

    def compact_logarithm(self, unitary: Matrix) -> Matrix:
        """Angles [n(n−1)/2], then zeros; half turns included."""
        log = rotation_logarithm(unitary.real)
        angles = [log[j, i] for i, j in planes(self.space_dim)]
        return np.array(angles + [0.0] * (self.dim - len(angles)))

    def special_elements(self) -> dict[str, Element]:
        """Quarter, half and near-identity turns, the gimbal pose, and for reflections the mirrors."""
        n, found = self.space_dim, {}
        if n == 3:
            named: dict[str, Any] = {a: a for a in AXES}
        else:
            named = {"" if n == 2 else f"{i}{j}": (i, j) for i, j in planes(n)[: 2 * n]}
        for name, fraction in {"quarter turn": Fraction(1, 4), "half turn": Fraction(1, 2)}.items():
            for label, axis in named.items():
                found[f"{name} {label}".strip()] = self.turn(axis, fraction)
        if n == 3:
            found["half turn xy"] = self.turn((1, 1, 0), Fraction(1, 2))
            found["third turn 111"] = self.turn((1, 1, 1), Fraction(1, 3))
            found["gimbal"] = self.turn("x", Fraction(1, 4)) @ self.turn("y", Fraction(1, 4))
        if n > 1:
            generic = np.resize(GENERIC, n * (n - 1) // 2)
            generic = generic / np.linalg.norm(generic)
            found["near identity"] = self.rotation(*(float(v) for v in 1e-3 * generic))
            found["near half turn"] = self.rotation(*(float(v) for v in (math.pi - 1e-3) * generic))
        return found | self._improper_poses()

    def _improper_poses(self) -> dict[str, Element]:
        return {}


class SO(Turning):
    """Rotations of n-space: the real orthogonal matrices with determinant 1.

    Coordinates are angles in radians. For n = 3 they turn about x, y and z, so ``SO(3).exp(0, 0, t)`` turns x towards
    y; otherwise they turn axis i towards axis j for i < j in order. ``SO(1, 3)`` is the Lorentz group with
    determinant 1.

    >>> SO(2).exp(0.5).matrix.round(3).tolist()
    [[0.878, -0.479], [0.479, 0.878]]

    Source: Haar draws by uniform quaternions (n = 3) and by Stewart 1980, SIAM J. Numer. Anal. 17(3) (n > 3).
    """

    def __new__(cls, n: int = 1, q: int | None = None) -> Any:
        """SO(n), or for two numbers the group of the metric with p plus and q minus signs."""
        if q is None:
            return super().__new__(cls)
        from equiaudit.groups.lorentz import SpecialLorentz

        return SpecialLorentz(n, q)

    def __init__(self, n: int, q: int | None = None) -> None:
        check_size("SO", n)
        super().__init__(f"SO({n})", rotation_basis(n), parts={"rotations": range(n * (n - 1) // 2)}, size=n)

    def draw(self, rng: np.random.Generator) -> Element:
        """Haar measure."""
        return self.haar_rotation(rng)


class O(Turning):  # noqa: E742 - the group's name in every paper
    """Rotations and reflections of n-space. Discrete generator: "inversion" for odd n, "reflection" (of x) for even n.

    >>> O(3).generator("inversion").matrix.diagonal().tolist()
    [-1.0, -1.0, -1.0]
    """

    def __new__(cls, n: int = 1, q: int | None = None) -> Any:
        """O(n), or for two numbers the group of the metric with p plus and q minus signs."""
        if q is None:
            return super().__new__(cls)
        from equiaudit.groups.lorentz import FullLorentz

        return FullLorentz(n, q)

    def __init__(self, n: int, q: int | None = None) -> None:
        check_size("O", n)
        rotations = range(n * (n - 1) // 2)
        super().__init__(f"O({n})", rotation_basis(n), improper(n), parts={"rotations": rotations}, size=n)

    def draw(self, rng: np.random.Generator) -> Element:
        """Haar measure on both components."""
        g = self.haar_rotation(rng)
        return g @ self.generator(next(iter(self.discrete))) if rng.integers(2) else g

    def _improper_poses(self) -> dict[str, Element]:
        return improper_poses(self)


def improper(n: int) -> dict[str, Matrix]:
    """The discrete generator of O(n): the inversion where its determinant is −1, else the reflection of axis 0."""
    if n % 2:
        return {"inversion": 0.0 - np.eye(n)}
    return {"reflection": np.diag([-1.0] + [1.0] * (n - 1))}


def improper_poses(group: Turning) -> dict[str, Element]:
    """Named reflections of a group that has them."""
    if "reflection" in group.discrete:
        mirror = group.generator("reflection")
        found = {"mirror x": mirror}
        if group.space_dim == 2:
            found["mirror y"] = group.turn(Fraction(1, 2)) @ mirror
        return found
    inversion = group.generator("inversion")
    found = {"inversion": inversion}
    if group.space_dim == 3:
        found |= {f"mirror {a}": group.turn(a, Fraction(1, 2)) @ inversion for a in AXES}
    return found


def check_size(name: str, n: Any) -> None:
    """Refuse a size that is not a positive whole number."""
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ValueError(f"{name}(n) needs a whole number n of at least 1, got {n!r}")


def _known_axes(n: int) -> str:
    vector = "'x', 'y', 'z', a vector of three numbers, or " if n == 3 else ""
    return f"use {vector}a plane (i, j) of two different axes below {n}"
