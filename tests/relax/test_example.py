"""The worked loop runs: relaxed, projected, exact; folding keeps what dropping loses."""

from __future__ import annotations

import pytest

from examples import training


@pytest.mark.long
def test_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "TRAIN", 60)
    monkeypatch.setattr(training, "TEST", 40)
    rows = list(training.run(steps=40, confirm=None))
    reports = [report for _, _, report in rows if report is not None]
    assert all(report.exact for report in reports)
    assert [report.left for report in reports] == [0.0, 1.0, 1.0]
    assert reports[0].metric_before == reports[0].metric_after
    drop, fold = reports[1:]
    assert fold.change < drop.change
    assert [row.outcome for row in fold.layers] == ["folded", "folded"]
