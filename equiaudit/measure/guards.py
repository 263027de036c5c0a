"""Contexts in which a model is differentiated: attention that has derivatives, TorchScript that would drop them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_iter

SCRIPTS = ("ScriptFunction", "ScriptMethod")


class TangentLostError(RuntimeError):
    """A tangent was about to enter code that drops it without a word."""


@contextmanager
def math_attention() -> Iterator[None]:
    """Compute attention from plain operations, which have derivatives of every order; restore the settings afterwards.

    Fused attention kernels and the fast path of ``nn.TransformerEncoder`` have no forward derivative.

    >>> query = torch.ones(1, 1, 2, 4)
    >>> with math_attention():
    ...     out, slope = torch.func.jvp(
    ...         lambda q: torch.nn.functional.scaled_dot_product_attention(q, q, q), (query,), (query,))
    >>> bool(torch.isfinite(slope).all())
    True
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@contextmanager
def refuse_scripts() -> Iterator[None]:
    """Raise when TorchScript is called on a tensor that carries a tangent; restore the calls afterwards.

    TorchScript's optimiser puts differentiable subgraphs behind one autograd node that has no forward derivative and
    gives none: a residual block ``x + scripted(x)`` then keeps the tangent of ``x`` alone. It starts doing so on the
    second or third call, so that a check on the first call proves nothing.

    Raises:
        TangentLostError: inside the context, at such a call.
    """
    kinds: list[Any] = [kind for kind in (getattr(torch._C, name, None) for name in SCRIPTS) if kind is not None]
    originals = [kind.__call__ for kind in kinds]
    for kind, original in zip(kinds, originals, strict=True):
        kind.__call__ = _refusing(original)
    try:
        yield
    finally:
        for kind, original in zip(kinds, originals, strict=True):
            kind.__call__ = original


def _refusing(original: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if any(carries_tangent(value) for value in tree_iter((args, kwargs))):
            raise TangentLostError("TorchScript code loses forward tangents on some calls")
        return original(self, *args, **kwargs)

    return call


def carries_tangent(value: Any) -> bool:
    """Whether a value is a tensor with a forward-mode tangent at the current level."""
    return isinstance(value, Tensor) and forward_ad.unpack_dual(value).tangent is not None
