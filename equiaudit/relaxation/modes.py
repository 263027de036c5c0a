"""Train and eval modes, set and given back module by module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def keeping_modes(model: nn.Module) -> Iterator[None]:
    """Every module has its own mode again after the block.

    By each module's own ``train``, parents first: escnn builds and discards filters there.
    """
    before = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for _ in range(2):  # twice: a module with two parents may be changed by the second
            for module, training in before.items():
                if module.training != training:
                    module.train(training)


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
