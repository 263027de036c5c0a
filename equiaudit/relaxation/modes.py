"""Train and eval modes, and the buffers that depend on them, set and given back module by module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def keeping_modes(model: nn.Module) -> Iterator[None]:
    """Every module has its own mode and the names of its own buffers, in their order, after the block.

    By each module's own ``train``, parents first: escnn builds filters there for the eval mode, and discards buffers on
    the way back that a new layer has in its ``state_dict``.
    """
    before = {module: module.training for module in model.modules()}
    buffers = {module: dict(module._buffers) for module in before}
    try:
        yield
    finally:
        for _ in range(2):  # twice: a module with two parents may be changed by the second
            for module, training in before.items():
                if module.training != training:
                    module.train(training)
        for module, old in buffers.items():
            _give_back(module, old)


def _give_back(module: nn.Module, old: dict[str, Tensor | None]) -> None:
    now = module._buffers
    lost = {name: value for name, value in old.items() if name not in now and not hasattr(module, name)}
    if lost or list(now) != list(old):
        ordered = {name: {**lost, **now}[name] for name in [*old, *now] if name in now or name in lost}
        now.clear()
        now.update(ordered)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode inside the block."""
    with keeping_modes(model):
        model.eval()
        yield


def detach_buffers(model: nn.Module) -> None:
    """Take the graph off buffers: a filter that escnn expands for the eval mode has one, and can't be copied with it."""
    for module in model.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None and buffer.grad_fn is not None:
                module._buffers[name] = buffer.detach()
