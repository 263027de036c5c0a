"""Irreps against their laws, against Cartesian tensors, and against e3nn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from equiaudit import Irreps, Symmetry
from equiaudit.groups import SE, SO, E, O, Octahedral, Permutations, Scaling
from equiaudit.representations import RepresentationError, StructureError, Vector
from equiaudit.representations.acting import Acting, Moving
from equiaudit.representations.irreps import parse_irreps
from equiaudit.representations.wigner import generators, rotation_matrix

DEGREES = range(9)


def rotations(n, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([SO(3).sample(rng).matrix for _ in range(n)])


@pytest.mark.parametrize("l", DEGREES)
def test_generators_obey_the_commutators_and_the_casimir(l):
    x, y, z = generators(l)
    for a, b, c in ((x, y, z), (y, z, x), (z, x, y)):
        np.testing.assert_allclose(a @ b - b @ a, c, atol=1e-13)
        np.testing.assert_array_equal(a, -a.T)
    np.testing.assert_allclose(x @ x + y @ y + z @ z, -l * (l + 1) * np.eye(2 * l + 1), atol=3e-13)


@pytest.mark.parametrize("l", DEGREES)
def test_matrices_multiply_as_rotations_do(l):
    a, b = rotations(20), rotations(20, seed=1)
    np.testing.assert_allclose(rotation_matrix(l, a @ b), rotation_matrix(l, a) @ rotation_matrix(l, b), atol=1e-14)
    d = rotation_matrix(l, a)
    np.testing.assert_allclose(d @ np.swapaxes(d, -1, -2), np.broadcast_to(np.eye(2 * l + 1), d.shape), atol=1e-14)


@pytest.mark.parametrize("l", DEGREES)
@pytest.mark.parametrize("tilt", [0.0, 1e-300, 1e-17, 1e-9, 1e-3, 1.0, np.pi / 2, np.pi - 1e-9, np.pi])
def test_matrices_are_exponentials_also_near_the_poles(l, tilt):
    from scipy.linalg import expm

    x, y, _ = generators(1)
    rotation = expm(0.4 * y) @ expm(tilt * x) @ expm(0.9 * y)
    x, y, _ = generators(l)
    wanted = expm(0.4 * y) @ expm(tilt * x) @ expm(0.9 * y)
    np.testing.assert_allclose(rotation_matrix(l, rotation), wanted, atol=2e-13)  # scipy's expm is off by 1e-13


def test_degree_one_is_the_vector():
    r = rotations(20)
    np.testing.assert_allclose(rotation_matrix(1, r), r, atol=1e-15)


def test_degree_two_is_the_traceless_symmetric_tensor():
    """The trace of D² is that of Sym²(R) minus one: not the same check as the group law."""
    r = rotations(10)
    trace = np.trace(r, axis1=-1, axis2=-2)
    square = np.trace(r @ r, axis1=-1, axis2=-2)
    np.testing.assert_allclose(
        np.trace(rotation_matrix(2, r), axis1=-1, axis2=-2), (trace**2 + square) / 2 - 1, atol=1e-14
    )


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
@pytest.mark.parametrize("group", [SO(3), O(3), SE(3), E(3), Octahedral(inversion=True)], ids=repr)
def test_actions_and_tangents_are_those_of_the_matrices(group, layout):
    rep = Irreps("2x0e+3x1o+1x2e+2x1e+1x3o", layout=layout)
    x, rng = torch.randn(4, rep.dim, dtype=torch.float64), np.random.default_rng(0)
    for g in [group.sample(rng) for _ in range(4)] + [group.identity()]:
        moved = rep.act(g, x)
        np.testing.assert_allclose(moved, x.numpy() @ rep.matrix(g).T, atol=1e-14)
        torch.testing.assert_close(rep.act(g.inverse(), moved), x, atol=1e-13, rtol=0)
    if group.dim:
        c = rng.standard_normal(group.dim)
        wanted = x.numpy() @ np.tensordot(c, rep.algebra_matrices(group), 1).T
        np.testing.assert_allclose(rep.act_tangent(group, c, x), wanted, atol=1e-14)
        step = 1e-5
        slope = (rep.act(group.exp(*(step * c)), x) - rep.act(group.exp(*(-step * c)), x)) / (2 * step)
        np.testing.assert_allclose(slope, wanted, atol=1e-8)


def test_layouts_differ_by_a_transpose():
    g = SO(3).sample(0)
    x = torch.randn(5, 3, dtype=torch.float64)
    mul_ir = Irreps("5x1o").act(g, x.flatten()).reshape(5, 3)
    ir_mul = Irreps("5x1o", layout="ir_mul").act(g, x.T.flatten()).reshape(3, 5)
    torch.testing.assert_close(mul_ir, ir_mul.T)
    torch.testing.assert_close(mul_ir, Vector().act(g, x))


def test_each_row_has_its_own_element():
    group, rep = O(3), Irreps("2x1o+1x2e")
    rng = np.random.default_rng(0)
    elements = tuple(group.sample(rng) for _ in range(3))
    x = torch.randn(4, 7, rep.dim, dtype=torch.float64)
    rows = torch.tensor([2, 0, 1, 2])
    moved = rep.apply(Acting(elements, rows), x)
    for n, i in enumerate(rows):
        torch.testing.assert_close(moved[n], rep.act(elements[i], x[n]))
    c = rng.standard_normal((3, 3))
    moving = rep.tangent(Moving(group, c, rows), x)
    torch.testing.assert_close(moving[3], rep.act_tangent(group, c[2], x[3]))


def test_parity_acts_under_inversion_and_not_under_rotations():
    x = torch.ones(9)
    inversion = O(3).generator("inversion")
    assert Irreps("1x0e+1x0o+1x1o+1x1e+1x0e").act(inversion, x).tolist() == [1, -1, -1, -1, -1, 1, 1, 1, 1]
    turn = SO(3).sample(0)
    torch.testing.assert_close(Irreps("3x1e").act(turn, x), Irreps("3x1o").act(turn, x))


def test_half_precision_is_rounded_once():
    g, x = SO(3).sample(3), torch.randn(64, 8)
    rep = Irreps("1x0e+1x3o")
    low = x.bfloat16()
    torch.testing.assert_close(rep.act(g, low), rep.act(g, low.double()).bfloat16(), atol=0, rtol=0)
    assert rep.act(g, x).dtype == torch.float32


def test_another_dimension():
    g, x = SO(3).sample(1), torch.randn(5, 8, 2)
    moved = Irreps("1x0e+1x1o+1x1e+1x0o", dim=1).act(g, x)
    torch.testing.assert_close(moved.movedim(1, -1), Irreps("1x0e+1x1o+1x1e+1x0o").act(g, x.movedim(1, -1)))


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("1o", ["1x1o"]),
        ("2x0e + 1x1o", ["2x0e", "1x1o"]),
        ("2x1", ["2x1"]),
        ("16x12e", ["16x12e"]),
        ("0x1o+1e", ["0x1o", "1x1e"]),
    ],
)
def test_spellings(text, terms):
    assert [str(ir) for ir in parse_irreps(text)] == terms


def test_dim_is_the_size_and_the_repr_evaluates():
    rep = Irreps("2x0e+1x1o+0x4e", layout="ir_mul", dim=1)
    assert rep.dim == 5
    assert rep.axis == 1
    assert eval(repr(rep)) == rep
    assert rep != Irreps("2x0e+1x1o+0x4e", dim=1)
    assert [s.stop for s in rep.slices()] == [2, 5, 5]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Irreps("2x0e+vector"), r"'2x0e\+vector' is not a sum of irreps: 'vector'; write '2x0e\+1x1o'"),
        (lambda: Irreps("1o+"), r"is not a sum of irreps: ''"),
        (lambda: Irreps(""), "no irreps are given"),
        (lambda: Irreps("1o", layout="mulir"), "layout must be one of mul_ir, ir_mul, got 'mulir'"),
        (
            lambda: Symmetry(O(3), "2x1", "invariant"),
            r"O\(3\) has reflections, so 2x1 needs a parity: '2x1e' \(even\) or '2x1o'",
        ),
        (lambda: Symmetry(SO(2), "1o"), r"SO\(2\) acts on 2-D space"),
        (lambda: Symmetry(Scaling(3), "1o"), r"Scaling\(3\) has generators that are no rotations"),
        (lambda: Symmetry(Permutations(), "1o"), r"Permutations\(\) only relabels"),
    ],
)
def test_messages(make, message):
    with pytest.raises(RepresentationError, match=message):
        make()


def test_a_wrong_length_is_said():
    with pytest.raises(
        StructureError, match=r"input can't be Irreps\('1x0e\+1x1o'\) of SO\(3\): dimension -1 must have length 4"
    ):
        Symmetry(SO(3), "1x0e+1x1o").act_on_inputs(SO(3).sample(0), torch.ones(5))


@pytest.mark.parametrize("l", range(12))
def test_e3nn_has_the_same_basis(l):
    o3 = pytest.importorskip("e3nn.o3")
    torch.set_default_dtype(torch.float64)
    r = rotations(20)
    theirs = o3.Irrep(l, 1).D_from_matrix(torch.from_numpy(r)).numpy()
    np.testing.assert_allclose(rotation_matrix(l, r), theirs, atol=1e-13)
    if l == 2:  # the check can fail: another basis order is another matrix
        assert np.abs(rotation_matrix(l, r)[:, ::-1, ::-1] - theirs).max() > 0.1


def test_spherical_harmonics_of_e3nn_turn_with_it():
    o3 = pytest.importorskip("e3nn.o3")
    torch.set_default_dtype(torch.float64)
    rep, x = Irreps("1x0e+1x1o+1x2e+1x3o+1x4e+1x5o+1x6e"), torch.randn(10, 3)
    harmonics = o3.SphericalHarmonics(list(range(7)), normalize=True)
    for seed in range(5):
        g = O(3).sample(seed)
        torch.testing.assert_close(harmonics(Vector().act(g, x)), rep.act(g, harmonics(x)), atol=1e-13, rtol=0)
