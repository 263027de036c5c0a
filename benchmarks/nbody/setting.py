"""A setting is everything that decides a run; its hash is the run's name in the records."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from typing import Any

from benchmarks.nbody.arms import DEFAULTS, Arm
from benchmarks.nbody.cells import Cell

VERSION = 1
"""Raised where a change of the code changes what a run computes."""
Setting = dict[str, Any]


def make_setting(cell: Cell, arm: Arm, seed: int, **chosen: Any) -> Setting:
    """The setting of one run: defaults, then what tuning chose, then what defines the arm in this cell."""
    options = DEFAULTS | arm.fixed | chosen
    if cell.rate is not None:
        options["rate"] = cell.rate
    network = options.pop("network") or cell.network
    task = asdict(replace(cell, network=network))
    del task["name"], task["says"], task["rates"]
    task["constant_rate"] = task.pop("rate") is not None
    return {"version": VERSION, "cell": cell.name, "arm": arm.name, "seed": seed, "task": task, "options": options}


def key_of(setting: Setting) -> str:
    """A short hash of the setting, without the names that people gave it.

    >>> key_of({"cell": "a", "arm": "b", "seed": 0}) == key_of({"cell": "c", "arm": "d", "seed": 0})
    True
    """
    counted = {k: v for k, v in setting.items() if k not in ("cell", "arm")}
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()[:16]
