"""Vector-neuron layers: every channel is a vector, and only channels are mixed.

Features are [..., channels, d]: the last dimension is space, the one before counts vectors. Deng et al., "Vector Neurons: A
General Framework for SO(3)-Equivariant Networks", ICCV 2021.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _checked(x: Tensor, channels: int, layer: nn.Module) -> Tensor:
    if x.dim() < 2 or x.shape[-2] != channels:
        raise ValueError(
            f"{type(layer).__name__} takes features [..., {channels}, d]: channels before space; got {list(x.shape)}"
        )
    return x


def _wide(x: Tensor) -> Tensor:
    # the square of a short vector is zero in half precision, and one over it overflows in the backward pass
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


class VNLinear(nn.Module):
    """Mix vector channels: V ↦ W V (Deng et al. 2021, eq. 3). No bias: an added constant vector would not turn.

    Args:
        in_channels: vectors in.
        out_channels: vectors out.

    >>> VNLinear(4, 2)(torch.randn(8, 4, 3)).shape
    torch.Size([8, 2, 3])
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in ±1/√in_channels, as ``torch.nn.Linear`` starts."""
        bound = self.in_channels**-0.5 if self.in_channels else 0.0
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_channels, d] to [..., out_channels, d]."""
        return self.weight @ _checked(x, self.in_channels, self)

    def extra_repr(self) -> str:
        """Channels in and out."""
        return f"{self.in_channels}, {self.out_channels}"


class VNLeakyReLU(nn.Module):
    """Cut what points against a learned direction k = U V (Deng et al. 2021, eq. 5 to 7).

    v where ⟨v, k⟩ ≥ 0, else v − (1 − slope) ⟨v, k⟩ k / |k|².

    Args:
        channels: vectors in and out.
        slope: what is left of the part that points against k; 0 is the ReLU.
        shared: one direction for all channels.

    >>> VNLeakyReLU(4)(torch.randn(8, 4, 3)).shape
    torch.Size([8, 4, 3])
    """

    def __init__(self, channels: int, slope: float = 0.2, shared: bool = False) -> None:
        super().__init__()
        self.channels, self.slope = channels, slope
        self.direction = VNLinear(channels, 1 if shared else channels)

    def forward(self, x: Tensor) -> Tensor:
        """[..., channels, d] to the same."""
        k = _wide(self.direction(_checked(x, self.channels, self)))
        v = _wide(x)
        along = (v * k).sum(-1, keepdim=True)
        # the square of the norm is bounded below by the smallest normal number, not by a visible constant
        square = k.square().sum(-1, keepdim=True).clamp(min=torch.finfo(k.dtype).tiny)
        return (v - (1 - self.slope) * along.clamp(max=0) / square * k).to(x.dtype)

    def extra_repr(self) -> str:
        """The slope."""
        return f"{self.channels}, slope={self.slope}"


class VNBatchNorm(nn.Module):
    """Normalise the lengths of the vectors, not their components (Deng et al. 2021, eq. 9).

    v ↦ v · BatchNorm(|v|) / |v|; the statistics are those of each channel over all leading dimensions.

    Args:
        channels: vectors in and out.
        eps: added to the length, so that zero stays zero.

    >>> VNBatchNorm(4)(torch.randn(8, 4, 3)).shape
    torch.Size([8, 4, 3])
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.channels, self.eps = channels, eps
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[..., channels, d] to the same."""
        _checked(x, self.channels, self)
        # inside the root: the derivative of a norm at zero is not finite
        v = _wide(x)
        length = (v.square().sum(-1) + self.eps**2).sqrt()
        own = self.norm.weight.dtype  # float under autocast, half in a half-precision model
        scaled = self.norm(length.to(own).reshape(-1, self.channels)).reshape(length.shape)
        return (v * (scaled / length)[..., None]).to(x.dtype)


class VNMeanPool(nn.Module):
    """The mean over points: [..., points, channels, d] to [..., channels, d].

    >>> VNMeanPool()(torch.randn(8, 16, 4, 3)).shape
    torch.Size([8, 4, 3])
    """

    def forward(self, x: Tensor) -> Tensor:
        """The mean over dimension −3."""
        return x.mean(-3)


class VNMaxPool(nn.Module):
    """Of each channel the vector that goes furthest along a learned direction k = U V (Deng et al. 2021, eq. 8).

    Args:
        channels: vectors in and out.

    >>> VNMaxPool(4)(torch.randn(8, 16, 4, 3)).shape
    torch.Size([8, 4, 3])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.direction = VNLinear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[..., points, channels, d] to [..., channels, d]."""
        along = (x * self.direction(_checked(x, self.channels, self))).sum(-1)
        best = along.argmax(-2)[..., None, :, None].expand(*x.shape[:-3], 1, *x.shape[-2:])
        return x.gather(-3, best).squeeze(-3)


class VNInvariant(nn.Module):
    """Invariant features ⟨v_i, t_j⟩, with a learned equivariant frame t (Deng et al. 2021, eq. 10).

    Args:
        channels: vectors in; channels × frame numbers come out.
        frame: vectors in the frame: 3 loses nothing in three dimensions.

    >>> VNInvariant(4)(torch.randn(8, 4, 3)).shape
    torch.Size([8, 12])
    """

    def __init__(self, channels: int, frame: int = 3) -> None:
        super().__init__()
        self.channels = channels
        self.mix = VNLinear(channels, channels)
        self.activation = VNLeakyReLU(channels)
        self.frame = VNLinear(channels, frame)

    def forward(self, x: Tensor) -> Tensor:
        """[..., channels, d] to [..., channels * frame]."""
        frame = self.frame(self.activation(self.mix(_checked(x, self.channels, self))))
        return (x @ frame.mT).flatten(-2)
