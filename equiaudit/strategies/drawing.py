"""What hypothesis draws for one symmetry: elements, one or one per sample, and a variation of the caller's input."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from equiaudit.groups import Element, Group, Permutations
from equiaudit.representations.simple import Vector
from equiaudit.representations.structures import leaves
from equiaudit.strategies.poses import SINGULAR, SPECIAL
from equiaudit.strategies.structure import elements
from equiaudit.strategies.trying import Example
from equiaudit.strategies.variation import AS_GIVEN, Variation, can_pose, count_rows, declared_leaves
from equiaudit.symmetry import Symmetry

SCALES = (1.0,) * 16 + (2.0, 0.5, 10.0, 0.1)
JITTERS = (0.0,) * 12 + (0.05, 0.2, 0.5)

FEW = (1, 2, 3, 4, 5, 6, 8, 12, 20, 40)
"""How many rows stay where some are left out."""
NEAR = 12
"""So many rows are looked at for ties."""


def variations(rows: int, poses: bool = True) -> st.SearchStrategy[Variation]:
    """Variations of an input with so many rows; they shrink to one row in the simplest pose.

    Half keep all rows, most leave other things as given. Rows that stay are neighbours in the list, cyclically.
    """
    named = (*SPECIAL, *SINGULAR) if poses else ()
    sizes = [k for k in FEW if k < rows]

    def one(drawn: tuple[int, int, int, int, int, int]) -> Variation:
        count, start, pose, scale, jitter, seed = drawn
        few = sizes[count] if count < len(sizes) else rows
        keep = tuple(sorted((start + k) % rows for k in range(few))) if few < rows else None
        size = JITTERS[jitter]
        return Variation(keep, named[pose] if pose < len(named) else AS_GIVEN, SCALES[scale], size, seed if size else 0)

    return st.tuples(
        st.integers(0, 2 * len(sizes)),
        st.integers(0, rows - 1),
        st.integers(0, 7 * len(named)),
        st.integers(0, len(SCALES) - 1),
        st.integers(0, len(JITTERS) - 1),
        st.integers(0, 63),
    ).map(one)


TIED = ("regular", "ties", "whole")
"""Poses with equal or round distances: whether an element breaks a tie is a matter of rounding."""
FIXED = (
    ("regular", 4), ("ties", 0), ("ties", 0), ("whole", 0), ("along z", 3), ("regular", 3), ("coplanar", 4), ("ties", 3),
    ("ties", 3), ("whole", 2), ("along z", 0), ("regular", 5), ("coplanar", 0), ("regular", 0), ("coincident", 0),
    ("ties", 2), ("ties", 2), ("regular", 6), ("whole", 1), ("whole", 0), ("regular", 4), ("along z", 4), ("diagonal", 3),
    ("regular", 3), ("whole", 4), ("regular", 8), ("regular", 0),
)  # fmt: skip
"""Poses of the first so many rows that are always tried, the most telling ones first; 0 for all rows.

