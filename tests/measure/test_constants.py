"""Stored constants, shaken to learn whether their rounding explains a violation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from equiaudit.measure.changed import shake_constants


class Table(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        entries = torch.randn(200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        self.register_buffer(
            "table", torch.cat([entries, -entries, torch.tensor([0.0, 0.5, 3.0], dtype=torch.float64)])
        )


def moved(seed: int) -> torch.Tensor:
    model = Table()
    return shake_constants(model, torch.float32, seed).table - model.table


def test_numbers_that_belong_together_stay_together() -> None:
    change = moved(0)
    assert torch.equal(change[:200], -change[200:400])
    assert not change[400:].any()


@pytest.mark.parametrize("pair", [(0, 1), (1, 2), (0, 2)])
def test_seeds_shake_independently(pair: tuple[int, int]) -> None:
    a, b = (moved(seed)[:200] for seed in pair)
    correlation = float((a * b).sum() / (a.norm() * b.norm()))
    assert abs(correlation) < 5 / 200**0.5  # five standard errors; a shifted hash gave 0.86


def test_the_size_is_that_of_many_roundings() -> None:
    change = moved(0)[:200]
    assert 16 * 2.0**-24 < float(change.abs().mean()) < 64 * 2.0**-24
