"""Records: one JSON object a line, one file a cell, appended whole; what was killed half-way is simply not there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "results" / "nbody"
Record = dict[str, Any]


def append(record: Record, folder: Path = RESULTS) -> None:
    """Add one record to the file of its cell, in one write that other processes can't split."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{record['setting']['cell']}.jsonl"
    line = json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        if (size := os.fstat(handle).st_size) and _last_byte(path, size) != b"\n":
            line = "\n" + line  # a line that a full disk cut off must not swallow this one
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def read(folder: Path = RESULTS, cell: str = "*") -> list[Record]:
    """All records of a cell, or of all cells; lines that are not whole are left out."""
    return [record for path in sorted(folder.glob(f"{cell}.jsonl")) for record in _lines(path)]


def _lines(path: Path) -> Iterator[Record]:
    for line in path.read_text().splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(record, dict) and "setting" in record:
            yield record


def _last_byte(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(size - 1)
        return file.read(1)