A pose with ties comes twice: its distances are rounded up by the first element, and down by the second.
"""


def fixed_variations(rows: int, poses: bool = True) -> list[Variation]:
    """The special poses of the first rows that every search tries, whatever it draws; without poses the first rows alone.

    >>> [v.code for v in fixed_variations(2)][:2]
    ["equiaudit.strategies.vary(inputs, symmetry, pose='ties')", "equiaudit.strategies.vary(inputs, symmetry, pose='ties')"]
    """
    names = FIXED if poses else tuple((AS_GIVEN, k) for k in (1, 2, 3, 4, 5))
    found = [Variation(tuple(range(k)) if 0 < k < rows else None, pose) for pose, k in names if k <= rows]
    times = Counter[Variation]()
    kept = []
    for variation in found:
        times[variation] += 1
        if not variation.plain and times[variation] <= (2 if variation.pose in TIED else 1):
            kept.append(variation)
    return kept


def unsettling(
    symmetry: Symmetry, inputs: Any, drawn: Sequence[tuple[Element, ...]], grow: bool = True
) -> tuple[Element, ...]:
    """Of several elements the one that rounds the most distances between rows up (``grow``) or down.

    A random element leaves a distance of exactly 1 at exactly 1 nine times out of ten.
    """
    declared = declared_leaves([symmetry], inputs)

    def distances(values: Any) -> Tensor:
        flat = dict(leaves(values))
        rows = [flat[path].detach()[:NEAR] for path, rep in declared.items() if isinstance(rep, Vector)]
        rows = [x for x in rows if x.dim() == 2 and not x.is_complex()]
        found = [(x[:, None] - x).norm(dim=-1).flatten() for x in rows]
        return torch.cat(found) if found else torch.zeros(0)

    before, sign = distances(inputs), 1.0 if grow else -1.0
    counts = [int((sign * (distances(symmetry.act_on_inputs(g, inputs)) - before) > 0).sum()) for g in drawn]
    return drawn[max(range(len(drawn)), key=counts.__getitem__)]


def least_near(drawn: Sequence[tuple[Element, ...]], known: list[np.ndarray]) -> tuple[Element, ...]:
    """Of several elements the one farthest from those of ``known``, to which it is added; the first where none turns rigidly.

    Fifty such rotations miss a cap of 5 % of all directions in 3 % of the cases, fifty independent ones in 8 %. Elements are
    compared by exp(−‖A − B‖² / 2), A and B their matrices without translation.
    """
    spaces = [np.stack([g.matrix[: g.group.space_dim, : g.group.space_dim] for g in one]) for one in drawn]
    gaps = [np.abs(a @ a.conj().swapaxes(-1, -2) - np.eye(a.shape[-1])).max() for a in spaces]
    if max(gaps) > 1e-6:
        return drawn[0]
    crowd = [
        sum(math.exp(-float(np.square(np.abs(a - b)).sum(axis=(-2, -1)).mean()) / 2) for b in known) for a in spaces
    ]
    best = min(range(len(drawn)), key=crowd.__getitem__)
    known.append(spaces[best])
    return drawn[best]


def examples(symmetries: Sequence[Symmetry], symmetry: Symmetry, inputs: Any, vary: bool) -> st.SearchStrategy[Example]:
    """Elements for one of several symmetries, and variations of these inputs."""
    rows = count_rows(symmetries, inputs)
    drawn = elements(symmetry.acts, unit=unit_of(symmetry, inputs), nodes=rows if rows > 1 else None)
    samples = symmetry.sample_count(inputs)
    if samples > 1:
        several = st.tuples(drawn, drawn, st.integers(0, 2)).map(lambda t: spread(symmetry.acts, samples, *t))
    else:
        several = drawn.map(lambda g: (g,))
    rows_left = droppable(symmetries, symmetry, inputs)
    varied = variations(rows_left, can_pose(symmetries, inputs)) if vary else st.just(Variation())
    return st.tuples(several, varied).map(lambda pair: Example(*pair))


def droppable(symmetries: Sequence[Symmetry], symmetry: Symmetry, inputs: Any) -> int:
    """How many rows can be left out but one; none where each sample has its own element: their number stays."""
    sized = isinstance(symmetry.acts, Permutations) and symmetry.acts.n is not None
    if symmetry.sample_count(inputs) > 1 or sized:
        return 1
    return count_rows(symmetries, inputs)


def spread(group: Group, samples: int, g: Element, h: Element, mode: int) -> tuple[Element, ...]:
    """The elements of all samples: g for every one; g for the first alone; g and h by turns."""
    if mode == 0:
        return (g,)
    rest: Sequence[Element] = (group.identity(),) * (samples - 1)
    return (g, *rest) if mode == 1 else tuple(h if n % 2 else g for n in range(samples))


def unit_of(symmetry: Symmetry, inputs: Any) -> float:
    """The power of ten nearest to the RMS radius of the points: what counts as a unit of translation."""
    frame = symmetry.frame(inputs)
    radius = float(frame.radius.mean()) if frame is not None else 1.0
    return 10.0 ** round(math.log10(radius)) if radius > 0 and math.isfinite(radius) else 1.0
