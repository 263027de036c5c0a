"""Where an audit ran: what a person needs to reproduce a number."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from equiaudit._version import __version__
from equiaudit.measure.state import modules_of
from equiaudit.representations.structures import leaves


def describe_environment(model: Any, inputs: Any, declared: torch.dtype) -> dict[str, Any]:
    """Versions, device, dtype and the settings that change rounding."""
    tensors = [p for m in modules_of(model) for p in m.parameters()] + [
        v for _, v in leaves(inputs) if isinstance(v, Tensor)
    ]
    device = tensors[0].device if tensors else torch.device("cpu")
    found: dict[str, Any] = {
        "equiaudit": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "device": str(device),
        "dtype": str(declared).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "float32_matmul_precision": _setting(torch.get_float32_matmul_precision),
        "tf32_matmul": _setting(lambda: torch.backends.cuda.matmul.allow_tf32),
        "tf32_convolution": _setting(lambda: torch.backends.cudnn.allow_tf32),
    }
    if device.type == "cuda":
        found["device_name"] = torch.cuda.get_device_name(device)
    return found


def _setting(read: Callable[[], Any]) -> Any:
    """A setting, or None: torch refuses to read by one name what was set by another (``fp32_precision``)."""
    try:
        return read()
    except RuntimeError:
        return None
