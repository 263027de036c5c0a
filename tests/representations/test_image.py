"""Images: exact turns, flips and shifts, spectral shifts and slopes, other angles within the error that is stated."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from equiaudit import Symmetry
from equiaudit.groups import SE, SO, Cyclic, Dihedral, E, Flip, O, Octahedral, Permutations, Scaling, T
from equiaudit.groups.laws import LawError
from equiaudit.representations import Image, Regular, RepresentationError, StructureError, Vector
from equiaudit.representations.acting import Acting
from equiaudit.representations.laws import check_representation
from equiaudit.representations.spectral import centred, shift

BUMPS = [(1.0, 0.1, 0.0), (-0.7, -0.05, 0.1), (0.5, 0.0, -0.12)]


def field(x, y, n):
    """Smooth, and zero long before the edge of the disc: weight, centre (in units of the size)."""
    return sum(w * torch.exp(-((x / n - a) ** 2 + (y / n - b) ** 2) * 98) for w, a, b in BUMPS)


def grid(n):
    c = centred(n, torch.device("cpu"))
    return c[None, :].expand(n, n), -c[:, None].expand(n, n)  # x to the right, y upwards


@pytest.mark.parametrize("n", [4, 5, 8, 9])
def test_quarter_turns_and_flips_are_index_permutations(n):
    x = torch.randn(2, 3, n, n)
    for k in range(4):
        assert torch.equal(Image().act(Cyclic(4).element_at(k), x), torch.rot90(x, k, (-2, -1)))
    flip = Dihedral(4).generator("flip")  # x -> -x
    assert torch.equal(Image().act(flip, x), x.flip(-1))
    for g in Dihedral(4).elements():
        for h in Dihedral(4).elements():
            assert torch.equal(Image().act(g @ h, x), Image().act(g, Image().act(h, x)))


@pytest.mark.parametrize("n", [6, 7])
def test_the_field_turns_as_its_points_do(n):
    """Every element of a finite group against the definition f(g⁻¹ p), sampled anew."""
    x, y = grid(n)
    for g in Dihedral(4).elements():
        back = g.inverse().matrix
        there = field(back[0, 0] * x + back[0, 1] * y, back[1, 0] * x + back[1, 1] * y, n)
        torch.testing.assert_close(Image().act(g, field(x, y, n)), there)


def test_a_corner_origin_keeps_pixel_zero():
    x = torch.randn(6, 6)
    for g in Dihedral(4).elements():
        assert Image(origin="corner").act(g, x)[0, 0] == x[0, 0]
    turned = Image(origin="corner").act(Cyclic(4).element_at(2), x)
    assert torch.equal(turned, x[[0, 5, 4, 3, 2, 1]][:, [0, 5, 4, 3, 2, 1]])
    check_representation(Dihedral(4), Image(origin="corner"), x[None, None].double())


def test_shifts_by_whole_pixels_are_rolls():
    x = torch.randn(5, 4).bfloat16()
    assert torch.equal(Image().act(T(2).translation(1.0, 2.0), x), x.roll((-2, 1), (0, 1)))  # right by 1, up by 2
    zeros = Image(boundary="zeros").act(T(2).translation(0.0, -1.0), x)
    assert torch.equal(zeros[1:], x[:-1])
    assert not zeros[0].any()


@pytest.mark.parametrize("n", [15, 16])
def test_shifts_by_parts_of_a_pixel_move_the_fourier_series(n):
    t = torch.arange(n, dtype=torch.float64) * 2 * math.pi / n

    def wave(by):
        return torch.cos(3 * (t - by)) + torch.sin(5 * (t - by))

    moved = shift(wave(0.0), 0, 0.3)
    torch.testing.assert_close(moved, wave(0.3 * 2 * math.pi / n), atol=1e-13, rtol=0)
    image = wave(0.0)[None, :] + 2 * wave(0.0)[:, None]
    there = Image().act(T(2).translation(0.3, -1.7), image)
    wanted = wave(0.3 * 2 * math.pi / n)[None, :] + 2 * wave(1.7 * 2 * math.pi / n)[:, None]
    torch.testing.assert_close(there, wanted, atol=1e-13, rtol=0)


@pytest.mark.parametrize("n", [15, 16])
def test_shifts_by_parts_of_a_pixel_can_be_undone_and_commute_with_convolutions(n):
    """On white noise too, whose highest frequency of an even size has no phase."""
    x, kernel = torch.randn(1, 1, n, n, dtype=torch.float64), torch.randn(1, 1, 3, 3, dtype=torch.float64)

    def convolve(v):
        return torch.nn.functional.conv2d(torch.nn.functional.pad(v, (1, 1, 1, 1), mode="circular"), kernel)

    for g in (T(2).translation(0.3, 1.7), T(2).translation(0.5, -2.5), T(2).translation(-7.49, 0.51)):
        moved = Image().act(g, x)
        assert not torch.allclose(moved, x, atol=0.1)
        torch.testing.assert_close(moved.norm(), x.norm())
        torch.testing.assert_close(Image().act(g.inverse(), moved), x, atol=1e-13, rtol=0)
        torch.testing.assert_close(convolve(moved), Image().act(g, convolve(x)), atol=1e-12, rtol=0)
        assert Image().action_error(g, x) < 1e-14


@pytest.mark.parametrize("n", [15, 16])
def test_the_slope_of_a_shift_sees_a_circular_convolution_as_it_is(n):
    """An exactly equivariant map: with bilinear slopes this shows 0.4 to 0.9."""
    kernel = torch.randn(1, 1, 3, 3)

    def convolve(x):
        return torch.nn.functional.conv2d(torch.nn.functional.pad(x, (1, 1, 1, 1), mode="circular"), kernel)

    x, direction = torch.randn(1, 1, n, n), np.array([0.7, -0.4])
    out, pushed = torch.func.jvp(convolve, (x,), (Image().act_tangent(T(2), direction, x),))
    error = (pushed - Image().act_tangent(T(2), direction, out)).norm() / out.norm()
    assert error < 2e-6
    masked = torch.ones(n, n)
    masked[: n // 2] = 0.5  # not shift-equivariant: the check can fail
    pushed = torch.func.jvp(lambda v: masked * v, (x,), (Image().act_tangent(T(2), direction, x),))[1]
    assert (pushed - Image().act_tangent(T(2), direction, masked * x)).norm() / x.norm() > 0.1


@pytest.mark.parametrize("n", [32, 33])
@pytest.mark.parametrize("angle", [0.1, -0.7, math.pi / 4, 1.2, 3.0])
def test_other_angles_are_as_good_as_they_say(n, angle):
    x, y = grid(n)
    g, image = O(2).exp(angle) @ O(2).generator("reflection"), field(x, y, n)
    back = g.inverse().matrix
    truth = field(back[0, 0] * x + back[0, 1] * y, back[1, 0] * x + back[1, 1] * y, n)
    error = float((Image().act(g, image) - truth).norm() / image.norm())
    stated = Image().action_error(g, image)
    assert 1e-7 < error < 2e-4
    assert error < 3 * stated
    wrong = field(x, y, n)  # not turned at all
    assert float((wrong - truth).norm() / image.norm()) > 0.05


def test_what_lies_outside_the_disc_is_in_the_stated_error():
    image = torch.zeros(32, 32)
    image[1, 1] = 1.0
    assert Image().action_error(SO(2).exp(0.5), image) >= 1.0
    assert Image().action_error(SO(2).exp(math.pi / 2), image) == 0.0
    assert torch.equal(Image().act(SO(2).exp(0.5), image)[:3, :3], image[:3, :3])


@pytest.mark.parametrize(
    ("group", "direction"),
    [(SO(2), [1.0]), (T(2), [0.3, -0.8]), (SE(2), [0.5, 0.3, -0.8]), (E(2), [-1.0, 0.2, 0.1])],
    ids=repr,
)
def test_the_tangent_is_the_derivative_of_the_action(group, direction):
    x, y = grid(33)
    image = torch.stack([field(x, y, 33), field(y, x, 33)])
    rep, h, c = Image(channels=Vector()), 1e-4, np.array(direction)
    slope = (rep.act(group.exp(*(h * c)), image) - rep.act(group.exp(*(-h * c)), image)) / (2 * h)
    tangent = rep.act_tangent(group, c, image)
    assert (slope - tangent).norm() / tangent.norm() < 2e-5


def test_channels_are_mixed_and_pixels_moved():
    g, x = Cyclic(4).element_at(1), torch.randn(2, 2, 4, 4, dtype=torch.float64)
    moved = Image(channels="vector").act(g, x)
    torch.testing.assert_close(moved, torch.rot90(torch.stack([-x[:, 1], x[:, 0]], 1), 1, (-2, -1)))
    check_representation(Dihedral(4), Image(channels=Vector()), x)
    check_representation(Cyclic(4), Image(channels=Regular()), torch.randn(2, 4, 5, 5, dtype=torch.float64))
    check_representation(Cyclic(4), Image(channels=2 * Regular()), torch.randn(8, 5, 5, dtype=torch.float64))


def test_complex_fields():
    x = torch.randn(8, 8, dtype=torch.complex64)
    moved = Image().act(T(2).translation(0.5, 0.0), x)
    assert moved.dtype == torch.complex64
    torch.testing.assert_close(moved.real, Image().act(T(2).translation(0.5, 0.0), x.real))


def test_volumes_and_signals():
    x = torch.randn(2, 3, 3, 3, dtype=torch.float64)
    check_representation(Octahedral(inversion=True), Image(dims=(-3, -2, -1)), x)
    check_representation(T(3), Image(dims=(-3, -2, -1)), torch.randn(2, 5, 5, 5, dtype=torch.float64))
    assert torch.equal(Image(dims=(-1,)).act(Flip(1).generator("flip"), x), x.flip(-1))


def test_each_sample_has_its_own_element():
    x, elements = torch.randn(3, 2, 4, 4), Cyclic(4).elements()[1:]
    moved = Image().apply(Acting.of(elements), x)
    assert all(torch.equal(moved[i], torch.rot90(x[i], i + 1, (-2, -1))) for i in range(3))


def test_the_law_test_sees_a_wrong_action():
    class Mirrored(Image):
        def act(self, g, x):
            return super().act(g, x.flip(-1)) if not g.is_identity() else x

    with pytest.raises(LawError):
        check_representation(Cyclic(4), Mirrored(), torch.randn(4, 4, dtype=torch.float64))


def test_which_elements_are_exact():
    image = Image()
    assert [image.is_exact(g) for g in Cyclic(8).elements()] == [True, False] * 4
    assert image.is_exact(T(2).translation(3.0, -1.0))
    assert not image.is_exact(T(2).translation(0.5, 0.0))
    assert not Image(boundary="zeros").is_exact(T(2).translation(3.0, 0.0))
    assert len(image.exact_elements(SO(2))) == 3
    assert len(image.exact_elements(O(2))) == 7
    assert len(image.exact_elements(T(2))) == 3
    assert all(image.is_exact(g) for g in image.exact_elements(E(2)))
    assert len(image.exact_elements(E(2))) == 31
    assert image.exact_elements(Cyclic(3)) == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Image(origin="middle"), "origin must be 'center' or 'corner', got 'middle'"),
        (lambda: Image(boundary="reflect"), "boundary must be 'circular' or 'zeros', got 'reflect'"),
        (lambda: Image(dims=(2, 3)), r"dims must be one to three dimensions counted from the end, got \(2, 3\)"),
        (lambda: Image(radius=2.0), "radius is a fraction of half the image"),
        (lambda: Image(channels=3), "channels must be a representation or its name, got 3"),
        (
            lambda: Symmetry(SO(3), "image"),
            r"Image\(\) can be turned, flipped and shifted in 2-D; SO\(3\) acts on 3-D space",
        ),
        (lambda: Symmetry(Scaling(2), "image"), r"Scaling\(2\) has generators that are no rotations"),
        (lambda: Symmetry(Permutations(), "image"), r"Permutations\(\) only relabels"),
        (lambda: Symmetry(SO(3), Image(dims=(-3, -2, -1))), r"volumes can't be turned by any angle: SO\(3\)"),
        (lambda: 2 * Image(), r"Image\(\) acts on dimensions \(-2, -1\); channels are given as channels="),
    ],
)
def test_messages(make, message):
    with pytest.raises(RepresentationError, match=message):
        make()


def test_an_image_that_is_turned_must_be_square():
    with pytest.raises(StructureError, match=r"an image that is turned must be square, shape \[4, 5\]"):
        Symmetry(Cyclic(4), "image").act_on_inputs(Cyclic(4).element_at(1), torch.ones(4, 5))
    flipped = Symmetry(Flip(2, 0), "image").act_on_inputs(
        Flip(2, 0).generator("flip"), torch.arange(20.0).reshape(4, 5)
    )
    assert flipped[0].tolist() == [4, 3, 2, 1, 0]
