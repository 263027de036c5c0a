"""Which elements to localise with: the worst one of the audit, taken apart into a turn, a shift or a relabelling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from equiaudit.groups.base import Element, Group
from equiaudit.groups.laws import is_compact
from equiaudit.groups.permutations import Permutations
from equiaudit.measure.bench import Bench
from equiaudit.measure.examine import Finding
from equiaudit.measure.plan import in_component
from equiaudit.representations.base import Representation
from equiaudit.representations.image import Image


@dataclass(frozen=True)
class Move:
    """Elements to act with (one, or one per sample), and how the activations are compared.

    ``kind``: "turn" (inner products between rows must stay), "linear" (any linear T_g, for groups that are not
    compact), "shift" (unchanged, or linear in the shift), "relabel" (rows in another order), "image" (pixels in another
    place, then like a turn), "whole" (different elements for different samples: rows of one sample against each other),
    "motion" (turned and shifted at once: inner products, or distances, between rows must stay).
    """

    kind: str
    elements: tuple[Element, ...]
    image: Image | None = None

    @property
    def element(self) -> Element:
        """The element of the first sample."""
        return self.elements[0]


def choose_moves(bench: Bench, found: Finding, seed: int) -> tuple[list[Move], str]:
    """The moves to try, and the name of the input to try them on."""
    rng = np.random.default_rng(seed)
    group, symmetry = bench.symmetry.acts, bench.symmetry
    count = symmetry.sample_count(bench.inputs["x0"])
    worst, base = _worst(bench, found)
    if isinstance(group, Permutations):
        elements = worst or tuple(group.sample(rng) for _ in range(count))
        return [Move("relabel", elements)], base
    image = next((rep for _, _, rep in symmetry.input_leaves(bench.inputs[base]) if isinstance(rep, Image)), None)
    g = worst[0] if worst else _any(group, rng)
    if image is not None:
        exact = [g] if image.is_exact(g) else []
        exact += image.exact_elements(group) if not group.is_finite or not exact else []
        return [Move("image", (h,) * count, image) for h in exact[:3]], base
    moves = []
    for kind, part in _parts(group, g):
        moves.append(Move(kind, (part,) * count))
    if worst and len(set(map(repr, worst))) > 1 and moves and moves[0].kind == "turn":
        moves.append(Move("whole", worst))
    return moves, base


def whole_motion(bench: Bench, found: Finding) -> Move | None:
    """The worst element as it is, for a group with turns and shifts; None where ``choose_moves`` has it already."""
    worst, _ = _worst(bench, found)
    return Move("motion", worst) if worst and bench.symmetry.acts.affine and len(set(map(repr, worst))) == 1 else None


def _worst(bench: Bench, found: Finding) -> tuple[tuple[Element, ...], str]:
    outcome = found.worst_trial
    if outcome is None or outcome.element.group != bench.symmetry.acts or outcome.trial.base not in bench.inputs:
        return (), "x1" if "x1" in bench.inputs else "x0"
    return outcome.elements, outcome.trial.base


def _any(group: Group, rng: np.random.Generator) -> Element:
    if group.is_finite:
        return next((g for g in (group.sample(rng) for _ in range(20)) if not g.is_identity()), group.identity())
    return in_component(group, group.sample(rng), group.components()[-1])


def _parts(group: Group, g: Element) -> list[tuple[str, Element]]:
    """A turn about the origin and a shift, where the group has both; the element itself elsewhere."""
    # A rotation in the Lorentz group is an orthogonal matrix, yet features of that group need not turn by one.
    kind = "turn" if is_compact(group) and is_orthogonal(g.linear) else "linear"
    if not group.affine:
        return [] if g.is_identity() else [(kind, g)]
    found = []
    shift = group.translation(*g.translation)
    linear = shift.inverse() @ g
    if np.abs(linear.linear - np.eye(len(linear.linear))).max() > 1e-9:
        found.append((kind, linear))
    if np.abs(g.translation).max() > 0:
        found.append(("shift", shift))
    return found


def is_orthogonal(matrix: np.ndarray) -> bool:
    """Whether a matrix is orthogonal or unitary."""
    return bool(np.abs(matrix @ matrix.conj().T - np.eye(len(matrix))).max() < 1e-9)


def declared_output(symmetry_hidden: dict[str, tuple[Representation, Representation]], name: str) -> object | None:
    """The representation that ``hidden=`` declares for what the module called ``name`` returns."""
    from fnmatch import fnmatchcase

    for pattern, pair in symmetry_hidden.items():
        if fnmatchcase(name, pattern):
            return pair[1] if isinstance(pair, Sequence) and not isinstance(pair, str) and len(pair) == 2 else pair
    return None
