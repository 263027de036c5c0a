"""Scalings of space: x → eᵗ x."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from equiaudit.groups.base import Element, Exp, Group, Matrix
from equiaudit.groups.orthogonal import check_size


class Scaling(Group):
    """Scalings of n-space by positive factors, x → eᵗ x; the coordinate is t. Draws: factors from ½ to 2, uniform in t.

    >>> Scaling(2).by(2.0).matrix.tolist(), Scaling(2).by(2.0).inverse()
    ([[2.0, 0.0], [0.0, 2.0]], Scaling(2).by(0.5))
    """

    def __init__(self, n: int = 3) -> None:
        check_size("Scaling", n)
        super().__init__(f"Scaling({n})", np.eye(n)[None], parts={"scaling": (0,)})

    def by(self, factor: float) -> Element:
        """The scaling by a positive factor, exactly.

        Raises:
            ValueError: the factor is not positive and finite.
        """
        value = float(factor)
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{self!r}.by needs a positive factor, got {factor!r}")
        return self.make(Exp((math.log(value),), value * np.eye(self.size), ("by", (value,))))

    def undo(self, name: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """The reciprocal factor."""
        return (1.0 / arguments[0],) if name == "by" else super().undo(name, arguments)

    def exponential(self, coordinates: Any) -> Matrix:
        """eᵗ on the diagonal."""
        return math.exp(coordinates[0]) * np.eye(self.size)

    def draw(self, rng: np.random.Generator) -> Element:
        """t uniform between −ln 2 and ln 2."""
        return self.exp(float(rng.uniform(-math.log(2.0), math.log(2.0))))

    def special_elements(self) -> dict[str, Element]:
        """Doubled, halved, nearly the identity."""
        return {"doubled": self.by(2.0), "halved": self.by(0.5), "near identity": self.exp(1e-3)}
