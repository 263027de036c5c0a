"""Moving images by their Fourier series: shifts by any amount, derivatives, and turns as three shears."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from equiaudit.representations.acting import working_dtype


def shift(x: Tensor, dim: int, amount: Tensor | float) -> Tensor:
    """x moved by ``amount`` pixels along ``dim``, around the end, as the trigonometric polynomial through its values.

    Exact below the Nyquist frequency, which even sizes alone have: a real image can't carry its phase, so there the
    nearest whole shift is taken. Shifting forth and back is then the identity, and norms are kept.

    Args:
        x: real or complex, in working precision.
        dim: the dimension to move along.
        amount: pixels; or a tensor that broadcasts with ``x`` and has length 1 along ``dim``: a shear.
    """
    n = x.shape[dim]
    phases = torch.exp(-1j * _frequencies(x, dim) * amount)
    if n % 2 == 0:
        whole = amount.round() if isinstance(amount, Tensor) else torch.tensor(float(round(amount)), device=x.device)
        phases = torch.where(_nyquist(x, dim), (1 - 2 * (whole % 2)).to(phases.dtype), phases)
    return _like(torch.fft.ifft(torch.fft.fft(x, dim=dim) * phases, dim=dim), x)


def slope(x: Tensor, dim: int) -> Tensor:
    """∂x along ``dim`` per pixel, of the same trigonometric polynomial; zero at the Nyquist frequency."""
    factors = 1j * _frequencies(x, dim)
    if x.shape[dim] % 2 == 0:
        factors = torch.where(_nyquist(x, dim), torch.zeros_like(factors), factors)
    return _like(torch.fft.ifft(torch.fft.fft(x, dim=dim) * factors, dim=dim), x)


def turn(x: Tensor, dims: tuple[int, int], angle: float) -> Tensor:
    """x turned by a small angle (at most 45°) about the centre, counter-clockwise for rows that run down.

    Three shears, each a shift of every row: R(φ) = S_x(−tan φ/2) S_y(sin φ) S_x(−tan φ/2) (Unser, Thévenaz and
    Yaroslavsky 1995). The image is padded with zeros, so that nothing comes back around the end.
    """
    rows, columns = dims
    pad = [math.ceil(0.45 * x.shape[d]) for d in (columns, rows)]
    wide = _padded(x, dims, pad)
    across = _coordinate(wide, columns)  # x, to the right
    up = -_coordinate(wide, rows)  # y, upwards
    a, b = -math.tan(angle / 2), math.sin(angle)
    for dim, amount in ((columns, a * up), (rows, -b * across), (columns, a * up)):
        wide = shift(wide, dim, amount)
    return wide.narrow(columns, pad[0], x.shape[columns]).narrow(rows, pad[1], x.shape[rows])


def centred(size: int, device: torch.device, dtype: torch.dtype = torch.float64) -> Tensor:
    """Pixel numbers from the centre of the grid: −(n−1)/2, …, (n−1)/2."""
    return torch.arange(size, device=device, dtype=dtype) - (size - 1) / 2


def _coordinate(x: Tensor, dim: int) -> Tensor:
    values = centred(x.shape[dim], x.device, x.real.dtype)
    return values.reshape([-1 if d == dim % x.dim() else 1 for d in range(x.dim())])


def _padded(x: Tensor, dims: tuple[int, int], pad: list[int]) -> Tensor:
    rows, columns = dims
    moved = x.movedim((rows, columns), (-2, -1))
    out = torch.nn.functional.pad(moved, (pad[0], pad[0], pad[1], pad[1]))
    return out.movedim((-2, -1), (rows, columns))


def _frequencies(x: Tensor, dim: int) -> Tensor:
    real = torch.float64 if working_dtype(x) in (torch.float64, torch.complex128) else torch.float32
    k = torch.fft.fftfreq(x.shape[dim], device=x.device, dtype=real)
    return (2 * math.pi * k).reshape([-1 if d == dim % x.dim() else 1 for d in range(x.dim())])


def _nyquist(x: Tensor, dim: int) -> Tensor:
    n = x.shape[dim]
    here = torch.arange(n, device=x.device) == n // 2
    return here.reshape([-1 if d == dim % x.dim() else 1 for d in range(x.dim())])


def _like(out: Tensor, x: Tensor) -> Tensor:
    return out if x.is_complex() else out.real
