"""The main job: audit real models on real inputs, print a table, write a report that opens anywhere.

``python -m examples.demo --html demo.html``; the exit status is 0 where every verdict is the right one. What it does is in
``examples/gallery.py``; this file is loaded at once, so that something is said while torch loads.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from examples.heartbeat import heartbeat


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases, print what was found, write the reports; exit status 1 where a verdict is wrong or nothing ran."""
    print("loading torch", flush=True)
    with heartbeat("loading torch") as beating:
        from examples import gallery

        return gallery.main(arguments, beating.begin)


if __name__ == "__main__":
    sys.exit(main())
