"""Elements: in the group, short code that evaluates, simplest first, and they climb."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import find, given, settings

from equiaudit.groups import SE, SO, SU, Cyclic, E, Element, Group, Lorentz, O, Permutations, T, parse
from equiaudit.groups.lorentz import MAX_RAPIDITY
from equiaudit.strategies import elements, parts
from equiaudit.strategies.hunting import search
from tests.groups.families import EVERY

SHEARS = Group("shears", [[[0.0, 1.0], [0.0, 0.0]]], [[[1, 0], [0, -1]]])
QUARTERS = Group("quarters", discrete=[[[0, -1], [1, 0]]])
ALL = [*EVERY, Permutations(), SHEARS, QUARTERS]


def angle(g: Element) -> float:
    """Degrees of the rotation in an element of O(3) or E(3)."""
    r = g.linear * np.sign(np.linalg.det(g.linear))
    return math.degrees(math.acos(np.clip((np.trace(r) - 1) / 2, -1, 1)))


def drawn(group: Group, count: int = 60) -> list[Element]:
    found: list[Element] = []
    search(elements(group), lambda g: found.append(g) is not None, count, 1)
    return found


@pytest.mark.parametrize("group", ALL, ids=repr)
def test_the_simplest_element_is_the_identity(group: Group) -> None:
    assert repr(search(elements(group), lambda g: True, 50, 0)) == repr(group.identity())


@pytest.mark.parametrize("group", ALL, ids=repr)
def test_elements_are_in_the_group_and_their_code_evaluates(group: Group) -> None:
    names = {group.name: group} if group.name.isidentifier() else {}
    for n, g in enumerate(drawn(group, 20)):
        again = parse(repr(g), names)
        assert again.group == group
        if isinstance(group, Permutations):
            size = group.n or 7
            assert (again.permutation(size) == g.permutation(size)).all()
            continue
        assert np.array_equal(again.matrix, g.matrix)
        if n < 3:
            assert np.abs(group.element(g.matrix).matrix - g.matrix).max() <= 1e-7 * max(1.0, np.abs(g.matrix).max())


@pytest.mark.parametrize("group", [SO(3), O(3), E(3), SO(2), SO(4), Lorentz(), SU(2), T(3), Permutations(6)], ids=repr)
def test_draws_are_many_and_not_only_named(group: Group) -> None:
    assert len({repr(g) for g in drawn(group, 300)}) > 60


@pytest.mark.parametrize(
    ("group", "fails", "simplest"),
    [
        (O(3), lambda g: np.linalg.det(g.matrix) < 0, "O(3).generator('inversion')"),
        (SO(3), lambda g: angle(g) > 10, "SO(3).turn('z', 1/4)"),
        (SO(3), lambda g: angle(g) > 91, "SO(3).turn('z', 1/2)"),
        (SO(2), lambda g: not g.is_identity(), "SO(2).turn(1/4)"),
        (E(3), lambda g: np.abs(g.translation).max() > 0.5, "E(3).translation(1.0, 0.0, 0.0)"),
        (SE(3), lambda g: np.abs(g.translation).max() > 500, "SE(3).translation(1000.0, 0.0, 0.0)"),
        (Permutations(), lambda g: g.permutation(4)[0] != 0, "Permutations().swap(0, 1)"),
        (Cyclic(4), lambda g: not g.is_identity(), "Cyclic(4).element_at(1)"),
        (Lorentz(), lambda g: g.matrix[0, 0] > 1.2, "Lorentz().exp(0.0, 0.0, 0.0, 1.0, 0.0, 0.0)"),
        (O(2) * Cyclic(3), lambda g: g.members[0].component, ".generator('reflection'), Cyclic(3).element_at(0))"),
        (SHEARS, lambda g: g.matrix[0, 1] > 0.6, "shears.exp(1.0)"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_shrinks_to_what_a_person_would_choose(group: Group, fails, simplest: str) -> None:
    for number in range(3):
        assert repr(search(elements(group), fails, 200, number)).endswith(simplest)


@pytest.mark.long
def test_a_third_turn_about_a_diagonal_has_its_name() -> None:
    def diagonal(g: Element) -> bool:
        return abs(angle(g) - 120) < 1e-6 and set(np.abs(g.matrix).round(9).ravel()) == {0.0, 1.0}

    found = find(elements(SO(3)), diagonal, settings=settings(max_examples=1000))
    assert repr(found) in {
        f"SO(3).turn({a}, {f})" for a in ((1, 1, 1), (1, 1, -1), (1, -1, 1), (-1, 1, 1)) for f in ("1/3", "2/3")
    }


@pytest.mark.long
def test_whole_degrees_climb_under_a_target() -> None:
    """A peak of one degree about an odd axis is found by climbing, and missed by draws alone."""
    from equiaudit.strategies import hunt

    peak = SO(3).turn((2, -1, 2), 53 / 360).matrix

    def closeness(g: Element) -> float:
        return float(np.trace(peak.T @ g.matrix))

    def climb(target: bool) -> bool:
        def fails(g: Element) -> bool:
            if target:
                hunt(10.0 ** closeness(g))
            return closeness(g) > 3 - 1e-3

        return any(search(elements(SO(3)), fails, 1000, seed) is not None for seed in range(8 if target else 2))

    assert climb(target=True)
    assert not climb(target=False)


def test_boosts_stay_slow_and_shifts_come_in_units() -> None:
    for g in drawn(Lorentz(), 100):
        assert g.matrix[0, 0] <= math.cosh(MAX_RAPIDITY) * (1 + 1e-9)
    found = search(elements(T(2), unit=1e-6), lambda g: g.translation[1] > 0, 100, 0)
    assert repr(found) == "T(2).translation(0.0, 1e-06)"


def test_a_broken_source_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: a turn that leaves the group, and a part that can't be left out, fail the laws above."""
    monkeypatch.setattr(parts.Source, "_pick", lambda self, level, name, grid, seed: self.named(name))
    with pytest.raises(AssertionError):
        test_the_simplest_element_is_the_identity(SO(3))
    monkeypatch.setattr(parts, "turned", lambda group, k: O(3).generator("inversion"))
    monkeypatch.setattr(parts.Source, "_pick", lambda self, level, name, grid, seed: self.built and self.built(grid))
    with pytest.raises((AssertionError, ValueError)):
        test_elements_are_in_the_group_and_their_code_evaluates(SO(3))


def test_no_group() -> None:
    with pytest.raises(TypeError, match=r"elements needs a group such as SO\(3\), got type"):
        elements(SO)  # type: ignore[arg-type]


@given(elements(SO(3)))
@settings(max_examples=20)
def test_elements_work_in_a_test_of_the_user(g: Element) -> None:
    assert np.allclose(g.matrix @ g.matrix.T, np.eye(3), atol=1e-12)


def test_no_module_hides_a_name() -> None:
    """A module of the package named like a function would replace it once it is imported."""
    import pkgutil

    import equiaudit.strategies as package

    assert not {module.name for module in pkgutil.iter_modules(package.__path__)} & set(package.__all__)
    assert all(callable(getattr(package, name)) for name in package.__all__)
