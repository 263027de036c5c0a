"""A matrix leads back to its element, or is refused with the defect."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from equiaudit.groups import (
    SE,
    SL,
    SO,
    SU,
    Cyclic,
    E,
    Group,
    Lorentz,
    NotInGroupError,
    O,
    Octahedral,
    Permutations,
    Scaling,
    Sp,
    T,
    U,
)
from equiaudit.groups.rotations import rotation_logarithm

from .families import EVERY


@pytest.mark.parametrize("group", EVERY, ids=repr)
def test_drawn_matrices_lead_back(group: Group) -> None:
    for seed in range(10):
        g = group.sample(seed)
        assert np.abs(group.element(g.matrix).matrix - g.matrix).max() <= 1e-13 * np.abs(g.matrix).max()


IN = [
    (SO(3), np.diag([1, -1, -1])),
    (SO(3), SO(3).exp(0.0, 0.0, math.pi - 1e-9).matrix),
    (SO(3), SO(3).exp(1e-9, 0.0, 0.0).matrix),
    (SO(3), SO(3).exp(*(math.pi * v for v in (0.36, 0.48, 0.8))).matrix),
    (SO(4), -np.eye(4)),
    (SO(5), np.diag([1, -1, -1, -1, -1])),
    (O(3), np.diag([1, 1, -1])),
    (O(4), np.eye(4)[[1, 0, 2, 3]]),
    (E(3), np.diag([-1, -1, -1, 1])),
    (SE(3), SE(3).turn("x", 1 / 2).matrix + np.eye(4, k=3) * 7),
    (SL(2), -np.eye(2)),
    (SL(2), [[1, 50], [0, 1]]),
    (SL(2), [[-1, 1], [0, -1]]),
    (SU(2), np.diag([1j, -1j])),
    (SU(2), -np.eye(2)),
    (SU(3), np.exp(2j * np.pi / 3) * np.eye(3)),
    (U(2), [[0, 1j], [1, 0]]),
    (Sp(2), np.diag([1, -1, 1, -1])),
    (Sp(1), np.diag([100, 0.01])),
    (Lorentz(), np.diag([1, -1, -1, 1])),
    (SO(1, 3), -np.eye(4)),
    (O(1, 3), np.diag([-1, 1, 1, -1])),
    (Scaling(2), 5 * np.eye(2)),
    (Octahedral(), np.eye(3)[[1, 2, 0]]),
    (Group("shears", [[[0, 1], [0, 0]]]), [[1, -30], [0, 1]]),
]


@pytest.mark.parametrize(("group", "matrix"), IN, ids=[f"{g!r}-{i}" for i, (g, _) in enumerate(IN)])
def test_difficult_elements_are_found(group: Group, matrix: Any) -> None:
    found = group.element(matrix)
    assert np.abs(found.matrix - matrix).max() < 1e-12 * max(1, np.abs(matrix).max())


def test_single_precision_is_close_enough() -> None:
    g = SO(3).sample(0)
    assert np.abs(SO(3).element(g.matrix.astype(np.float32)).matrix - g.matrix).max() < 1e-6


OUT = [
    (SO(3), np.diag([1, 1, 1.001]), r"off by 1\.0e-03 in the largest entry \(allowed 1e-06\); det = 1\.001"),
    (SO(3), -np.eye(3), r"off by 2\.0e\+00 .* det = -1"),
    (SO(3), np.eye(3)[[1, 0, 2]], r"det = -1"),
    (SO(3), np.zeros((3, 3)), r"the matrix is singular"),
    (SO(3), np.full((3, 3), np.nan), r"entries that are not finite"),
    (SO(3), np.eye(2), r"SO\(3\) needs a matrix \[3, 3\], got \[2, 2\]"),
    (SO(3), 1e300 * np.eye(3), r"det = inf"),
    (SO(3), 1j * np.eye(3), r"off by"),
    (SO(1), [[-1]], r"off by 2"),
    (O(3), 2 * np.eye(3), r"det = 8"),
    (E(3), np.diag([1, 1, 1, 2]), r"off by"),
    (E(3), np.eye(4) + np.eye(4, k=-3), r"off by"),
    (T(2), np.diag([-1, -1, 1]), r"off by"),
    (SL(2), np.diag([2, 0.6]), r"det = 1\.2"),
    (SU(2), np.diag([1j, 1j]), r"det = -1"),
    (U(2), 2 * np.eye(2), r"det = 4"),
    (Sp(1), np.diag([2, 0.6]), r"det = 1\.2"),
    (Sp(2), np.diag([2, 0.5, 1, 1]), r"off by"),
    (Lorentz(), np.diag([-1, 1, 1, 1]), r"det = -1"),
    (Lorentz(), -np.eye(4), r"off by 2"),
    (SO(1, 3), np.diag([1, -1, -1, -1]), r"det = -1"),
    (Scaling(2), np.diag([1, 2]), r"off by"),
    (Scaling(2), -np.eye(2), r"off by 2"),
    (Cyclic(4), [[0, 1], [1, 0]], r"Cyclic\(4\): the nearest element found is off by 1"),
    (Octahedral(), -np.eye(3), r"off by"),
    (Permutations(3), np.ones((3, 3)), r"the nearest 0-1 matrix is off by 1"),
    (Permutations(), np.eye(2), r"Permutations\(\) has no matrices; use Permutations\(n\)"),
    (SO(2) * SO(2), np.eye(4)[[2, 3, 0, 1]], r"entries outside the blocks reach 1"),
    (SO(2) * SO(2), np.diag([1, 1, 1, 2]), r"not an element of SO\(2\)"),
]


@pytest.mark.parametrize(("group", "matrix", "message"), OUT, ids=[f"{g!r}-{i}" for i, (g, _, _) in enumerate(OUT)])
def test_other_matrices_are_refused(group: Group, matrix: Any, message: str) -> None:
    with pytest.raises(NotInGroupError, match=message):
        group.element(matrix)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-6, 1.0, math.pi - 1e-6, math.pi - 1e-12, math.pi])
def test_logarithms_survive_every_angle(n: int, angle: float) -> None:
    frame = SO(n).sample(n).matrix
    rotation = frame @ SO(n).turn((0, 1), 0).matrix @ SO(n).exp(angle, *(0.0,) * (SO(n).dim - 1)).matrix @ frame.T
    log = rotation_logarithm(rotation)
    assert np.array_equal(log, -log.T) or np.abs(log + log.T).max() < 1e-15
    assert np.linalg.norm(log) / math.sqrt(2) == pytest.approx(angle, abs=1e-14)
