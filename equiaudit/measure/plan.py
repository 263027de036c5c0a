"""Which group elements an audit tries, and what each of them covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from equiaudit.groups.base import Element, Exp, Group, Step

LIMITS = {"quick": 8, "default": 24, "thorough": 4096}
"""Orders up to which a finite group is tried exhaustively."""
LARGE = {"quick": 1e3, "default": 1e3, "thorough": 1e5}
"""Sizes of the large translation, in units of the input's RMS radius."""
WHOLE, BETWEEN = "whole pixels", "between pixels"


@dataclass(frozen=True)
class Trial:
    """One forward to come: elements (one, or one per sample), the input that they act on, and the parts that they test."""

    name: str
    elements: tuple[Element, ...]
    base: str
    covers: tuple[str, ...]
    probe: bool = False
    between: bool = False
    as_given: bool = False


@dataclass(frozen=True)
class Plan:
    """The trials of an audit, and what to say about them."""

    trials: tuple[Trial, ...]
    extent: str
    untested: tuple[str, ...] = ()


def plan_trials(
    group: Group,
    effort: str,
    rng: np.random.Generator,
    count: int,
    exact: Sequence[Element] | None = None,
    roundoff: float = 2.0**-53,
) -> Plan:
    """The trials for a group: few composed elements that together cover every part and component.

    ``count`` elements are drawn for each trial (one per sample). "x0" is the caller's input, "x1" its twin. ``exact`` are the
    elements that only permute pixels, where a continuous group acts on images: they decide, and one element between
    pixels is tried besides. ``roundoff`` bounds how large a shift can be tried in that precision.
    """
    if effort not in LIMITS:
        raise ValueError(f"effort must be one of {', '.join(map(repr, LIMITS))}, got {effort!r}")
    if getattr(group, "acts_on_indices", False) and group.order is None:
        return _relabellings(group, effort, rng, count)
    if group.is_finite:
        return _finite(group, effort, rng, count)
    if exact is not None:
        return _images(group, effort, rng, count, list(exact))
    large = LARGE[effort] if roundoff < 1e-12 else roundoff**-0.2
    return _continuous(group, effort, rng, count, large)


def _images(group: Group, effort: str, rng: np.random.Generator, count: int, exact: list[Element]) -> Plan:
    many = {"quick": 2, "default": 8, "thorough": len(exact)}[effort]
    chosen = exact if len(exact) <= many else [exact[int(i)] for i in rng.permutation(len(exact))[:many]]
    trials = []
    for n, g in enumerate(chosen):
        elements = tuple(chosen[(n + i) % len(chosen)] for i in range(count))
        covers = (WHOLE, *dict.fromkeys(g.component))
        trials.append(Trial(repr(g), elements, "x1" if n else "x0", covers, probe=n == 1))
    between = tuple(in_component(group, group.sample(rng), group.identity()) for _ in range(count))
    trials.append(Trial(BETWEEN, between, "x0", (BETWEEN,), between=True))
    few = f"{len(chosen)} of {len(exact)}" if len(chosen) < len(exact) else f"all {len(exact)}"
    return Plan(tuple(trials), f"{few} elements that permute pixels, and one between pixels")


def _relabellings(group: Group, effort: str, rng: np.random.Generator, count: int) -> Plan:
    def several(make) -> tuple[Element, ...]:  # type: ignore[no-untyped-def]
        return tuple(make() for _ in range(count))

    def shuffle() -> Element:
        return group.sample(rng)

    trials = [
        Trial("shuffle", several(shuffle), "x0", ("permutations",)),
        # a roll and a transposition generate every permutation
        Trial("roll", (group.roll(1),) * count, "x1", ("permutations",), probe=True),  # type: ignore[attr-defined]
        Trial("swap", (group.swap(0, 1),) * count, "x1", ("permutations",)),  # type: ignore[attr-defined]
    ]
    extra = {"quick": 0, "default": 1, "thorough": 16}[effort]
    trials += [Trial("shuffle", several(shuffle), "x1", ("permutations",)) for _ in range(extra)]
    return Plan(tuple(trials), f"a roll, a transposition and {extra + 1} random permutation{'s' if extra else ''}")


