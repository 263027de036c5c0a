"""Operations as a differentiated model runs them: no products that vanish, and norms with right second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from equiaudit.penalties.norms import COMPOSED

_WITH_BIAS = {F.linear, F.conv1d, F.conv2d, F.conv3d, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d}
_GRADIENTS = {torch.autograd.grad: 4, torch.autograd.backward: 3, Tensor.backward: 3}  # where create_graph stands
_PRODUCTS = {torch.matmul, torch.mm, torch.bmm, Tensor.matmul, Tensor.mm, Tensor.bmm, Tensor.__matmul__}


class SplitTangents(TorchFunctionMode):
    """Takes y = W x + b as primal W x + b and tangent W ẋ where only one factor has a tangent.

    PyTorch's rule for a product is Ẇ x + W ẋ, and a missing Ẇ is filled with zeros, multiplied and differentiated: a third
    of a training step on a perceptron. The numbers are the same. Layer, instance and batch norm are composed from means and
    roots (``penalties.norms``), also where another method than forward mode is used.

    >>> with forward_ad.dual_level(), SplitTangents():
    ...     x = forward_ad.make_dual(torch.ones(1, 2), torch.tensor([[1.0, 0.0]]))
    ...     forward_ad.unpack_dual(F.linear(x, torch.tensor([[2.0, 3.0]]), torch.ones(1)))
    UnpackedDualTensor(primal=tensor([[6.]]), tangent=tensor([[2.]]))
    """

    def __init__(self) -> None:
        super().__init__()
        self.cut: str | None = None
        """The name of a gradient that the model took without keeping its graph."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Splits products and linear layers, composes norms; everything else as it is."""
        kwargs = kwargs or {}
        if func in _GRADIENTS and not kwargs.get("create_graph") and not any(args[_GRADIENTS[func] :][:1]):
            self.cut = "torch.autograd.grad" if func is torch.autograd.grad else "backward()"
        if func in COMPOSED:
            composed = COMPOSED[func](*args, **kwargs)
            return func(*args, **kwargs) if composed is None else composed
        if func in _WITH_BIAS and len(args) >= 2 and "input" not in kwargs:
            found = _split(func, args, kwargs, has_bias=True)
        elif func in _PRODUCTS and len(args) == 2 and not kwargs:
            found = _split(func, args, kwargs, has_bias=False)
        else:
            found = None
        return func(*args, **kwargs) if found is None else found


def _split(func: Callable[..., Any], args: Any, kwargs: Any, has_bias: bool) -> Tensor | None:
    x, w = args[:2]
    if not isinstance(x, Tensor) or not isinstance(w, Tensor):
        return None
    (px, tx), (pw, tw) = forward_ad.unpack_dual(x), forward_ad.unpack_dual(w)
    if (tx is None) == (tw is None):
        return None
    rest = args[2:]
    if has_bias:
        bias = rest[0] if rest else kwargs.get("bias")
        if bias is not None and forward_ad.unpack_dual(bias).tangent is not None:
            return None
        y = func(px, pw, *rest, **kwargs)
        without = {k: v for k, v in kwargs.items() if k != "bias"}
        slope = func(px if tx is None else tx, pw if tw is None else tw, None, *rest[1:], **without)
    else:
        y = func(px, pw)
        slope = func(px if tx is None else tx, pw if tw is None else tw)
    return forward_ad.make_dual(y, slope)
