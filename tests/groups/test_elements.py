"""What elements carry: exact factors, code that evaluates back bit for bit, coordinates, named poses."""

from __future__ import annotations

import copy
import math
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from equiaudit.groups import SE, SL, SO, SU, E, Group, Lorentz, NotInGroupError, O, Scaling, Sp, T, U, parse

from .families import EVERY


def test_rotations_turn_x_to_y_about_z() -> None:
    quarter = math.pi / 2
    for axis, (source, target) in {"x": (1, 2), "y": (2, 0), "z": (0, 1)}.items():
        coordinates = [quarter if a == axis else 0.0 for a in "xyz"]
        assert np.allclose(SO(3).exp(*coordinates).matrix @ np.eye(3)[source], np.eye(3)[target])
        assert np.allclose(E(3).exp(*coordinates, 0, 0, 0).linear, SO(3).turn(axis, 1 / 4).matrix)


def test_other_dimensions_turn_axes_in_order() -> None:
    assert np.allclose(SO(4).exp(0, 0, math.pi / 2, 0, 0, 0).matrix @ np.eye(4)[0], np.eye(4)[3])
    assert np.allclose(SO(2).exp(0.3).matrix, [[math.cos(0.3), -math.sin(0.3)], [math.sin(0.3), math.cos(0.3)]])


def test_rigid_coordinates_are_rotations_then_translations() -> None:
    g = E(3).exp(0.0, 0.0, 0.0, 1.0, 2.0, 3.0)
    assert g.translation.tolist() == [1.0, 2.0, 3.0]
    assert np.array_equal(g.linear, np.eye(3))


