"""The hooks: listen while a test runs, put what was heard on its reports, write and compare when all have run."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pytest_equiaudit.options import MARKER, add_options, check_settings, options_of, read_settings
from pytest_equiaudit.recording import Recorder
from pytest_equiaudit.session import Run

RECORDER = pytest.StashKey[Recorder]()
RUN = pytest.StashKey[Run]()


class Equi:
    """What the ``equi`` fixture gives: the library's calls, which know the options of the test that runs."""

    @staticmethod
    def audit(*args: Any, **kwargs: Any) -> Any:
        """``equiaudit.audit``."""
        import equiaudit

        return equiaudit.audit(*args, **kwargs)

    @staticmethod
    def assert_equivariant(*args: Any, **kwargs: Any) -> Any:
        """``equiaudit.assert_equivariant``."""
        __tracebackhide__ = True
        import equiaudit

        return equiaudit.assert_equivariant(*args, **kwargs)

    @staticmethod
    def assert_invariant(*args: Any, **kwargs: Any) -> Any:
        """``equiaudit.assert_invariant``."""
        __tracebackhide__ = True
        import equiaudit

        return equiaudit.assert_invariant(*args, **kwargs)

    @staticmethod
    def confirm_equivariant(*args: Any, **kwargs: Any) -> Any:
        """``equiaudit.confirm_equivariant``; needs hypothesis."""
        __tracebackhide__ = True
        from equiaudit.strategies import confirm_equivariant

        return confirm_equivariant(*args, **kwargs)

    @property
    def options(self) -> dict[str, Any]:
        """The options that hold in this test."""
        from equiaudit.ambient import current

        return current()


@pytest.fixture(scope="session")
def equi() -> Equi:
    """The calls of equiaudit: ``equi.assert_equivariant(model, inputs, symmetry)`` and the others."""
    return Equi()  # of the session: @given refuses fixtures that belong to one run of a function


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options and ini keys."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Start to listen."""
    config.addinivalue_line("markers", MARKER)
    settings = read_settings(config)
    # pytest-html's option; where that plugin is not loaded there is none.
    config.stash[RECORDER] = Recorder(settings, extras=bool(config.getoption("htmlpath", None)))
    config.stash[RECORDER].start()
    config.stash[RUN] = Run(config, settings)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Listen no more."""
    if RECORDER in config.stash:
        config.stash[RECORDER].stop()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse what could not be written at the end; once, not in every process."""
    run = session.config.stash[RUN]
    if not run.is_worker and not session.config.option.collectonly:
        check_settings(run.settings)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, Any, Any]:
    """Note which tests there are before some are deselected; refuse markers with unknown options."""
    run = config.stash[RUN]
    run.selection.add_tests(items)
    if not run.is_worker:  # a worker that gave up here would take the message with it: there the test fails
        for item in items:
            options_of(item, run.settings)
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Audits from here on belong to this test."""
    with item.config.stash[RECORDER].running(item):
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A try begins."""
    item.config.stash[RECORDER].begin(item)
    try:
        options_of(item, item.config.stash[RUN].settings)
    except pytest.UsageError as problem:
        pytest.fail(str(problem), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: pytest.FixtureRequest) -> Generator[None, Any, Any]:
    """What a fixture of several tests audits belongs to the fixture."""
    if fixturedef.scope == "function":
        return (yield)
    with request.config.stash[RECORDER].shared_fixture(request, fixturedef.argname, fixturedef.baseid):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """The report of a phase carries its records, also to another process."""
    recorder = item.config.stash[RECORDER]
    records = recorder.drain(item, call.when)
    report = yield
    recorder.attach(report, records)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, Any, Any]:
    """A grown error fails the run: it counts as one more failed test."""
    result = yield
    run = session.config.stash[RUN]
    if not session.config.option.collectonly:
        session.testsfailed += run.count_grown()
    return result
