"""``assert_equivariant``: one line in any test; the failure says what, where and how to see it again."""

from __future__ import annotations

from typing import Any

from equiaudit.records import Audit, Verdict


class AuditFailed(AssertionError):
    """A symmetry does not hold, or the test could not have shown that it does; ``audit`` has everything."""

    __module__ = "equiaudit"  # where they are imported from; a summary of pytest has room for no more

    def __init__(self, audit: Audit) -> None:
        super().__init__(str(audit))
        self.audit = audit

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.audit,)


class NotEquivariantError(AuditFailed):
    """BROKEN: a real violation."""

    __module__ = "equiaudit"


class VacuousError(AuditFailed):
    """VACUOUS: this test could not have failed."""

    __module__ = "equiaudit"


class InvalidError(AuditFailed):
    """INVALID: NaN, Inf, not repeatable, or the wrong structure."""

    __module__ = "equiaudit"


_ERRORS = {Verdict.BROKEN: NotEquivariantError, Verdict.VACUOUS: VacuousError, Verdict.INVALID: InvalidError}


def assert_equivariant(model: Any, inputs: Any = None, symmetry: Any = None, **options: Any) -> Audit:
    """Audit ``model`` and raise where it does not pass; takes what ``audit`` takes and returns the audit.

    Raises:
        NotEquivariantError: the symmetry is broken (or by more than ``tolerance``).
        VacuousError: zero or constant output, inputs fixed by the group: the test could not have failed.
        InvalidError: NaN, Inf, not repeatable, wrong structure.

    >>> import torch
    >>> from equiaudit import Symmetry, assert_equivariant
    >>> from equiaudit.groups import SO
    >>> assert_equivariant(lambda x: 2 * x, torch.randn(5, 3), Symmetry(SO(3), "vector", "vector")).verdict.value
    'EXACT'
    """
    __tracebackhide__ = True
    from equiaudit.measure.audit import audit

    found = audit(model, inputs, symmetry, **options)
    if not found.passed:
        raise _ERRORS[found.verdict](found) from None
    return found


def assert_invariant(model: Any, inputs: Any, symmetry: Any, **options: Any) -> Audit:
    """``assert_equivariant`` with every output invariant; the symmetry's own outputs are not used.

    >>> import torch
    >>> from equiaudit import Symmetry, assert_invariant
    >>> from equiaudit.groups import SO
    >>> assert_invariant(lambda x: x.norm(dim=-1), torch.randn(5, 3), Symmetry(SO(3), "vector")).verdict.value
    'EXACT'
    """
    __tracebackhide__ = True
    from equiaudit.measure.audit import as_symmetries
    from equiaudit.symmetry import Symmetry

    found = as_symmetries(model, symmetry)
    invariant = [Symmetry(s.group, s.inputs, "invariant", batch=s.batch, hidden=s.hidden) for s in found]
    return assert_equivariant(model, inputs, invariant if len(invariant) > 1 else invariant[0], **options)
