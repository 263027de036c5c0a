"""escnn: field types on images and fibers, geometric tensors as containers, the group of a gspace."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

pytest.importorskip("escnn")
from escnn import group, gspaces, nn

from equiaudit import Symmetry
from equiaudit.declared import random_inputs
from equiaudit.groups import SO, Cyclic, Dihedral, E, FiniteGroup, Flip, O, T
from equiaudit.interop.escnn import Fiber, as_representation, group_of
from equiaudit.representations import RepresentationError
from equiaudit.representations.laws import check_representation

GSPACES = [
    (gspaces.rot2dOnR2(4), Cyclic(4)),
    (gspaces.rot2dOnR2(8), Cyclic(8)),
    (gspaces.rot2dOnR2(2), Cyclic(2)),
    (gspaces.flipRot2dOnR2(4), Dihedral(4)),
    (gspaces.flipRot2dOnR2(3), Dihedral(3)),
    (gspaces.flipRot2dOnR2(4, axis=math.pi / 4), Dihedral(4)),
    (gspaces.flip2dOnR2(), Flip(2, 0)),
    (gspaces.trivialOnR2(), Cyclic(1)),
    (gspaces.rot2dOnR2(-1, maximum_frequency=3), SO(2)),
    (gspaces.flipRot2dOnR2(-1, maximum_frequency=3), O(2)),
    (gspaces.no_base_space(group.cyclic_group(6)), Cyclic(6)),
    (gspaces.no_base_space(group.dihedral_group(5)), Dihedral(5)),
    (gspaces.no_base_space(group.so2_group(3)), SO(2)),
    (gspaces.no_base_space(group.o2_group(3)), O(2)),
    (gspaces.no_base_space(group.so3_group(2)), SO(3)),
    (gspaces.no_base_space(group.o3_group(2)), O(3)),
]
NAMES = [f"{gspace.name}" for gspace, _ in GSPACES]


@pytest.mark.parametrize(("gspace", "ours"), GSPACES, ids=NAMES)
def test_the_group_of_a_gspace(gspace, ours):
    assert group_of(gspace) == ours


@pytest.mark.parametrize(
    ("gspace", "ours"),
    [
        pytest.param(*g, id=name, marks=[pytest.mark.long] * (n > 1))
        for n, (g, name) in enumerate(zip(GSPACES, NAMES, strict=True))
    ],
)
def test_every_irrep_and_the_regular_representation_keep_the_laws(gspace, ours):
    theirs = gspace.fibergroup
    reps = list(theirs.irreps())[:5] + ([theirs.regular_representation] if theirs.order() > 0 else [])
    for rep in reps:
        check_representation(ours, Fiber(rep, gspace))


def test_a_flip_about_another_axis_gets_a_group_of_its_own():
    gspace = gspaces.flip2dOnR2(axis=0.3)
    ours = group_of(gspace)
    assert isinstance(ours, FiniteGroup)
    assert ours.order == 2
    check_representation(ours, Fiber(gspace.regular_repr, gspace))


@pytest.mark.parametrize("gspace", [gspaces.rot2dOnR2(4), gspaces.flipRot2dOnR2(4), gspaces.flip2dOnR2()], ids=str)
@pytest.mark.parametrize("size", [6, 7])
def test_fields_move_as_escnn_moves_them(gspace, size):
    field_type = nn.FieldType(
        gspace, [gspace.trivial_repr, *[gspace.regular_repr] * 2, gspace.irrep(*gspace.irreps[-1].id)]
    )
    x = field_type(torch.randn(2, field_type.size, size, size))
    ours = group_of(gspace)
    symmetry = Symmetry(ours, field_type, field_type)
    for g in ours.elements():
        partner = next(e for e in gspace.testing_elements if np.allclose(gspace.basespace_action(e), g.matrix))
        theirs = x.transform(partner)
        moved = symmetry.act_on_inputs(g, x)
        assert isinstance(moved, nn.GeometricTensor)
        assert moved.type == field_type
        torch.testing.assert_close(moved.tensor, theirs.tensor, atol=1e-5, rtol=0)


@pytest.mark.parametrize("frequency", [1, 2, 3])
def test_vector_fields_of_so2_turn_by_their_frequency(frequency):
    gspace = gspaces.rot2dOnR2(-1, maximum_frequency=3)
    rep = as_representation(nn.FieldType(gspace, [gspace.irrep(frequency)]))
    x = torch.randn(1, 2, 5, 5, dtype=torch.float64)
    g = SO(2).exp(math.pi / 2)
    c, s = math.cos(frequency * math.pi / 2), math.sin(frequency * math.pi / 2)
    turned = torch.rot90(x, 1, (-2, -1))
    wanted = torch.stack([c * turned[:, 0] - s * turned[:, 1], s * turned[:, 0] + c * turned[:, 1]], 1)
    torch.testing.assert_close(rep.act(g, x), wanted, atol=1e-12, rtol=0)
    generator = Fiber(gspace.irrep(frequency), gspace).algebra_matrices(SO(2))[0]
    np.testing.assert_allclose(generator, [[0, -frequency], [frequency, 0]], atol=1e-12)


@pytest.mark.parametrize("gspace", [gspaces.rot2dOnR2(4), gspaces.flipRot2dOnR2(4)], ids=str)
def test_a_network_has_the_symmetry_that_it_declares(gspace):
    into, hidden = nn.FieldType(gspace, [gspace.trivial_repr] * 2), nn.FieldType(gspace, [gspace.regular_repr] * 2)
    model = nn.SequentialModule(
        nn.R2Conv(into, hidden, 3, padding=1), nn.ReLU(hidden), nn.R2Conv(hidden, hidden, 3)
    ).eval()
    symmetry = Symmetry.of(model)
    x = random_inputs(symmetry, model)
    assert isinstance(x, nn.GeometricTensor)
    out = model(x).tensor
    for g in symmetry.group.elements()[1:]:
        moved = model(symmetry.act_on_inputs(g, x)).tensor
        wanted = symmetry.act_on_outputs(g, model(x), x).tensor
        assert (moved - wanted).norm() / out.norm() < 5e-6
        assert (moved - out).norm() / out.norm() > 0.1  # the check can fail: another element is another tensor


def test_a_field_type_acts_on_plain_tensors_and_under_translations():
    gspace = gspaces.rot2dOnR2(4)
    field_type = nn.FieldType(gspace, [gspace.regular_repr])
    x = torch.randn(1, 4, 6, 6)
    moved = Symmetry(Cyclic(4), field_type).act_on_inputs(Cyclic(4).element_at(1), x)
    assert torch.equal(moved, torch.rot90(x, 1, (-2, -1)).roll(1, 1))
    shifted = Symmetry(T(2), field_type).act_on_inputs(T(2).translation(1.0, 0.0), x)
    assert torch.equal(shifted, x.roll(1, -1))


def test_a_group_that_the_field_type_does_not_have_is_refused():
    gspace = gspaces.rot2dOnR2(4)
    field_type = nn.FieldType(gspace, [gspace.regular_repr])
    with pytest.raises(RepresentationError, match=r"'turn' of Cyclic\(8\) is not in C4 of Fiber\('regular' of C4\)"):
        Symmetry(Cyclic(8), field_type)
    with pytest.raises(RepresentationError, match=r"belongs to the finite group C4, and E\(2\) is continuous"):
        Symmetry(E(2), field_type)
    with pytest.raises(RepresentationError, match=r"acts on 3-D space"):
        Symmetry(SO(3), field_type)
    with pytest.raises(RepresentationError, match=r"ReLU of escnn is no representation; give a FieldType"):
        Symmetry(Cyclic(4), nn.ReLU(field_type))


def test_random_images_of_a_continuous_group_can_be_turned():
    gspace = gspaces.rot2dOnR2(-1, maximum_frequency=2)
    field_type = nn.FieldType(gspace, [gspace.trivial_repr] * 2)
    symmetry = Symmetry(SO(2), field_type, field_type)
    x = random_inputs(symmetry).tensor
    assert x.shape == (4, 2, 33, 33)
    assert as_representation(field_type).action_error(SO(2).exp(0.4), x) < 1e-3
