"""Without Lightning the callback says which line installs it."""

from __future__ import annotations

import pytest

from equiaudit.interop import lightning


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lightning, "Base", object)
    with pytest.raises(ImportError, match="the callback needs Lightning: pip install lightning"):
        lightning.RelaxationCallback(None)