EXACT: list[tuple[Any, Any]] = [
    (SO(3).turn("z", 1 / 4), [[0, -1, 0], [1, 0, 0], [0, 0, 1]]),
    (SO(3).turn("x", 1 / 2), [[1, 0, 0], [0, -1, 0], [0, 0, -1]]),
    (SO(3).turn("y", -1 / 4), [[0, 0, -1], [0, 1, 0], [1, 0, 0]]),
    (SO(3).turn((1, 1, 1), 1 / 3), [[0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    (SO(3).turn((-1, -1, -1), Fraction(2, 3)), [[0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    (SO(3).turn((1, 1, 0), 1 / 2), [[0, 1, 0], [1, 0, 0], [0, 0, -1]]),
    (SO(3).turn((0, 0, 2.5), 3 / 4), [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]),
    (SO(2).turn(1 / 4), [[0, -1], [1, 0]]),
    (O(4).turn((3, 1), 1 / 4), np.array([[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, -1, 0, 0]])),
    (E(2).turn(1 / 2), [[-1, 0, 0], [0, -1, 0], [0, 0, 1]]),
    (SE(3).turn("z", 5 / 4), [[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
    (Lorentz().turn("z", 1 / 4), [[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]),
    (Scaling(2).by(3.0), [[3, 0], [0, 3]]),
    (O(3).special_elements()["mirror y"], np.diag([1, -1, 1])),
    (O(2).special_elements()["mirror y"], np.diag([1, -1])),
]


@pytest.mark.parametrize(("g", "matrix"), EXACT, ids=[repr(g) for g, _ in EXACT])
def test_exact_matrices(g: Any, matrix: Any) -> None:
    assert np.array_equal(g.matrix, matrix)
    assert np.abs(g.group.exponential(g.coordinates) - g.group.product(list(g.factors[:1]))).max() < 1e-15


@pytest.mark.parametrize("twelfths", range(-12, 25))
def test_twelfths_have_exact_cosines(twelfths: int) -> None:
    turned = SO(2).turn(Fraction(twelfths, 12)).matrix
    angle = 2 * math.pi * twelfths / 12
    assert np.abs(turned - [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]).max() < 3e-15
    assert {abs(v) for v in turned.ravel() if abs(v) < 0.6} <= {0.0, 0.5}


@pytest.mark.parametrize("n", [2, 3, 4, 5, 7])
def test_draws_are_orthogonal_to_rounding(n: int) -> None:
    for seed in range(30):
        r = O(n).sample(seed).matrix
        assert np.abs(r @ r.T - np.eye(n)).max() < 1e-15
        assert abs(abs(np.linalg.det(r)) - 1) < 1e-14


@pytest.mark.parametrize(
    ("group", "form"),
    [
        (Lorentz(), lambda m: m.T @ Lorentz().metric @ m - Lorentz().metric),
        (Sp(2), lambda m: m.T @ Sp(2).form @ m - Sp(2).form),
    ],
    ids=["Lorentz", "Sp"],
)
def test_draws_keep_the_form(group: Group, form: Any) -> None:
    for seed in range(30):
        m = group.sample(seed).matrix
        assert np.abs(form(m)).max() < 1e-14 * np.abs(m).max() ** 2


def test_boosts_stay_slow() -> None:
    fastest = max(float(np.arccosh(Lorentz().sample(seed).matrix[0, 0])) for seed in range(200))
    assert 1.5 < fastest <= 2.0 + 1e-9
    assert Lorentz().boost(0.0, 0.5, 0.0).matrix[0].round(6).tolist() == [1.127626, 0.0, 0.521095, 0.0]


@pytest.mark.parametrize("group", EVERY, ids=repr)
def test_code_evaluates_back_bit_for_bit(group: Group) -> None:
    found = [group.sample(seed) for seed in range(5)]
    found += [
        *group.special_elements().values(),
        *(g.inverse() for g in found),
        found[0] @ found[1] @ found[2].inverse(),
    ]
    for g in found:
        again = parse(repr(g))
        assert again.group == group
        assert np.array_equal(again.matrix, g.matrix)
        assert repr(again) == repr(g)


@pytest.mark.parametrize("group", [SO(3), O(4), E(3), SO(1, 3), SU(2), O(2) * Scaling(2)], ids=repr)
def test_groups_and_elements_survive_copies(group: Group) -> None:
    for again in (copy.deepcopy(group), pickle.loads(pickle.dumps(group))):
        assert again == group
        assert hash(again) == hash(group)
    g = group.sample(3)
    assert np.array_equal(pickle.loads(pickle.dumps(g)).matrix, g.matrix)
    assert np.array_equal(copy.deepcopy(g).matrix, g.matrix)


def test_draws_repeat_with_the_seed() -> None:
    assert repr(E(3).sample(5)) == repr(E(3).sample(np.random.default_rng(5))) != repr(E(3).sample(6))


def test_inverses_are_spelt_out() -> None:
    g = E(3).translation(1.0, 0.0, -2.0) @ E(3).turn("z", 1 / 4) @ E(3).generator("inversion")
    assert repr(g.inverse()) == (
        "E(3).generator('inversion', -1) @ E(3).turn('z', -1/4) @ E(3).translation(-1.0, 0.0, 2.0)"
    )


def test_translations_at_a_seam_are_merged() -> None:
    g = E(3).translation(1.0, 0.0, 0.0) @ E(3).translation(0.0, 2.0, 0.0) @ E(3).turn("x", 1 / 2)
    assert repr(g) == "E(3).translation(1.0, 2.0, 0.0) @ E(3).turn('x', 1/2)"


def test_recentring_turns_about_the_origin_given() -> None:
    origin = np.array([3.0, -1.0, 2.0])
    g = E(3).recentre(E(3).turn("z", 1 / 4), origin)
    assert np.allclose(g.linear @ origin + g.translation, origin)
    shifted = E(3).recentre(E(3).translation(1.0, 0.0, 0.0), origin, radius=5.0)
    assert shifted.translation.tolist() == [5.0, 0.0, 0.0]
    still = E(3).recentre_direction(np.array([0.1, 0.2, 0.3, 0.0, 0.0, 0.0]), origin)
    velocity = np.tensordot(still, E(3).algebra, 1)
    assert np.abs(velocity[:-1, :-1] @ origin + velocity[:-1, -1]).max() < 1e-14


@pytest.mark.parametrize("group", [SO(3), SE(3), SO(4), SU(3), U(2), Scaling(2)], ids=repr)
def test_coordinates_of_a_product(group: Group) -> None:
    g = group.sample(1) @ group.sample(2)
    assert np.abs(group.exp(*g.coordinates).matrix - g.matrix).max() < 1e-13 * np.abs(g.matrix).max()


def test_coordinates_of_half_turns() -> None:
    g = SO(3).turn("x", 1 / 4) @ SO(3).turn("x", 1 / 4)
    assert np.allclose(np.abs(g.coordinates), [math.pi, 0, 0])
    screw = E(3).translation(1.0, 2.0, 3.0) @ E(3).turn("z", 1 / 2)
    assert np.abs(E(3).exp(*screw.coordinates).matrix - screw.matrix).max() < 1e-14


def test_products_that_are_no_exponential_have_no_coordinates() -> None:
    g = SL(2).element([[-1.0, 1.0], [0.0, -1.0]])  # the standard example: in SL(2), not in the image of exp
    with pytest.raises(ValueError, match=r"is not one exponential \(off by .*\); use its factors"):
        _ = g.coordinates


def test_components() -> None:
    assert [g.component for g in O(3).components()] == [(), ("inversion",)]
    assert [g.component for g in O(1, 3).components()] == [
        (),
        ("parity",),
        ("time_reversal",),
        ("parity", "time_reversal"),
    ]
    signs = {(np.sign(g.matrix[0, 0]), np.sign(np.linalg.det(g.matrix))) for g in O(1, 3).components()}
    assert len(signs) == 4
    assert len({tuple(np.sign(O(1, 3).sample(s).matrix.diagonal()[:1])) for s in range(20)}) == 2


POSES = {
    SO(3): {"quarter turn z", "half turn x", "gimbal", "near identity", "third turn 111"},
    O(3): {"inversion", "mirror x"},
    O(2): {"quarter turn", "mirror x", "mirror y"},
    E(3): {"large shift", "gimbal", "inversion", "turn and large shift"},
    T(2): {"large shift", "small shift"},
    SO(4): {"quarter turn 01", "half turn 23"},
    Lorentz(): {"boost", "fast boost", "quarter turn x"},
    O(1, 3): {"parity", "time reversal"},
    SU(2): {"full turn", "near identity"},
    SL(2): {"shear", "stretch"},
}


@pytest.mark.parametrize("group", POSES, ids=repr)
def test_named_poses(group: Group) -> None:
    found = group.special_elements()
    assert POSES[group] <= set(found)
    assert not any(g.is_identity() for g in found.values())


def test_sizes_of_named_poses() -> None:
    poses = E(3).special_elements()
    assert np.linalg.norm(poses["large shift"].translation) == pytest.approx(1e3)
    assert np.linalg.norm(SO(3).special_elements()["near identity"].coordinates) == pytest.approx(1e-3)


REFUSALS = [
    (lambda: SO(3).exp(1.0), r"SO\(3\)\.exp takes 3 coordinates, got 1"),
    (lambda: SO(3).turn(1 / 4), r"SO\(3\)\.turn takes an axis or plane and a fraction of a turn, got \(0\.25,\)"),
    (lambda: SO(3).turn("w", 1 / 4), r"has no axis 'w'; use 'x', 'y', 'z', a vector of three numbers, or a plane"),
    (lambda: SO(4).turn("x", 1 / 4), r"has no axis 'x'; use a plane \(i, j\) of two different axes below 4"),
    (lambda: SO(4).turn((1, 1), 1 / 4), r"has no plane \(1, 1\)"),
    (lambda: SO(3).turn((0, 0, 0), 1 / 4), "a finite vector other than zero"),
    (lambda: SO(3).turn("x", math.nan), "must be finite, got nan"),
    (lambda: SO(3).generator("inversion"), r"no discrete generator 'inversion'; it has none"),
    (lambda: O(3).generator("mirror"), r"no discrete generator 'mirror'; it has \['inversion'\]"),
    (lambda: SO(3).translation(1, 2, 3), r"SO\(3\) has no translations"),
    (lambda: E(3).translation(1, 2), r"E\(3\)\.translation takes 3 numbers, got 2"),
    (lambda: SO(3).exp(0, 0, 1) @ O(3).exp(0, 0, 1), r"are in different groups; both must be in SO\(3\)"),
    (lambda: SO(0), r"SO\(n\) needs a whole number n of at least 1, got 0"),
    (lambda: E(2.0), r"E\(n\) needs a whole number n of at least 1, got 2\.0"),
    (lambda: Scaling(2).by(-1.0), r"needs a positive factor, got -1\.0"),
    (lambda: Lorentz().boost(1.0), r"Lorentz\(\)\.boost takes 3 rapidities, got 1"),
    (lambda: SO(3).elements(), r"SO\(3\) is continuous, so its elements can't be listed; draw some with sample"),
    (lambda: SO(3).rotation(1.0), r"SO\(3\)\.rotation takes 3 angles, got 1"),
]


@pytest.mark.parametrize(("call", "message"), REFUSALS, ids=[m for _, m in REFUSALS])
def test_refusals_say_what_to_do(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_a_user_group_without_that_translation_refuses_it() -> None:
    vertical = Group("vertical shifts", [[[0, 0, 0], [0, 0, 1], [0, 0, 0]]], affine=True)
    assert vertical.translation(0.0, 2.0).coordinates == (2.0,)
    with pytest.raises(NotInGroupError, match=r"vertical shifts has no translation by \[1\.0, 2\.0\]"):
        vertical.translation(1.0, 2.0)
