"""Groups with translations, as homogeneous matrices: T(n), SE(n) and E(n)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import expm

from equiaudit.groups.base import Element, Exp, Group, Matrix
from equiaudit.groups.orthogonal import Turning, check_size, improper, improper_poses
from equiaudit.groups.rotations import GENERIC, planes, rotation_basis, rotation_logarithm


def translation_basis(n: int) -> Matrix:
    """Generators of translations as homogeneous matrices [n, n + 1, n + 1]."""
    basis = np.zeros((n, n + 1, n + 1))
    for i in range(n):
        basis[i, i, n] = 1.0
    return basis


def embedded(matrices: Matrix) -> Matrix:
    """Linear generators [k, n, n] as homogeneous ones [k, n + 1, n + 1]."""
    return np.pad(matrices, ((0, 0), (0, 1), (0, 1)))


class Shifting(Group):
    """What groups with translations share: draws, named shifts, and adjacent translations merged to one."""

    def random_translation(self, rng: np.random.Generator) -> Element:
        """A standard normal shift; an audit measures it in units of the input's RMS radius (see ``recentre``)."""
        return self.translation(*rng.standard_normal(self.space_dim))

    def compose(self, g: Element, h: Element) -> Element:
        """g h, with a translation at the seam merged."""
        if g.factors and h.factors and _is_shift(g.factors[-1]) and _is_shift(h.factors[0]):
            one = self.translation(*(g.factors[-1].exact[:-1, -1] + h.factors[0].exact[:-1, -1]))
            return self.make(*g.factors[:-1], *one.factors, *h.factors[1:])
        return super().compose(g, h)

    def shifts(self) -> dict[str, Element]:
        """Named translations: generic, large, and along the first axis."""
        generic = np.resize(GENERIC, self.space_dim)
        return {
            "shift along x": self.translation(1.0, *(0.0,) * (self.space_dim - 1)),
            "small shift": self.translation(*(1e-3 * generic)),
            "large shift": self.translation(*(1e3 * generic)),
        }


class T(Shifting):
    """Translations of n-space, x → x + t. Coordinates are the shift.

    >>> T(2).translation(1.0, 2.0).matrix.tolist()
    [[1.0, 0.0, 1.0], [0.0, 1.0, 2.0], [0.0, 0.0, 1.0]]
    """

    def __init__(self, n: int) -> None:
        check_size("T", n)
        super().__init__(f"T({n})", translation_basis(n), parts={"translations": range(n)}, affine=True)

    def draw(self, rng: np.random.Generator) -> Element:
        """A standard normal shift."""
        return self.random_translation(rng)

    def exponential(self, coordinates: Sequence[float]) -> Matrix:
        """1 + A, exactly."""
        return np.eye(self.size) + np.tensordot(coordinates, self.algebra, 1)

    def logarithm(self, matrix: Matrix) -> Matrix:
        """The shift."""
        return matrix[:-1, -1].real

    def compact_logarithm(self, unitary: Matrix) -> Matrix:
        """Zero: nothing turns."""
        return np.zeros(self.dim)

    def special_elements(self) -> dict[str, Element]:
        """A shift along x, a small and a large one."""
        return self.shifts()


class _Rigid(Shifting, Turning):
    def exponential(self, coordinates: Sequence[float]) -> Matrix:
        """The matrix exponential, with the rotation orthogonal to rounding; exactly a shift where nothing turns."""
        if any(coordinates[: -self.space_dim]):
            return super().exponential(coordinates)
        return np.eye(self.size) + np.tensordot(coordinates, self.algebra, 1)

    def logarithm(self, matrix: Matrix) -> Matrix:
        """Angles and v of exp([Ω, v]): the shift is V v with V = ∫₀¹ exp(sΩ) ds, also for half turns."""
        n = self.space_dim
        log = rotation_logarithm(matrix[:-1, :-1])
        v = expm(np.block([[log, np.eye(n)], [np.zeros((n, 2 * n))]]))[:n, n:]
        return np.array([*(log[j, i] for i, j in planes(n)), *np.linalg.solve(v, matrix[:-1, -1])])

    def special_elements(self) -> dict[str, Element]:
        """The poses of the rotations, the shifts, and both at once."""
        found = super().special_elements() | self.shifts()
        if self.space_dim == 3:
            found["turn and large shift"] = found["large shift"] @ found["third turn 111"]
        return found


class SE(_Rigid):
    """Rigid motions of n-space, x → R x + t. Coordinates: the rotations of SO(n) (radians), then the translations.

    >>> SE(3).dim, [part.name for part in SE(3).parts]
    (6, ['rotations', 'translations'])
    """

    def __init__(self, n: int) -> None:
        check_size("SE", n)
        super().__init__(f"SE({n})", *_rigid_algebra(n), parts=_rigid_parts(n), affine=True)

    def draw(self, rng: np.random.Generator) -> Element:
        """Haar rotation, standard normal shift."""
        return self.random_translation(rng) @ self.haar_rotation(rng)


class E(_Rigid):
    """Rigid motions and reflections of n-space. Coordinates as in SE(n), discrete generator as in O(n).

    >>> E(3).sample(0).factors[0].call[0], list(E(3).discrete)
    ('translation', ['inversion'])
    """

    def __init__(self, n: int) -> None:
        check_size("E", n)
        discrete = {}
        for name, h in improper(n).items():
            discrete[name] = np.eye(n + 1)
            discrete[name][:n, :n] = h
        super().__init__(f"E({n})", *_rigid_algebra(n), discrete, parts=_rigid_parts(n), affine=True)

    def draw(self, rng: np.random.Generator) -> Element:
        """Haar rotation, reflected with probability ½, standard normal shift."""
        g = self.random_translation(rng) @ self.haar_rotation(rng)
        return g @ self.generator(next(iter(self.discrete))) if rng.integers(2) else g

    def _improper_poses(self) -> dict[str, Element]:
        return improper_poses(self)


def _rigid_algebra(n: int) -> tuple[Matrix]:
    return (np.concatenate([embedded(rotation_basis(n)), translation_basis(n)]),)


def _rigid_parts(n: int) -> dict[str, range]:
    rotations = n * (n - 1) // 2
    parts = {"rotations": range(rotations), "translations": range(rotations, rotations + n)}
    return {k: v for k, v in parts.items() if len(v)}


def _is_shift(factor: object) -> bool:
    return isinstance(factor, Exp) and factor.call is not None and factor.call[0] == "translation"
