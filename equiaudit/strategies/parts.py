"""The parts that elements are drawn in: for each the named elements, those on a grid of integers, and Haar-like ones."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st

from equiaudit.groups import Element, Group
from equiaudit.groups.lorentz import MAX_RAPIDITY, PseudoOrthogonal
from equiaudit.groups.orthogonal import Turning
from equiaudit.groups.rotations import planes
from equiaudit.groups.scaling import Scaling

SEEDS = 2**16 - 1
TICKS = 360
GENERIC = 12
"""How many times as likely as one simple choice each kind of generic element is."""
Numbers = Sequence[int]
Made = Callable[[Numbers], Element | None]


def _fractions() -> tuple[Fraction, ...]:
    first = [(1, 4), (1, 2), (1, 3), (3, 4), (2, 3), (1, 6), (1, 8), (1, 12), (1, 24), (1, 1000), (499, 1000)]
    return tuple(dict.fromkeys([Fraction(*f) for f in first] + [Fraction(k, 36) for k in range(1, 36)]))


FRACTIONS = _fractions()
"""Named turns: quarter, half and third first; then every ten degrees is there."""
AXES: tuple[Any, ...] = (
    *"zxy", (1, 1, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, -1), (1, -1, 1), (-1, 1, 1), (1, -1, 0), (1, 2, 3),
)  # fmt: skip
"""Named axes: those of the coordinates first, then the diagonals."""
SHIFTS = (1.0, -1.0, 10.0, 1000.0, 1e-3)


@dataclass(frozen=True)
class Source:
    """One part of an element, drawn in the same number of integers whatever comes out, so that parts shrink apart.

    Args:
        sizes: how many choices each number of a name has; 0 is the simplest.
        named: what a person would choose, from the numbers of a name.
        grid: bounds of integers.
        built: the element that such integers stand for; near integers give near elements, so that a target can climb.
        drawn: the element for a seed and the numbers of a name.
        shortcuts: up to four names that shrinking tries besides the first.
        plain_seed: whether the seed shows in the code of the element, so that it should stay small.
    """

    sizes: tuple[int, ...]
    named: Made
    grid: tuple[tuple[int, int], ...] = ()
    built: Made | None = None
    drawn: Callable[[int, Numbers], Element] | None = None
    shortcuts: tuple[tuple[int, ...], ...] = ()
    plain_seed: bool = False

    def strategy(self) -> st.SearchStrategy[Element | None]:
        """Elements of this part; None, the simplest, for leaving it out."""
        # From level 6 hypothesis tries 0 to 5: what is drawn shrinks to one of these names, or to a smaller seed.
        levels: list[Any] = ["none", "named"]
        if self.drawn or self.built:
            levels += [*self.shortcuts, *["named"] * (4 - len(self.shortcuts))]
            levels += ["built"] * GENERIC * (self.built is not None) + ["drawn"] * GENERIC * (self.drawn is not None)
            levels += ["named"]
        return st.tuples(
            st.integers(0, len(levels) - 1),
            st.tuples(*(st.integers(0, size - 1) for size in self.sizes)),
            st.tuples(*(st.integers(low, high) for low, high in (self.grid if self.built else ()))),
            st.integers(0, SEEDS if self.drawn else 0),
        ).map(lambda found: self._pick(levels[found[0]], *found[1:]))

    def _pick(self, level: Any, name: Numbers, grid: Numbers, seed: int) -> Element | None:
        if isinstance(level, tuple):
            return self.named(level)
        if level == "named":
            return self.named(name)
        if level == "built" and self.built is not None:
            return self.built(grid)
        if level != "drawn" or self.drawn is None:
            return None
        # hypothesis often changes one number alone: each then makes another element
        mixed = seed if self.plain_seed or not any(grid) else zlib.crc32(repr((seed, name, grid)).encode())
        return self.drawn(mixed, name)


def turns(group: Any) -> list[Source]:
    """Rotations of a group with the method ``turn``: named axis × named turn, then integer axis × whole degrees."""
    n = group.q if isinstance(group, PseudoOrthogonal) else group.space_dim
    drawn = _haar(group) if isinstance(group, Turning) else None
    if n < 2:
        return []
    if n == 2:
        return [
            Source(
                (len(FRACTIONS),),
                lambda k: group.turn(FRACTIONS[k[0]]),
                ((0, TICKS - 1),),
                lambda k: group.turn(Fraction(k[0], TICKS)) if k[0] else None,
                drawn,
                ((1,), (2,), (3,), (4,)),
            )
        ]
    if n == 3:
        return [
            Source(
                (len(FRACTIONS), len(AXES)),
                lambda k: group.turn(AXES[k[1]], FRACTIONS[k[0]]),
                ((-9, 9), (-9, 9), (-9, 9), (0, TICKS - 1)),
                lambda k: turned(group, k),
                drawn,
                ((1, 0), (0, 1), (1, 1), (2, 3)),  # half about z, quarter and half about x, third about the diagonal
            )
        ]
    every = planes(n)

    def two(k: Numbers) -> Element | None:
        found = [group.turn(every[p], Fraction(t, TICKS)) for p, t in (k[:2], k[2:]) if t]
        return found[0] @ found[1] if len(found) > 1 else found[0] if found else None

    one = ((0, len(every) - 1), (0, TICKS - 1))
    return [
        Source(
            (len(FRACTIONS), len(every)),
            lambda k: group.turn(every[k[1]], FRACTIONS[k[0]]),
            one + one,
            two,
            drawn,
            ((1, 0), (2, 0), (0, 1), (1, 1)),
        )
    ]


def turned(group: Any, numbers: Numbers) -> Element | None:
    """The turn about an axis of whole numbers, by whole degrees; the axis and its sign spelt in the shortest way."""
    *axis, ticks = numbers
    if not ticks:
        return None
    if sum(v != 0 for v in axis) <= 1:
        place = next((i for i, v in enumerate(axis) if v), 2)
        sign = -1 if axis[place] < 0 else 1
        return group.turn("xyz"[place], Fraction(sign * ticks % TICKS, TICKS))
    common = math.gcd(*axis)
    return group.turn(tuple(v // common for v in axis), Fraction(ticks, TICKS))


def _haar(group: Turning) -> Callable[[int, Numbers], Element]:
    return lambda seed, _: group.haar_rotation(np.random.default_rng(seed))


def flips(group: Group) -> list[Source]:
    """Each discrete generator, there or not."""
    return [_flip(group, name) for name in group.discrete]


def _flip(group: Group, name: str) -> Source:
    return Source((), lambda _: group.generator(name))


def shifts(group: Group, unit: float) -> list[Source]:
    """Translations: by one unit along an axis, then large and small ones, quarters of units, normal ones."""
    d = group.space_dim

    def quarters(k: Numbers) -> Element | None:
        return group.translation(*(unit * v / 4 for v in k)) if any(k) else None

    def along(k: Numbers) -> Element:
        return group.translation(*(unit * SHIFTS[k[0]] if i == k[1] else 0.0 for i in range(d)))

    def drawn(seed: int, k: Numbers) -> Element:
        rng = np.random.default_rng(seed)
        return group.translation(*(unit * SHIFTS[k[0]] * float(v) for v in rng.standard_normal(d)))

    shortcuts = ((3, 0), (0, d - 1), (1, 0), (4, 0))  # far along x, a unit along the last axis, back, a little
    return [Source((len(SHIFTS), d), along, ((-40, 40),) * d, quarters, drawn, shortcuts)]


def boosts(group: PseudoOrthogonal) -> list[Source]:
    """Boosts of rapidity at most 2: along one axis, then in eighths; rotations of blocks that ``turn`` does not reach."""
    count, amounts = group.p * group.q, (1.0, -1.0, 0.5, 2.0)

    def along(k: Numbers) -> Element:
        return group.boost(*(amounts[k[0]] if i == k[1] else 0.0 for i in range(count)))

    def eighths(k: Numbers) -> Element | None:
        v = np.array(k).reshape(group.p, group.q) / 8.0
        size = float(np.linalg.norm(v, 2))
        if size > MAX_RAPIDITY:
            v = np.trunc(64 * v * MAX_RAPIDITY / size) / 64
        return group.boost(*(float(c) + 0.0 for c in v.ravel())) if v.any() else None

    def drawn(seed: int, _: Numbers) -> Element:
        rng = np.random.default_rng(seed)
        v = rng.standard_normal((group.p, group.q))
        v *= rng.uniform(0.0, MAX_RAPIDITY) / np.linalg.norm(v, 2)
        return group.boost(*(float(c) for c in v.ravel()))

    found = [Source((len(amounts), count), along, ((-16, 16),) * count, eighths, drawn)]
    turned_by = len(planes(group.q)) if group.q in (2, 3) else 0
    rest = range(group.rotations - turned_by)
    return found + ([algebra(group, rest)] if rest else [])


def algebra(group: Group, indices: Sequence[int], sample: bool = False) -> Source:
    """Exponentials of basis vectors: quarter, half and third turns of those that turn, by 1 and ½ of those that stretch."""
    compact = [bool(np.abs(group.algebra[i] + group.algebra[i].conj().T).max() < 1e-12) for i in indices]
    amounts = ((1 / 4, 1.0), (1 / 2, 0.5), (1 / 3, -1.0), (1.0, -0.5), (1 / 8, 1e-3))

    def along(k: Numbers) -> Element:
        turn, stretch = amounts[k[0]]
        amount = 2 * math.pi * turn if compact[k[1]] else stretch
        return group.exp(*(amount if i == indices[k[1]] else 0.0 for i in range(group.dim)))

    def built(k: Numbers) -> Element | None:
        coordinates = [0.0] * group.dim
        for place, v in enumerate(k):
            coordinates[indices[place]] = v * math.pi / 12 if compact[place] else v / 12
        return group.exp(*coordinates) if any(k) else None

    drawn = (lambda seed, _: group.sample(seed)) if sample else None
    return Source((len(amounts), len(indices)), along, ((-12, 12),) * len(indices), built, drawn)


def scalings(group: Scaling) -> list[Source]:
    """Doubled, halved; factors in eighths; drawn ones."""
    factors = (2.0, 0.5, 1.5, 1.001)
    return [
        Source(
            (len(factors),),
            lambda k: group.by(factors[k[0]]),
            ((-7, 16),),
            lambda k: group.by(1 + k[0] / 8) if k[0] else None,
            lambda seed, _: group.sample(seed),
        )
    ]
