"""Arms: what is compared, with the settings that belong to an arm and the grid from which tuning chooses the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

RATES = (4e-3, 8e-3, 1.6e-2, 3.2e-2)
TRANSFORMER_RATES = (1e-3, 2e-3)
DEFAULTS: dict[str, Any] = {
    "network": None,  # the cell's
    "rate": RATES[1],
    "weight_decay": 0.0,
    "length": 1.0,  # times the cell's steps
    "relax": False,
    "theta": "triangle",
    "share": 1.0,  # of the steps in which theta is not 0
    "init": "normal(1e-4)",
    "lie": 0.0,  # weight of the Lie term
    "magnitude": 0.0,  # weight of the magnitude term
    "term": "weights",  # or "activations", "scrambled"
    "w_rate": 1.0,  # learning rate of W over that of the network
    "pull": 0.0,
    "project": "drop",
    "augment": False,
    "anchor": None,
    "beta": 0.0,
    "weighting": "constant",
}


@dataclass(frozen=True)
class Arm:
    """Settings that define the arm, and the values that tuning tries, one setting after another."""

    name: str
    says: str
    fixed: dict[str, Any] = field(default_factory=dict)
    grid: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    late: bool = False
    """Thought of when there were results: shown, and no candidate for the comparison that was fixed in advance."""

    def __post_init__(self) -> None:
        unknown = (set(self.fixed) | set(self.grid)) - set(DEFAULTS)
        if unknown:
            raise ValueError(f"arm {self.name!r} sets {', '.join(sorted(unknown))}; known are {', '.join(DEFAULTS)}")


LAMBDAS = (0.03, 0.3, 3.0)
PAPER = {"relax": True, "lie": 0.3, "magnitude": 0.3}
EARLY = PAPER | {"share": 0.6}
FREE = {"network": "transformer"}


def _arm(name: str, says: str, fixed: dict[str, Any] | None = None, late: bool = False, **grid: tuple[Any, ...]) -> Arm:
    rates = TRANSFORMER_RATES if (fixed or {}).get("network") == "transformer" else RATES
    return Arm(name, says, fixed or {}, {"rate": rates, **grid}, late)


ARMS = {
    arm.name: arm
    for arm in (
        _arm("standard", "the exact network"),
        _arm("decay", "standard with weight decay", {"weight_decay": 0.1}, weight_decay=(0.03, 0.1, 0.3)),
        _arm("longer", "standard with 1.5 times the steps", {"length": 1.5}),
        _arm("relaxed", "triangle, Lie and magnitude terms on weights, W dropped", PAPER, magnitude=LAMBDAS),
        _arm("no-lie", "relaxed without the Lie term", PAPER | {"lie": 0.0}, magnitude=LAMBDAS),
        _arm("no-magnitude", "relaxed without the magnitude term", PAPER | {"magnitude": 0.0}, lie=LAMBDAS),
        _arm("no-terms", "relaxed without either term", PAPER | {"lie": 0.0, "magnitude": 0.0}),
        _arm("no-anneal", "relaxed with θ = 1 until the last step", PAPER | {"theta": "constant"}),
        _arm("early", "relaxed, θ back at 0 after 60 % of the steps", EARLY, magnitude=LAMBDAS),
        _arm("fold", "early, W stopped at θ = 1 and folded at 60 %", EARLY | {"theta": "constant", "project": "fold"}),
        _arm("halfway", "early, W stopped at θ = 1 and dropped at 60 %", EARLY | {"theta": "constant"}),
        _arm("w-rate", "early with a learning rate of its own for W", EARLY, w_rate=(0.1, 0.3, 3.0)),
        _arm(
            "activations",
            "early with the terms on activations",
            EARLY | {"term": "activations"},
            magnitude=(0.01, 0.1, 1.0),
        ),
        _arm("scrambled", "early with the released code's Lie term", EARLY | {"term": "scrambled"}),
        _arm("adaptive", "levels by dual ascent", EARLY | {"theta": "adaptive", "init": "default"}, pull=(1e-4, 1e-3)),
        _arm(
            "learned",
            "levels learned from the loss, in the spirit of RECM",
            EARLY | {"theta": "learned", "init": "default"},
            pull=(1e-4, 1e-3, 1e-2),
        ),
        _arm(
            "pathway",
            "residual pathway prior: θ = 1 for good, W kept",
            PAPER | {"theta": "kept", "lie": 0.0},
            magnitude=LAMBDAS,
        ),
        _arm(
            "decay-longer",
            "standard with weight decay and 1.5 times the steps",
            {"weight_decay": 0.1, "length": 1.5},
            late=True,
            weight_decay=(0.03, 0.1, 0.3),
        ),
        _arm(
            "decay-relaxed",
            "weight decay and relaxed, W at a tenth of the rate",
            PAPER | {"weight_decay": 0.1, "w_rate": 0.1},
            late=True,
        ),
        _arm("init", "relaxed, W begins as a linear layer does", PAPER | {"init": "default"}, late=True),
        _arm("transformer", "unconstrained, no augmentation", FREE),
        _arm("augmented", "unconstrained, augmented", FREE | {"augment": True}),
        _arm("remul-label", "REMUL, label-anchored", FREE | {"anchor": "label"}, beta=(0.3, 1.0, 3.0)),
        _arm("remul-model", "REMUL, model-anchored", FREE | {"anchor": "model"}, beta=(0.3, 1.0, 3.0)),
        _arm(
            "remul-label-gradnorm", "the same, weights by GradNorm", FREE | {"anchor": "label", "weighting": "gradnorm"}
        ),
        _arm(
            "remul-model-gradnorm", "the same, weights by GradNorm", FREE | {"anchor": "model", "weighting": "gradnorm"}
        ),
    )
}
