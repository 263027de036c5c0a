"""The assertion in plain Python, pytest and unittest, and the text that a person sees."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
import unittest

import pytest
import torch

from equiaudit import (
    AuditFailed,
    InvalidError,
    NotEquivariantError,
    Symmetry,
    VacuousError,
    assert_equivariant,
    assert_invariant,
)
from equiaudit.groups import SO, O, parse

VECTOR = Symmetry(O(3), "vector", "vector")


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(6, 3)


def test_it_returns_the_audit(x):
    assert assert_equivariant(lambda x: 3 * x, x, VECTOR).passed


@pytest.mark.parametrize(
    ("model", "error"),
    [
        (lambda x: x + 1, NotEquivariantError),
        (lambda x: 0 * x, VacuousError),
        (lambda x: x / 0, InvalidError),
    ],
)
def test_each_failure_has_its_class_and_carries_the_audit(x, model, error):
    with pytest.raises(error) as caught:
        assert_equivariant(model, x, VECTOR)
    assert isinstance(caught.value, AuditFailed)
    assert isinstance(caught.value, AssertionError)
    assert str(caught.value) == str(caught.value.audit)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_the_failure_names_number_floor_allowed_element_leaf_and_reality(x):
    with pytest.raises(NotEquivariantError) as caught:
        assert_equivariant(lambda x: {"force": x + 0.1}, x, Symmetry(O(3), "vector", {"force": "vector"}), label="toy")
    text, found = str(caught.value), caught.value.audit
    assert text.startswith("BROKEN: toy is not equivariant under O(3)")
    labels = ("error ", "floor ", "allowed ", "real ", "element ", "replay")
    for part in (*labels, "force[", "rotations", "inversion", "seed 0"):
        assert part in text, part
    assert parse(found.worst.element).group == O(3)
    assert all(len(line) <= 200 for line in text.splitlines())


def test_assert_invariant_checks_every_output(x):
    assert assert_invariant(lambda x: {"n": x.norm(dim=-1), "s": x.square().sum()}, x, Symmetry(SO(3), "vector")).passed
    with pytest.raises(NotEquivariantError):
        assert_invariant(lambda x: x, x, Symmetry(SO(3), "vector"))


class InUnittest(unittest.TestCase):
    def test_it_fails_as_an_assertion(self):
        with self.assertRaisesRegex(AssertionError, "BROKEN"):  # noqa: PT027  unittest is what this tries
            assert_equivariant(lambda x: x.abs(), torch.randn(4, 3), VECTOR)


def test_plain_python_prints_the_text_and_exits_with_1():
    code = """
        import torch
        from equiaudit import Symmetry, assert_equivariant
        from equiaudit.groups import SO
        assert_equivariant(torch.abs, torch.randn(4, 3), Symmetry(SO(3), "vector", "vector"))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "NotEquivariantError: BROKEN: abs is not equivariant under SO(3)" in done.stderr
