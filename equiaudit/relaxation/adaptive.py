"""Adaptive schedules: each layer learns its level, and something pulls it to 0."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from equiaudit.relaxation.relaxed import Relaxed
from equiaudit.relaxation.schedule import Schedule
from equiaudit.relaxation.site import RelaxationError, title

SETTLED = 0.05
"""A level whose size is below this part of the one it started at has come down before the last step takes it away."""


def level_of(relaxed: Relaxed, name: str) -> Tensor:
    """The learned level of a layer.

    Raises:
        RelaxationError: it has none.
    """
    level = relaxed.relaxations[name].level
    if level is None:
        raise RelaxationError(f"{title(name)} has no learned level: relax(model, …, learned=1.0)")
    return level


class LearnedLevels(Schedule):
    """Levels learned from the loss with a pull towards 0; θ is 1 until the last step, which sets 0."""

    def __init__(self, relaxed: Relaxed, total: int, pull: float) -> None:
        for name in relaxed.relaxations:
            level_of(relaxed, name)
        if not pull >= 0:
            raise ValueError(f"pull must not be negative, got {pull!r}")
        self.pull = pull
        super().__init__(relaxed, total, "learned", lambda e, n: 1.0)

    @property
    def levels(self) -> dict[str, float]:
        """γ of each layer."""
        return {name: float(level_of(self.relaxed, name).detach()) for name in self.relaxed.relaxations}

    def step(self) -> float:
        """As every schedule; the last step warns of levels that had not come down, as taking them away is a jump."""
        if self.count + 1 == self.total and self._ends():
            found = self.relaxed.relaxations
            high = {n: g for n, g in self.levels.items() if abs(g) > SETTLED * (abs(found[n].learned or 0.0) or 1.0)}
            if high:
                sizes = ", ".join(
                    f"{title(n)}: {g:.2g} (|level W| {abs(g) * found[n].norm():.2g})" for n, g in high.items()
                )
                warnings.warn(
                    f"the last step takes away levels that had not come down: {sizes}; give more steps or a stronger pull, or "
                    "look at the change of the output that project(relaxed, inputs=…) reports",
                    stacklevel=2,
                )
        return super().step()

    def _ends(self) -> bool:
        return True

    def penalty(self) -> Tensor:
        """pull · Σ γ_i²: to be added to the loss."""
        first, *others = (self.pull * level_of(self.relaxed, name).square() for name in self.relaxed.relaxations)
        return sum(others, first)


class DualAscent(LearnedLevels):
    """Multipliers λ_i on the levels γ_i, raised by ``rate`` times what is violated; see ``schedules.dual_ascent``.

    |γ_i| ≤ u_i, penalty Σ λ_i |γ_i|, λ_i ← max(0, λ_i + rate (|γ_i| − u_i)). Without ``elastic`` u_i = 0; with it
    u_i ← max(0, u_i − bound_rate (elastic u_i − λ_i)). The absolute value stands for the signed constraint γ_i = 0: with that
    the levels swung about 0 without end on a small task, as nothing damps them.
    """

    def __init__(
        self, relaxed: Relaxed, total: int, rate: float, elastic: float | None, bound_rate: float | None
    ) -> None:
        for name, value in {"rate": rate, "elastic": elastic, "bound_rate": bound_rate}.items():
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, got {value!r}")
        self.rate, self.elastic = rate, elastic
        self.bound_rate = rate if bound_rate is None else bound_rate
        self.multipliers = dict.fromkeys(relaxed.relaxations, 0.0)
        self.bounds = dict.fromkeys(relaxed.relaxations, 0.0)
        super().__init__(relaxed, total, 0.0)
        self.name = "dual ascent"

    @property
    def theta(self) -> float:
        """1; 0 after the last step unless ``elastic``."""
        return 0.0 if self.count >= self.total and self.elastic is None else 1.0

    def penalty(self) -> Tensor:
        """Σ λ_i |γ_i|: to be added to the loss."""
        levels = {name: level_of(self.relaxed, name) for name in self.relaxed.relaxations}
        first, *others = (self.multipliers[name] * level.abs() for name, level in levels.items())
        return sum(others, first)

    def step(self) -> float:
        """Raise the multipliers by what is violated, then as every schedule."""
        for name, level in self.levels.items():
            bound, multiplier = self.bounds[name], self.multipliers[name]
            self.multipliers[name] = max(0.0, multiplier + self.rate * (abs(level) - bound))
            if self.elastic is not None:
                self.bounds[name] = max(0.0, bound - self.bound_rate * (self.elastic * bound - multiplier))
        return super().step()

    def _ends(self) -> bool:
        return self.elastic is None

    def finish(self) -> None:
        """Without elastic bounds as every schedule; with them θ stays, and ``levels`` says which layers stay relaxed."""
        if self.elastic is None:
            super().finish()
        else:
            self._warn_of_idle()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: the multipliers and bounds too."""
        return super().state_dict() | {"multipliers": dict(self.multipliers), "bounds": dict(self.bounds)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a run stopped."""
        super().load_state_dict(state)
        self.multipliers, self.bounds = dict(state["multipliers"]), dict(state["bounds"])
