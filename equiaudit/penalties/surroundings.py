"""What a training step has around a model: wrappers, random states, buffers that a forward updates."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from equiaudit.measure.state import modules_of

_WRAPPERS = {"DistributedDataParallel": "module", "DataParallel": "module", "OptimizedModule": "_orig_mod"}


def unwrap(model: Any) -> Any:
    """The module inside DistributedDataParallel, DataParallel and torch.compile, which refuse derivatives.

    >>> unwrap(torch.nn.DataParallel(torch.nn.ReLU()))
    ReLU()
    """
    while isinstance(model, nn.Module) and type(model).__name__ in _WRAPPERS:
        model = getattr(model, _WRAPPERS[type(model).__name__])
    return model


def synchronises(model: Any) -> bool:
    """Whether a model must be called through its wrapper, so that gradients are averaged over processes."""
    while isinstance(model, nn.Module) and type(model).__name__ in _WRAPPERS:
        if type(model).__name__ == "DistributedDataParallel":
            return True
        model = getattr(model, _WRAPPERS[type(model).__name__])
    return False


class Moment:
    """The random states and the buffers of a model as they are now: several passes can start from the same place.

    What a penalty computes besides one forward thus sees the same dropout mask, and leaves running statistics alone.
    """

    def __init__(self, model: Any) -> None:
        self.buffers: list[Tensor] = [b for m in modules_of(model) for b in m.buffers()]
        self.values = [b.detach().clone() for b in self.buffers]
        self.random = _random_states()

    def rewind(self) -> None:
        """Back to this moment."""
        for buffer, value in zip(self.buffers, self.values, strict=True):
            # through .data: graphs of earlier passes that saved the buffer don't read it again
            buffer.data.copy_(value)
        _set_random_states(self.random)

    @contextmanager
    def again(self, model: Any) -> Iterator[None]:
        """Start from this moment, and leave things as they were before."""
        now = Moment(model)
        self.rewind()
        try:
            yield
        finally:
            now.rewind()


def _random_states() -> tuple[Any, ...]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else None
    return torch.get_rng_state(), cuda, random.getstate(), np.random.get_state()  # noqa: NPY002  models draw from it


def _set_random_states(states: tuple[Any, ...]) -> None:
    torch.set_rng_state(states[0])
    if states[1] is not None:
        torch.cuda.set_rng_state_all(states[1])
    random.setstate(states[2])
    np.random.set_state(states[3])  # noqa: NPY002  models draw from it
