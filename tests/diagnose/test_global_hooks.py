"""Naming the broken layer leaves no global hook behind: torch.compile would warn of it."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.module import _has_any_global_hook

from equiaudit import Symmetry, Verdict, audit
from equiaudit.groups import O


def test_no_mark_of_a_global_hook_is_left() -> None:
    assert not _has_any_global_hook()
    found = audit(nn.Sequential(nn.Linear(3, 3)), torch.randn(9, 3), Symmetry(O(3), "vector", "vector"))
    assert found.verdict is Verdict.BROKEN
    assert not _has_any_global_hook()
