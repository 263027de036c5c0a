"""Attention with derivatives, TorchScript without: settings come back whatever happens."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
import torch.nn.functional as F
from torch import Tensor

from equiaudit.measure.guards import SCRIPTS, TangentLostError, math_attention, refuse_scripts


def settings() -> tuple[bool, ...]:
    cuda = torch.backends.cuda
    return (
        torch.backends.mha.get_fastpath_enabled(),
        cuda.flash_sdp_enabled(),
        cuda.mem_efficient_sdp_enabled(),
        cuda.math_sdp_enabled(),
        cuda.cudnn_sdp_enabled(),
    )


def test_math_attention_restores_the_settings() -> None:
    before = settings()
    with math_attention():
        inside = settings()
    assert inside == (False, False, False, True, False)
    assert inside != before
    assert settings() == before


def test_math_attention_restores_the_settings_after_an_error() -> None:
    before = settings()
    with pytest.raises(RuntimeError, match="half-way"), math_attention():
        raise RuntimeError("half-way")
    assert settings() == before


def test_math_attention_keeps_what_the_caller_chose() -> None:
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with math_attention():
            pass
        assert not torch.backends.mha.get_fastpath_enabled()
    finally:
        torch.backends.mha.set_fastpath_enabled(True)


def test_math_attention_has_derivatives_that_fused_attention_lacks() -> None:
    x = torch.randn(1, 1, 6, 4)

    def attend(q: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, q, q)

    with math_attention():
        _, slope = torch.func.jvp(attend, (x,), (x,))
    assert slope.abs().sum() > 0


@pytest.mark.gpu
def test_math_attention_on_a_gpu() -> None:
    x = torch.randn(1, 1, 6, 4, device="cuda")
    with math_attention():
        _, slope = torch.func.jvp(lambda q: F.scaled_dot_product_attention(q, q, q), (x,), (x,))
    assert slope.device.type == "cuda"


def doubled(x: Tensor) -> Tensor:
    return F.silu(x) * 2


def script() -> torch.jit.ScriptFunction:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(doubled)


def test_scripts_are_refused_on_tangents_only() -> None:
    function, x = script(), torch.randn(3)
    calls = [getattr(torch._C, name).__call__ for name in SCRIPTS]
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, torch.ones(3))
        with refuse_scripts():
            assert torch.equal(function(x), doubled(x))
            with pytest.raises(TangentLostError, match="TorchScript code loses forward tangents on some calls"):
                function(dual)
        function(dual)
    assert [getattr(torch._C, name).__call__ for name in SCRIPTS] == calls


def test_scripts_are_callable_again_after_an_error() -> None:
    calls = [getattr(torch._C, name).__call__ for name in SCRIPTS]
    with pytest.raises(RuntimeError, match="half-way"), refuse_scripts():
        raise RuntimeError("half-way")
    assert [getattr(torch._C, name).__call__ for name in SCRIPTS] == calls
