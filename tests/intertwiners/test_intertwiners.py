"""Equivariant linear maps: their number by characters, the projection by averaging over the group, the defect."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from equiaudit import intertwiners
from equiaudit.groups import SE, SL, SO, SU, Cyclic, Dihedral, E, Flip, Lorentz, O, Octahedral, Permutations, T
from equiaudit.representations import (
    Irreps,
    Kronecker,
    Nodes,
    OnMember,
    Points,
    Regular,
    RepresentationError,
    Scalar,
    SymmetricTensor,
    Vector,
)

TWO = Kronecker(Vector(), Vector())
GRID = {
    SO(3): ("vector", "2x0e+1x1o+1x2e", TWO, SymmetricTensor(), 2 * Vector() + 3 * Scalar(), "1x3+2x1"),
    O(3): ("vector", "pseudovector", "2x0e+1x0o+1x1o+2x1e", TWO, "1x2e+1x2o+1x1e", "pseudoscalar"),
    SO(2): ("vector", TWO, 2 * Vector() + Scalar()),
    O(2): ("vector", "pseudoscalar", TWO),
    Cyclic(4): ("vector", Regular(), Regular() + Vector(), "scalar"),
    Cyclic(5): ("vector", Regular(), TWO),
    Dihedral(4): ("vector", "pseudoscalar", Regular(), TWO),
    Dihedral(3): ("vector", Regular()),
    Octahedral(): ("1x2e", "1x3o+1x1o", "vector"),
    Permutations(3): (Nodes(), Kronecker(Nodes(), Nodes()), "scalar"),
    Permutations(5): (Nodes(), Kronecker(Nodes(), Nodes()), 2 * Nodes(dim=-1) + Scalar()),
    Lorentz(): ("vector", TWO, 2 * Vector() + Scalar()),
    SE(3): ("vector", "1x2e+1x1o"),
    SU(2): ("vector", TWO),
    SL(2): ("vector", TWO),
    O(2) * Flip(1): (OnMember(0, Vector()), OnMember(1, Vector()), 2 * OnMember(0, Vector()) + OnMember(1, Vector())),
}
CASES = [(group, a, b) for group, reps in GRID.items() for a in reps for b in reps]


def random(shape: Any, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    return torch.randn(tuple(shape), dtype=dtype, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("group", "rep_in", "rep_out"), CASES, ids=repr)
def test_the_maps_are_as_many_as_characters_say(group: Any, rep_in: Any, rep_out: Any) -> None:
    basis = intertwiners.basis(group, rep_in, rep_out)
    assert len(basis) == intertwiners.dimension(group, rep_in, rep_out)
    gram = torch.einsum("nij,mij->nm", basis, basis.conj())
    assert torch.allclose(gram, torch.eye(len(basis), dtype=gram.dtype), atol=1e-12)
    weight = random(basis.shape[1:], basis.dtype)
    projected = intertwiners.project(weight, rep_in, rep_out, group)
    inside = torch.einsum("nij,n->ij", basis, torch.einsum("nij,ij->n", basis.conj(), weight))
    assert torch.allclose(projected, inside, atol=1e-12)
    size = float(intertwiners.defect(weight, rep_in, rep_out, group).real)
    assert float(intertwiners.defect(projected, rep_in, rep_out, group)) < 1e-24 * max(size, 1.0)
    # the Hessian of the defect has no other null space: its corank is the number of maps
    if weight.numel() <= 144 and not weight.is_complex():
        hessian = torch.func.hessian(lambda w: intertwiners.defect(w, rep_in, rep_out, group))(weight)
        values = torch.linalg.eigvalsh(hessian.reshape(weight.numel(), -1))
        assert int((values < 1e-9 * values.max().clamp(min=1.0)).sum()) == len(basis)


@pytest.mark.parametrize(
    ("group", "rep_in", "rep_out", "count"),
    [
        (SO(3), "4x1o", "5x1o", 20),  # the vector-neuron map of the paper
        (SO(3), TWO, TWO, 3),  # trace, antisymmetric, symmetric traceless
        (O(3), "1x1o", "1x1e", 0),
        (SO(2), "vector", "vector", 2),  # a scaled rotation
        (O(2), "vector", "vector", 1),
        (Cyclic(5), Regular(), Regular(), 5),  # circulant matrices
        (Permutations(5), Nodes(), Nodes(), 2),  # deep sets
        (Permutations(5), Kronecker(Nodes(), Nodes()), Kronecker(Nodes(), Nodes()), 15),  # Bell(4), Maron et al. 2019
        (Lorentz(), TWO, TWO, 4),  # the metric's trace, symmetric, self-dual and anti-self-dual
        (Dihedral(4), Regular(), Regular(), 8),
    ],
)
def test_known_numbers(group: Any, rep_in: Any, rep_out: Any, count: int) -> None:
    assert intertwiners.dimension(group, rep_in, rep_out) == count
    assert len(intertwiners.basis(group, rep_in, rep_out)) == count


@pytest.mark.parametrize(
    ("group", "rep_in", "rep_out"),
    [
        (Dihedral(4), Regular() + Vector(), 2 * Vector() + Regular()),
        (Permutations(4), Nodes() + Nodes(), Kronecker(Nodes(), Nodes())),
        (Octahedral(), "1x2e+1x1o", "2x3o+1x0e"),
    ],
)
def test_projection_is_the_average_over_a_finite_group(group: Any, rep_in: Any, rep_out: Any) -> None:
    from equiaudit.representations.resolve import as_representation

    into, out = as_representation(rep_in), as_representation(rep_out)
    weight = random((out.size(group), into.size(group)))
    pairs = [(out.matrix(g), into.matrix(g)) for g in group.elements()]
    average = sum(torch.from_numpy(a) @ weight @ torch.from_numpy(np.linalg.inv(b)) for a, b in pairs) / len(pairs)
    assert torch.allclose(intertwiners.project(weight, rep_in, rep_out, group), average, atol=1e-13)


def test_projection_is_the_haar_average_of_rotations() -> None:
    # an octahedral average is exact up to degree 3; l = 1 with l = 1 needs 2
    into, out = Irreps("2x1o+1x0e"), Irreps("1x0e+3x1o")
    weight = random((out.dim, into.dim))
    average = sum(
        torch.from_numpy(out.matrix(g)) @ weight @ torch.from_numpy(into.matrix(g)).T for g in Octahedral().elements()
    )
    assert torch.allclose(intertwiners.project(weight, into, out, SO(3)), average / 24, atol=1e-13)


def test_both_layouts_of_irreps() -> None:
    text = "3x0e+4x1o+2x2e"
    ours, theirs = Irreps(text), Irreps(text, layout="ir_mul")
    order = torch.cat([torch.arange(s.start, s.stop).reshape(ir.mul, -1).T.flatten()
                       for ir, s in zip(ours.irreps, ours.slices(), strict=True)])  # fmt: skip
    weight = random((ours.dim, ours.dim))
    here = intertwiners.project(weight, ours, ours, O(3))
    there = intertwiners.project(weight[order][:, order], theirs, theirs, O(3))
    assert torch.equal(here[order][:, order], there)


def test_projection_is_linear_and_differentiable() -> None:
    weight = random((5, 7)).requires_grad_()

    def of(w: torch.Tensor) -> torch.Tensor:
        return intertwiners.project(w, "1x0e+2x1o", "2x0e+1x1o", SO(3))

    assert torch.autograd.gradcheck(of, weight)
    assert torch.autograd.gradgradcheck(of, weight)
    again = of(of(weight))
    assert torch.equal(again, of(weight))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64])
def test_dtype_is_kept(dtype: torch.dtype) -> None:
    weight = random((4, 4)).to(dtype)
    found = intertwiners.project(weight, "1x0e+1x1o", "1x0e+1x1o", SO(3))
    assert found.dtype == dtype
    reference = intertwiners.project(weight.to(torch.complex128), "1x0e+1x1o", "1x0e+1x1o", SO(3))
    assert torch.allclose(found.to(torch.complex128), reference, atol=2 * torch.finfo(dtype).eps)


def test_autocast_does_not_lower_the_precision() -> None:
    weight = random((6, 6), torch.float32)
    outside = intertwiners.project(weight, TWO + Vector(), TWO + Vector(), SO(2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = intertwiners.project(weight, TWO + Vector(), TWO + Vector(), SO(2))
        defect = intertwiners.defect(weight, TWO + Vector(), TWO + Vector(), SO(2))
    assert torch.equal(inside, outside)
    assert defect.dtype == torch.float32
    assert torch.equal(defect, intertwiners.defect(weight, TWO + Vector(), TWO + Vector(), SO(2)))


def test_points_move_with_translations() -> None:
    points = 2 * Points() + Vector()
    found = intertwiners.project(random((9, 9)), points, points, E(3))
    block = found[::3, ::3]  # multiples of the identity; each point out is an affine combination of the points in
    assert torch.allclose(torch.kron(block, torch.eye(3, dtype=block.dtype)), found, atol=1e-13)
    assert torch.allclose(block[:, :2].sum(1), torch.tensor([1.0, 1.0, 0.0], dtype=block.dtype), atol=1e-13)
    assert float(intertwiners.defect(found, points, points, E(3))) < 1e-24
    single = intertwiners.project(random((9, 9)).float(), points, points, E(3))
    assert torch.allclose(single.double(), found, atol=1e-6)
    assert float(intertwiners.defect(torch.zeros(9, 9), points, points, E(3))) == pytest.approx(6.0)
    # the nearest such map: what is left is orthogonal to every direction that keeps the symmetry
    left = random((9, 9)) - found
    inner = torch.einsum("nij,ij->n", intertwiners.basis(E(3), points, points), left)
    assert float(inner.abs().max()) < 1e-13


def test_bias_counts_in_the_defect_and_not_in_the_weight() -> None:
    weight, bias = torch.eye(3), torch.tensor([1.0, 2.0, 3.0])
    assert float(intertwiners.defect(weight, "vector", "vector", SO(3), bias=bias)) == pytest.approx(2 * 14.0)
    assert float(intertwiners.defect(weight, "vector", "vector", SO(3))) == 0.0
    assert float(intertwiners.defect(torch.eye(3), "vector", "vector", Flip(3), bias=bias)) == pytest.approx(4 * 14.0)
    moving = intertwiners.defect(torch.eye(3), "points", "points", SE(3), bias=bias)
    assert float(moving) == pytest.approx(2 * 14.0)
    assert float(intertwiners.defect(torch.eye(3), "points", "points", T(3), bias=bias)) == 0.0


def test_bias_is_projected_on_the_invariants() -> None:
    bias = torch.arange(1.0, 7.0)
    rep = Scalar() + Vector() + 2 * Scalar()
    assert intertwiners.project_bias(bias, rep, SO(3)).tolist() == [1.0, 0.0, 0.0, 0.0, 5.0, 6.0]
    assert intertwiners.project_bias(bias[:3], "points", E(3)).tolist() == [0.0, 0.0, 0.0]
    assert intertwiners.project_bias(bias[:3], "points", T(3)).tolist() == [1.0, 2.0, 3.0]
    assert torch.allclose(intertwiners.project_bias(bias[:4], Regular(), Cyclic(4)), torch.full((4,), 2.5))


def test_scalars_fit_any_length() -> None:
    weight = random((4, 6))
    assert torch.equal(intertwiners.project(weight, "scalar", "invariant", SO(3)), weight)
    assert float(intertwiners.project(weight, "scalar", "pseudoscalar", O(3)).abs().max()) == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: intertwiners.project(torch.eye(3), "vector", "1x0e+1x1o", SO(3)), "has size 4, the dimension has"),
        (lambda: intertwiners.project(torch.ones(3), "vector", "vector", SO(3)), r"must be a matrix .*got \[3\]"),
        (
            lambda: intertwiners.project(torch.eye(3).int(), "vector", "vector", SO(3)),
            "floating-point, got torch.int32",
        ),
        (lambda: intertwiners.project(torch.eye(3), "points", "invariant", SO(2)), "has size 2"),
        (lambda: intertwiners.project(torch.eye(3), "vector", "points", E(3)), "outputs move with translations"),
        (lambda: intertwiners.project(torch.eye(3), {"x": "vector"}, "vector", SO(3)), "one representation of a dim"),
        (lambda: intertwiners.project(torch.eye(3), "nodes", "nodes", Permutations()), r"Permutations\(n\)"),
        (lambda: intertwiners.project(torch.eye(3), "image", "vector", SO(3)), "acts on 3-D space|2-D"),
        (lambda: intertwiners.project(torch.eye(4), TWO, TWO, SU(2)), "must be complex"),
        (lambda: intertwiners.project_bias(torch.eye(3), "vector", SO(3)), r"must be a vector .*got shape \[3, 3\]"),
        (lambda: intertwiners.defect(torch.eye(3), "vector", "vector", SO(3), torch.ones(2)), r"must have shape \[3\]"),
    ],
)
def test_messages(call: Any, message: str) -> None:
    with pytest.raises(RepresentationError, match=message):
        call()


@pytest.mark.parametrize(
    ("group", "rep"), [(Permutations(40), Nodes()), (Octahedral(inversion=True), Regular()), (Dihedral(20), Regular())]
)
def test_large_permutation_representations_by_orbits(group: Any, rep: Any) -> None:
    basis = intertwiners.basis(group, rep, rep)
    assert len(basis) == (2 if group == Permutations(40) else group.order)
    weight = random(basis.shape[1:])
    projected = intertwiners.project(weight, rep, rep, group)
    assert float(intertwiners.defect(projected, rep, rep, group)) < 1e-25
    assert torch.allclose(intertwiners.project(projected, rep, rep, group), projected, atol=1e-14)
    assert torch.allclose(torch.einsum("nij,mij->nm", basis, basis), torch.eye(len(basis)).double(), atol=1e-14)


def test_high_degrees_need_no_null_space() -> None:
    rep = Irreps("1x32+1x33")
    weight = random((rep.dim, rep.dim))
    projected = intertwiners.project(weight, rep, rep, SO(3))
    assert float(projected[0, 0]) == pytest.approx(float(weight[:65, :65].trace() / 65))
    assert int((projected != 0).sum()) == rep.dim
    assert intertwiners.dimension(SO(3), rep, rep) == 2


def test_a_map_that_is_too_large_is_refused_by_name() -> None:
    large = Kronecker(TWO, TWO)
    with pytest.raises(RepresentationError, match="81 and 81 has 6561 entries, more than 4096; write them as sums"):
        intertwiners.basis(SO(3), large, large)
