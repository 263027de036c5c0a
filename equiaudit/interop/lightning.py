"""Lightning: a callback that steps a schedule of a relaxed model, logs it, keeps it in checkpoints and checks its end."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

from equiaudit.relaxation.schedule import IDLE, Schedule, listing


def _callback() -> Any:
    for name in ("lightning.pytorch", "pytorch_lightning"):
        try:
            return importlib.import_module(name).Callback
        except ImportError:
            continue
    return object


Base = _callback()
"""Lightning's ``Callback``; ``object`` where Lightning is not installed, so that this file can be read without it."""


class RelaxationCallback(Base):  # type: ignore[misc, valid-type]
    """Step a schedule as training goes on, log θ, ‖W‖ and the penalty of each layer, and check at the end that θ is 0 everywhere.

    A checkpoint made before the end of its epoch does not have the step of that epoch; where the trainer does not run that
    end again, the step is made before the next epoch.

    Relax the model before the trainer makes the optimizers (in ``__init__``); penalties belong into ``training_step``:
    ``loss + 0.01 * self.relaxed.penalty()``.

    Args:
        schedule: of ``equiaudit.schedules``; its total counts epochs or batches, as ``every`` says.
        every: "epoch" or "batch".
        log: whether to log ``relaxed.log(penalty=True)`` with each step.

    Raises:
        ValueError: another unit. ImportError: Lightning is not installed.
    """

    def __init__(self, schedule: Schedule, every: str = "epoch", log: bool = True) -> None:
        if every not in ("epoch", "batch"):
            raise ValueError(f"every must be 'epoch' or 'batch', got {every!r}")
        if Base is object:
            raise ImportError("the callback needs Lightning: pip install lightning")
        super().__init__()
        self.schedule, self.every, self.log = schedule, every, log
        self.first: int | None = None  # the epoch at which the schedule is at step 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """The optimizers must have the new parameters."""
        self.schedule.relaxed.check_optimizer(*trainer.optimizers)
        if self.first is None:  # not from a checkpoint
            self.first = trainer.current_epoch - self.schedule.count

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Make the step that a checkpoint from before the end of its epoch does not have."""
        if self.every == "epoch" and self.first is not None:
            for _ in range(trainer.current_epoch - self.first - self.schedule.count):
                self.schedule.step()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any, **kwargs: Any) -> None:
        """Step where batches are counted."""
        if self.every == "batch":
            self._step(pl_module)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Step where epochs are counted."""
        if self.every == "epoch":
            self._step(pl_module)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Check the end; warn where training stopped before the schedule did, or a W never moved."""
        self.first = None  # another fit may count its epochs anew
        if self.schedule.count >= self.schedule.total:
            self.schedule.finish()  # warns of what was never trained
            return
        warnings.warn(
            f"training stopped at {self.schedule!r}: project(relaxed) says what is left of the relaxation", stacklevel=2
        )
        if self.schedule.idle:
            warnings.warn(f"the relaxation of {listing(self.schedule.idle)} was never trained: {IDLE}", stacklevel=2)

    def _step(self, pl_module: Any) -> None:
        if self.log:
            pl_module.log_dict(self.schedule.relaxed.log(penalty=True))
        self.schedule.step()

    def state_dict(self) -> dict[str, Any]:
        """The state of the schedule, for the checkpoint."""
        return self.schedule.state_dict() | {"first": self.first}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the checkpoint stopped."""
        self.schedule.load_state_dict(state_dict)
        self.first = state_dict.get("first")
