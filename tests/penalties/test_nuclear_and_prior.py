"""The nuclear norm over candidates, the root that it is made of, and the residual-pathway prior."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from equiaudit import Symmetry, intertwiners
from equiaudit.groups import SE, SO, Cyclic, Group
from equiaudit.penalties import NuclearNormPenalty, ResidualPathwayPrior
from equiaudit.penalties.roots import trace_of_root
from equiaudit.representations import Points, RepresentationError, Scalar, Vector
from equiaudit.representations.structures import StructureError

VECTORS = Symmetry(SO(3), "vector", "vector", batch=0)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_the_value_is_the_sum_of_singular_values() -> None:
    weight, x = draw(3, 3), draw(20, 3, seed=1)
    found = NuclearNormPenalty(VECTORS)(lambda v: v @ weight.T, x)
    columns = [((x @ torch.from_numpy(a).T) @ weight.T - x @ weight.T @ torch.from_numpy(a).T) for a in SO(3).algebra]
    stacked = torch.stack([c.flatten() for c in columns]) / 60**0.5
    assert float(found) == pytest.approx(float(torch.linalg.matrix_norm(stacked, "nuc")), abs=4e-6)


def test_the_null_space_is_the_symmetry_that_is_left() -> None:
    about_z = torch.diag(torch.tensor([1.0, 1.0, 2.0], dtype=torch.float64))
    _, gram = NuclearNormPenalty(VECTORS).gram(lambda v: v @ about_z, VECTORS, draw(20, 3))
    values, vectors = np.linalg.eigh(gram.numpy())
    assert (values < 1e-12).sum() == 1
    assert np.abs(vectors[:, 0]).round(9).tolist() == [0.0, 0.0, 1.0]


@pytest.mark.long
def test_descent_keeps_one_direction_where_a_square_breaks_all() -> None:
    # the data are symmetric about z alone; under the nuclear norm the model finds that axis among all rotations
    torch.manual_seed(0)
    x = draw(200, 3)
    target = x @ torch.diag(torch.tensor([1.0, 1.0, 2.0], dtype=torch.float64)) + 0.05 * draw(200, 3, seed=2)
    weight = nn.Parameter(torch.eye(3, dtype=torch.float64) + 0.2 * draw(3, 3, seed=3))
    penalty, optimizer = NuclearNormPenalty(VECTORS), torch.optim.Adam([weight], 0.02)
    for _ in range(300):
        output, size = penalty.with_output(lambda v: v @ weight.T, x)
        loss = (output - target).square().mean() + 0.05 * size
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    _, gram = penalty.gram(lambda v: v @ weight.T, VECTORS, x)
    values = torch.linalg.eigvalsh(gram.detach()).sqrt()
    assert float(values[0]) < 0.05 * float(values[1])
    assert float(values[1]) > 0.5


@pytest.mark.parametrize("case", ["generic", "degenerate", "zero"])
def test_the_root_has_derivatives_of_every_order(case: str) -> None:
    factor = {"generic": draw(3, 5), "degenerate": torch.eye(3, 5).double(), "zero": torch.zeros(3, 5).double()}[case]
    smoothing = 0.3 if case == "zero" else 1e-3

    def of(a: Tensor) -> Tensor:
        return trace_of_root(a @ a.mT, smoothing)

    factor = factor.clone().requires_grad_()
    assert torch.autograd.gradcheck(of, factor)
    assert torch.autograd.gradgradcheck(of, factor)


def test_zero_is_safe_and_represented() -> None:
    layer = nn.Linear(3, 3)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    found = NuclearNormPenalty(VECTORS)(layer, torch.randn(8, 3))
    found.backward()
    assert abs(float(found.detach())) < 1e-15
    assert bool(torch.isfinite(layer.weight.grad).all())


def test_candidates_of_ones_own() -> None:
    basis = np.zeros((9, 3, 3))
    basis[np.arange(9), np.arange(9) // 3, np.arange(9) % 3] = 1.0
    claim = Symmetry(Group("all of gl(3)", basis), "vector", "invariant", batch=0)
    _, gram = NuclearNormPenalty(claim).gram(lambda v: v.square().sum(-1), claim, draw(50, 3))
    assert int((torch.linalg.eigvalsh(gram) < 1e-10).sum()) == 3  # so(3)


def test_the_prior_is_gaussian_on_both_parts() -> None:
    rep_in, rep_out = 2 * Vector() + Scalar(), Vector() + 2 * Scalar()
    claim = Symmetry(SO(3), rep_in, rep_out)
    prior = ResidualPathwayPrior(claim, equivariant=2.0, rest=0.5)
    weight, bias = draw(5, 7), draw(5, seed=1)
    part = intertwiners.project(weight, rep_in, rep_out, SO(3))
    flat = intertwiners.project_bias(bias, rep_out, SO(3))
    expected = (part.square().sum() + flat.square().sum()) / 8
    expected = expected + ((weight - part).square().sum() + (bias - flat).square().sum()) / 0.5
    assert float(prior(weight, bias)) == pytest.approx(float(expected), rel=1e-12)
    count = intertwiners.dimension(SO(3), rep_in, rep_out)
    values = torch.linalg.eigvalsh(torch.func.hessian(prior)(weight).reshape(35, 35))
    assert int((values - 1 / 4).abs().lt(1e-9).sum()) == count
    assert int((values - 4.0).abs().lt(1e-9).sum()) == 35 - count


def test_points_have_their_prior_about_what_moves_rightly() -> None:
    prior = ResidualPathwayPrior(Symmetry(SE(3), Points(), Points()), rest=1.0)
    assert float(prior(torch.eye(3))) == pytest.approx(1.5)
    assert float(prior(torch.zeros(3, 3))) == pytest.approx(1.5 + 1.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NuclearNormPenalty(VECTORS, smoothing=0.0), "smoothing must be above 0"),
        (
            lambda: NuclearNormPenalty(Symmetry(Cyclic(4), "image", "image"))(lambda x: x, draw(1, 4, 4)),
            r"Cyclic\(4\) has no Lie algebra of candidates",
        ),
        (lambda: ResidualPathwayPrior(VECTORS, rest=0.0), "widths must be above 0"),
        (lambda: ResidualPathwayPrior("vector"), "expected one Symmetry, got str"),
        (lambda: ResidualPathwayPrior(VECTORS)(draw(3)), "must be a matrix"),
    ],
)
def test_messages(call: Any, message: str) -> None:
    with pytest.raises((ValueError, StructureError, TypeError, RepresentationError), match=message):
        call()
