"""After hypothesis has shrunk: rows left out one by one, and named candidates in order, until nothing is simpler."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from equiaudit.groups import Element
from equiaudit.groups.permutations import PermutationElement
from equiaudit.groups.products import DirectProduct, ProductElement
from equiaudit.strategies.poses import SPECIAL
from equiaudit.strategies.structure import named_elements, simpler_permutations
from equiaudit.strategies.trying import Example, Seen, Trier
from equiaudit.strategies.variation import AS_GIVEN, Variation

ROUNDS = 6


def tidied(example: Example, trier: Trier, kind: str, rows: int = 1, poses: bool = True, nodes: int = 1) -> Seen:
    """The simplest example of the same kind that was found, starting from what hypothesis shrank to.

    ``rows`` can be left out, 1 for none; ``poses`` says whether named poses mean anything; ``nodes`` are relabelled.
    """

    def fails(candidate: Example) -> bool:
        return trier.judge(candidate).kind == kind

    best = example
    for _ in range(ROUNDS):
        before = best.key
        for variation in simpler_variations(best.variation, poses):
            if fails(candidate := replace(best, variation=variation)):
                best = candidate
                break
        for node in range(rows - 1, -1, -1):
            keep = best.variation.keep or tuple(range(rows))
            if node in keep and len(keep) > 1:
                fewer = replace(best.variation, keep=tuple(k for k in keep if k != node))
                best = candidate if fails(candidate := replace(best, variation=fewer)) else best
        for elements in simpler_elements(best.elements, len(best.variation.keep or range(max(rows, nodes)))):
            if fails(candidate := replace(best, elements=elements)):
                best = candidate
                break
        if best.key == before:
            break
    return trier.judge(best)


def simpler_variations(variation: Variation, poses: bool) -> Iterator[Variation]:
    """The same rows in simpler poses, without scale and jitter."""
    plain = replace(variation, scale=1.0, jitter=0.0, seed=0)
    for pose in (*SPECIAL[:1], AS_GIVEN) if poses else ():
        if pose == variation.pose:
            break
        yield replace(plain, pose=pose)
    if plain != variation:
        yield plain


def simpler_elements(elements: tuple[Element, ...], rows: int = 1) -> Iterator[tuple[Element, ...]]:
    """One element for all samples; named elements before this one in their order; permutations of fewer of the rows."""
    if len(elements) > 1:
        identity = elements[0].group.identity()
        for g in elements:
            yield (g,)
            yield (g, *(identity,) * (len(elements) - 1))
        return
    (g,) = elements
    if isinstance(g, ProductElement) and isinstance(g.group, DirectProduct):
        for n, member in enumerate(g.members):
            for (simpler,) in simpler_elements((member,), rows):
                yield (g.group.pair(*(simpler if k == n else m for k, m in enumerate(g.members))),)
        return
    if isinstance(g, PermutationElement):
        size = g.group.n or rows
        yield from ((simpler,) for simpler in simpler_permutations(g, size) if size > 1)
        return
    for named in named_elements(g.group):
        if repr(named) == repr(g):
            return
        yield (named,)
