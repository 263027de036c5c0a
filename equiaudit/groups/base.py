"""A group is its Lie-algebra basis and its discrete generators."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import expm, logm

from equiaudit.groups.elements import Element, Exp, Factor, Matrix, Step, negated


class NotInGroupError(ValueError):
    """A matrix, or a name, that is not in the group; the message prints the defect."""


@dataclass(frozen=True)
class Part:
    """A named part of the algebra (rotations, translations, boosts): the indices of its basis vectors."""

    name: str
    indices: tuple[int, ...]


class Group:
    """A matrix group, given by a basis of its Lie algebra and by discrete generators.

    Every element is a product exp(A₁)⋯exp(A_k) h₁⋯h_m. Representations need the two lists alone (the definition that
    EMLP uses: Finzi, Welling and Wilson 2021, section 4).

    Args:
        name: how the group is spelt; for the library's groups it evaluates back to the group.
        algebra: basis of the Lie algebra, [k, n, n], real or complex. Empty for a finite group.
        discrete: matrices [n, n] that generate the components, as a mapping from names or as a sequence.
        sample: draws an element: ``sample(group, rng) -> Element``, ``rng`` a ``numpy.random.Generator``. The default
            draws standard normal algebra coordinates and a random component.
        parts: names for parts of the algebra; one part, named after the group, if left out.
        affine: the matrices are homogeneous: the last row is (0, …, 0, 1).

    >>> import numpy as np
    >>> shear = Group("shears", [[[0.0, 1.0], [0.0, 0.0]]])
    >>> shear.exp(2.0).matrix.tolist()
    [[1.0, 2.0], [0.0, 1.0]]
    """

    def __init__(
        self,
        name: str,
        algebra: Any = (),
        discrete: Mapping[str, Any] | Sequence[Any] = (),
        sample: Callable[[Group, np.random.Generator], Element] | None = None,
        *,
        parts: Mapping[str, Sequence[int]] | None = None,
        affine: bool = False,
        size: int | None = None,
    ) -> None:
        self.name = name
        if not isinstance(discrete, Mapping):
            discrete = {f"h{i}": h for i, h in enumerate(discrete)}
        self.discrete: dict[str, Matrix] = {k: _square(f"discrete generator {k!r}", v) for k, v in discrete.items()}
        basis = [_square(f"algebra element {i}", a) for i, a in enumerate(algebra)]
        sizes = {len(m) for m in (*basis, *self.discrete.values())} | ({size} if size else set())
        if len(sizes) > 1:
            raise ValueError(f"{name}: all matrices must have one size, got sizes {sorted(sizes)}")
        self.size: int = sizes.pop() if sizes else 1
        self.algebra: Matrix = np.stack(basis) if basis else np.zeros((0, self.size, self.size))
        if len(basis) and np.linalg.matrix_rank(self.algebra.reshape(len(basis), -1)) < len(basis):
            raise ValueError(f"{name}: the {len(basis)} algebra elements are linearly dependent; give a basis")
        for key, h in self.discrete.items():
            if abs(np.linalg.det(h)) < 1e-12:
                raise ValueError(f"{name}: the discrete generator {key!r} is singular")
        self.affine = affine
        names = parts if parts is not None else ({name: range(len(basis))} if basis else {})
        self.parts: tuple[Part, ...] = tuple(Part(k, tuple(v)) for k, v in names.items())
        self._sample = sample

    # -- what it is -----------------------------------------------------------------------------------------------

    @property
    def dim(self) -> int:
        """Dimension of the Lie algebra."""
        return len(self.algebra)

    @property
    def space_dim(self) -> int:
        """Dimension of the space that the group's vectors live in."""
        return self.size - 1 if self.affine else self.size

    @property
    def is_finite(self) -> bool:
        """Whether there is no continuous part."""
        return self.dim == 0

    @property
    def order(self) -> int | None:
        """The number of elements of a finite group; None where it is infinite or unknown."""
        return None

    def elements(self, limit: int = 4096) -> tuple[Element, ...]:
        """All elements of a finite group in a fixed order, the identity first.

        Raises:
            ValueError: the group is continuous, or has more than ``limit`` elements.
        """
        from equiaudit.groups.finite import enumerate_elements

        return enumerate_elements(self, limit)

    def __repr__(self) -> str:
        return self.name

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Group)
            and type(self) is type(other)
            and self.name == other.name
            and np.array_equal(self.algebra, other.algebra)
            and self.discrete.keys() == other.discrete.keys()
            and all(np.array_equal(h, other.discrete[k]) for k, h in self.discrete.items())
        )

    def __hash__(self) -> int:
        return hash(self.name)

    def __mul__(self, other: Group) -> Group:
        from equiaudit.groups.products import DirectProduct

        return DirectProduct(self, other) if isinstance(other, Group) else NotImplemented

    # -- elements -------------------------------------------------------------------------------------------------

    def identity(self) -> Element:
        """The identity element."""
        return self.make()

    def make(self, *factors: Factor) -> Element:
        """The product of these factors, spelt as the calls that make them."""
        code = " @ ".join(f"{self!r}.{factor.spell()}" for factor in factors)
        return Element(self, factors, code or f"{self!r}.identity()")

    def exp(self, *coordinates: float) -> Element:
        """The element exp(Σ_k c_k A_k) for coordinates c in the algebra basis."""
        return self.make(Exp(self.read_coordinates(coordinates)))

    def read_coordinates(self, coordinates: Sequence[Any]) -> tuple[float, ...]:
        """Coordinates as numbers, given one by one or as one sequence.

        Raises:
            ValueError: their number is not the dimension of the algebra.
        """
        if len(coordinates) == 1 and not np.isscalar(coordinates[0]):
            coordinates = tuple(coordinates[0])
        c = tuple(float(v) for v in coordinates)
        if len(c) != self.dim:
            raise ValueError(f"{self!r}.exp takes {self.dim} coordinates, got {len(c)}")
        return c

    def translation(self, *shift: float) -> Element:
        """The translation x → x + shift of an affine group.

        Raises:
            NotInGroupError: the group does not contain it.
        """
        if not self.affine:
            raise NotInGroupError(f"{self!r} has no translations")
        s = np.array([float(v) for v in shift])
        if len(s) != self.space_dim:
            raise ValueError(f"{self!r}.translation takes {self.space_dim} numbers, got {len(s)}")
        exact = np.eye(self.size)
        exact[:-1, -1] = s
        coordinates = self.project(exact - np.eye(self.size))
        if (
            np.abs(np.tensordot(coordinates, self.algebra, 1) - exact + np.eye(self.size)).max()
            > 1e-12 * np.abs(s).max()
        ):
            raise NotInGroupError(f"{self!r} has no translation by {s.tolist()}")
        return self.make(Exp(tuple(map(float, coordinates)), exact, ("translation", tuple(map(float, s)))))

    def generator(self, name: str, power: int = 1) -> Element:
        """The discrete generator called ``name``, to a power."""
        if name not in self.discrete:
            raise NotInGroupError(
                f"{self!r} has no discrete generator {name!r}; it has {sorted(self.discrete) or 'none'}"
            )
        return self.make(Step(name, power))

    def components(self) -> tuple[Element, ...]:
        """One representative of each component that products of distinct discrete generators reach, identity first."""
        found = [self.identity()]
        for name in self.discrete:
            found += [g @ self.generator(name) for g in found]
        return tuple(found)

    def sample(self, rng: np.random.Generator | int | None = None) -> Element:
        """Draw an element: Haar for compact groups, as declared for the others."""
        rng = np.random.default_rng(rng)
        if self._sample is not None:
            return self._sample(self, rng)
        return self.draw(rng)

    def draw(self, rng: np.random.Generator) -> Element:
        """The default draw: normal algebra coordinates, then each discrete generator with probability ½."""
        if self.is_finite:
            found = self.elements()
            return found[int(rng.integers(len(found)))]
        g = self.exp(*rng.standard_normal(self.dim))
        for name in self.discrete:
            if rng.integers(2):
                g = g @ self.generator(name)
        return g

    def special_elements(self) -> dict[str, Element]:
        """Named poses that faults like to hide in: axis-aligned, half turn, near identity, …"""
        return {}

    def element(self, matrix: Any) -> Element:
        """The element with this matrix.

        Raises:
            NotInGroupError: the matrix is not in the group; the message prints by how much.
        """
        from equiaudit.groups.membership import find_element

        return find_element(self, matrix)

    def homogeneous(self, linear: Matrix, corner: float = 1.0) -> Matrix:
        """A matrix on vectors [d, d] in the size of the group's own; ``corner`` is 0 for a generator."""
        if not self.affine:
            return linear
        out = np.zeros((self.size, self.size), dtype=linear.dtype)
        out[:-1, :-1], out[-1, -1] = linear, corner
        return out

    def compact_logarithm(self, unitary: Matrix) -> Matrix:
        """Algebra coordinates [k] of a unitary matrix [d, d] on vectors; families with half turns override it."""
        return self.logarithm(self.homogeneous(unitary))

    def logarithm(self, matrix: Matrix) -> Matrix:
        """Algebra coordinates [k] of the principal logarithm, projected on the algebra."""
        with warnings.catch_warnings(), redirect_stdout(None):  # scipy warns or prints; callers measure the defect
            warnings.simplefilter("ignore")
            return self.project(logm(matrix))

    def project(self, generator: Matrix) -> Matrix:
        """Coordinates [k] of the algebra element nearest to ``generator`` [n, n] in the Frobenius norm."""
        if not self.dim:
            return np.zeros(0)
        basis = self.algebra.reshape(self.dim, -1).T
        target = np.asarray(generator).reshape(-1)
        if np.iscomplexobj(basis) or np.iscomplexobj(target):  # the coordinates are real: stack real and imaginary part
            basis = np.concatenate([basis.real, basis.imag])
            target = np.concatenate([target.real, target.imag])
        return np.linalg.lstsq(basis, target, rcond=None)[0]

    # -- arithmetic on factors --------------------------------------------------------------------------------------

    def factor_matrix(self, factor: Factor) -> Matrix:
        """The defining matrix of one factor."""
        if isinstance(factor, Exp):
            return self.exponential(factor.coordinates) if factor.exact is None else factor.exact
        return np.linalg.matrix_power(self.discrete[factor.name], factor.power)

    def exponential(self, coordinates: Sequence[float]) -> Matrix:
        """The matrix exp(Σ_k c_k A_k)."""
        return expm(np.tensordot(coordinates, self.algebra, 1))

    def steps(self, factor: Factor) -> tuple[Step, ...]:
        """A factor of the family's own kind as a word in the discrete generators, for representations given by them."""
        if isinstance(factor, Step):
            return (factor,)
        raise NotInGroupError(f"{factor!r} is not a product of the discrete generators of {self!r}")

    def product(self, factors: Sequence[Factor]) -> Matrix:
        """The defining matrix of a product of factors."""
        out = np.eye(self.size)
        for factor in factors:
            out = out @ self.factor_matrix(factor)
        return out

    def compose(self, g: Element, h: Element) -> Element:
        """g h; a group family may override this to keep elements short."""
        if not g.factors:
            return h
        if not h.factors:
            return g
        return self.make(*g.factors, *h.factors)

    def invert(self, g: Element) -> Element:
        """g⁻¹ as the reversed product of inverted factors."""
        return self.make(*(self.invert_factor(f) for f in reversed(g.factors)))

    def invert_factor(self, factor: Factor) -> Factor:
        """The inverse of one factor; a named one (a turn, a translation) becomes the same call with other arguments."""
        if not isinstance(factor, Exp) or factor.call is None:
            return factor.inverse()
        name, arguments = factor.call
        return getattr(self, name)(*self.undo(name, arguments)).factors[0]

    def undo(self, name: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments with which the method called ``name`` gives the inverse: amounts with their sign changed."""
        return (*arguments[:-1], -arguments[-1]) if name == "turn" else negated(arguments)

    # -- affine groups: where the origin is ---------------------------------------------------------------------------

    def recentre(self, g: Element, origin: Matrix, radius: float = 1.0) -> Element:
        """The same turn about ``origin`` [d] instead of 0, with translations measured in units of ``radius``.

        Returns ``g`` itself for a group without translations.
        """
        if not self.affine:
            return g
        wanted = radius * g.translation + origin - g.linear @ origin
        shift = wanted - g.translation
        return g if not np.abs(shift).max() > 0 else self.translation(*shift) @ g

    def recentre_direction(self, coordinates: Matrix, origin: Matrix, radius: float = 1.0) -> Matrix:
        """The same infinitesimal turn about ``origin`` [d], with translations in units of ``radius``."""
        if not self.affine:
            return np.asarray(coordinates, dtype=float)
        a = np.tensordot(coordinates, self.algebra, 1)
        a[:-1, -1] = radius * a[:-1, -1] - a[:-1, :-1] @ origin
        return self.project(a)


def _square(what: str, value: Any) -> Matrix:
    m = np.array(value, dtype=complex if np.iscomplexobj(value) else float)
    if m.ndim != 2 or m.shape[0] != m.shape[1]:
        raise ValueError(f"{what} must be a square matrix, got shape {list(m.shape)}")
    if not np.isfinite(m).all():
        raise ValueError(f"{what} has entries that are not finite")
    m.setflags(write=False)
    return m
