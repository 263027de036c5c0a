"""Leaving no trace: what an audit may disturb is taken down before and put back after, also when a model raises."""

from __future__ import annotations

import dis
import functools
import random
import types
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

DEPTH = 12
"""How far a module may be hidden in lists, partials and functions that call functions."""
HOLDERS = (nn.Module, list, tuple, dict, types.FunctionType, types.MethodType, functools.partial)
"""What may hold a module, of the globals that a function names."""
PLAIN = {int, float, complex, bool, str, bytes, type(None), Tensor, np.ndarray}
"""What holds none: a list may have millions of them."""


def modules_of(model: Any) -> list[nn.Module]:
    """The modules that a model consists of, in the order in which they are met.

    Itself, the owner of a bound method, what a closure, a default, a partial or a callable object holds, also in a list or a
    dict, and what a function reaches by the name of a global.
    """
    found: list[nn.Module] = []
    seen: set[int] = set()

    def look(values: Iterable[Any], depth: int) -> None:
        for value in values:
            if type(value) in PLAIN or id(value) in seen or depth > DEPTH:
                continue
            seen.add(id(value))  # containers may hold themselves, and functions call each other
            if isinstance(value, nn.Module):
                found.append(value)
            elif isinstance(value, (list, tuple, set)):
                look(value, depth + 1)
            elif isinstance(value, dict):
                look(value.values(), depth + 1)
            elif isinstance(value, types.FunctionType):
                look([c.cell_contents for c in value.__closure__ or () if _filled(c)], depth + 1)
                look([*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()], depth + 1)
                held = [value.__globals__[n] for n in global_names(value.__code__) if n in value.__globals__]
                look([v for v in held if isinstance(v, HOLDERS)], depth + 1)
            elif isinstance(value, types.MethodType):
                look([value.__self__, value.__func__], depth + 1)
            elif isinstance(value, functools.partial):
                look([value.func, *value.args, *value.keywords.values()], depth + 1)
            elif callable(value) and not isinstance(value, type) and hasattr(value, "__dict__"):
                look(list(vars(value).values()), depth + 1)

    look([model], 0)
    return found


@functools.cache
def global_names(code: types.CodeType) -> frozenset[str]:
    """The globals that a function reads, those of functions that it defines included.

    >>> sorted(global_names((lambda x: [print(len(y)) for y in x.items]).__code__))
    ['len', 'print']
    """
    mine = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    inner = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return frozenset(mine.union(*map(global_names, inner)))


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018  reading is the test
    except ValueError:
        return False
    return True


@contextmanager
def preserved(model: Any) -> Iterator[None]:
    """Restore parameters, buffers, gradients, flags, modes, random states and the default dtype on the way out.

    Tensors keep their identity and get their bytes back. Python attributes that a model sets on itself are not undone.
    """
    every = [m for root in modules_of(model) for m in root.modules()]
    slots = [(m, dict(m._parameters.items()), dict(m._buffers.items()), m.training) for m in every]
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
                    if t.dtype != value.dtype:
                        t.data = value
                    elif not same_bytes(t.detach(), value):
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


def _put_back(now: Any, before: dict[str, Any]) -> None:
    if not isinstance(now, dict):  # TorchScript hands out views: its tensors have their bytes back already
        return
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
