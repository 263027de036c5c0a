"""A group of one's own is ten lines, and the laws are there for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from equiaudit.groups import Element, Group, check_group
from equiaudit.groups.laws import LawError
from equiaudit.representations import Points, Vector, check_representation


def screws() -> Group:
    # Screw motions about z with mirrors: ten lines.
    turn, climb = np.zeros((4, 4)), np.zeros((4, 4))
    turn[0, 1], turn[1, 0] = -1.0, 1.0
    climb[2, 3] = 1.0

    def draw(group: Group, rng: np.random.Generator) -> Element:
        g = group.exp(rng.uniform(-np.pi, np.pi), rng.standard_normal())
        return g @ group.generator("mirror") if rng.integers(2) else g

    return Group(
        "screws",
        [turn, climb],
        {"mirror": np.diag([-1, 1, 1, 1])},
        draw,
        parts={"turn": [0], "climb": [1]},
        affine=True,
    )


def test_it_keeps_the_laws() -> None:
    group = screws()
    assert set(check_group(group)) == {
        "identity",
        "inverse",
        "closure",
        "exponential",
        "bracket",
        "discrete",
        "element",
        "haar",
    }
    assert "code" in check_group(group, names={"screws": group})
    assert "tangent" in check_representation(group, Points())
    assert "bracket" in check_representation(group, Vector())


def test_it_prints_and_acts() -> None:
    group = screws()
    g = group.exp(0.0, 2.0) @ group.generator("mirror")
    assert repr(g) == "screws.exp(0.0, 2.0) @ screws.generator('mirror')"
    assert Points().act(g, torch.tensor([[1.0, 1.0, 1.0]])).tolist() == [[-1.0, 1.0, 3.0]]


def test_a_wrong_one_is_caught() -> None:
    wrong = Group("turns about two axes", [[[0, -1, 0], [1, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, -1], [0, 1, 0]]])
    with pytest.raises(LawError, match="turns about two axes"):
        check_group(wrong)


REFUSALS = [
    (lambda: Group("g", [np.eye(2), np.eye(3)]), r"g: all matrices must have one size, got sizes \[2, 3\]"),
    (lambda: Group("g", [np.eye(2), 2 * np.eye(2)]), r"g: the 2 algebra elements are linearly dependent; give a basis"),
    (lambda: Group("g", discrete=[np.zeros((2, 2))]), r"g: the discrete generator 'h0' is singular"),
    (lambda: Group("g", [np.ones((2, 3))]), r"algebra element 0 must be a square matrix, got shape \[2, 3\]"),
    (lambda: Group("g", [[[np.nan]]]), r"algebra element 0 has entries that are not finite"),
]


@pytest.mark.parametrize(("call", "message"), REFUSALS, ids=[m for _, m in REFUSALS])
def test_refusals_say_what_to_do(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call()


def test_the_same_name_is_not_the_same_group() -> None:
    one, other = Group("g", [[[0, 1], [0, 0]]]), Group("g", [[[0, 0], [1, 0]]])
    assert one != other
    with pytest.raises(ValueError, match="are in different groups"):
        _ = one.exp(1.0) @ other.exp(1.0)
