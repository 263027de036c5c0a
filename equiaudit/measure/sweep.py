"""Every element that was tried, as a point of "error against angle", and more of them where something broke."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from equiaudit.groups.base import Element, Group
from equiaudit.measure.bench import Outcome
from equiaudit.measure.examine import Examination
from equiaudit.measure.plan import Trial
from equiaudit.measure.residual import rms
from equiaudit.records import Tried, Verdict
from equiaudit.representations.structures import StructureError
from equiaudit.ties import first_largest

TURNS = tuple(Fraction(k, 12) for k in range(1, 12))
"""Fractions of a turn about each generator of a rotation; a multiple of 30° meets the poses that faults like."""
AMOUNTS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Sizes of other elements exp(cA): of translations in units of the RMS radius, of boosts up to those that float64 bears."""
BOUNDED = 2.0
"""The largest coordinate of a generator that is neither a rotation nor a translation."""
EXHAUSTIVE = 24
"""The order up to which all elements of a broken finite group are tried."""


def describe_trials(exam: Examination) -> list[Tried]:
    """One entry for each element that was judged, on the leaf where it did worst."""
    found = []
    for outcome, rows in exam.judged:
        live = [j for n, j in enumerate(rows) if n not in exam.vacuous]
        if not live:
            continue
        worst = first_largest(live, lambda j: j.error, rank=lambda j: not j.within)
        found.append(
            _tried(
                outcome, outcome.element, outcome.trial.name, worst.leaf.name, worst.error, worst.floor,
                all(j.within for j in live),
            )
        )  # fmt: skip
    return found


def sweep(exam: Examination, per_generator: bool) -> list[Tried]:
    """More elements where they tell something: along every generator where asked, along the worst one where something broke.

    Of a finite group that broke, all elements that were not tried before.
    """
    group = exam.bench.symmetry.acts
    if exam.blurred:
        return []
    if group.dim:
        worst = exam.worst_generator
        chosen = range(group.dim) if per_generator else [] if worst is None else [worst]
        wanted = (point for k in chosen for point in _along(group, k))
    elif exam.found.verdict is Verdict.EXACT or not _listable(group):
        return []
    else:
        known = {repr(outcome.element) for outcome, _ in exam.judged}
        wanted = (Point("all elements", g) for g in group.elements() if not g.is_identity() and repr(g) not in known)
    found = []
    for point in wanted:
        one = _measure(exam, point)
        if one is None:
            break  # the model raises for such an element: nothing to draw
        found.append(one)
    return found


def _listable(group: Group) -> bool:
    return not getattr(group, "acts_on_indices", False) and 0 < (group.order or 0) <= EXHAUSTIVE


@dataclass(frozen=True)
class Point:
    """An element of a sweep: ``angle`` in degrees along a generator that is a rotation."""

    sweep: str
    element: Element
    angle: float | None = None


def generator_name(group: Group, k: int) -> str:
    """What a report calls generator number k.

    >>> from equiaudit.groups import SE, SO, Lorentz
    >>> generator_name(SE(3), 2), generator_name(Lorentz(), 3), generator_name(SO(2), 0), generator_name(SO(4), 5)
    ('rotations z', 'boosts x', 'rotations', 'rotations 5')
    """
    part = next((p for p in group.parts if k in p.indices), None)
    if part is None or len(part.indices) == 1:
        return part.name if part else group.name
    place = part.indices.index(k)
    named = len(part.indices) == 3 and (group.space_dim == 3 or part.name in ("rotations", "boosts"))
    return f"{part.name} {'xyz'[place] if named else place}"


def _along(group: Group, k: int) -> Iterator[Point]:
    unit = np.eye(group.dim)[k]
    name = generator_name(group, k)
    generator = np.tensordot(unit, group.algebra, 1)
    if np.allclose(group.exponential(tuple(2 * math.pi * unit)), np.eye(group.size), atol=1e-9):
        for turn in TURNS:
            yield Point(name, group.exp(*(2 * math.pi * float(turn) * unit)), 360.0 * float(turn))
        return
    nilpotent = not np.abs(generator @ generator).any()
    for amount in AMOUNTS:
        if nilpotent or amount <= BOUNDED:
            yield Point(name, group.exp(*(amount * unit)))


def _measure(exam: Examination, point: Point) -> Tried | None:
    bench = exam.bench
    base = "x1" if "x1" in bench.inputs else "x0"
    trial = Trial(point.sweep, (point.element,) * exam.helpers.count, base, (point.sweep,))
    try:
        outcome = bench.run(trial)
    except (StructureError, RuntimeError, ValueError, ArithmeticError):
        return None
    leaves = zip(bench.base(base).leaves, exam.scales, outcome.residuals, strict=True)
    errors = [
        (rms(leaf.norms(r)) / scale.typical, leaf.name)
        for n, (leaf, scale, r) in enumerate(leaves)
        if n not in exam.vacuous
    ]
    if not errors:
        return None
    error, leaf = first_largest(errors, lambda one: one[0])
    floor = exam.found.floor
    one = _tried(outcome, point.element, point.sweep, leaf, error, floor, floor is None or error <= floor)
    return dataclasses.replace(one, sweep=point.sweep, angle=one.angle if point.angle is None else point.angle)


def _tried(
    outcome: Outcome, g: Element, name: str, leaf: str, error: float, floor: float | None, within: bool
) -> Tried:
    on = "twin" if outcome.trial.base == "x1" else "given"
    angle, improper = rotation_angle(g)
    return Tried(name, repr(g), on, leaf, error, floor, within, angle, shift_length(g), improper)


def rotation_angle(g: Element) -> tuple[float | None, bool]:
    """The angle of rotation in degrees, and whether g also reflects; (None, False) where g is no isometry of space.

    In the plane the angle is counter-clockwise, 0 to 360, of the rotation that follows the flip x → −x; in
    space it is 0 to 180, of g or of −g.

    >>> from equiaudit.groups import SO, Dihedral
    >>> rotation_angle(SO(3).turn("x", 1 / 4)), rotation_angle(Dihedral(4).element_at(5))
    ((90.0, False), (90.0, True))
    """
    d = g.group.space_dim
    if d not in (2, 3) or getattr(g.group, "acts_on_indices", False):
        return None, False
    r = g.linear
    if np.iscomplexobj(r) or np.abs(r @ r.T - np.eye(d)).max() > 1e-9:
        return None, False
    improper = bool(np.linalg.det(r) < 0)
    if d == 2:
        r = r @ np.diag([-1.0, 1.0]) if improper else r
        return round(math.degrees(math.atan2(r[1, 0], r[0, 0])) % 360.0, 9), improper
    r = -r if improper else r
    sine = math.hypot(r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]) / 2
    return round(math.degrees(math.atan2(sine, (np.trace(r) - 1) / 2)), 9), improper


def shift_length(g: Element) -> float | None:
    """The length of the translation; None for groups without.

    >>> from equiaudit.groups import T
    >>> shift_length(T(2).translation(3.0, 4.0))
    5.0
    """
    return float(np.linalg.norm(g.translation)) if g.group.affine else None
