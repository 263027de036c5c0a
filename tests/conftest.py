"""What all tests share: one seed, torch's settings restored, and markers for what this machine lacks."""

from __future__ import annotations

import importlib.util
import os
import random
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

os.environ.setdefault("MPLBACKEND", "Agg")  # no test opens a window

OPTIONAL = ("ase", "e3nn", "escnn", "hypothesis", "jinja2", "matplotlib", "torch_geometric")
# Modules whose doctests need libraries that they load themselves.
LOADED_BY = {"equiaudit.report.html": "import jinja2\nimport matplotlib\n"}
IMPORT = re.compile(r"^\s*(?:from|import)\s+(\w+)", re.MULTILINE)

if importlib.util.find_spec("hypothesis"):
    from hypothesis import settings

    # Models are slow on their first call, and a run must be the same everywhere.
    settings.register_profile("equiaudit", deadline=None, derandomize=True, database=None)
    settings.load_profile("equiaudit")


def missing_libraries(source: str) -> list[str]:
    """The optional libraries that a piece of code imports and this environment lacks."""
    imported = set(IMPORT.findall(source))
    return [name for name in OPTIONAL if name in imported and importlib.util.find_spec(name) is None]


LEFT = pytest.StashKey[int]()
"""How many long tests this run leaves for ``make test-all``."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out long tests that nobody asked for, and skip what this machine or this environment can't run."""
    if not config.option.markexpr and not any("::" in argument for argument in config.args):
        left = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if not item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left)
        config.stash[LEFT] = len(left)
        if hasattr(config, "workeroutput"):
            config.workeroutput["left"] = len(left)
    skip_what_is_missing(items)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A process of pytest-xdist has ended: each of them collected all tests, and left the same ones."""
    node.config.stash[LEFT] = getattr(node, "workeroutput", {}).get("left", 0)


def pytest_unconfigure(config: pytest.Config) -> None:
    """The last line."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if config.stash.get(LEFT, 0) and reporter is not None:
        reporter.write_line(f"{config.stash[LEFT]} long tests were left for make test-all")


def skip_what_is_missing(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none, and doctests that import a library that is not installed."""
    no_gpu = pytest.mark.skip(reason="no CUDA device")
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(no_gpu)
        if isinstance(item, pytest.DoctestItem):
            own = LOADED_BY.get(item.dtest.globs.get("__name__", ""), "")
            missing = missing_libraries(own + "\n".join(example.source for example in item.dtest.examples))
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"{', '.join(missing)} not installed"))


@pytest.fixture(autouse=True)
def fresh_state() -> Iterator[None]:
    """Every test starts from seed 0 and leaves torch's default dtype and gradient mode as they were."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  the legacy generator is what models under test draw from
    torch.manual_seed(0)
    dtype, gradients = torch.get_default_dtype(), torch.is_grad_enabled()
    yield
    torch.set_default_dtype(dtype)
    torch.set_grad_enabled(gradients)
