"""Leaving no trace: what an audit may disturb is taken down before and put back after, also when a model raises."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def modules_of(model: Any) -> list[nn.Module]:
    """The modules that a model consists of: itself, the owner of a bound method, what a closure or a partial holds."""
    found: list[nn.Module] = []

    def look(value: Any, depth: int = 0) -> None:
        if depth > 3:
            return
        if isinstance(value, nn.Module):
            if all(value is not m for m in found):
                found.append(value)
            return
        if hasattr(value, "__self__"):
            look(value.__self__, depth + 1)
        for cell in getattr(value, "__closure__", None) or ():
            try:
                look(cell.cell_contents, depth + 1)
            except ValueError:  # a cell that is still empty
                continue
        for item in (getattr(value, "func", None), *(getattr(value, "args", None) or ())):
            if item is not None and depth < 3 and type(value).__name__ == "partial":
                look(item, depth + 1)
        if not callable(value) or isinstance(value, type):
            return
        for item in getattr(value, "__dict__", {}).values():
            if isinstance(item, nn.Module):
                look(item, depth + 1)

    look(model)
    return found


@contextmanager
def preserved(model: Any) -> Iterator[None]:
    """Restore parameters, buffers, gradients, flags, modes, random states and the default dtype on the way out.

    Tensors keep their identity and get their bytes back. Python attributes that a model sets on itself are not undone.
    """
    roots = modules_of(model)
    every = [m for root in roots for m in root.modules()]
    slots = [(m, dict(m._parameters), dict(m._buffers), m.training) for m in every]
    tensors = {id(t): t for _, p, b, _ in slots for t in (*p.values(), *b.values()) if t is not None}
    saved = [(t, t.detach().clone(), t.requires_grad, grad_of(t), _clone(grad_of(t))) for t in tensors.values()]
    dtype = torch.get_default_dtype()
    with random_states():
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            with torch.no_grad():
                for module, parameters, buffers, training in slots:
                    _put_back(module._parameters, parameters)
                    _put_back(module._buffers, buffers)
                    module.training = training
                for t, value, requires_grad, grad, grad_value in saved:
                    if not same_bytes(t.detach(), value):
                        t.data.copy_(value)
                    if not t.is_leaf:  # a result kept as a buffer, as escnn keeps its filters: it has neither
                        continue
                    if t.requires_grad != requires_grad:
                        t.requires_grad_(requires_grad)
                    t.grad = grad
                    if grad is not None and grad_value is not None and not same_bytes(grad, grad_value):
                        grad.data.copy_(grad_value)


def same_bytes(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are equal, NaN included."""
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


def grad_of(t: Tensor) -> Tensor | None:
    """The gradient of a leaf; other tensors have none, and warn when they are asked."""
    return t.grad if t.is_leaf else None


def _clone(t: Tensor | None) -> Tensor | None:
    return None if t is None else t.detach().clone()


def _put_back(now: dict[str, Any], before: dict[str, Any]) -> None:
    if list(now) != list(before) or any(now[k] is not before[k] for k in before):
        now.clear()
        now.update(before)


@contextmanager
def random_states() -> Iterator[None]:
    """Restore the random states of torch (all devices in use), numpy and random on the way out."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002  models draw from the legacy generator
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002  models draw from the legacy generator


def seed_everything(seed: int) -> None:
    """Seed torch, numpy and random."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  models draw from the legacy generator


@contextmanager
def default_dtype(dtype: torch.dtype | None) -> Iterator[None]:
    """Set torch's default dtype for a while; None leaves it."""
    before = torch.get_default_dtype()
    try:
        if dtype is not None:
            torch.set_default_dtype(dtype)
        yield
    finally:
        torch.set_default_dtype(before)
