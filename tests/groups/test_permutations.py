"""Permutations by rule keep the group law at every size, and so do the edge lists that follow."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from equiaudit.groups import SO, Element, Permutations, parse
from equiaudit.groups.permutations import PermutationElement

P = Permutations()
FROZEN = [3, 2, 1, 6, 0, 7, 4, 5]
RULES: list[Element] = [
    P.roll(1),
    P.roll(-3),
    P.reverse(),
    P.shuffle(0),
    P.shuffle(7).inverse(),
    P.swap(0, 1),
    P.swap(2, 40),
    P.of((2, 0, 1)),
]


def perm(g: Element, size: int) -> np.ndarray:
    assert isinstance(g, PermutationElement)
    return g.permutation(size)


def edges(g: Element, size: int) -> np.ndarray:
    assert isinstance(g, PermutationElement)
    return g.edge_permutation(size)


def test_node_i_becomes_node_p_i() -> None:
    assert perm(P.roll(1), 4).tolist() == [1, 2, 3, 0]
    assert perm(P.of((2, 0, 1)), 3).tolist() == [2, 0, 1]
    assert perm(P.reverse(), 3).tolist() == [2, 1, 0]
    x = np.array([10, 20, 30])
    p = perm(P.of((2, 0, 1)), 3)
    assert x[np.argsort(p)].tolist() == [20, 30, 10]  # old node 0 sits at place 2
    assert (Permutations(3).of((2, 0, 1)).matrix @ x).tolist() == [20, 30, 10]


@pytest.mark.parametrize("size", [3, 4, 7, 50])
@pytest.mark.parametrize(("g", "h"), list(itertools.product(RULES, RULES)), ids=repr)
def test_group_law_at_every_size(g: Element, h: Element, size: int) -> None:
    for of in (perm, edges):
        assert sorted(of(g, size)) == list(range(size))
        assert np.array_equal(of(g @ h, size), of(g, size)[of(h, size)])
        assert np.array_equal(of((g @ h).inverse(), size), np.argsort(of(g @ h, size)))
    assert (g @ h @ (g @ h).inverse()).is_identity()


@pytest.mark.parametrize("g", [g for g in RULES if "of" not in repr(g)], ids=repr)
def test_tiny_sizes(g: Element) -> None:
    for size in (0, 1, 2):
        assert sorted(perm(g, size)) == sorted(edges(g, size)) == list(range(size))


def test_edges_follow_rolls_reversals_and_shuffles_alone() -> None:
    moved = {repr(g): not np.array_equal(edges(g, 9), np.arange(9)) for g in RULES}
    assert [code for code, moves in moved.items() if not moves] == [repr(g) for g in RULES[-3:]]
    assert not np.array_equal(edges(P.shuffle(0), 9), perm(P.shuffle(0), 9))


def test_shuffles_are_the_same_everywhere() -> None:
    # Frozen numbers: a counterexample in a report must mean the same permutation on another machine.
    assert perm(P.shuffle(0), 8).tolist() == FROZEN
    assert perm(parse("Permutations().shuffle(0)"), 8).tolist() == FROZEN


def test_shuffles_are_uniform() -> None:
    seen = Counter(tuple(perm(P.sample(seed), 3)) for seed in range(1200))
    assert len(seen) == 6
    assert max(abs(count - 200) for count in seen.values()) < 6 * np.sqrt(200)


def test_draws_are_shuffles_with_a_seed() -> None:
    g = P.sample(3)
    assert repr(g).startswith("Permutations().shuffle(")
    assert np.array_equal(perm(parse(repr(g)), 20), perm(g, 20))


def test_codes_of_products_and_inverses() -> None:
    g = P.roll(2) @ P.shuffle(5) @ P.of((1, 2, 0))
    assert (
        repr(g.inverse())
        == "Permutations().of((2, 0, 1)) @ Permutations().shuffle(5).inverse() @ Permutations().roll(-2)"
    )
    assert np.array_equal(perm(parse(repr(g.inverse())), 6), perm(g.inverse(), 6))


def test_identity_is_told_from_what_moves() -> None:
    assert P.roll(0).is_identity()
    assert P.of((0, 1, 2)).is_identity()
    assert not P.swap(60, 200).is_identity()
    assert not P.roll(30).is_identity()
    assert Permutations(4).roll(4).is_identity()
    assert not P.roll(4).is_identity()


def test_sized_groups() -> None:
    group = Permutations(4)
    assert group.order == len(group.elements()) == len({tuple(perm(g, 4)) for g in group.elements()}) == 24
    assert group.elements()[0].is_identity()
    assert Permutations().order is None
    assert Permutations(30).order == 265252859812191058636308480000000
    assert np.array_equal(group.generator("roll", -1).matrix, np.linalg.inv(group.discrete["roll"]))


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_every_rule_is_a_word_in_the_generators(n: int) -> None:
    group = Permutations(n)
    for g in (group.roll(2), group.reverse(), group.shuffle(3), group.shuffle(3).inverse(), group.swap(0, n - 1)):
        product = np.eye(n)
        for step in group.steps(g.factors[0]):
            product = product @ np.linalg.matrix_power(group.discrete[step.name], step.power)
        assert np.array_equal(product, g.matrix)


REFUSALS = [
    (lambda: perm(P.of((1, 0, 2)), 2), r"of\(\(1, 0, 2\)\) permutes 3 nodes and can't act on 2"),
    (
        lambda: perm(Permutations(3).roll(1), 4),
        r"Permutations\(3\) permutes 3 nodes, got 4; Permutations\(\) acts on any number",
    ),
    (lambda: P.of((0, 0, 1)), r"needs each of 0 to 2 once, got \(0, 0, 1\)"),
    (lambda: Permutations(3).of((1, 0)), r"Permutations\(3\)\.of needs 3 numbers, got 2"),
    (lambda: Permutations(3).swap(0, 3), r"needs node numbers from 0 on, got 0 and 3"),
    (lambda: P.shuffle(-1), r"needs a seed of at least 0, got -1"),
    (lambda: P.elements(), r"has no size, so its elements can't be listed; use Permutations\(n\)"),
    (lambda: Permutations(9).elements(), r"Permutations\(9\) has 362880 elements, more than the limit of 4096"),
    (lambda: P.roll(1).matrix, r"has no matrix; ask for permutation\(size\)"),
    (lambda: Permutations(0), r"needs a whole number n of at least 1, got 0"),
    (lambda: P.roll(1) @ SO(3).identity(), r"are in different groups"),
]


@pytest.mark.parametrize(("call", "message"), REFUSALS, ids=[m for _, m in REFUSALS])
def test_refusals_say_what_to_do(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call()
