"""The penalty on weights: its null space, its closed form, bias, kernels, and the released code that it replaces."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from equiaudit import Symmetry, intertwiners
from equiaudit.groups import SE, SO, Cyclic, Dihedral, E, Flip, Lorentz, O, Octahedral, Permutations
from equiaudit.penalties import LieDerivativePenalty, OperatorPenalty, ResidualPathwayPrior
from equiaudit.representations import (
    Image,
    Irreps,
    Kronecker,
    Nodes,
    Points,
    Regular,
    RepresentationError,
    Scalar,
    SymmetricTensor,
    Vector,
)

TWO = Kronecker(Vector(), Vector())
GRID = {
    SO(3): ("2x0e+1x1o+1x2e", TWO, SymmetricTensor(), Irreps("2x1o+2x0e", layout="ir_mul")),
    O(3): ("vector", "1x0e+1x0o+1x1o+2x1e", TWO),
    Cyclic(4): ("vector", Regular(), "scalar"),
    Cyclic(6): ("vector", Regular()),
    Dihedral(4): (Regular(), "pseudoscalar", "vector"),
    Dihedral(3): (Regular(), TWO),
    Permutations(4): (Nodes(), Kronecker(Nodes(), Nodes())),
    Lorentz(): ("vector", TWO, Vector() + Scalar()),
    SE(3): ("vector", "1x0e+1x1o"),
}
CASES = [(group, a, b) for group, reps in GRID.items() for a in reps for b in reps]


def draw(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def hessian(function: Any, size: tuple[int, ...]) -> Tensor:
    found = torch.func.hessian(function)(torch.zeros(size, dtype=torch.float64))
    n = found[(0,) * 0].numel()
    side = round(n**0.5)
    return found.reshape(side, side)


def corank(matrix: Tensor) -> int:
    values = torch.linalg.eigvalsh((matrix + matrix.mT) / 2)
    return int((values < 1e-9 * values.max().clamp(min=1e-30)).sum())


@pytest.mark.parametrize(("group", "rep_in", "rep_out"), CASES, ids=repr)
def test_null_space_is_the_equivariant_maps(group: Any, rep_in: Any, rep_out: Any) -> None:
    penalty = OperatorPenalty(Symmetry(group, rep_in, rep_out))
    count = intertwiners.dimension(group, rep_in, rep_out)  # by characters and weights
    size = intertwiners.basis(group, rep_in, rep_out).shape[1:]
    form = hessian(penalty, tuple(size))
    assert corank(form) == count if bool(form.any()) else count == size.numel()
    weight = draw(*size)
    assert float(penalty(weight)) == pytest.approx(
        float(intertwiners.defect(weight, rep_in, rep_out, group)), rel=1e-12
    )
    exact = intertwiners.project(weight, rep_in, rep_out, group)
    assert float(penalty(exact)) <= 1e-28 * max(1.0, float(penalty(weight)))


def released_lie_term(weight: Tensor) -> Tensor:
    """What the released code of the paper computes for a vector-neuron map: [X x | Y x | Z x] read as (D, 3)."""
    out, inner = weight.shape[0] // 3, weight.shape[1] // 3
    total = weight.new_zeros(())
    for g in torch.from_numpy(SO(3).algebra):
        moved_in = torch.kron(torch.eye(inner, dtype=weight.dtype), g)
        moved_out = torch.kron(torch.eye(out, dtype=weight.dtype), g)
        scrambled = (weight @ moved_in).reshape(out, 3, -1).transpose(0, 1).reshape(3 * out, -1)
        total = total + (scrambled - moved_out @ weight).square().sum()
    return total


def test_the_released_term_has_no_null_space_and_ours_has_all_equivariant_maps() -> None:
    penalty = OperatorPenalty(Symmetry(SO(3), 4 * Vector(), 5 * Vector()))
    assert intertwiners.dimension(SO(3), 4 * Vector(), 5 * Vector()) == 20
    assert corank(hessian(penalty, (15, 12))) == 20
    assert corank(hessian(released_lie_term, (15, 12))) == 0
    exact = torch.kron(draw(5, 4), torch.eye(3, dtype=torch.float64))
    assert float(penalty(exact)) == pytest.approx(0.0, abs=1e-28)
    assert float(released_lie_term(exact)) > 1.0


def test_closed_form_on_vectors() -> None:
    block = draw(3, 3)
    trace = torch.eye(3, dtype=block.dtype) * block.trace() / 3
    turn, stretch = (block - block.T) / 2, (block + block.T) / 2 - trace
    expected = 2 * turn.square().sum() + 6 * stretch.square().sum()
    assert float(OperatorPenalty(Symmetry(SO(3), "vector", "vector"))(block)) == pytest.approx(float(expected))
    mixed = OperatorPenalty(Symmetry(SO(3), "2x0e", "1x1o"))(block[:, :2])
    assert float(mixed) == pytest.approx(2 * float(block[:, :2].square().sum()))


def test_the_bias_has_a_term_of_its_own() -> None:
    penalty = OperatorPenalty(Symmetry(SO(3), "vector", Vector() + Scalar()))
    weight, bias = torch.eye(4, 3), torch.tensor([0.0, 3.0, 0.0, 5.0])
    assert float(penalty(weight)) < 1e-28
    assert float(penalty(weight, bias)) == 2 * 9.0
    assert float(penalty(weight, torch.tensor([0.0, 0.0, 0.0, 5.0]))) < 1e-28


def test_points_and_translations() -> None:
    penalty = OperatorPenalty(Symmetry(E(3), 2 * Points(), "points"))
    third = torch.eye(3) / 3
    assert float(penalty(torch.cat([third, 2 * third], 1))) == pytest.approx(0.0, abs=1e-12)
    assert float(penalty(torch.cat([third, third], 1))) == pytest.approx(3 * (1 / 3) ** 2)
    leaking = OperatorPenalty(Symmetry(E(3), "points", "vector"))
    assert float(leaking(torch.eye(3))) == pytest.approx(3.0)


def test_mean_does_not_grow_with_the_layer() -> None:
    small, large = draw(3, 3), draw(3, 3).repeat(4, 4)
    sums = [OperatorPenalty(Symmetry(SO(3), n * Vector(), n * Vector()), reduction="mean") for n in (1, 4)]
    assert float(sums[1](large)) == pytest.approx(float(sums[0](small)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_precisions(dtype: torch.dtype) -> None:
    penalty = OperatorPenalty(Symmetry(SO(3), "2x0e+2x1o", "1x0e+3x1o"))
    weight = draw(10, 8).to(dtype)
    found = penalty(weight)
    assert found.dtype == (torch.float32 if dtype.itemsize < 4 else dtype)
    assert float(found) == pytest.approx(float(penalty(weight.double())), rel=1e-6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(penalty(weight), found)


def test_gradients_are_exact_to_second_order_and_finite_at_zero() -> None:
    penalty = OperatorPenalty(Symmetry(O(3), "1x0e+1x1o", "1x0o+2x1o"))
    weight, bias = draw(7, 4).requires_grad_(), draw(7, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(penalty, (weight, bias))
    assert torch.autograd.gradgradcheck(penalty, (weight, bias))
    zero = torch.zeros(7, 4, requires_grad=True)
    (slope,) = torch.autograd.grad(penalty(zero), zero)
    assert torch.equal(slope, torch.zeros_like(zero))


def test_a_map_between_scalars_stays_on_the_graph() -> None:
    weight = torch.ones(2, 3, requires_grad=True)
    penalty = OperatorPenalty(Symmetry(SO(3), "invariant", "invariant"))(weight)
    penalty.backward()
    assert float(penalty.detach()) == 0.0
    assert torch.equal(weight.grad, torch.zeros(2, 3))


@pytest.mark.parametrize(("group", "rep"), [(SO(3), "1x32+2x1"), (Permutations(35), Nodes())])
def test_large_blocks_go_by_their_generators(group: Any, rep: Any) -> None:
    penalty = OperatorPenalty(Symmetry(group, rep, rep))
    n = 35 if group != SO(3) else 71
    weight = draw(n, n)
    assert float(penalty(weight)) == pytest.approx(float(intertwiners.defect(weight, rep, rep, group)), rel=1e-12)
    assert float(penalty(intertwiners.project(weight, rep, rep, group))) < 1e-22


def test_descent_leads_to_the_projection() -> None:
    penalty = OperatorPenalty(Symmetry(SO(3), 2 * Vector(), 2 * Vector()))
    start = draw(6, 6)
    weight = start.clone().requires_grad_()
    for _ in range(200):
        (slope,) = torch.autograd.grad(penalty(weight), weight)
        weight.data -= 0.05 * slope
    assert torch.allclose(weight, intertwiners.project(start, 2 * Vector(), 2 * Vector(), SO(3)), atol=1e-12)


# -- convolution kernels ----------------------------------------------------------------------------------------------


def kernel_count(group: Any, rep_in: Any, rep_out: Any, size: int) -> int:
    """The number of equivariant kernels: (1/|G|) Σ_g χ_grid(g) χ_out(g) χ_in(g)."""
    n = group.space_dim
    total = 0.0
    for g in group.elements():
        pixels = torch.arange(size**n).reshape((size,) * n)
        fixed = int((Image(tuple(range(-n, 0))).act(g, pixels) == pixels).sum())
        total += fixed * rep_out.matrix(g).trace() * rep_in.matrix(g).trace()
    return round(total / group.order)


@pytest.mark.parametrize(
    ("group", "rep_in", "rep_out", "size"),
    [
        (Cyclic(4), Regular(), Regular(), 3),
        (Cyclic(4), Vector(), Regular(), 2),
        (Dihedral(4), Vector() + Scalar(), Regular(), 3),
        (Cyclic(2), Regular(), Regular() + Scalar(), 3),
        (Flip(2, 0), Scalar() + Vector(), Regular(), 3),
        (Octahedral(), Scalar(), Vector(), 3),
        (Flip(1), Vector(), Scalar(), 5),
    ],
    ids=repr,
)
def test_null_space_on_kernels(group: Any, rep_in: Any, rep_out: Any, size: int) -> None:
    penalty = OperatorPenalty(Symmetry(group, rep_in, rep_out))
    shape = (rep_out.size(group) or 1, rep_in.size(group) or 1, *(size,) * group.space_dim)
    kernel = draw(*shape)
    rows = torch.func.jacrev(torch.func.grad(penalty))(kernel).reshape(kernel.numel(), -1)
    assert corank(rows) == kernel_count(group, rep_in, rep_out, size)


@pytest.mark.parametrize("size", [3, 5])
def test_a_layer_of_escnn_is_in_the_null_space(size: int) -> None:
    pytest.importorskip("escnn")
    from escnn import gspaces
    from escnn import nn as enn

    turns = gspaces.rot2dOnR2(4)
    into, out = enn.FieldType(turns, 2 * [turns.irrep(1)]), enn.FieldType(turns, 3 * [turns.regular_repr])
    conv = enn.R2Conv(into, out, kernel_size=size).eval()
    kernel, bias = (p.detach() for p in conv.expand_parameters())
    penalty = OperatorPenalty(Symmetry(Cyclic(4), into, out))
    assert float(penalty(kernel, bias)) < 1e-10 * float(kernel.square().sum())
    assert float(penalty(torch.randn_like(kernel))) > 1.0


def test_a_one_by_one_kernel_is_a_matrix() -> None:
    penalty = OperatorPenalty(Symmetry(Dihedral(4), Regular(), Vector() + Regular()))
    weight, bias = draw(10, 8), draw(10, seed=3)
    assert float(penalty(weight[..., None, None], bias)) == pytest.approx(float(penalty(weight, bias)))


def test_odd_angles_need_consent() -> None:
    symmetry = Symmetry(SO(2), "image", Vector())
    with pytest.raises(RepresentationError, match=r"SO\(2\) has elements that don't permute .*grid='subgroup'"):
        OperatorPenalty(symmetry)(torch.zeros(2, 1, 3, 3))
    quarter = OperatorPenalty(symmetry, grid="subgroup")
    same = OperatorPenalty(Symmetry(Cyclic(4), "image", Vector()))
    shape = (2, 1, 3, 3)
    forms = [torch.func.jacrev(torch.func.grad(p))(draw(*shape)).reshape(18, 18) for p in (quarter, same)]
    assert corank(forms[0]) == corank(forms[1]) == corank(forms[0] + forms[1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: OperatorPenalty([Symmetry(SO(3), "vector", "vector")]), "expected one Symmetry, got list"),
        (lambda: OperatorPenalty(Symmetry(SO(3), "vector", "vector"), reduction="max"), "reduction must be one of"),
        (lambda: OperatorPenalty(Symmetry(SO(3), "vector", "vector"))(torch.ones(3)), "at least two dimensions"),
        (
            lambda: OperatorPenalty(Symmetry(SO(3), "vector", "vector"))(torch.ones(3, 4)),
            "has size 3, the dimension has",
        ),
        (lambda: OperatorPenalty(Symmetry(SO(3), {"x": "vector"}, "vector"))(torch.eye(3)), "one representation of a"),
        (lambda: OperatorPenalty(Symmetry(Cyclic(4), Regular(), Regular()))(torch.ones(8, 1, 3, 3)), "grouped convol"),
        (lambda: OperatorPenalty(Symmetry(Cyclic(4), "image", "image"))(torch.ones(2, 2, 1, 3)), "must be square"),
        (lambda: OperatorPenalty(Symmetry(SO(3), "image", "image"))(torch.ones(1, 1, 3, 3)), "3-D space"),
        (
            lambda: OperatorPenalty(Symmetry(Cyclic(4), "image", "image"))(torch.ones(2, 2, 3, 3), torch.ones(3)),
            r"bias must have shape \[2\]",
        ),
    ],
)
def test_messages(call: Any, message: str) -> None:
    with pytest.raises((RepresentationError, TypeError, ValueError), match=message):
        call()


CURVED = {
    "linear": (OperatorPenalty, Symmetry(SO(3), "vector", "vector"), (3, 3)),
    "points": (OperatorPenalty, Symmetry(SE(3), "vector", "1x0e+1x1o"), (4, 3)),
    "kernel": (OperatorPenalty, Symmetry(Cyclic(4), Regular(), Regular()), (4, 4, 3, 3)),
    "prior": (ResidualPathwayPrior, Symmetry(SO(3), "vector", "vector"), (3, 3)),
}


@pytest.mark.parametrize("case", CURVED)
def test_second_derivatives_are_the_same_everywhere(case: str) -> None:
    make, claim, shape = CURVED[case]
    penalty = make(claim)
    eye = torch.eye(*shape[:2], dtype=torch.float64)
    exact = eye if len(shape) == 2 else torch.zeros(shape, dtype=torch.float64)
    if len(shape) == 4:
        exact[..., 1, 1] = eye
    traces = [
        float(torch.autograd.functional.hessian(penalty, w).reshape(w.numel(), -1).trace())
        for w in (torch.zeros(shape, dtype=torch.float64), exact, draw(*shape))
    ]
    assert traces[2] > 1
    assert traces == pytest.approx(3 * [traces[2]], rel=1e-9)


def test_second_derivatives_of_biases_at_zero() -> None:
    penalty, kernel = OperatorPenalty(Symmetry(Cyclic(4), Regular(), Regular())), draw(4, 4, 3, 3)
    forms = [
        torch.autograd.functional.hessian(lambda b: penalty(kernel, b), b)
        for b in (torch.zeros(4, dtype=torch.float64), draw(4))
    ]
    assert float(forms[0].trace()) > 1
    assert torch.allclose(forms[0], forms[1])


def test_layers_are_read() -> None:
    vectors, turns = (
        OperatorPenalty(Symmetry(SO(3), "vector", "vector")),
        OperatorPenalty(Symmetry(Cyclic(4), Regular(), 2 * Regular())),
    )
    linear, conv = nn.Linear(3, 3), nn.Conv2d(4, 8, 3)
    assert torch.equal(vectors(linear), vectors(linear.weight, linear.bias))
    assert torch.equal(turns(conv), turns(conv.weight, conv.bias))
    back = nn.ConvTranspose2d(4, 8, 3)
    assert torch.equal(turns(back), turns(back.weight, back.bias, transposed=True))
    assert torch.equal(turns(back), turns(back.weight.transpose(0, 1), back.bias))


def test_the_null_space_of_a_transposed_kernel_is_equivariant() -> None:
    claim = Symmetry(Cyclic(4), Regular(), 2 * Regular())
    penalty, shape = OperatorPenalty(claim), (4, 8, 3, 3)
    at = torch.zeros(shape, dtype=torch.float64)
    form = torch.autograd.functional.hessian(lambda k: penalty(k, transposed=True), at).reshape(288, 288)
    values, vectors = torch.linalg.eigh(form)
    count = int((values < 1e-9 * values.max()).sum())
    assert count == 72  # a fourth: the group acts freely on entries
    kernel = (vectors[:, :count] @ draw(count)).reshape(shape)
    images = Symmetry(Cyclic(4), Image((-2, -1), channels=Regular()), Image((-2, -1), channels=2 * Regular()), batch=0)
    audited = LieDerivativePenalty(images, discrete="all")
    x = draw(2, 4, 7, 7)
    assert float(audited(lambda z: nn.functional.conv_transpose2d(z, kernel, padding=1), x)) < 1e-24
    other = vectors[:, count].reshape(shape)
    assert float(audited(lambda z: nn.functional.conv_transpose2d(z, other, padding=1), x)) > 1e-4


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: p(nn.ReLU()), TypeError, "ReLU has no weight; give the matrix or kernel"),
        (lambda p: p([[1.0]]), TypeError, r"expected a weight \[out, in\], a kernel or a layer, got list"),
        (
            lambda p: p(nn.Conv2d(8, 8, 3, groups=2)),
            RepresentationError,
            "Conv2d has groups=2, .*penalise each group by itself",
        ),
        (
            lambda p: p(torch.ones(8, 4, 3, 3)),
            RepresentationError,
            r"transposed convolution \[in, out, \*k\]: give transposed=True",
        ),
        (
            lambda p: p(torch.ones(4, 8), transposed=True),
            RepresentationError,
            r"transposed=True is for kernels \[in, out",
        ),
    ],
)
def test_messages_for_layers(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(OperatorPenalty(Symmetry(Cyclic(4), 2 * Regular(), Regular())))
