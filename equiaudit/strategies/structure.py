"""``elements``: group elements as exact structure, which shrink to what a person would choose and climb under a target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import reduce
from itertools import product

from hypothesis import strategies as st

from equiaudit.groups import DirectProduct, Element, Group, Permutations, Scaling
from equiaudit.groups.lorentz import PseudoOrthogonal
from equiaudit.groups.orthogonal import Turning
from equiaudit.groups.permutations import PermutationElement
from equiaudit.strategies.parts import Source, algebra, boosts, flips, scalings, shifts, turns

LISTED = 4096
"""The order up to which a finite group is drawn from the list of its elements."""
SMALL = 10
"""Up to so many nodes a permutation is drawn as a list, beyond as a shuffle."""


def elements(group: Group, *, unit: float = 1.0, nodes: int | None = None) -> st.SearchStrategy[Element]:
    """Elements of any group, drawn as exact structure: each prints as short code that ``groups.parse`` reads.

    They shrink to the identity, then to quarter, half and third turns about named axes, single flips, translations by one
    unit, swaps of neighbours. On the way there are turns by whole degrees about axes of whole numbers, along which
    ``hypothesis.target`` climbs, and Haar draws; translations from 10⁻³ to 10³ units, boosts of rapidity at most 2.

    Args:
        group: a group of ``equiaudit.groups``, or your own.
        unit: the length of the translation that counts as one.
        nodes: how many nodes a size-free relabelling is for.

    Returns:
        A hypothesis strategy; its simplest example is the identity.

    >>> from hypothesis import find
    >>> from equiaudit.groups import O
    >>> find(elements(O(3)), lambda g: g.component != ())
    O(3).generator('inversion')
    """
    if not isinstance(group, Group):
        raise TypeError(f"elements needs a group such as SO(3), got {type(group).__name__}: {group!r}")
    if isinstance(group, DirectProduct):
        members = [elements(g, unit=unit, nodes=nodes) for g in group.groups]
        return st.tuples(*members).map(lambda found: group.pair(*found))
    if isinstance(group, Permutations):
        return _composed(group, [_relabelling(group, nodes)])
    if group.is_finite:
        return _listed(group)
    return _composed(group, sources(group, unit))


def sources(group: Group, unit: float) -> list[Source]:
    """The parts of a continuous group, in the order of their product."""
    if isinstance(group, Scaling):
        return scalings(group)
    if isinstance(group, PseudoOrthogonal):
        return boosts(group) + (turns(group) if group.q in (2, 3) else []) + flips(group)
    if isinstance(group, Turning):
        return (shifts(group, unit) if group.affine else []) + turns(group) + flips(group)
    if type(group).__name__ == "T" and group.affine:
        return shifts(group, unit)
    found = [algebra(group, part.indices, sample=n == 0) for n, part in enumerate(group.parts)]
    return found + flips(group)


def _composed(group: Group, parts: Sequence[Source]) -> st.SearchStrategy[Element]:
    def joined(found: tuple[Element | None, ...]) -> Element:
        return reduce(lambda g, h: g @ h, [g for g in found if g is not None] or [group.identity()])

    return st.tuples(*(part.strategy() for part in parts)).map(joined)


def _listed(group: Group) -> st.SearchStrategy[Element]:
    try:
        every = group.elements(LISTED)
    except ValueError:  # too many to list: words in the generators
        steps = st.lists(st.sampled_from([group.generator(name) for name in group.discrete]), max_size=16)
        return steps.map(lambda found: reduce(lambda g, h: g @ h, found, group.identity()))
    return st.integers(0, len(every) - 1).map(lambda k: every[k])


def _relabelling(group: Permutations, nodes: int | None) -> Source:
    n = group.n or nodes
    if n == 1:
        return Source((), lambda _: None)
    count = min((n or 4) - 1, 32)
    rules = (lambda: group.roll(1), group.reverse, lambda: group.roll(-1))

    def named(k: Sequence[int]) -> Element:
        return group.swap(k[0], k[0] + 1) if k[0] < count else rules[k[0] - count]()

    def shuffled(seed: int, _: Sequence[int]) -> Element:
        return group.shuffle(seed)

    sizes = (count + len(rules),)
    if group.n is None:  # rules that also act where nodes are left out

        def exchanged(k: Sequence[int]) -> Element | None:
            return group.swap(min(k), max(k)) if k[0] != k[1] else None

        return Source(sizes, named, ((0, count),) * 2, exchanged, shuffled, plain_seed=True)
    if group.n > SMALL:
        return Source(sizes, named, drawn=shuffled, plain_seed=True)
    size = group.n

    def listed(code: Sequence[int]) -> Element | None:
        left, order = list(range(size)), []
        for place in code:
            order.append(left.pop(place))
        return group.of([*order, *left]) if any(code) else None

    return Source(sizes, named, tuple((0, size - 1 - i) for i in range(size - 1)), listed, shuffled, plain_seed=True)


def named_elements(group: Group, limit: int = 40) -> Iterator[Element]:
    """Elements that a person would choose, the simplest first: each part alone, by its first names."""
    if isinstance(group, (DirectProduct, Permutations)):
        return
    if group.is_finite:
        with suppress(ValueError):  # too many to list
            yield from group.elements(LISTED)[:limit]
        return
    parts = sources(group, 1.0)
    for part in sorted(parts, key=lambda p: len(p.sizes)):  # a flip has one name
        names = list(product(*(range(min(size, 4)) for size in part.sizes)))
        for name in names[: max(1, limit // len(parts))]:
            found = part.named(name)
            if found is not None:
                yield found


def simpler_permutations(g: PermutationElement, size: int) -> Iterator[Element]:
    """Explicit permutations of fewer nodes: swaps of neighbours, other swaps, cycles of three, then what is left of g.

    Last comes g itself as an explicit list. A cycle of g is left out, or shortened by one node.
    """
    group, found = g.group, tuple(int(v) for v in g.permutation(size))
    explicit = len(g.factors) == 1 and g.factors[0].spell().startswith(("swap", "of"))
    moved, seen = _moved(found), set[tuple[int, ...]]()

    def new(order: Sequence[int]) -> bool:
        key = tuple(order)
        if key in seen or not 0 < _moved(key) <= moved or (explicit and key == found):
            return False
        seen.add(key)
        return _moved(key) < moved or not explicit or _neighbours(key) > _neighbours(found)

    start = tuple(range(size))
    near = [(i, i + 1) for i in range(min(size - 1, 8))]
    pairs = [(i, j) for j in range(2, min(size, 6)) for i in range(j - 1)]
    triples = [(i, i + 1, i + 2) for i in range(min(size - 2, 4))]
    cycles = _cycles(found)
    candidates = [_cycle(start, c) for c in (*near, *pairs, *triples, *((a, c, b) for a, b, c in triples))]
    candidates += [_cycle(start, c) for c in sorted(cycles, key=len)]
    candidates += [_without(found, c) for c in cycles]
    candidates += [_fixed(found, node) for c in cycles for node in c if len(c) > 2]
    for order in (*candidates, found):
        if new(order):
            ends = [i for i, v in enumerate(order) if v != i]
            yield group.swap(*ends) if len(ends) == 2 else group.of(order)


def _moved(order: Sequence[int]) -> int:
    return sum(i != v for i, v in enumerate(order))


def _neighbours(order: Sequence[int]) -> int:
    # of two swaps the one of neighbours is simpler
    return -sum(abs(i - v) for i, v in enumerate(order))


def _cycles(order: Sequence[int]) -> list[tuple[int, ...]]:
    found, left = [], {i for i, v in enumerate(order) if v != i}
    while left:
        cycle = [min(left)]
        while order[cycle[-1]] != cycle[0]:
            cycle.append(order[cycle[-1]])
        left -= set(cycle)
        found.append(tuple(cycle))
    return found


def _cycle(order: Sequence[int], cycle: Sequence[int]) -> tuple[int, ...]:
    out = list(order)
    for a, b in zip(cycle, (*cycle[1:], cycle[0]), strict=True):
        out[a] = b
    return tuple(out)


def _without(order: Sequence[int], cycle: Sequence[int]) -> tuple[int, ...]:
    return tuple(i if i in cycle else v for i, v in enumerate(order))


def _fixed(order: Sequence[int], node: int) -> tuple[int, ...]:
    out = list(order)
    out[order.index(node)], out[node] = order[node], node
    return tuple(out)
