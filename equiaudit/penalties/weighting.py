"""How much a penalty weighs beside the task: a constant, balanced gradients, or as much as a target needs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

Value = Tensor | Callable[[], Tensor]


class Weighting(ABC):
    """A weight for a penalty in a training loop.

    ``loss = weighting(task, penalty)`` adds them up; ``weighting.step(task, penalty)`` then adapts the weight, before
    ``loss.backward()`` frees the graph. ``penalty`` may be a function without arguments: with ``every=k`` it is called
    on every k-th step alone, and weighs k times as much there.

    Args:
        weight: the weight to start with.
        every: on every how manieth step the penalty counts.
    """

    def __init__(self, weight: float, every: int = 1) -> None:
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"weight must be a finite number of at least 0, got {weight!r}")
        if every < 1 or int(every) != every:
            raise ValueError(f"every must be a whole number of at least 1, got {every!r}")
        self._weight, self.every, self.steps = float(weight), int(every), 0

    @property
    def weight(self) -> float:
        """What the penalty is multiplied by, relative to the task."""
        return self._weight

    @property
    def due(self) -> bool:
        """Whether the penalty counts on this step."""
        return self.steps % self.every == 0

    def __call__(self, task: Tensor, penalty: Value) -> Tensor:
        """The weighted sum; the task alone on steps without the penalty."""
        self._last = self._read(penalty) if self.due else None
        return task if self._last is None else task + self.every * self.weight * self._last

    def step(self, task: Tensor | float | None = None, penalty: Value | float | None = None) -> None:
        """Adapt the weight to the losses of this step and go on to the next; without arguments from the last call."""
        if self.due:
            self.adapt(task, getattr(self, "_last", None) if penalty is None else self._read(penalty))
        self.steps += 1

    @abstractmethod
    def adapt(self, task: Any, penalty: Any) -> None:
        """Change the weight."""

    @staticmethod
    def _read(penalty: Any) -> Any:
        return penalty() if callable(penalty) and not isinstance(penalty, Tensor) else penalty

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers, for checkpoints."""
        return {"weight": self._weight, "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._weight, self.steps = float(state["weight"]), int(state["steps"])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(weight={self.weight:g})"


class Constant(Weighting):
    """The same weight throughout.

    >>> weighting = Constant(0.1, every=2)
    >>> losses = []
    >>> for _ in range(3):
    ...     losses.append(float(weighting(torch.tensor(1.0), lambda: torch.tensor(2.0))))
    ...     weighting.step()
    >>> [round(loss, 3) for loss in losses]
    [1.4, 1.0, 1.4]
    """

    def adapt(self, task: Any, penalty: Any) -> None:
        """Nothing."""


class DualAscent(Weighting):
    """A multiplier that grows while the penalty is above a target and falls below it: λ ← clip(λ + rate (P − target)).

    The stationary points of the loop are those of min task subject to P ≤ target.

    Args:
        target: the violation that is allowed, in the units of the penalty.
        rate: how much the weight grows for each unit of excess and step.
        maximum: where it stops.
        weight: to start with.
        every: on every how manieth step the penalty counts.

    >>> weighting = DualAscent(target=0.5, rate=0.1, maximum=1.0)
    >>> weighting.step(penalty=2.5)
    >>> weighting.weight
    0.2

    Source: Platt and Barr 1988, "Constrained Differential Optimization"; for equivariance Manolache et al. 2025, "Learning
    (Approximately) Equivariant Networks via Constrained Optimization" (ACE).
    """

    def __init__(
        self, target: float, rate: float = 1e-2, maximum: float = 1e3, weight: float = 0.0, every: int = 1
    ) -> None:
        super().__init__(weight, every)
        if not (target >= 0 and rate > 0 and maximum >= weight):
            raise ValueError(
                "target must be at least 0, rate above 0 and maximum at least the weight, "
                f"got target={target!r}, rate={rate!r}, maximum={maximum!r}"
            )
        self.target, self.rate, self.maximum = target, rate, maximum

    def adapt(self, task: Any, penalty: Any) -> None:
        """One step along the gradient of the dual problem; a penalty that is not finite changes nothing."""
        if penalty is None:
            raise ValueError("DualAscent.step needs the penalty of this step: step(penalty=value)")
        value = penalty.detach().double() if isinstance(penalty, Tensor) else torch.tensor(float(penalty)).double()
        excess = float(_mean_over_processes(value)) - self.target
        if math.isfinite(excess):
            self._weight = min(max(self._weight + self.rate * excess, 0.0), self.maximum)


class GradNorm(Weighting):
    """Weights under which task and penalty pull on chosen parameters with balanced strength.

    With G_i = w_i ‖∇L_i‖, Ḡ their mean and r_i = (L_i / L_i(0)) / mean, the weights descend Σ_i |G_i − Ḡ r_i^α| with the
    target held constant, and are scaled to add up to 2. ``weight`` is that of the penalty over that of the task. The
    descent is in log w and in units of Ḡ, where the paper uses Adam: losses in any units take steps of the same length.
    Steps on which a gradient vanishes or is not finite change nothing. In several processes gradients are averaged first.

    Args:
        parameters: of the last shared layer, whose gradients are compared.
        rate: of the descent.
        alpha: how strongly losses that lag behind are favoured; 0 balances the gradients alone.
        every: on every how manieth step the penalty counts.

    >>> layer = torch.nn.Linear(2, 1)
    >>> weighting = GradNorm(layer.parameters(), rate=0.1)
    >>> y = layer(torch.ones(1, 2)).sum()
    >>> task, penalty = y**2, 100 * y**2
    >>> weighting.step(task, penalty)
    >>> weighting.weight < 1
    True

    Source: Chen et al. 2018, "GradNorm: Gradient Normalization for Adaptive Loss Balancing", equations 1 and 2.
    """

    def __init__(
        self, parameters: Iterable[Tensor] | Tensor, rate: float = 0.025, alpha: float = 1.5, every: int = 1
    ) -> None:
        super().__init__(1.0, every)
        found = [parameters] if isinstance(parameters, Tensor) else list(parameters)
        self.parameters = [p for p in found if p.requires_grad]
        if not self.parameters:
            raise ValueError("GradNorm compares gradients on parameters that require them; none were given")
        self.rate, self.alpha = rate, alpha
        self.weights = [1.0, 1.0]
        self.first: list[float] | None = None

    @property
    def weight(self) -> float:
        """The weight of the penalty over that of the task."""
        return self.weights[1] / self.weights[0]

    def __call__(self, task: Tensor, penalty: Value) -> Tensor:
        """w₀ task + w₁ penalty."""
        self._last = self._read(penalty) if self.due else None
        self._task = task
        total = self.weights[0] * task
        return total if self._last is None else total + self.every * self.weights[1] * self._last

    def adapt(self, task: Any, penalty: Any) -> None:
        """One descent step of the weights; call it before ``backward`` frees the graph."""
        task = getattr(self, "_task", None) if task is None else task
        if not isinstance(task, Tensor) or not isinstance(penalty, Tensor):
            raise ValueError("GradNorm.step needs both losses with their graphs: step(task, penalty) before backward()")
        stacked = torch.stack([task.detach().double(), penalty.detach().to(task.device).double()])
        losses = _mean_over_processes(stacked).tolist()
        norms = [self._norm(name, loss) for name, loss in (("task", task), ("penalty", penalty))]
        if not all(map(math.isfinite, losses + norms)) or not all(norms):
            return  # nothing to balance: a pull of zero would be raised for ever
        if self.first is None:
            self.first = losses
        ratios = [now / start if start > 0 else 1.0 for now, start in zip(losses, self.first, strict=True)]
        mean_ratio = sum(ratios) / 2
        pulls = [w * n for w, n in zip(self.weights, norms, strict=True)]
        mean = sum(pulls) / 2
        new = []
        for w, pull, ratio in zip(self.weights, pulls, ratios, strict=True):
            goal = mean * (ratio / mean_ratio if mean_ratio > 0 else 1.0) ** self.alpha
            sign = 1.0 if pull > goal else -1.0 if pull < goal else 0.0
            new.append(w * math.exp(-self.rate * sign * pull / mean) if mean > 0 else w)
        self.weights = [2 * w / sum(new) for w in new]

    def _norm(self, name: str, loss: Tensor) -> float:
        grads: Sequence[Tensor | None] = [None] * len(self.parameters)
        if loss.requires_grad:
            grads = torch.autograd.grad(loss, self.parameters, retain_graph=True, allow_unused=True)
            if all(g is None for g in grads):
                raise ValueError(
                    f"the {name} does not depend on the parameters that GradNorm compares gradients on; give those of a "
                    "layer that task and penalty share: GradNorm(model.last.parameters())"
                )
        pairs = zip(grads, self.parameters, strict=True)
        flat = torch.cat([(torch.zeros_like(p) if g is None else g).reshape(-1) for g, p in pairs])
        return float(_mean_over_processes(flat).double().norm())

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers, for checkpoints."""
        return {"weights": list(self.weights), "first": self.first, "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.weights, self.steps = [float(w) for w in state["weights"]], int(state["steps"])
        self.first = None if state["first"] is None else list(state["first"])


def _mean_over_processes(value: Tensor) -> Tensor:
    # every process sees a part of the batch: without this their weights would part
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return value
    on = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else value.device
    total = value.detach().to(on, copy=True)
    dist.all_reduce(total)
    return total / dist.get_world_size()
