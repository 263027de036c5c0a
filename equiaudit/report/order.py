"""Which audits need attention first."""

from __future__ import annotations

import math

from equiaudit.records import Audit, Verdict
from equiaudit.report.json import Record

RANK = (Verdict.EXACT, Verdict.APPROXIMATE, Verdict.VACUOUS, Verdict.BROKEN, Verdict.INVALID)


def badness(audit: Audit) -> tuple[int, float]:
    """Orders audits: the verdict first, then the error in units of its floor."""
    if audit.error is None or math.isnan(audit.error):
        return RANK.index(audit.verdict), 0.0
    return RANK.index(audit.verdict), audit.error / audit.floor if audit.floor else math.inf if audit.error else 0.0


def urgency(record: Record) -> tuple[bool, int, float, str]:
    """A sort key, the worst first: failures that nobody expected, then the verdict, then the error in units of the floor.

    >>> rows = [Record(Audit(v, error=0.5, floor=0.25)) for v in (Verdict.EXACT, Verdict.INVALID, Verdict.BROKEN)]
    >>> print(*(r.audit.verdict for r in sorted(rows, key=urgency)))
    INVALID BROKEN EXACT
    """
    rank, times = badness(record.audit)
    return not record.failed, -rank, -times, record.nodeid or ""
