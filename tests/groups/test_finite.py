"""Finite groups: orders, enumeration, multiplication tables, words."""

from __future__ import annotations

import numpy as np
import pytest

from equiaudit.groups import Cyclic, Dihedral, FiniteGroup, Flip, Group, Icosahedral, NotInGroupError, Octahedral, parse
from equiaudit.groups.finite import enumerate_elements

ORDERS = [
    (Cyclic(1), 1),
    (Cyclic(12), 12),
    (Dihedral(1), 2),
    (Dihedral(6), 12),
    (Octahedral(), 24),
    (Octahedral(inversion=True), 48),
    (Icosahedral(), 60),
    (Icosahedral(inversion=True), 120),
    (Flip(), 2),
    (Flip(3), 2),
    (Cyclic(3) * Dihedral(2), 12),
]


@pytest.mark.parametrize(("group", "order"), ORDERS, ids=[repr(g) for g, _ in ORDERS])
def test_orders(group: Group, order: int) -> None:
    listed = group.elements()
    assert group.order == len(listed) == order
    assert listed[0].is_identity()
    if not isinstance(group, FiniteGroup):
        return
    found = {repr(g @ h) for g in listed for h in listed}
    assert found == {repr(g) for g in listed}  # closed, and every product has one of the listed spellings
    assert all((g @ g.inverse()).is_identity() for g in listed)
    assert len(enumerate_elements(group)) == order  # the declared tables agree with the search


@pytest.mark.parametrize("group", [Octahedral(), Octahedral(True), Dihedral(4), Cyclic(4), Flip(2, 1)], ids=repr)
def test_signed_permutations_are_exact(group: Group) -> None:
    for g in group.elements():
        assert set(np.abs(g.matrix).ravel()) <= {0.0, 1.0}


def test_icosahedral_keeps_the_icosahedron() -> None:
    phi = (1 + 5**0.5) / 2
    vertices = {tuple(np.roll((0, a, b * phi), k).round(9) + 0.0) for a in (1, -1) for b in (1, -1) for k in range(3)}
    assert len(vertices) == 12
    for g in Icosahedral(inversion=True).elements():
        assert {tuple((g.matrix @ v).round(9) + 0.0) for v in vertices} == vertices
    assert sum(np.linalg.det(g.matrix) > 0 for g in Icosahedral(True).elements()) == 60


def test_numbering() -> None:
    assert np.allclose(Cyclic(8).element_at(3).matrix[:, 0], [np.cos(2 * np.pi * 3 / 8), np.sin(2 * np.pi * 3 / 8)])
    flipped = Dihedral(4).element_at(5)
    assert flipped.component == ("turn", "flip")
    assert np.array_equal(flipped.matrix, Cyclic(4).element_at(1).matrix @ np.diag([-1, 1]))


def test_one_spelling() -> None:
    turn = Cyclic(4).generator("turn")
    assert repr(turn) == repr(parse("Cyclic(4).generator('turn')")) == "Cyclic(4).element_at(1)"
    assert repr(turn @ turn @ turn) == repr(turn.inverse()) == "Cyclic(4).element_at(3)"
    assert repr(Octahedral(inversion=True).identity()) == "Octahedral(inversion=True).element_at(0)"


def test_draws_are_uniform() -> None:
    rng = np.random.default_rng(0)
    counts = np.bincount([int(repr(Dihedral(3).sample(rng))[-2]) for _ in range(1200)], minlength=6)
    assert np.abs(counts - 200).max() < 6 * np.sqrt(200)


def test_plain_groups_are_listed_as_words() -> None:
    quaternion = Group("Q8", discrete={"i": [[1j, 0], [0, -1j]], "j": [[0, 1], [-1, 0]]})
    listed = quaternion.elements()
    assert len(listed) == 8
    assert repr(listed[0]) == "Q8.identity()"
    assert {repr(g) for g in listed[1:3]} == {"Q8.generator('i')", "Q8.generator('j')"}
    assert "Q8.generator('i', 2)" in {repr(g) for g in listed}
    assert quaternion.element(-np.eye(2)).component == ("i", "i")


REFUSALS = [
    (
        lambda: Group("shears", discrete=[[[1, 1], [0, 1]]]).elements(limit=100),
        r"shears has more than 100 elements, or infinitely many; raise the limit, or draw elements",
    ),
    (lambda: Octahedral().elements(limit=10), r"Octahedral\(\) has 24 elements, more than the limit of 10"),
    (lambda: Cyclic(4).element_at(4), r"Cyclic\(4\) has elements 0 to 3, got 4"),
    (lambda: Cyclic(4).element_at(-1), r"Cyclic\(4\) has elements 0 to 3, got -1"),
    (lambda: Flip(2, 2), r"Flip\(2, \*axes\) needs different axes from 0 to 1, got \(2,\)"),
    (lambda: Cyclic(0), r"Cyclic\(n\) needs a whole number n of at least 1, got 0"),
]


@pytest.mark.parametrize(("call", "message"), REFUSALS, ids=[m for _, m in REFUSALS])
def test_refusals_say_what_to_do(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call()


def test_refusing_a_number_is_a_refusal_of_membership() -> None:
    with pytest.raises(NotInGroupError):
        Octahedral().element_at(24)
