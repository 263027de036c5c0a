"""Models with changed numbers: stored constants shaken by a rounding error, parameters that hide a fault made generic."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from equiaudit.measure.precision import copy_model, is_inexact, roundoff
from equiaudit.measure.rules import SHAKE
from equiaudit.measure.state import modules_of

HASHES = 2097143
"""A prime: hashes lie below it."""


def shake_constants(model: Any, dtype: torch.dtype, seed: int, amplitude: float = SHAKE) -> Any:
    """A copy whose stored numbers that ``dtype`` can't hold exactly are multiplied by 1 + 64·u·ξ.

    The factor is keyed by the absolute value, so that numbers which belong together (±c in a Clebsch-Gordan table) stay
    together. Short dyadic numbers (0, ½, 3, …) are exact in every precision and stay.
    """
    out = copy_model(model, None)
    size = amplitude * roundoff(dtype)
    with torch.no_grad():
        for root in modules_of(out):
            for t in _stored(root):
                t.copy_(_shaken(t, size, seed))
            for module in root.modules():
                for name, value in vars(module).items():
                    if type(value) is float and 0 < abs(value) < 1e30:  # a number such as float32(1/3) kept as it was
                        vars(module)[name] = float(_shaken(torch.tensor(value, dtype=torch.float64), size, seed))
    return out


def _stored(root: nn.Module) -> Iterable[Tensor]:
    seen: set[int] = set()
    for module in root.modules():
        held = [*module._parameters.values(), *module._buffers.values(), *vars(module).values()]
        for t in held:
            if is_inexact(t) and id(t) not in seen:
                seen.add(id(t))
                yield t.detach()


def _shaken(t: Tensor, size: float, seed: int) -> Tensor:
    if t.is_complex():
        return torch.complex(_shaken(t.real, size, seed), _shaken(t.imag, size, seed))
    short = (t * 256).round() == t * 256
    # a cheap deterministic hash of |t| to [−1, 1)
    bits = t.abs().to(torch.float32).view(torch.int32).to(torch.int64)
    bits = bits * 2654435761 % HASHES
    bits = bits * (bits + seed * 1296103 + 1) % HASHES  # another seed gives other numbers, not shifted ones
    xi = bits.to(t.dtype) / (HASHES / 2) - 1
    # what a kernel summed up is off by the rounding of its terms, which small results feel more
    typical = t.square().mean().sqrt() if t.numel() > 1 else t.abs()
    return torch.where(short, t, t + size * xi * torch.sign(t) * torch.maximum(t.abs(), 0.5 * typical))


def hiding_parameters(model: Any) -> list[str]:
    """Names of trainable tensors whose entries are all equal: zero-initialised biases and outputs, unit scales."""
    found = []
    for root in modules_of(model):
        for name, p in root.named_parameters():
            if p.requires_grad and p.numel() and is_inexact(p) and bool((p == p.flatten()[0]).all()) and p.numel() > 0:
                found.append(name)
    return found


def randomise(model: Any, names: Iterable[str], seed: int, size: float = 0.1) -> Any:
    """A copy in which the named parameters get normal noise of the size 0.1, or of a tenth of their RMS if that is larger."""
    out = copy_model(model, None)
    randomise_(out, names, seed, size)
    return out


def randomise_(model: Any, names: Iterable[str] | None, seed: int, size: float = 0.1) -> None:
    """The same in place; all trainable parameters where ``names`` is None."""
    generator = torch.Generator().manual_seed(seed)
    wanted = None if names is None else set(names)
    with torch.no_grad():
        for root in modules_of(model):
            for name, p in root.named_parameters():
                if not is_inexact(p) or (wanted is not None and name not in wanted):
                    continue
                noise = torch.randn(p.shape, dtype=torch.float64, generator=generator)
                scale = max(size, 0.1 * float(p.detach().abs().double().square().mean().sqrt() if p.numel() else 0.0))
                p.add_((scale * noise).to(p.device, p.dtype))
