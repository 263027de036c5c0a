"""What to suspect first: one sentence from which parts of the group break and which hold. Standard library only."""

from __future__ import annotations

import re
from dataclasses import dataclass

from equiaudit.records import Audit, Cause, Verdict

LIE = "Lie derivative"
FAR = 100.0
MOTIONS = ("rotations", "translations", "boosts", "permutations", "scalings")
REAL = (Verdict.BROKEN, Verdict.APPROXIMATE)


@dataclass(frozen=True)
class Parts:
    """Names of the parts that break and that hold, discrete generators apart, and special poses or sizes that break."""

    broken: frozenset[str]
    held: frozenset[str]
    discrete_broken: bool
    poses: tuple[str, ...]


def suspect(audit: Audit) -> str | None:
    """A sentence on where to look; None where the pattern says nothing.

    >>> from equiaudit.records import Check
    >>> rows = (Check("rotations", "finite", Verdict.EXACT), Check("translations", "finite", Verdict.BROKEN))
    >>> suspect(Audit(Verdict.BROKEN, checks=rows))
    'only translations break: absolute positions are used somewhere; take differences, or subtract the centroid'
    """
    if audit.effort == "replay":
        return None  # one element shows no pattern
    if audit.verdict not in REAL or audit.cause in (Cause.HIDDEN, Cause.LOW_PRECISION, Cause.ALIASING):
        return None  # the reason says it already
    if audit.cause == Cause.DISCONTINUITY:
        return (
            "only the given input breaks: rounding decides a sort, an argmax, nearest neighbours, a cutoff or a frame"
        )
    if any("a constant is added" in str(row.get("note", "")) for row in audit.layers if row.get("verdict") == "first"):
        return f"a bias on features that turn, in {audit.first_bad_layer}: only scalars may have one"
    parts = read_parts(audit)
    return _by_pattern(audit, parts)


def read_parts(audit: Audit) -> Parts:
    """Which parts break and which hold; "E(3): rotations" counts as rotations, Lie derivatives are left out."""
    broken: set[str] = set()
    held: set[str] = set()
    poses: list[str] = []
    discrete = False
    for check in audit.checks:
        if check.kind in ("lie", "hypothesis") or check.part.startswith(LIE):
            continue
        name = check.part.rpartition(": ")[2]
        bad = check.verdict in REAL
        if check.kind == "discrete":
            discrete = discrete or bad
        elif name in MOTIONS:
            (broken if bad else held).add(name)
        elif bad and "(" not in name:  # the row of a finite group bears the group's name
            poses.append(name)
    return Parts(frozenset(broken), frozenset(held - broken), discrete, tuple(poses))


def _by_pattern(audit: Audit, parts: Parts) -> str | None:
    said = (audit.symmetry, *(leaf.representation for leaf in audit.leaves))  # a field type of escnn only says it there
    if any("Image(" in text or "'image'" in text for text in said):
        return (
            "images: a kernel that is not steered, or padding, strides and pooling that do not turn or shift with the "
            "picture, on even or odd sizes"
        )
    if parts.broken == {"permutations"}:
        return (
            "the order of nodes or edges enters: a positional code, a sort, a recurrent or flattening layer, "
            "or padding that is not masked"
        )
    if parts.broken == {"translations"}:
        return (
            "only translations break: absolute positions are used somewhere; take differences, or subtract the centroid"
        )
    if not parts.broken and parts.discrete_broken:
        return (
            "only reflections break: a cross product, a pseudovector taken for a vector, or an angle with a sign; "
            "claim the group without reflections where that is meant"
        )
    if not parts.broken and (parts.poses or _is_far(audit)):
        return _by_pose(parts.poses)
    if parts.broken == {"boosts"}:
        return "only boosts break: a Euclidean norm or product where the Minkowski one belongs"
    if "rotations" in parts.broken and "translations" in parts.broken:
        return "turns and shifts both break: coordinates enter as plain numbers"
    if "rotations" in parts.broken:
        return (
            "turns break and shifts do not: components are treated one by one (a bias, ReLU or LayerNorm on vectors), "
            "or in another order or convention"
            if "translations" in parts.held
            else "turns break: components are treated one by one (a bias, ReLU or LayerNorm on vectors), or in another "
            "order or convention"
        )
    return None


def _is_far(audit: Audit) -> bool:
    """Whether the worst element shifts by more than any molecule is wide."""
    shifts = re.findall(r"translation\(([^)]*)\)", audit.worst.element if audit.worst else "")
    return any(abs(float(number)) > FAR for shift in shifts for number in shift.split(",") if number.strip())


def _by_pose(poses: tuple[str, ...]) -> str | None:
    if all("large" in p or "far" in p for p in poses):
        return (
            "only large shifts break: positions are clamped, binned or wrapped far from the origin, or lose digits "
            "where large numbers cancel"
        )
    return (
        f"only special poses break ({', '.join(poses[:3])}): a pole of spherical coordinates or Euler angles, "
        "or a direction compared with an axis"
    )
