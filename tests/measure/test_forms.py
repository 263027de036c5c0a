"""Inputs of a special form are varied within it: a model of symmetric tensors is not accused on others."""

from __future__ import annotations

import math

import pytest
import torch

from equiaudit import Symmetry, Verdict, audit
from equiaudit.groups import O, Permutations
from equiaudit.measure.forms import add_noise, form_of
from equiaudit.representations import CartesianTensor, Nodes

ANY = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
STRAIN = ANY + ANY.mT
COVARIANCE = torch.diag_embed(torch.tensor([[1.0, 1.0, 1e-3]], dtype=torch.float64)).repeat(4, 1, 1)
NOISE = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
TRACELESS = STRAIN - STRAIN.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None] * torch.eye(3)


@pytest.mark.parametrize(
    ("model", "tensor"),
    [(torch.linalg.eigvalsh, STRAIN), (torch.linalg.cholesky, COVARIANCE), (torch.linalg.eigvalsh, STRAIN.float())],
    ids=["eigenvalues", "Cholesky", "float32"],
)
def test_a_model_of_symmetric_tensors_is_exact(model, tensor) -> None:
    def volume(t):
        return model(t).diagonal(dim1=-2, dim2=-1).prod(-1) if model is torch.linalg.cholesky else model(t)

    found = audit(volume, tensor, Symmetry(O(3), "tensor", "invariant"))
    assert found.verdict is Verdict.EXACT, str(found)


def test_what_reads_one_triangle_of_any_tensor_is_broken() -> None:
    assert audit(torch.linalg.eigvalsh, ANY, Symmetry(O(3), "tensor", "invariant")).verdict is Verdict.BROKEN


@pytest.mark.parametrize(
    ("tensor", "sign"), [(STRAIN, 1), (ANY - ANY.mT, -1), (ANY, 0), (torch.zeros(4, 3, 3, dtype=torch.float64), 1)]
)
def test_noise_keeps_the_form(tensor, sign) -> None:
    new = add_noise(tensor, CartesianTensor(), NOISE, 0.05)
    assert form_of(tensor) == sign
    assert form_of(new) == sign
    change = (new - tensor).square().mean().sqrt() / (tensor.square().mean().sqrt() or 1.0)
    assert 0.02 < change < 0.2


def test_noise_keeps_signs_of_eigenvalues_and_a_trace_of_zero() -> None:
    for k in range(20):
        noise = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
        assert bool((torch.linalg.eigvalsh(add_noise(COVARIANCE, CartesianTensor(), noise, 0.05)) > 0).all())
    trace = add_noise(TRACELESS, CartesianTensor(), NOISE, 0.05).diagonal(dim1=-2, dim2=-1).sum(-1)
    assert float(trace.abs().max()) < 1e-14
    assert (
        float(add_noise(STRAIN, CartesianTensor(), NOISE, 0.05).diagonal(dim1=-2, dim2=-1).sum(-1).abs().max()) > 1e-3
    )


def test_weights_of_an_undirected_graph_stay_symmetric() -> None:
    weights = STRAIN[0].exp()

    def spectrum(w):
        return torch.linalg.eigvalsh(w).sum(-1, keepdim=True)

    assert form_of(add_noise(weights, Nodes(-2) * Nodes(-1), NOISE[0], 0.05)) == 1
    pairs = Symmetry(Permutations(), Nodes(-2) * Nodes(-1), "invariant")
    assert audit(spectrum, weights, pairs).verdict is Verdict.EXACT


def test_values_that_are_not_finite_do_not_spread() -> None:
    tensor = STRAIN.clone()
    tensor[0, 0, 0] = math.inf
    new = add_noise(tensor, CartesianTensor(), NOISE, 0.05)
    assert bool(new[1:].isfinite().all())
