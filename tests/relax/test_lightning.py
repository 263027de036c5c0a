"""The Lightning callback: steps, logs, checkpoints, checks the end."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from equiaudit import Symmetry, project, relax, schedules
from equiaudit.groups import O
from equiaudit.interop.lightning import RelaxationCallback
from equiaudit.relaxation import RelaxationError
from equiaudit.relaxation.vector_neurons import VNInvariant, VNLinear

INSTALLED = importlib.util.find_spec("lightning") is not None
if INSTALLED:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lightning.pytorch import Callback, LightningModule, Trainer
        from lightning.pytorch.callbacks import ModelCheckpoint
else:
    Callback, LightningModule, Trainer, ModelCheckpoint = object, nn.Module, None, None

# Lightning warns about workers, loggers and tree specs
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not INSTALLED, reason="Lightning is not installed"),
]


class Task(LightningModule):
    def __init__(self, learned_late: bool = False) -> None:
        super().__init__()
        self.net = nn.Sequential(VNLinear(4, 6), VNInvariant(6), nn.Linear(18, 1))
        self.late = learned_late
        if not learned_late:
            self.relaxed = relax(self.net, Symmetry(O(3), "vector", "invariant"), init="default")

    def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
        penalty = 0 if self.late else 0.01 * self.relaxed.penalty()
        return (self.net(batch) - 1).square().mean() + penalty

    def validation_step(self, batch: torch.Tensor, index: int) -> None:
        self.log("error", (self.net(batch) - 1).square().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-2)
        if self.late:
            self.relaxed = relax(self.net, init="default")
        return optimizer


class Watch(Callback):
    def __init__(self, relaxed) -> None:
        self.relaxed, self.thetas, self.logged = relaxed, [], {}

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        self.thetas.append(self.relaxed.theta)

    def on_train_end(self, trainer, pl_module) -> None:
        self.logged = dict(trainer.callback_metrics)


def fit(task: Task, callbacks: list, folder: Path, epochs: int, **options) -> Trainer:
    trainer = Trainer(max_epochs=epochs, callbacks=callbacks, default_root_dir=folder, accelerator="cpu", logger=False,
                      enable_progress_bar=False, enable_model_summary=False, **options)  # fmt: skip
    trainer.fit(task, torch.utils.data.DataLoader(torch.randn(16, 4, 3), batch_size=8), ckpt_path=None)
    return trainer


def test_a_run(tmp_path: Path) -> None:
    task = Task()
    schedule = schedules.triangle(task.relaxed, 4)
    watch = Watch(task.relaxed)
    fit(task, [RelaxationCallback(schedule), watch], tmp_path, 4, enable_checkpointing=False)
    assert watch.thetas == [0.5, 1.0, 0.5, 0.0]
    assert "relaxation/0/theta" in watch.logged
    assert "relaxation/0/norm" in watch.logged
    assert "relaxation/0/penalty" in watch.logged
    model, report = project(task.relaxed, inputs=torch.randn(9, 4, 3), confirm=None)
    assert report.exact
    assert type(model) is nn.Sequential


def test_steps_by_batch_and_resumes_from_a_checkpoint(tmp_path: Path) -> None:
    task = Task()
    schedule = schedules.triangle(task.relaxed, 8)
    with pytest.warns(UserWarning, match="training stopped at triangle: step 4 of 8, theta 1"):
        trainer = fit(task, [RelaxationCallback(schedule, every="batch")], tmp_path, 2)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    other = Task()
    resumed = schedules.triangle(other.relaxed, 8)
    trainer = Trainer(max_epochs=4, callbacks=[RelaxationCallback(resumed, every="batch")], default_root_dir=tmp_path,
                      accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)  # fmt: skip
    trainer.fit(
        other, torch.utils.data.DataLoader(torch.randn(16, 4, 3), batch_size=8), ckpt_path=tmp_path / "half.ckpt"
    )
    assert resumed.count == 8
    assert other.relaxed.theta == 0


class EachBatch(Callback):
    def __init__(self, relaxed) -> None:
        self.relaxed, self.thetas = relaxed, []

    def on_train_batch_start(self, trainer, pl_module, batch, index) -> None:
        self.thetas.append(self.relaxed.theta)


def thetas_of_a_run(
    folder: Path, make, every: str, total: int, epochs: int, keep: dict | None = None, resume: str | None = None
):
    torch.manual_seed(0)
    task = Task()
    schedule, watch = make(task.relaxed, total), EachBatch(task.relaxed)
    saving = [] if keep is None else [ModelCheckpoint(folder, save_top_k=-1, filename="{step}", **keep)]
    data = torch.utils.data.DataLoader(torch.randn(16, 4, 3), batch_size=8)
    Trainer(max_epochs=epochs, callbacks=[RelaxationCallback(schedule, every), watch, *saving], accelerator="cpu",
            logger=False, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=keep is not None,
            ).fit(task, data, data, ckpt_path=resume)  # fmt: skip
    return watch.thetas, schedule


@pytest.mark.parametrize(("every", "total"), [("epoch", 4), ("batch", 8)])
@pytest.mark.parametrize(
    "keep", [{"save_on_train_epoch_end": False}, {"save_on_train_epoch_end": True}, {"every_n_train_steps": 3}], ids=str
)
def test_a_resumed_run_has_the_thetas_of_one_without_a_stop(tmp_path: Path, keep: dict, every: str, total: int) -> None:
    whole, _ = thetas_of_a_run(tmp_path, schedules.triangle, every, total, 4)
    started, _ = thetas_of_a_run(tmp_path, schedules.triangle, every, total, 2, keep)
    step = (
        3 if "every_n_train_steps" in keep else 4
    )  # of two batches in each epoch: the middle of the second, or its end
    resumed, schedule = thetas_of_a_run(
        tmp_path, schedules.triangle, every, total, 4, resume=str(tmp_path / f"step={step}.ckpt")
    )
    assert [*started[:step], *resumed] == whole
    assert (schedule.count, schedule.theta) == (total, 0)


def test_a_schedule_that_began_before_the_trainer_counts_on(tmp_path: Path) -> None:
    task = Task()
    schedule = schedules.triangle(task.relaxed, 4)
    schedule.step()
    callback, watch = RelaxationCallback(schedule), Watch(task.relaxed)
    with pytest.warns(UserWarning, match="training stopped at triangle: step 2 of 4"):
        fit(task, [callback, watch], tmp_path, 1, enable_checkpointing=False)
    fit(task, [callback, watch], tmp_path, 2, enable_checkpointing=False)  # a new trainer counts its epochs from 0
    assert watch.thetas == [1.0, 0.5, 0.0]


def test_an_optimizer_made_too_early_is_caught(tmp_path: Path) -> None:
    task = Task(learned_late=True)
    holder = Task()
    callback = RelaxationCallback(schedules.triangle(holder.relaxed, 4))
    with pytest.raises(RelaxationError, match="the optimizer does not train the relaxation of 0"):
        fit(task, [callback], tmp_path, 1, enable_checkpointing=False)


def test_a_wrong_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="every must be 'epoch' or 'batch', got 'step'"):
        RelaxationCallback(schedules.triangle(Task().relaxed, 4), every="step")


def test_a_step_that_the_checkpoint_lacks_is_made_at_the_next_epoch() -> None:
    # Lightning 2.6 runs the end of such an epoch again; a trainer that does not must come to the same θ
    saved, callback = (RelaxationCallback(schedules.triangle(Task().relaxed, 4)) for _ in range(2))
    trainer = SimpleNamespace(current_epoch=0, optimizers=[])
    saved.schedule.relaxed.check_optimizer = callback.schedule.relaxed.check_optimizer = lambda *_: None
    saved.on_train_start(trainer, None)
    callback.load_state_dict(saved.state_dict())
    trainer.current_epoch = 1
    callback.on_train_start(trainer, None)
    for _ in range(2):
        callback.on_train_epoch_start(trainer, None)
        assert (callback.schedule.count, callback.schedule.theta) == (1, 0.5)
