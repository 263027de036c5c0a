"""What every file of results says of itself: command, date, versions, machine; and how it is written."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import machine


def about(
    module: str, arguments: Sequence[str] | None, libraries: Iterable[str], device: torch.device | str = "cpu"
) -> dict[str, Any]:
    """The head of a record; ``arguments`` None are those of the command line."""
    given = sys.argv[1:] if arguments is None else arguments
    return {
        "command": " ".join([f"python -m {module}", *given]),
        "date": datetime.date.today().isoformat(),
        "machine": machine(torch.device(device)) | {"processor": platform.machine()},
        "versions": versions(libraries),
    }


def versions(libraries: Iterable[str]) -> dict[str, str]:
    """Python and the libraries that are installed."""
    found = {"python": platform.python_version()}
    for library in libraries:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def write(record: dict[str, Any], path: Path) -> None:
    """As indented JSON; NaN and infinity are refused, since no other reader of JSON takes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")
