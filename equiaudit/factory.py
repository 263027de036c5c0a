"""From ``module:factory`` on a command line to the model, inputs and symmetry that the factory returns."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEYWORDS = ("model", "inputs", "symmetry", "forward", "reference")


class FactoryError(Exception):
    """The factory can't be found, or returns something else than a case; the message says what to do."""


class UserError(Exception):
    """Code of the user raised: the cause is what it raised."""

    def show(self) -> None:
        """The traceback of the cause, from the first line of the user's own code."""
        if self.__cause__ is not None:
            show_traceback(self.__cause__)


@dataclass(frozen=True)
class Case:
    """What one audit takes, and where it comes from."""

    factory: str
    name: str | None
    model: Any
    inputs: Any
    symmetry: Any
    forward: Any = None
    reference: Any = "auto"

    def label(self, given: str | None) -> str:
        """The given label, or the factory with the name of the case."""
        own = f"{self.factory}[{self.name}]" if self.name is not None else self.factory
        if given is None:
            return own
        return f"{given}[{self.name}]" if self.name is not None and not given.endswith(f"[{self.name}]") else given


def load_cases(spec: str, name: str | None = None) -> list[Case]:
    """The cases of a factory, or the one called ``name``.

    Raises:
        FactoryError: no such module, factory or case, or a wrong return value.
        UserError: the module or the factory raised.
    """
    returned = _call(find_factory(spec))
    if isinstance(returned, Mapping) and "model" not in returned:
        if not returned:
            raise FactoryError(f"{spec} returned an empty dict; expected cases by name: {_EXPECTED}")
        cases = {str(key): _case(f"{spec}[{key}]", spec, str(key), value) for key, value in returned.items()}
        if name is None:
            return list(cases.values())
        if name not in cases:
            raise FactoryError(f"{spec} has no case {name!r}; it has {', '.join(cases)}")
        return [cases[name]]
    if name is not None:
        raise FactoryError(f"{spec} returned one case without a name, so --case {name} finds nothing: leave it out")
    return [_case(spec, spec, None, returned)]


_EXPECTED = "(model, inputs, symmetry), or a dict with these keys and optionally forward and reference"


def _case(where: str, spec: str, name: str | None, value: Any) -> Case:
    if isinstance(value, Mapping):
        unknown = [k for k in value if k not in KEYWORDS]
        if unknown or "model" not in value:
            what = f"the keys {', '.join(map(repr, unknown))}" if unknown else "no 'model'"
            raise FactoryError(f"{where} returned a dict with {what}; expected {_EXPECTED}")
        words = dict(value)
    elif isinstance(value, (tuple, list)) and len(value) == 3:
        words = dict(zip(KEYWORDS, value, strict=False))
    else:
        size = f" of {len(value)}" if isinstance(value, (tuple, list)) else ""
        raise FactoryError(f"{where} returned a {type(value).__name__}{size}; expected {_EXPECTED}")
    if not callable(words["model"]):
        raise FactoryError(f"{where}: the model must be callable, got {type(words['model']).__name__}")
    from equiaudit.measure.audit import as_symmetries

    try:
        as_symmetries(words["model"], words.get("symmetry"))
    except (TypeError, ValueError) as problem:
        raise FactoryError(f"{where}: {problem}") from None
    rest = {k: v for k, v in words.items() if k in ("forward", "reference") and v is not None}
    return Case(spec, name, words["model"], words.get("inputs"), words.get("symmetry"), **rest)


def find_factory(spec: str) -> Any:
    """The function that ``module:function`` or ``path/to/file.py:function`` names; the current folder counts.

    Raises:
        FactoryError: no such module or function.
        UserError: importing the module raised.
    """
    module_name, colon, function = spec.rpartition(":")
    if not colon or not module_name or not function:
        raise FactoryError(f"expected module:factory or path/to/file.py:factory, got {spec!r}")
    module = _load_file(Path(module_name)) if module_name.endswith(".py") else _load_module(module_name)
    found: Any = module
    for part in function.split("."):
        if not hasattr(found, part):
            raise FactoryError(f"{module_name} has no {function!r}; it has {_functions(module)}")
        found = getattr(found, part)
    if not callable(found):
        raise FactoryError(f"{spec} is a {type(found).__name__}; expected a function that returns {_EXPECTED}")
    return found


def _functions(module: Any) -> str:
    own = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", None) == module.__name__]
    return ", ".join(n for n in own if not n.startswith("_")) or "no functions"


def _load_module(name: str) -> Any:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name is not None and (name == problem.name or name.startswith(problem.name + ".")):
            raise FactoryError(f"no module named {problem.name!r} in {Path.cwd()} or installed") from None
        raise UserError from problem
    except (ValueError, TypeError) as problem:
        if "." in (name[:1], name[-1:]):
            raise FactoryError(f"{name!r} is no name of a module: {problem}") from None
        raise UserError from problem
    except Exception as problem:
        raise UserError from problem


def _load_file(path: Path) -> Any:
    if not path.is_file():
        raise FactoryError(f"there is no file {path} (looked in {Path.cwd()})")
    for folder in (str(path.resolve().parent), str(Path.cwd())):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(path.stem, path.resolve())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(path.stem)
    sys.modules[path.stem] = module  # dataclasses and pickle look modules up by name
    try:
        spec.loader.exec_module(module)
    except Exception as problem:
        if before is not None:
            sys.modules[path.stem] = before
        raise UserError from problem
    return module


def _call(factory: Any) -> Any:
    try:
        return factory()
    except Exception as problem:
        raise UserError from problem


def show_traceback(problem: BaseException) -> None:
    """Print a traceback without the frames that lead to the user's own code."""
    trace, home = problem.__traceback__, str(Path(__file__).parent)
    start = trace
    while start is not None and start.tb_frame.f_code.co_filename.startswith((home, "<frozen")):
        start = start.tb_next
    start = _skip_importing(start)
    traceback.print_exception(type(problem), problem, start or trace)


def _skip_importing(trace: Any) -> Any:
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(("<frozen", importlib.__file__)):
        trace = trace.tb_next
    return trace
