"""Symmetry.of and random inputs, without any optional library."""

from __future__ import annotations

import pytest
import torch

from equiaudit import Symmetry
from equiaudit.declared import random_inputs
from equiaudit.groups import SE, SO, Cyclic, Dihedral, E, O, Permutations
from equiaudit.representations import Image, Regular


class Declares(torch.nn.Module):
    def __init__(self, irreps_in, irreps_out):
        super().__init__()
        self.irreps_in, self.irreps_out = irreps_in, irreps_out
        self.weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))


def test_attributes_are_read():
    symmetry = Symmetry.of(Declares("2x0e+1x1o", "1x1o"))
    assert repr(symmetry) == "Symmetry(O(3), inputs=Irreps('2x0e+1x1o'), outputs=Irreps('1x1o'))"
    assert Symmetry.of(Declares("1o", "1o"), SE(3)).group == SE(3)


def test_a_sequence_has_the_inputs_of_its_first_and_the_outputs_of_its_last_module():
    model = torch.nn.Sequential(Declares("1o", "4x0e"), torch.nn.ReLU(), torch.nn.Sequential(Declares("4x0e", "2x2e")))
    symmetry = Symmetry.of(model)
    assert (str(symmetry.inputs), str(symmetry.outputs)) == ("1x1o", "2x2e")


def test_a_model_that_declares_nothing_is_told_what_to_write():
    with pytest.raises(
        TypeError, match=r"Linear does not declare .* no irreps_in and irreps_out .* Symmetry\(E\(3\), inputs="
    ):
        Symmetry.of(torch.nn.Linear(3, 3))
    mixed = torch.nn.Sequential(Declares("1o", "1o"), torch.nn.ReLU())
    with pytest.raises(TypeError, match=r"nor do its first and last module both: \[1\] ReLU declares nothing"):
        Symmetry.of(mixed)


def test_random_inputs_follow_the_declaration_and_the_model():
    model = Declares("2x0e+1x1o", "1x1o")
    x = random_inputs(Symmetry.of(model), model, seed=1)
    assert x.shape == (4, 5)
    assert x.dtype == torch.float64
    assert torch.equal(x, random_inputs(Symmetry.of(model), model, seed=1))
    assert not torch.equal(x, random_inputs(Symmetry.of(model), model, seed=2))
    many = random_inputs(Symmetry(E(3), ("points", {"t": "tensor", "s": "invariant"})), batch=7)
    assert many[0].shape == (7, 3)
    assert many[1]["t"].shape == (7, 3, 3)
    assert many[1]["s"].shape == (7, 1)
    assert random_inputs(Symmetry(Cyclic(5), Regular())).shape == (4, 5)


def test_random_images_are_noise_where_pixels_are_permuted_and_smooth_where_they_are_turned():
    noise = random_inputs(Symmetry(Dihedral(4), "image"))
    assert noise.shape == (4, 3, 33, 33)
    assert noise[..., 0, :].std() > 0.5
    for group in (SO(2), Cyclic(8)):
        smooth = random_inputs(Symmetry(group, "image"))
        assert smooth.std() > 0.05
        assert Image().action_error(group.sample(0), smooth) < 1e-3
    assert Image().action_error(SO(2).exp(0.4), noise) > 0.1


@pytest.mark.parametrize(
    ("symmetry", "message"),
    [
        (Symmetry(Permutations(), "nodes"), r"no random input can be drawn for Nodes\(\); give inputs"),
        (Symmetry(O(3), lambda g, x: x), r"no random input can be drawn for Representation.from_function\(<lambda>\)"),
        (Symmetry(O(3)), "no random input can be drawn for None; give inputs"),
    ],
)
def test_what_can_not_be_drawn_is_said(symmetry, message):
    with pytest.raises(TypeError, match=message):
        random_inputs(symmetry)
