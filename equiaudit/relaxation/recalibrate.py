"""Batch-norm statistics estimated anew: those of the relaxed forward belong to another model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from equiaudit.relaxation.modes import evaluating


@torch.no_grad()
def recalibrate(model: nn.Module, loader: Iterable[Any]) -> tuple[str, ...]:
    """Reset the running statistics of every batch-norm layer and average them over the batches of a loader.

    Args:
        model: in place.
        loader: batches; a tuple or list is read as (inputs, …) and its first entry is given to the model, a mapping as
            keywords, anything else as the one argument.

    Returns:
        The names of the layers that were recalibrated.

    Raises:
        ValueError: the loader gave no batch.
    """
    norms = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats
    }
    if not norms:
        return ()
    momenta = {name: module.momentum for name, module in norms.items()}
    count = 0
    with evaluating(model):
        for module in norms.values():
            module.reset_running_stats()
            module.momentum = None  # the plain mean over batches
            module.train()
        try:
            for batch in loader:
                if isinstance(batch, Mapping):
                    model(**batch)
                else:
                    model(batch[0] if isinstance(batch, (tuple, list)) else batch)
                count += 1
        finally:
            for name, module in norms.items():
                module.momentum = momenta[name]
    if not count:
        raise ValueError("loader= gave no batch, so the batch-norm statistics could not be estimated")
    return tuple(norms)
