"""Measure every BROKEN and APPROXIMATE case by brute force and write sizes.json: ``python -m tests.corpus``."""

from __future__ import annotations

import json

from . import CASES
from .brute import violation
from .case import APPROXIMATE, BROKEN, SIZES


def main() -> None:
    known = json.loads(SIZES.read_text()) if SIZES.exists() else {}
    found = {}
    for case in CASES:
        if case.expect in (BROKEN, APPROXIMATE):
            found[case.name] = known.get(case.name) if case.missing else float(f"{violation(case)[0]:.2g}")
    SIZES.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{len(found)} violations, from {min(found.values()):.1e} to {max(found.values()):.1e}")


if __name__ == "__main__":
    main()
