"""Fixtures shared by all tests: a workspace of its own for each, one Ray session for all."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from cluster import session
from cluster.settings import ROOT, Settings, load
from cluster.workspace import Workspace
from jobs.pipeline import run as pipeline
from tests import postgresql, unsynced
from tests.postgresql import postgresql_server, postgresql_url  # noqa: F401  fixtures

SHARED_DATA = ROOT.parent / "shared" / "data"
NODES = 2
BESIDE = ("jobs",)  # folders that `make test` runs with what needs Ray
KERNELS = ("test_compute.py", "test_compute_single.py", "test_compute_oracle.py")  # compile them
GARBAGE = 50_000  # new objects before it is collected: at 700, a tenth of all time goes there


# no deadline: the machine may be busy, and a first call compiles
hypothesis.settings.register_profile("ordinary", max_examples=30, deadline=None)
hypothesis.settings.register_profile("long", deadline=None)


def pytest_configure(config: pytest.Config) -> None:
    """Collect garbage seldom; try fewer examples where a test does not say how many, unless drills
    run too.
    """
    gc.set_threshold(GARBAGE)
    is_ordinary = "not drill" in config.option.markexpr
    hypothesis.settings.load_profile("ordinary" if is_ordinary else "long")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what runs beside the rest."""
    if item.path.parent.name in BESIDE:
        item.add_marker(pytest.mark.beside)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one process of `make test` compile the kernels while the other does what needs none, and
    Ray come last: it costs something for as long as it is there.
    """
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if item.get_closest_marker("ray"):
        return 3
    is_early = item.path.name in KERNELS or item.path.parent.name == "cluster"
    return 1 if is_early else 2


def pytest_collection_finish() -> None:
    """Spare the garbage collector what was imported: thousands of tests walk through it else."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail where a file before left services open: their threads slow down all that follows. One
    is shared by all.
    """
    before, _file[0] = _file[0], item.path
    if before != item.path and sum(t.name == "slots" for t in threading.enumerate()) > 1:
        pytest.fail(f"{before} must close its services")


_file: list[Path | None] = [None]  # that the last test was of


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Spare it what a file of tests leaves behind, as modules and fixtures that others share."""
    if nextitem is not None and nextitem.path != item.path:
        gc.collect()
        gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once more at the end what did not run."""
    for reason in postgresql.unavailable:
        terminalreporter.section("PostgreSQL tests SKIPPED", red=True, bold=True)
        terminalreporter.write_line(reason)


@pytest.fixture(scope="session", autouse=True)
def no_waiting() -> Iterator[None]:
    """Wait for no disk: see unsynced."""
    with pytest.MonkeyPatch.context() as patch:
        unsynced.switch_on(patch)
        yield


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Home of a workspace that nobody has used, to be copied: its tables take a while to make."""
    home = tmp_path_factory.mktemp("empty") / "home"
    Workspace.open(Settings(home=home, buckets=4)).close()
    return home


@pytest.fixture
def settings(empty: Path, tmp_path: Path) -> Settings:
    """Settings of an empty workspace."""
    shutil.copytree(empty, tmp_path / "home")
    return Settings(home=tmp_path / "home", buckets=4)


@pytest.fixture
def workspace(settings: Settings) -> Iterator[Workspace]:
    """Open an empty workspace, on SQLite and local files."""
    with Workspace.open(settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def ray_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Start the one Ray session of the ordinary tests: two nodes of one CPU each, on loopback."""
    home = tmp_path_factory.mktemp("ray")
    session.guard(Settings(home=home), os.environ)
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 200 * 2**20, "include_dashboard": False}
    head = {**node, "node_ip_address": session.LOOPBACK}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(NODES - 1):
        cluster.add_node(num_cpus=1, object_store_memory=200 * 2**20)
    os.environ["RAY_ADDRESS"] = cluster.address
    session.connect(Settings(home=home))
    logging.getLogger("ray").setLevel(logging.ERROR)
    yield
    session.disconnect()
    cluster.shutdown()
    del os.environ["RAY_ADDRESS"]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Return a small world with published models and scores: read it, do not change it."""
    home = tmp_path_factory.mktemp("trained") / "home"
    with Workspace.open(Settings(home=home, buckets=4)) as opened:
        plan = load(pipeline.Pipeline, Path(__file__).with_name("small.yaml"))
        assert all(not done.unchanged for _, done in pipeline.steps(plan, opened))
        yield opened


@pytest.fixture(scope="session")
def copied(trained: Workspace) -> Callable[[Path], Settings]:
    """Return a function that copies the small world to a folder that is not there yet, for tests
    that change it.
    """

    def copy(home: Path) -> Settings:
        left = shutil.ignore_patterns("metrics")  # what services over the original have counted
        shutil.copytree(trained.settings.home, home, ignore=left)
        return trained.settings.model_copy(update={"home": home})

    return copy


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data, or skip with the reason."""
    if not SHARED_DATA.is_dir():
        pytest.skip(
            f"REAL DATA MISSING: {SHARED_DATA} is not there; nothing was tested on real input"
        )
    return SHARED_DATA
