"""Libraries that only some reports need."""

from __future__ import annotations

import importlib
from typing import Any


def load(name: str) -> Any:
    """Import an optional library.

    Raises:
        ImportError: it is missing; the message is the line that installs it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name != name.partition(".")[0]:
            raise
        raise ImportError(
            f'the HTML report needs {problem.name}; from the checkout: pip install -e ".[report]"'
        ) from None
