"""Direct products: pairs, their law, and representations of one member lifted to the product."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from equiaudit.groups import SO, Cyclic, DirectProduct, E, O, Permutations, Scaling, parse
from equiaudit.representations import Nodes, OnMember, Points, RepresentationError, Vector, check_representation


def test_pairs_multiply_side_by_side() -> None:
    group = SO(3) * Cyclic(4)
    g, h = group.sample(0), group.sample(1)
    assert (g @ h).members[0].matrix == pytest.approx(g.members[0].matrix @ h.members[0].matrix)
    assert repr((g @ h).members[1]) == repr(g.members[1] @ h.members[1])
    assert np.array_equal(g.matrix[:3, :3], g.members[0].matrix)
    assert np.array_equal(g.matrix[3:, 3:], g.members[1].matrix)
    assert not g.matrix[:3, 3:].any()


def test_products_flatten_and_name_parts_apart() -> None:
    group = SO(2) * SO(3) * Scaling(2)
    assert repr(group) == "DirectProduct(SO(2), SO(3), Scaling(2))"
    assert [part.name for part in group.parts] == ["rotations of 0: SO(2)", "rotations of 1: SO(3)", "scaling"]
    assert group == DirectProduct(SO(2), SO(3), Scaling(2))
    assert list((O(3) * Cyclic(2)).discrete) == ["0.inversion", "1.turn"]


def test_exponentials_split() -> None:
    g = (SO(2) * SO(3)).exp(0.1, 0.0, 0.2, 0.3)
    assert [m.coordinates for m in g.members] == [(0.1,), (0.0, 0.2, 0.3)]
    assert g.coordinates == pytest.approx((0.1, 0.0, 0.2, 0.3))


def test_permutations_without_a_size_can_be_members() -> None:
    group = E(3) * Permutations()
    g = group.sample(0)
    again = parse(repr(g))
    assert repr(again) == repr(g)
    assert (g @ g.inverse()).is_identity()
    assert group.order is None
    assert not group.acts_on_indices


def test_recentring_reaches_the_rigid_member() -> None:
    group = Scaling(3) * E(3)
    origin = np.array([1.0, 2.0, 3.0])
    g = group.recentre(group.pair(Scaling(3).by(2.0), E(3).turn("z", 1 / 4)), origin)
    turned = g.members[1]
    assert np.allclose(turned.linear @ origin + turned.translation, origin)
    moved = group.recentre_direction(np.array([1.0, 0, 0, 1, 0, 0, 0]), origin)
    assert np.allclose(moved, [1.0, *E(3).recentre_direction(np.array([0, 0, 1.0, 0, 0, 0]), origin)])


LIFTED = [
    (O(3) * Permutations(4), OnMember(0, Vector()), None),
    (O(3) * Permutations(4), OnMember(1, Nodes()), None),
    (E(3) * Permutations(), OnMember(0, Points()), None),
    (E(3) * Permutations(), OnMember(1, Nodes()), torch.randn(5, 2, dtype=torch.float64)),
    (O(2) * SO(3), OnMember(0, Vector(dim=-2)) * OnMember(1, Vector()), torch.randn(6, 2, 3, dtype=torch.float64)),
    (SO(3) * Cyclic(3), Vector(), None),
]


@pytest.mark.parametrize(("group", "rep", "x"), LIFTED, ids=[repr(r) for _, r, _ in LIFTED])
def test_lifted_representations_keep_the_laws(group, rep, x) -> None:  # type: ignore[no-untyped-def]
    checked = check_representation(group, rep, x)
    assert {"homomorphism", "inverse", "tangent"} <= set(checked)


def test_lifting_acts_with_the_member() -> None:
    group = SO(3) * Permutations()
    g = group.pair(SO(3).turn("z", 1 / 4), Permutations().roll(1))
    x = torch.arange(6.0).reshape(2, 3)
    assert OnMember(0, Vector()).act(g, x).tolist() == Vector().act(g.members[0], x).tolist()
    assert OnMember(1, Nodes()).act(g, x).tolist() == [[3, 4, 5], [0, 1, 2]]


def test_refusals_say_what_to_do() -> None:
    with pytest.raises(ValueError, match="DirectProduct takes at least two groups, got 1"):
        DirectProduct(SO(3))
    with pytest.raises(ValueError, match=r"pair takes elements of \[SO\(2\), SO\(3\)\], got \[SO\(2\)\.exp\(0\.5\)\]"):
        (SO(2) * SO(3)).pair(SO(2).exp(0.5))
    with pytest.raises(ValueError, match=r"no discrete generator 'inversion'; it has \['0\.inversion'\]"):
        (O(3) * SO(2)).generator("inversion")
    with pytest.raises(RepresentationError, match=r"needs a direct product with a member 2, got DirectProduct"):
        OnMember(2, Vector()).check(SO(2) * SO(3))
    with pytest.raises(RepresentationError, match=r"needs a direct product with a member 0, got SO\(3\)"):
        OnMember(0, Vector()).act(SO(3).sample(0), torch.zeros(3))
