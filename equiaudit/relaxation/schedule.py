"""Schedule: θ as a function of the step, its state for a resumed run, and the check at its end."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from equiaudit.relaxation.relaxed import Relaxed
from equiaudit.relaxation.site import RelaxationError, title

IDLE = (
    "its W did not change, because the optimizer was made before relax(), or the layer's forward or weights are used "
    "without calling the layer"
)
"""Why a W may have taken no part."""
Shape = Callable[[int, int], float]


def listing(names: Iterable[str]) -> str:
    """Names of layers, in a message."""
    return ", ".join(title(name) for name in names)


class Schedule:
    """θ as a function of the step e out of E; the last step sets exactly 0.

    Args:
        relaxed: the handle; θ is set to the value at step 0 at once.
        total: E, the number of calls of ``step``: epochs or optimizer steps, as you call it.
        name: for the ``state_dict``.
        shape: ``shape(e, E)``.
    """

    def __init__(self, relaxed: Relaxed, total: int, name: str, shape: Shape) -> None:
        if isinstance(total, bool) or not isinstance(total, int) or total < 1:
            raise ValueError(f"total must be a whole number of steps, 1 or more, got {total!r}")
        self.relaxed, self.total, self.name, self.shape = relaxed, total, name, shape
        self.count = 0
        self._norms = self._measure()
        self._apply()

    @property
    def theta(self) -> float:
        """θ at the present step; exactly 0 from step E on."""
        return 0.0 if self.count >= self.total else float(self.shape(self.count, self.total))

    def step(self) -> float:
        """Go one step on, set θ of every layer, and return it; the last step calls ``finish``."""
        self.count += 1
        self._apply()
        if self.count == self.total:
            self.finish()
        return self.theta

    def _apply(self) -> None:
        self.relaxed.theta = self.theta

    def _measure(self) -> dict[str, float]:
        return {name: found.norm() for name, found in self.relaxed.relaxations.items()}

    @property
    def idle(self) -> tuple[str, ...]:
        """Layers whose W has not changed since the schedule began: not trained, or not called."""
        return tuple(name for name, norm in self._measure().items() if norm == self._norms.get(name))

    def finish(self) -> None:
        """Check that θ reached every relaxed layer of the model and is 0; warn of layers whose W never changed.

        Raises:
            RelaxationError: names the layers where θ is not 0.
        """
        now = Relaxed(self.relaxed.module).thetas  # looked up again: a layer may have been replaced meanwhile
        left = {name: value for name, value in now.items() if value != 0.0}
        if left:
            listed = ", ".join(f"{name}: {value:g}" for name, value in left.items())
            raise RelaxationError(f"the schedule is over and theta is not 0 at {listed}")
        self._warn_of_idle()

    def _warn_of_idle(self) -> None:
        if self.idle:
            warnings.warn(f"the relaxation of {listing(self.idle)} was never trained: {IDLE}", stacklevel=4)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"name": self.name, "count": self.count, "total": self.total, "norms": dict(self._norms)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a run stopped; θ is set at once.

        Raises:
            ValueError: the state is of another schedule.
        """
        for key, mine in (("name", self.name), ("total", self.total)):
            if state.get(key) != mine:
                raise ValueError(f"the state is of a schedule with {key}={state.get(key)!r}, this one has {mine!r}")
        self.count, self._norms = int(state["count"]), dict(state["norms"])
        self._apply()

    def __repr__(self) -> str:
        return f"{self.name}: step {self.count} of {self.total}, theta {self.theta:g}"
