"""What a person can set: on the command line, with a marker, in the ini file; and which wins."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from equiaudit.ambient import check_options

MARKER = """equi(**options): options of the audits in this test (effort, seed, tolerance, atol, layers, perturb, \
per_generator, derivative, randomness); the closest marker wins"""
RATIO = 1.1
"""As ``equiaudit.report.baseline`` has it, which takes too long to load."""
HTML, JSON = "equi-report.html", "equi-report.json"
PAGE_NEEDS = ("jinja2", "matplotlib")
PATHS = {
    "html": "write the HTML report to PATH",
    "json": "write the JSON report to PATH",
    "markdown": "append a Markdown summary to PATH, such as $GITHUB_STEP_SUMMARY",
    "baseline": "compare with the baseline PATH, and fail where an error grew beyond the noise floor",
}
AUDIT: dict[str, tuple[type, str]] = {
    "effort": (str, "how much every audit tries: quick, default or thorough"),
    "seed": (int, "of every draw in an audit"),
    "layers": (bool, "keep the table of all layers"),
    "perturb": (bool, "give trainable parameters generic values first"),
}
"""Options of audits that make sense for a whole run; the others belong to a test."""


@dataclass(frozen=True)
class Settings:
    """What this run was asked for; ``explicit`` names the files that somebody asked for by path."""

    html: Path | None = None
    json: Path | None = None
    markdown: Path | None = None
    baseline: Path | None = None
    update: bool = False
    ratio: float = RATIO
    explicit: frozenset[str] = frozenset()
    ini: Mapping[str, Any] = field(default_factory=dict)
    line: Mapping[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    """What a command needs to give the audits of a test the same options again."""

    @property
    def wanted(self) -> bool:
        """Whether anybody will read what was recorded."""
        return any((self.html, self.json, self.markdown, self.baseline))


def add_options(parser: pytest.Parser) -> None:
    """The group "equiaudit" of ``pytest --help``, and the ini keys of the same names."""
    group = parser.getgroup("equiaudit", "equivariance audits")
    text = f"report the audits of all tests: a section at the end, {HTML} and {JSON} in this folder"
    group.addoption("--equi-report", action="store_true", default=False, help=text)
    parser.addini("equi_report", text, type="bool", default=False)
    for name, text in PATHS.items():
        group.addoption(f"--equi-{name}", metavar="PATH", default=None, help=text)
        parser.addini(f"equi_{name}", f"{text}; relative to the ini file", default=None)
    text = "write what this run measured into the baseline; tests that did not run keep their entries"
    group.addoption("--equi-update-baseline", action="store_true", default=False, help=text)
    text = f"how many times its old value an error may reach (default {RATIO:g})"
    group.addoption("--equi-baseline-ratio", metavar="X", default=None, help=text)
    parser.addini("equi_baseline_ratio", text, default=None)
    for name, (kind, text) in AUDIT.items():
        how: dict[str, Any] = {"action": "store_true"} if kind is bool else {"metavar": name.upper()}
        group.addoption(f"--equi-{name}", default=None, help=text, **how)
        parser.addini(f"equi_{name}", text, default=None)


def read_settings(config: pytest.Config) -> Settings:
    """The command line, else the ini file, else nothing.

    Raises:
        pytest.UsageError: a value that makes no sense, named with where it was set.
    """
    found: dict[str, Any] = {}
    explicit = set()
    for name in PATHS:
        path = _path(config, name)
        if path is not None:
            found[name] = path
            explicit.add(name)
    if config.getoption("equi_report") or config.getini("equi_report"):
        here = config.invocation_params.dir
        found = {"html": here / HTML, "json": here / JSON, **found}
    update = config.getoption("equi_update_baseline")
    if update and "baseline" not in found:
        raise pytest.UsageError("--equi-update-baseline needs --equi-baseline PATH (or equi_baseline in the ini file)")
    ini = {n: _value(n, config.getini(f"equi_{n}"), f"equi_{n}") for n in AUDIT}
    line = {n: _value(n, config.getoption(f"equi_{n}"), f"--equi-{n}") for n in AUDIT}
    return Settings(
        **found,
        update=update,
        ratio=_ratio(config),
        explicit=frozenset(explicit),
        ini={n: v for n, v in ini.items() if v is not None},
        line={n: v for n, v in line.items() if v is not None},
        words=_words(config),
    )


def check_settings(settings: Settings) -> None:
    """Refuse before the first test what could not be written or read after the last.

    Raises:
        pytest.UsageError: says which path, and what to do.
    """
    for name in ("html", "json", "markdown"):
        if name in settings.explicit:
            _check_writable(f"--equi-{name}", getattr(settings, name))
    missing = [name for name in PAGE_NEEDS if importlib.util.find_spec(name) is None]
    if missing and "html" in settings.explicit:
        raise pytest.UsageError(
            f'--equi-html needs {" and ".join(missing)}; from the checkout: pip install -e ".[report]"'
        )
    _check_distinct(settings)
    if settings.baseline and settings.update:
        _check_writable("--equi-baseline", settings.baseline)
    if settings.baseline and not (settings.update and not settings.baseline.exists()):
        from equiaudit.report.baseline import read_baseline

        try:
            read_baseline(settings.baseline)
        except (OSError, ValueError) as problem:
            raise pytest.UsageError(f"--equi-baseline: {problem}") from None


def options_of(node: pytest.Item | pytest.Collector, settings: Settings) -> dict[str, Any]:
    """What audits in this test take where their call is silent: command line over marker over ini.

    Raises:
        pytest.UsageError: a marker with an unknown option; names the option and the test.
    """
    marked: dict[str, Any] = {}
    for mark in reversed(list(node.iter_markers("equi"))):
        if mark.args:
            raise pytest.UsageError(f"{node.nodeid}: @pytest.mark.equi takes keywords only, got {mark.args[0]!r}")
        try:
            check_options(mark.kwargs)
        except TypeError as problem:
            raise pytest.UsageError(f"{node.nodeid}: @pytest.mark.equi: {problem}") from None
        marked.update(mark.kwargs)
    return {**settings.ini, **marked, **settings.line}


def _words(config: pytest.Config) -> tuple[str, ...]:
    """Options of audits from the command line, spelt as a command line takes them; the ini file and markers are read anew."""
    words: list[str] = []
    for stated in config.getoption("override_ini", None) or ():
        if stated.partition("=")[0].strip() in {f"equi_{name}" for name in AUDIT}:
            words += ["-o", stated]
    for name in AUDIT:
        given = config.getoption(f"equi_{name}")
        if given is not None:
            words += [f"--equi-{name}"] if given is True else [f"--equi-{name}", str(given)]
    return tuple(words)


def _path(config: pytest.Config, name: str) -> Path | None:
    given = config.getoption(f"equi_{name}")
    if given == "":
        raise pytest.UsageError(f"--equi-{name}: expected a path, got an empty string (is the variable set?)")
    if given is not None:
        return config.invocation_params.dir / os.path.expanduser(given)
    stated = config.getini(f"equi_{name}")
    return (config.inipath.parent if config.inipath else config.rootpath) / stated if stated else None


def _value(name: str, text: Any, where: str) -> Any:
    """Text from the command line or an ini file as the type of that option."""
    kind = AUDIT[name][0]
    if text is None or text == "" or isinstance(text, bool):
        return None if text == "" else text
    if kind is bool:
        known = {
            "true": True,
            "yes": True,
            "on": True,
            "1": True,
            "false": False,
            "no": False,
            "off": False,
            "0": False,
        }
        if str(text).lower() not in known:
            raise pytest.UsageError(f"{where}: expected true or false, got {text!r}")
        return known[str(text).lower()]
    if kind is int:
        if not str(text).isdecimal():
            raise pytest.UsageError(f"{where}: expected a whole number that is not negative, got {text!r}")
        return int(text)
    if name == "effort" and text not in ("quick", "default", "thorough"):
        raise pytest.UsageError(f"{where}: expected quick, default or thorough, got {text!r}")
    return str(text)


def _ratio(config: pytest.Config) -> float:
    given = config.getoption("equi_baseline_ratio")
    given = config.getini("equi_baseline_ratio") if given is None else given
    try:
        ratio = float(given) if given else RATIO
    except ValueError:
        ratio = 0.0
    if not ratio >= 1:
        raise pytest.UsageError(f"--equi-baseline-ratio: expected a number from 1 up, got {given!r}")
    return ratio


def _check_distinct(settings: Settings) -> None:
    """One file for two things would hold only the last; a report in place of its baseline would accept whatever grew."""
    taken: dict[str, str] = {}
    for name in PATHS:
        path = getattr(settings, name)
        if path is None or (path.exists() and not path.is_file()):
            continue  # a device takes everything
        real = os.path.realpath(path)
        if real in taken:
            raise pytest.UsageError(
                f"--equi-{name}: {path} is also the path of --equi-{taken[real]}"
                f"{'' if {name, taken[real]} <= settings.explicit else ' (by --equi-report)'}; give each a file of its own"
            )
        taken[real] = name


def _check_writable(option: str, path: Path) -> None:
    if path.is_dir():
        raise pytest.UsageError(f"{option}: {path} is a folder; name a file in it")
    parent = next(p for p in path.absolute().parents if p.exists())
    if not parent.is_dir():
        raise pytest.UsageError(f"{option}: {path} can't be written: {parent} is not a folder")
    if not os.access(path if path.exists() else parent, os.W_OK):
        raise pytest.UsageError(f"{option}: {path} can't be written: no permission in {parent}")
