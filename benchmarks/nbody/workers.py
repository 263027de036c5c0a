"""Runs in a process, and in several. Not in ``__main__``: what is there can't be sent to another process."""

from __future__ import annotations

import datetime
import importlib.metadata
import multiprocessing
import platform
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

import torch

from benchmarks.nbody.setting import Setting
from benchmarks.nbody.training import train_together
from benchmarks.nbody.updates import Compile, stackable


def work_on(settings: Sequence[Setting], compiling: bool, device: str) -> list[dict[str, Any]]:
    """Runs that are made together in this process, with what a reader of a record wants to know about it."""
    torch.set_num_threads(1)
    began = time.perf_counter()
    records = train_together(settings, compiler() if compiling else None, device)
    where = {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": (time.perf_counter() - began) / len(settings),
        "compiled": compiling,
        "stacked": len(settings),
        "device": device,
        "torch": torch.__version__,
        "equiaudit": importlib.metadata.version("torch-equiaudit"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "kernels": torch.backends.cpu.get_cpu_capability(),
    }
    return [_rounded(record | {"run": where}) for record in records]


def together(todo: Iterable[Setting], count: int) -> list[list[Setting]]:
    """Runs in groups of at most ``count`` that differ in their seed alone; an arm that can't be stacked stays alone."""
    groups: dict[str, list[list[Setting]]] = {}
    for setting in todo:
        same = groups.setdefault(repr({k: v for k, v in setting.items() if k != "seed"}), [])
        if not same or len(same[-1]) == count or not stackable(setting["options"]):
            same.append([])
        same[-1].append(setting)
    return [group for same in groups.values() for group in same]


_COMPILED: dict[Any, Any] = {}


def compiler(backend: str = "inductor") -> Compile:
    """torch.compile, told to look at hooks: by default a graph made for a plain model serves a relaxed one too."""
    import torch._dynamo

    torch._dynamo.config.skip_nnmodule_hook_guards = False
    torch._dynamo.config.cache_size_limit = 64
    return lambda f: _COMPILED.setdefault((f, backend), torch.compile(f, dynamic=False, backend=backend))


def results(work: Any, todo: list[list[Setting]], jobs: int) -> Iterator[tuple[list[Setting], Any]]:
    """Groups of settings with their records, or with the error that they ended in, as they are done."""
    if jobs == 1:
        yield from ((group, _caught(work, group)) for group in todo)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(_caught, work, group): group for group in todo}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _caught(work: Any, group: list[Setting]) -> Any:
    try:
        return work(group)
    except Exception as error:  # one run that fails must not cost the night
        return error


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list) else value
