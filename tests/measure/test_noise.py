"""The noise that stands for rounding: its size on every kind of tensor, and what it costs to start."""

import subprocess
import sys

import pytest
import torch

from equiaudit.measure.noise import POOL, NoiseMode

LAYOUTS = {
    "a scalar": lambda: torch.ones((), dtype=torch.float64),
    "small": lambda: torch.ones(20, 50, dtype=torch.float64),
    "larger than the pool": lambda: torch.ones(POOL // 200, 501, dtype=torch.float64),
    "transposed": lambda: torch.ones(300, 500, dtype=torch.float64).t(),
    "channels last": lambda: torch.ones(2, 8, 33, 33, dtype=torch.float64).to(memory_format=torch.channels_last),
    "memory with gaps": lambda: torch.ones(700, 600, dtype=torch.float64)[:, ::2],
}


@pytest.mark.parametrize("contracted", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_noise_is_uniform_and_reaches_every_entry(layout, contracted):
    mode, t = NoiseMode(1.0, torch.float32, 3), LAYOUTS[layout]()
    strides = t.stride()
    mode.shake(t, 0.5, contracted)
    moved = t - 1
    assert t.stride() == strides
    assert bool((moved != 0).all())
    assert float(moved.abs().max()) <= 0.5
    if t.numel() > 1:
        # uniform on [−½, ½]: standard deviation 1 / (2 √3), mean 0 within five standard errors
        assert abs(float(moved.std()) - 0.5 / 3**0.5) < 0.02
        assert abs(float(moved.mean())) < 5 * 0.29 / min(t.numel(), POOL // 2) ** 0.5


def test_noise_of_a_contraction_is_relative_to_the_row():
    mode, t = NoiseMode(1.0, torch.float32, 0), torch.zeros(400, 4, dtype=torch.float64)
    t[:, 0], t[:200] = 8.0, 0.0
    mode.shake(t, 1.0, True)
    assert not t[:200].any()  # rows of zeros stay
    assert abs(float(t[200:, 1:].std()) - 4 / 3**0.5) < 0.2  # a zero beside an 8: rms 4
    assert abs(float((t[200:, 0] - 8).std()) - 8 / 3**0.5) < 0.5


def test_expanded_results_are_left_alone():
    t = torch.ones(3, dtype=torch.float64).expand(4, 3)
    NoiseMode(1.0, torch.float32, 0).shake(t, 0.5)
    assert bool((t == 1).all())


def test_the_coarsest_operand_sets_the_size():
    a, b = torch.ones(1000, dtype=torch.float64), torch.full((1000,), 0.75, dtype=torch.float32)
    with NoiseMode(1.0, torch.float32, 0):
        fine, mixed = a * 0.75, a * b
    assert float((fine / 0.75 - 1).abs().max()) < 2.0**-51
    assert 2.0**-26 < float((mixed / 0.75 - 1).abs().max()) <= 2.0**-24


def test_whole_numbers_stay_whole_in_exact_arithmetic():
    bins = torch.arange(8.0)
    with NoiseMode(1.0, torch.float32, 0):
        kept, shaken = (bins * 3 + 1) % 5, bins * 0.3
    assert torch.equal(kept, (bins * 3 + 1) % 5)
    assert not torch.equal(shaken, bins * 0.3)


def test_a_probe_does_not_load_the_compiler():
    code = (
        "import sys, torch; from equiaudit.measure.noise import NoiseMode; known = 'torch._dynamo' in sys.modules\n"
        "with NoiseMode(1.0, torch.float32, 0): torch.nn.Linear(2, 2)(torch.ones(2))\n"
        "assert known or 'torch._dynamo' not in sys.modules, 'a second of imports'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
