"""Permutation actions: regular representations, quotients, and actions given by generators."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from equiaudit import Symmetry
from equiaudit.groups import SO, Cyclic, Dihedral, Icosahedral, O, Octahedral, Permutations
from equiaudit.groups.laws import LawError
from equiaudit.representations import PermutationAction, Quotient, Regular, RepresentationError
from equiaudit.representations.acting import Acting
from equiaudit.representations.laws import check_representation

FINITE = [Cyclic(1), Cyclic(4), Cyclic(6), Dihedral(3), Dihedral(4), Octahedral(), Icosahedral(), Permutations(3)]


@pytest.mark.parametrize("group", FINITE, ids=repr)
def test_regular_keeps_the_laws(group):
    assert "homomorphism" in check_representation(group, Regular())


@pytest.mark.parametrize("group", FINITE, ids=repr)
def test_the_character_of_the_regular_representation(group):
    """The trace is the order at the identity and 0 elsewhere: the definition, not the group law."""
    for g in group.elements()[:12]:
        assert np.trace(Regular().matrix(g)) == (len(group.elements()) if g.is_identity() else 0)


def test_entries_are_in_the_order_of_the_elements():
    group = Dihedral(4)
    elements = group.elements()
    for g in elements:
        for i, h in enumerate(elements):
            one = torch.zeros(8)
            one[i] = 1
            there = int(Regular().act(g, one).argmax())
            np.testing.assert_allclose(elements[there].matrix, (g @ h).matrix, atol=1e-14)


def test_a_quotient_is_the_action_on_cosets():
    group = Dihedral(4)
    stabiliser = [group.identity(), group.generator("flip")]
    corners = Quotient(stabiliser)
    assert corners.size(group) == 4
    check_representation(group, corners)
    # an induced representation: the trace counts the fixed cosets
    for g in group.elements():
        conjugates = [h.inverse() @ g @ h for h in group.elements()]
        fixed = sum(any(np.allclose(c.matrix, s.matrix) for s in stabiliser) for c in conjugates) / len(stabiliser)
        assert np.trace(corners.matrix(g)) == fixed
    assert Quotient(group.elements()).size(group) == 1


def test_an_action_by_generators():
    group = Dihedral(4)
    corners = PermutationAction({"turn": [1, 2, 3, 0], "flip": [1, 0, 3, 2]})
    check_representation(group, corners)
    broken = PermutationAction({"turn": [1, 2, 0, 3], "flip": [1, 0, 3, 2]})
    with pytest.raises(LawError):
        check_representation(group, broken)
    reflect = PermutationAction({"inversion": [1, 0]})
    assert "tangent" in check_representation(O(3), reflect)
    permuted = PermutationAction({"roll": [1, 2, 0], "swap": [1, 0, 2]})
    for g in Permutations(3).elements():
        assert permuted.order(g).tolist() == g.permutation(3).tolist()


def test_each_row_has_its_own_element_and_nothing_rounds():
    group, x = Cyclic(4), torch.randn(3, 4, 2).bfloat16()
    elements = group.elements()[1:]
    moved = Regular(dim=1).apply(Acting.of(elements), x)
    for n, g in enumerate(elements):
        assert torch.equal(moved[n], Regular(dim=0).act(g, x[n]))
    with pytest.raises(RepresentationError, match="dimension 0, which holds the rows"):
        Regular(dim=0).apply(Acting.of(elements), x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Symmetry(SO(2), Regular()), r"Regular\(\) needs a finite group with a list of elements, got SO\(2\)"),
        (
            lambda: Symmetry(Permutations(), Regular()),
            r"needs a finite group with a list of elements, got Permutations\(\)",
        ),
        (
            lambda: Symmetry(Cyclic(4), Quotient([Cyclic(4).identity(), Cyclic(4).element_at(1)])),
            r"not a subgroup of Cyclic\(4\): Cyclic\(4\)\.element_at\(1\) @ Cyclic\(4\)\.element_at\(1\)",
        ),
        (
            lambda: PermutationAction({"turn": [0, 0]}),
            r"'turn' must move each of 0 to 1 to a place of its own, got \[0, 0\]",
        ),
        (
            lambda: Symmetry(Cyclic(4), PermutationAction({"roll": [1, 0]})),
            r"Cyclic\(4\) has the discrete generators \['turn'\], orders are given for \['roll'\]",
        ),
    ],
)
def test_messages(make, message):
    with pytest.raises(RepresentationError, match=message):
        make()
