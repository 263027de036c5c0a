"""Group elements: products of exact factors, with code that evaluates back to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from equiaudit.groups.base import Group

Matrix = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Exp:
    """One factor exp(Σ_k c_k A_k).

    ``exact`` replaces the computed matrix where a closed form is more exact; ``call`` then says which method of the
    group makes it, and from what: ``("turn", ("z", 0.25))``.
    """

    coordinates: tuple[float, ...]
    exact: Matrix | None = field(default=None, compare=False)
    call: tuple[str, tuple[Any, ...]] | None = None

    def inverse(self) -> Exp:
        """exp(−Σ_k c_k A_k)."""
        exact = None if self.exact is None else np.linalg.inv(self.exact)
        return Exp(negated(self.coordinates), exact)

    def spell(self) -> str:
        """The call that makes this factor, without the group."""
        name, arguments = self.call or ("exp", self.coordinates)
        return f"{name}({', '.join(map(spell_argument, arguments))})"


@dataclass(frozen=True)
class Step:
    """One factor h^power for the discrete generator called ``name``."""

    name: str
    power: int = 1

    def inverse(self) -> Step:
        """h^(−power)."""
        return Step(self.name, -self.power)

    def spell(self) -> str:
        """The call that makes this factor, without the group."""
        return f"generator({self.name!r})" if self.power == 1 else f"generator({self.name!r}, {self.power})"


Factor = Any
"""Exp, Step, or a factor that a group family defines; it has ``inverse()`` and ``spell()``."""


@dataclass(frozen=True, eq=False)
class Element:
    """A group element: a product of exact factors, and code that evaluates back to it.

    >>> from equiaudit.groups import SO
    >>> g = SO(3).exp(0.0, 0.0, 0.5)
    >>> g
    SO(3).exp(0.0, 0.0, 0.5)
    >>> (g @ g.inverse()).is_identity()
    True
    """

    group: Group
    factors: tuple[Factor, ...]
    code: str

    @cached_property
    def matrix(self) -> Matrix:
        """The element in the defining representation, float64 or complex128 [n, n] (affine groups: homogeneous)."""
        return self.group.product(self.factors)

    @property
    def linear(self) -> Matrix:
        """The part that acts on vectors [d, d]: the matrix without the translation of an affine group."""
        return self.matrix[:-1, :-1] if self.group.affine else self.matrix

    @property
    def translation(self) -> Matrix:
        """The translation [d]; zero for groups that have none."""
        return self.matrix[:-1, -1] if self.group.affine else np.zeros(len(self.matrix))

    @property
    def coordinates(self) -> tuple[float, ...]:
        """Coordinates in the algebra basis of the product of the exponential factors.

        Raises:
            ValueError: that product is not a single exponential.
        """
        exps = [f for f in self.factors if isinstance(f, Exp)]
        if not exps:
            return (0.0,) * len(self.group.algebra)
        if len(exps) == 1:
            return exps[0].coordinates
        product = self.group.product(exps)
        found = tuple(float(c) for c in self.group.logarithm(product))
        defect = float(np.abs(self.group.exponential(found) - product).max() / np.abs(product).max())
        if not defect <= 1e-8:  # not every product of exponentials is one, in SL(n) for example
            raise ValueError(f"{self!r} is not one exponential (off by {defect:.1e}); use its factors")
        return found

    @property
    def component(self) -> tuple[str, ...]:
        """The discrete generators in this element, in order, each as often as its power says."""
        return tuple(f.name for f in self.factors if isinstance(f, Step) for _ in range(abs(f.power)))

    def __matmul__(self, other: Element) -> Element:
        if not isinstance(other, Element):
            return NotImplemented
        if other.group != self.group:
            raise ValueError(f"{self!r} and {other!r} are in different groups; both must be in {self.group!r}")
        return self.group.compose(self, other)

    def inverse(self) -> Element:
        """The inverse element.

        >>> from equiaudit.groups import SO
        >>> SO(2).exp(0.25).inverse()
        SO(2).exp(-0.25)
        """
        return self.group.invert(self)

    def is_identity(self, tolerance: float = 1e-12) -> bool:
        """Whether the matrix is the identity up to ``tolerance``."""
        return bool(np.abs(self.matrix - np.eye(len(self.matrix))).max(initial=0.0) <= tolerance)

    def __repr__(self) -> str:
        return self.code


def negated(numbers: Sequence[float]) -> tuple[float, ...]:
    """The numbers with their signs changed, never −0.0."""
    return tuple(0.0 - v for v in numbers)


def spell_argument(value: Any) -> str:
    """An argument as code: numbers by repr, a fraction as 1/4."""
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}" if value.denominator != 1 else str(value.numerator)
    return repr(value)
