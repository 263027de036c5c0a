"""A line at least every two seconds while something runs, on a terminal and in a pipe; it loads nothing."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

INTERVAL = 1.5
"""Seconds without output after which the heartbeat says what is going on."""


class Heartbeat:
    """Stands in for a stream, and notes when something was written to it.

    Args:
        stream: where everything goes.
        interval: seconds without output after which ``doing`` is said.
    """

    def __init__(self, stream: TextIO, interval: float = INTERVAL) -> None:
        self.stream, self.interval = stream, interval
        self.doing = ""
        self._since = self._written = time.monotonic()
        self._lock, self._over = threading.Lock(), threading.Event()

    def begin(self, doing: str) -> None:
        """What is going on from now on; said only if it takes long."""
        self.doing, self._since = doing, time.monotonic()

    def write(self, text: str) -> int:
        """Write to the stream, at once."""
        with self._lock:
            written = self.stream.write(text)
            self.stream.flush()
            self._written = time.monotonic()
        return written

    def flush(self) -> None:
        """Nothing to do: every write is flushed."""

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)

    def beat(self) -> None:
        """Until it is over: a line whenever nothing was written for a while."""
        while not self._over.wait(0.1):
            now = time.monotonic()
            if now - self._written > self.interval:
                self.write(f"  … {self.doing} ({now - self._since:.0f} s)\n")

    def stop(self) -> None:
        """Say nothing any more."""
        self._over.set()


@contextmanager
def heartbeat(doing: str, interval: float = INTERVAL) -> Iterator[Heartbeat]:
    """Standard output says what is going on at least every two seconds, until the block ends."""
    before = sys.stdout
    beating = Heartbeat(before, interval)
    beating.begin(doing)
    thread = threading.Thread(target=beating.beat, daemon=True)
    sys.stdout = beating  # type: ignore[assignment]  # all of a stream that print and rich use
    thread.start()
    try:
        yield beating
    finally:
        beating.stop()
        thread.join()
        sys.stdout = before
