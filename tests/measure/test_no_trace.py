"""An audit leaves no trace, also when the model raises in the middle."""

from __future__ import annotations

import contextlib
import random

import numpy as np
import pytest
import torch
from torch import nn

from equiaudit import Symmetry, audit
from equiaudit.groups import E, O
from equiaudit.measure.state import preserved

RIGID = Symmetry(E(3), "points", "invariant")


class HalfWay(RuntimeError):
    """What ``Messy`` raises."""


class Messy(nn.Module):
    """Changes its buffers, its parameters, its gradients, its mode, its inputs and the default dtype; raises on demand."""

    def __init__(self, fail_at: int | None = None):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.weight = nn.Parameter(torch.ones(3))
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.calls, self.fail_at = 0, fail_at
        self.weight.grad = torch.full((3,), 0.25)

    def forward(self, x):
        self.calls += 1
        if self.fail_at is not None and int(self.count) >= self.fail_at:
            raise HalfWay
        self.count = self.count + 1
        self.norm(x.detach().to(self.norm.weight.dtype))
        with torch.no_grad():
            self.weight.mul_(1.0000001)
        self.frozen.requires_grad_(True)
        self.eval()
        torch.set_default_dtype(torch.float64)
        torch.rand(3)
        np.random.rand()  # noqa: NPY002  the global state is what must not change
        random.random()
        centred = x - x.mean(0)
        x.detach().zero_()
        if self.weight.requires_grad:
            (self.weight.sum() * 1.0).backward()
        return centred.norm(dim=-1)


def snapshot(model):
    state = {k: v.clone() for k, v in model.state_dict().items()}
    ids = {k: id(p) for k, p in model.named_parameters()} | {k: id(b) for k, b in model.named_buffers()}
    grads = {k: None if p.grad is None else p.grad.clone() for k, p in model.named_parameters()}
    flags = {k: p.requires_grad for k, p in model.named_parameters()}
    modes = {k: m.training for k, m in model.named_modules()}
    rng = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    return state, ids, grads, flags, modes, rng, torch.get_default_dtype()


def same(a, b):
    for key in a[0]:
        assert torch.equal(a[0][key], b[0][key]), key
    assert a[1] == b[1]
    for key in a[2]:
        assert (a[2][key] is None) == (b[2][key] is None), key
        assert a[2][key] is None or torch.equal(a[2][key], b[2][key]), key
    assert a[3] == b[3]
    assert a[4] == b[4]
    assert torch.equal(a[5][0], b[5][0])
    assert a[5][1:] == b[5][1:]
    assert a[6] == b[6]


@pytest.mark.parametrize("reference", ["auto", False])
@pytest.mark.parametrize("fail_at", [None, 0, 1, 2, 5])
def test_nothing_has_changed(reference, fail_at):
    torch.manual_seed(0)
    model, x = Messy(fail_at), torch.randn(6, 3)
    before, given = snapshot(model), x.clone()
    # Where it may raise it need not: an audit may be over before that many calls.
    with contextlib.suppress(HalfWay) if fail_at is not None else contextlib.nullcontext():
        audit(model, x, RIGID, reference=reference, perturb=False)
    same(before, snapshot(model))
    assert torch.equal(x, given)
    assert not x.requires_grad
    assert x.grad is None


def test_perturbed_parameters_are_restored():
    model, x = nn.Linear(3, 1, bias=False), torch.randn(5, 3)
    before = snapshot(model)
    audit(model, x, Symmetry(O(3), "vector", "invariant"), perturb=True)
    audit(model, x, Symmetry(O(3), "vector", "invariant"), perturb=True, reference=False)
    same(before, snapshot(model))


def test_without_the_guard_the_messy_model_does_leave_traces():
    model, x = Messy(), torch.randn(6, 3)
    before = snapshot(model)
    try:
        model(x.clone())
        with pytest.raises(AssertionError):
            same(before, snapshot(model))
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_buffer_that_is_replaced_gets_its_object_back():
    model = Messy()
    held = model.count
    with preserved(model):
        model.count = model.count + 5
    assert model.count is held


def test_an_input_that_requires_grad_keeps_its_graph():
    x = torch.randn(5, 3, requires_grad=True)
    y = x * 2
    audit(lambda x: (x - x.mean(0)).norm(dim=-1), y, RIGID)
    assert y.grad_fn is not None
    assert x.grad is None


def test_it_runs_under_no_grad_and_inference_mode():
    x = torch.randn(5, 3)
    model = lambda x: (x - x.mean(0)).norm(dim=-1)  # noqa: E731
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert audit(model, x, RIGID).passed
