"""The environment of an audit, also where torch's settings were made by their other names."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import torch
from equiaudit import Symmetry, audit
from equiaudit.groups import SO
{setting}
found = audit(lambda x: 2 * x, torch.ones(5, 3), Symmetry(SO(3), "vector", "vector")).environment
print(*(found[name] for name in ("float32_matmul_precision", "tf32_matmul", "tf32_convolution")))
"""


def settings_after(setting: str) -> str:
    command = [sys.executable, "-W", "error", "-c", CODE.format(setting=setting)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.long
def test_tf32_is_stated():
    assert settings_after("torch.backends.cuda.matmul.allow_tf32 = True").split()[1:] == ["True", "True"]


@pytest.mark.long
def test_settings_that_torch_refuses_to_read_are_null():
    setting = 'torch.backends.cuda.matmul.fp32_precision = "tf32"; torch.backends.cudnn.conv.fp32_precision = "ieee"'
    code = f'if hasattr(torch.backends.cuda.matmul, "fp32_precision"): {setting}'
    assert settings_after(code) in ("None None None", settings_after(""))
