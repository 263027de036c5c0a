"""The audit gives the known verdict on every model of the corpus, and brute force agrees with what the corpus says."""

from __future__ import annotations

import pytest
import torch
from corpus import CASES, Case, clean, faulty
from corpus.brute import violation
from corpus.case import APPROXIMATE, BROKEN

from equiaudit import audit
from equiaudit.groups import SO

SEEDS = (0, 1)
EVERY_DAY = 8
"""One case of so many is tried in every run, at the first seed; all of them, at every seed, in the long ones."""


def parameters(cases: tuple[Case, ...], seed: int = 0) -> list:
    """One pytest parameter for each case, skipped where a library is missing; most of them are long tests."""
    return [
        pytest.param(
            case,
            id=case.name,
            marks=[
                pytest.mark.skipif(bool(case.missing), reason=f"needs {', '.join(case.missing)}"),
                *[pytest.mark.rounding] * (case.rounding > 1e-12),
                *[pytest.mark.long] * bool(seed or CASES.index(case) % EVERY_DAY),
            ],
        )
        for case in cases
    ]


@pytest.mark.parametrize(
    ("seed", "case"),
    [
        pytest.param(seed, *p.values, id=f"{p.id}-{seed}", marks=p.marks)
        for seed in SEEDS
        for p in parameters(CASES, seed)
    ],
)
def test_verdict(seed: int, case: Case) -> None:
    model, inputs, symmetry = case.build()
    found = audit(model, inputs, symmetry, seed=seed, **case.options)
    assert found.verdict.value == case.expect, f"{case.note}\n{found}"
    if case.cause is not None:
        assert found.cause == case.cause, str(found)


@pytest.mark.parametrize("case", parameters(clean()))
def test_clean_models_are_clean(case: Case) -> None:
    assert violation(case)[1] <= case.rounding


@pytest.mark.parametrize("case", parameters(tuple(c for c in CASES if c.expect in (BROKEN, APPROXIMATE))))
def test_faulty_models_are_faulty(case: Case) -> None:
    found = violation(case)[0]
    assert case.size is not None, "run python -m tests.corpus"
    assert case.size / 30 < found < case.size * 30
    assert found > 1e-10


def test_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)


def test_every_row_of_the_bug_list_is_there() -> None:
    rows = {int(case.source.split()[1].rstrip(":")) for case in CASES if case.source.startswith("BUGS")}
    assert rows == set(range(1, 34))
    assert len([c for c in faulty() if c.source.startswith("own")]) >= 15
    assert len([c for c in clean() if c.source.startswith("own")]) >= 20


def test_building_is_deterministic_and_leaves_the_global_state_alone() -> None:
    before, dtype = torch.get_rng_state(), torch.get_default_dtype()
    for case in CASES[:20]:
        first, second = case.parts()[0], case.parts()[0]
        for a, b in zip(first.parameters(), second.parameters(), strict=True):
            assert torch.equal(a, b)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_default_dtype() == dtype


def test_a_matrix_that_is_no_rotation_is_refused() -> None:
    """BUGS 13: e3nn #420, where the 'rotation' of a bug report was none."""
    with pytest.raises(ValueError, match=r"not an element of SO\(3\).*off by 2\.0e\+00"):
        SO(3).element([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]])