def _finite(group: Group, effort: str, rng: np.random.Generator, count: int) -> Plan:
    limit = LIMITS[effort]
    order = group.order
    if order is None or order <= limit:
        try:
            every = group.elements(limit)
            found = list(every[1:])
            extent = f"all {len(every)} elements"
        except ValueError:
            found, extent = [], ""
    else:
        found, extent = [], ""
    if not found:
        generators = [group.generator(name) for name in group.discrete]
        random = {"quick": 1, "default": 4, "thorough": 32}[effort]
        found = generators + [group.sample(rng) for _ in range(random)]
        extent = f"{len(generators)} generators and {random} random elements of {order or 'more than ' + str(limit)}"
    found = [g for g in found if not g.is_identity()]
    trials = []
    for n, g in enumerate(found):
        elements = (g,) * count if count == 1 else tuple(found[(n + i) % len(found)] for i in range(count))
        trials.append(Trial(repr(g), elements, "x1", (repr(group),), probe=n == 0))
    if found:
        trials.insert(0, Trial(repr(found[-1]), trials[-1].elements, "x0", (repr(group),)))
    return Plan(tuple(trials), extent)


def _continuous(group: Group, effort: str, rng: np.random.Generator, count: int, large: float) -> Plan:
    parts = tuple(p.name for p in group.parts)
    components = group.components()
    mirrored = components[1:] or components
    trials = []

    def composed(base: str, component: Element, probe: bool = False, far: bool = False) -> Trial:
        elements = tuple(in_component(group, group.sample(rng), component) for _ in range(count))
        if far:
            elements = tuple(shifted_far(group, g, large, rng) for g in elements)
        name = "random element, far away" if far else "random element"
        return Trial(name, elements, base, (*parts, *dict.fromkeys(component.component)), probe)

    # One composed element tests every part in one forward. On the caller's own input it shifts far: that shakes ties too.
    trials.append(composed("x0", mirrored[0], far=group.affine))
    quick = effort == "quick"
    trials.append(
        composed("x1", components[0] if quick and len(mirrored) == 1 else mirrored[1 % len(mirrored)], not quick)
    )
    trials += [composed("x1", component) for component in mirrored[2:]]  # every component at least once
    poses = group.special_elements()
    if not quick:
        trials += _poses(group, poses, effort, count, parts)
    if effort == "thorough":
        trials += [
            composed("x1" if n % 2 else "x0", components[n % len(components)], far=n % 4 == 3) for n in range(48)
        ]
    random = sum("random" in t.name for t in trials)
    extent = f"{random} random elements" + (f", {len(trials) - random} special poses" if len(trials) > random else "")
    return Plan(tuple(trials), extent)


def shifted_far(group: Group, g: Element, large: float, rng: np.random.Generator) -> Element:
    """g with its translation replaced by one of length ``large``."""
    if not group.affine:
        return g
    shift = rng.standard_normal(group.space_dim)
    shift *= large / np.linalg.norm(shift)
    return group.translation(*(shift - g.translation)) @ g


def _poses(group: Group, poses: dict[str, Element], effort: str, count: int, parts: tuple[str, ...]) -> list[Trial]:
    # large shifts are a trial of their own; the default tries one quarter turn besides what the twin's aligned nodes show
    wanted = {k: g for k, g in poses.items() if "shift" not in k or effort == "thorough"}
    if effort == "default":
        first = next((k for k in wanted if "quarter" in k or "half" in k), next(iter(wanted), None))
        wanted = {first: wanted[first]} if first is not None else {}
    trials = []
    for name, g in wanted.items():
        covers = (*_parts_of(group, g), *dict.fromkeys(g.component))
        trials.append(Trial(name, (g,) * count, "x1", covers or parts))
    return trials


def _parts_of(group: Group, g: Element) -> tuple[str, ...]:
    moved = {n for f in g.factors if isinstance(f, Exp) for n, c in enumerate(f.coordinates) if c}
    return tuple(p.name for p in group.parts if moved & set(p.indices))


def in_component(group: Group, g: Element, component: Element) -> Element:
    """g times the discrete generators that bring it into the component of ``component``."""
    for name in group.discrete:
        if (g.component.count(name) - component.component.count(name)) % 2:
            last = g.factors[-1] if g.factors else None
            undone = isinstance(last, Step) and last.name == name and last.power == 1
            g = group.make(*g.factors[:-1]) if undone else g @ group.generator(name)
    return g


def single_parts(group: Group, rng: np.random.Generator, count: int) -> list[Trial]:
    """Each part alone, to take a composed failure apart: translations first, then the rest of the algebra, then reflections."""
    if group.is_finite:
        return []
    trials = []
    for part in sorted(group.parts, key=lambda part: "translation" not in part.name):
        scale = 1.0 if group.affine and "translation" in part.name else 0.7
        elements = []
        for _ in range(count):
            coordinates = np.zeros(group.dim)
            coordinates[list(part.indices)] = scale * rng.standard_normal(len(part.indices))
            elements.append(group.exp(*coordinates))
        trials.append(Trial(part.name, tuple(elements), "x1", (part.name,)))
    for name in group.discrete:
        trials.append(Trial(name, (group.generator(name),) * count, "x1", (name,)))
    return trials
