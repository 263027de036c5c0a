"""Whether a derivative can be trained on: its gradient against central differences, along one direction of the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from equiaudit.measure.direction import Tensors
from equiaudit.measure.rungs import Rung, ready_to_differentiate

Function = Callable[[Sequence[Tensor]], list[Tensor]]
WIDE_STEPS = ((1e-6, 1e-5), (1e-8, 1e-4), (1e-4, 1e-3))
"""Steps in units of the size of each weight, each with the disagreement that is allowed there, in double precision."""
OWN_STEPS = ((3e-3, 3e-2), (1e-2, 3e-2), (3e-4, 1e-1))
"""The same in single precision, for models that can't run in double."""
JITTER = 1e-2
"""How far the weights are moved first: at zeros a rectifier has no derivative and a product no second one."""


def wrong_gradient(
    function: Function,
    primals: Tensors,
    tangents: Tensors,
    rung: Rung,
    modules: Sequence[nn.Module],
) -> str | None:
    """How the gradient of Df(x)[v] with respect to weights disagrees with differences; None where it does not.

    S(θ) = ⟨u, Df(x)[v]⟩ for a random u is differentiated along a random direction of θ, and compared with
    (S(θ + hd) − S(θ − hd)) / 2h: three passes, in double precision where the model takes it, else in its own. θ are the
    weights that the graph ends in and the primals that require grad; they come back as they were, to the last bit.
    Fewer than four bytes are compared in double precision alone, or not at all.
    """
    with ready_to_differentiate():
        ends = _leaves(*rung(function, primals, tangents, True))
    known = {id(x) for x in primals}
    ends = [x for x in ends if id(x) not in known]
    registered = [
        t for m in modules for t in (*m.parameters(), *m.buffers()) if t.is_floating_point() or t.is_complex()
    ]
    held = {id(t): t for t in (*ends, *registered)}
    try:
        with ready_to_differentiate(), _doubled(list(held.values())):
            start = tuple(_double(x.detach()).requires_grad_(x.requires_grad) for x in primals)
            return _compare(function, start, tuple(_double(v) for v in tangents), rung, ends, WIDE_STEPS)
    except Exception:
        # types of its own making, or a device without double precision
        if any(x.dtype.itemsize < 4 for x in primals):
            return None
    with ready_to_differentiate():
        start = tuple(x.detach().requires_grad_(x.requires_grad) for x in primals)
        return _compare(function, start, tangents, rung, ends, OWN_STEPS)


def custom_functions(values: Sequence[Tensor | None]) -> list[str]:
    """The names of the ``torch.autograd.Function``s in a graph."""
    python = torch.autograd.function.BackwardCFunction
    found = {type(n).__name__.removesuffix("Backward") for n in _nodes(values) if isinstance(n, python)}
    return sorted(found)


def ends_of(values: Sequence[Tensor | None]) -> list[Tensor]:
    """The leaves that a graph ends in: weights, wherever the model keeps them."""
    return [n.variable for n in _nodes(values) if hasattr(n, "variable")]


def _nodes(values: Sequence[Tensor | None]) -> list[Any]:
    nodes, seen = [v.grad_fn for v in values if v is not None], dict[Any, None]()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen[node] = None
        nodes += [below for below, _ in node.next_functions]
    return list(seen)


def _leaves(values: Sequence[Tensor], slopes: Sequence[Tensor | None]) -> list[Tensor]:
    # by name: values and slopes share one graph, and only what reaches the slopes is compared
    return [x for x in ends_of(slopes) if x.is_floating_point() or x.is_complex()]


def _compare(
    function: Function,
    primals: Tensors,
    tangents: Tensors,
    rung: Rung,
    weights: Sequence[Tensor],
    steps: Sequence[tuple[float, float]],
) -> str | None:
    moving = [*weights, *(x for x in primals if x.requires_grad)]
    if not moving:
        return None
    draw = torch.Generator().manual_seed(0)
    start = [x.data.clone() for x in moving]
    sizes = [float(x.abs().square().mean().sqrt()) or 1.0 if x.numel() else 1.0 for x in start]
    directions, away = ([s * _noise(x, draw) for s, x in zip(sizes, start, strict=True)] for _ in range(2))
    scales: list[tuple[Tensor, float]] = []

    def measured() -> Tensor:
        slopes = [s for s in rung(function, primals, tangents, True)[1] if s is not None and s.requires_grad]
        if not scales:
            sizes_of = [float(s.detach().abs().square().mean().sqrt()) or 1.0 for s in slopes]
            scales.extend(
                (_noise(s.detach(), draw) / max(1, s.numel()) ** 0.5, size)
                for s, size in zip(slopes, sizes_of, strict=True)
            )
        terms = [_inner(u, s) / size for s, (u, size) in zip(slopes, scales, strict=True)]
        return torch.stack(terms).sum()

    def at(shift: float, jitter: float) -> Tensor:
        for x, x0, d, a in zip(moving, start, directions, away, strict=True):
            x.data.copy_(x0 + jitter * a + shift * d)
        return measured()

    try:
        for jitter in (JITTER, 0.0):
            scales.clear()
            value = at(0.0, jitter)
            grads = torch.autograd.grad(value, moving, allow_unused=True)
            pulled = sum(float(_inner(g, d)) for g, d in zip(grads, directions, strict=True) if g is not None)
            gaps = []
            for step, allowed in steps:
                slope = float(at(step, jitter).detach() - at(-step, jitter).detach()) / (2 * step)
                gap, size = abs(slope - pulled), max(abs(slope), abs(pulled))
                if gap <= allowed * size + 100 * torch.finfo(value.dtype).eps / step:
                    return None
                gaps.append(gap / size)
            if all(g == g and g != float("inf") for g in gaps):
                return (
                    f"the gradient of its derivative is wrong by {min(gaps):.1%}, says a central difference in "
                    f"{str(value.dtype).removeprefix('torch.')}"
                )
    finally:
        for x, x0 in zip(moving, start, strict=True):
            x.data.copy_(x0)
    return None


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return (a.conj() * b).real.sum() if b.is_complex() else (a * b).sum()


def _noise(x: Tensor, draw: torch.Generator) -> Tensor:
    real = torch.float64 if x.dtype in (torch.float64, torch.complex128) else torch.float32
    wide = torch.complex128 if real == torch.float64 else torch.complex64
    return torch.randn(x.shape, dtype=wide if x.is_complex() else real, generator=draw).to(x.device, x.dtype)


def _double(x: Tensor) -> Tensor:
    return x.to(torch.complex128) if x.is_complex() else x.double() if x.is_floating_point() else x


@contextmanager
def _doubled(tensors: Sequence[Tensor]) -> Iterator[None]:
    # in place, since a closure can't be copied; every tensor gets its own storage back
    default = torch.get_default_dtype()
    before = [(x, x.data) for x in tensors if x.dtype not in (torch.float64, torch.complex128)]
    try:
        torch.set_default_dtype(torch.float64)
        for x, data in before:
            x.data = _double(data)
        with torch.autocast("cpu", enabled=False), torch.autocast(_device(tensors), enabled=False):
            yield
    finally:
        torch.set_default_dtype(default)
        for x, data in before:
            x.data = data


def _device(tensors: Sequence[Tensor]) -> str:
    return next((x.device.type for x in tensors), "cpu")
