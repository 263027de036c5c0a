"""Options that surround a call, and listeners."""

from __future__ import annotations

import inspect

import pytest
import torch

from equiaudit import Symmetry, assert_equivariant, audit
from equiaudit.ambient import OPTIONS, current, defaults, listening
from equiaudit.groups import SO

TURNS = Symmetry(SO(3), "vector", "vector")


def double(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


def test_inner_options_win_and_end() -> None:
    with defaults(seed=3, effort="quick"):
        with defaults(seed=4):
            assert current() == {"seed": 4, "effort": "quick"}
        assert audit(double, torch.randn(5, 3), TURNS).seed == 3
    assert current() == {}
    assert audit(double, torch.randn(5, 3), TURNS).effort == "default"


def test_a_keyword_of_the_call_wins() -> None:
    with defaults(effort="quick", seed=3):
        found = audit(double, torch.randn(5, 3), TURNS, effort="default")
    assert (found.effort, found.seed) == ("default", 3)


def test_a_tolerance_from_outside_is_used() -> None:
    def tilted(x: torch.Tensor) -> torch.Tensor:
        return x * torch.tensor([1.0, 1.0, 1.001])

    with defaults(tolerance=0.1):
        assert assert_equivariant(tilted, torch.randn(5, 3), TURNS).verdict.value == "APPROXIMATE"


def test_unknown_options_are_refused_by_name() -> None:
    with (
        pytest.raises(TypeError, match="unknown option 'efort'; there are atol, derivative, effort"),
        defaults(efort=1),
    ):
        pass


def test_every_option_is_a_keyword_of_audit() -> None:
    assert set(OPTIONS) <= set(inspect.signature(audit).parameters)


def test_listeners_hear_of_passed_and_failed_audits() -> None:
    heard = []
    with listening(heard.append):
        audit(double, torch.randn(5, 3), TURNS)
        with pytest.raises(AssertionError):
            assert_equivariant(torch.tanh, torch.randn(5, 3), TURNS)
    audit(double, torch.randn(5, 3), TURNS)
    assert [a.verdict.value for a in heard] == ["EXACT", "BROKEN"]
    assert heard[1].replay.startswith("pytest ")


def test_listeners_and_options_end_when_the_block_raises() -> None:
    heard = []
    with pytest.raises(ZeroDivisionError), listening(heard.append), defaults(seed=9):
        raise ZeroDivisionError
    audit(double, torch.randn(5, 3), TURNS)
    assert heard == []
    assert current() == {}


def test_blocks_that_overlap_end_each_by_itself() -> None:
    first, second = defaults(seed=1), defaults(effort="quick")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert current() == {"effort": "quick"}
    second.__exit__(None, None, None)
    assert current() == {}
