"""The hooks: listen while a test runs, put what was heard on its reports, write and compare when all have run."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_equiaudit.options import MARKER, Settings, add_options, check_settings, options_of, read_settings
from pytest_equiaudit.recording import Recorder

if TYPE_CHECKING:
    from pytest_equiaudit.session import Run

SETTINGS = pytest.StashKey[Settings]()
RECORDER = pytest.StashKey[Recorder]()
RUN: pytest.StashKey[Run] = pytest.StashKey()
"""Only where somebody reads what was recorded."""


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
    config.stash[RECORDER] = Recorder(config, settings, extras=bool(config.getoption("htmlpath", None)))
    config.stash[RECORDER].start()
    config.stash[SETTINGS] = settings
    if settings.wanted and not config.option.collectonly:
        from pytest_equiaudit.session import Run

        config.stash[RUN] = Run(config, settings, config.stash[RECORDER])
        config.pluginmanager.register(config.stash[RUN], "equiaudit-run")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Listen no more."""
    if RECORDER in config.stash:
        config.stash[RECORDER].stop()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse what could not be written at the end; once, not in every process."""
    if not is_worker(session.config) and not session.config.option.collectonly:
        check_settings(session.config.stash[SETTINGS])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, Any, Any]:
    """Note which tests there are before some are deselected; refuse markers with unknown options."""
    if RUN in config.stash:
        config.stash[RUN].selection.add_tests(items)
    if not is_worker(config):  # a worker that gave up here would take the message with it: there the test fails
        for item in items:
            options_of(item, config.stash[SETTINGS])
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Audits from here on belong to this test."""
    recorder = item.config.stash[RECORDER]
    with recorder.running(item):
        try:
            return (yield)
        except BaseException:  # Ctrl-C, or pytest.exit: of this phase there is no report
            if RUN in item.config.stash:
                item.config.stash[RUN].ledger.interrupt(item.nodeid, recorder.drain_rest(item))
            raise


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A try begins."""
    item.config.stash[RECORDER].begin(item)
    refuse_markers(item)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """A fixture may have added a marker."""
    refuse_markers(item)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: Any, request: pytest.FixtureRequest) -> Generator[None, Any, Any]:
    """What a fixture of several tests audits belongs to the fixture."""
    if fixturedef.scope == "function":
        return (yield)
    with request.config.stash[RECORDER].shared_fixture(request, fixturedef):
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
    if RUN in session.config.stash:
        session.testsfailed += session.config.stash[RUN].count_grown()
    return result


def refuse_markers(item: pytest.Item) -> None:
    """Fail the test whose markers have unknown options."""
    try:
        options_of(item, item.config.stash[SETTINGS])
    except pytest.UsageError as problem:
        pytest.fail(str(problem), pytrace=False)


def is_worker(config: pytest.Config) -> bool:
    """Whether this process only runs tests for another one."""
    return hasattr(config, "workerinput")
