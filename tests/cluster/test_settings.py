"""Settings: file, then environment, absolute paths, and one clear line for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.errors import WrongUse
from cluster.settings import Frozen, Settings, load, load_settings
from cluster.yamlfiles import read_yaml


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a settings file."""
    path = tmp_path / "settings.yaml"
    path.write_text(f"home: {tmp_path}/home\nbuckets: 16\nray: {{cpus: 2}}\n")
    return path


def test_the_environment_wins_over_the_file(file: Path) -> None:
    """Nested keys by two underscores; what it does not name stays."""
    environ = {"FUNNELCAST_RAY__DASHBOARD": "true", "FUNNELCAST_BUCKETS": "4", "OTHER": "1"}
    settings = load_settings(environ, file)
    assert (settings.buckets, settings.ray.cpus, settings.ray.dashboard) == (4, 2, True)


def test_a_falsy_override_is_not_lost(file: Path) -> None:
    """Zero and false are values."""
    assert load_settings({"FUNNELCAST_JOURNAL_WAIT_MS": "0"}, file).journal_wait_ms == 0


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"FUNNELCAST_BUKETS": "4"}, "unknown key 'bukets': did you mean 'buckets'?"),
        ({"FUNNELCAST_RAY__CPU": "4"}, "unknown key 'ray.cpu': did you mean 'cpus'?"),
        (
            {"FUNNELCAST_BUCKETS": "0"},
            "'buckets': Input should be greater than or equal to 1, got 0",
        ),
        ({"FUNNELCAST_HOME": "relative/place"}, "must be absolute, got 'relative/place'"),
    ],
)
def test_what_is_wrong_is_one_line(file: Path, environ: dict[str, str], message: str) -> None:
    """The key, the value and the nearest valid key."""
    with pytest.raises(WrongUse) as error:
        load_settings(environ, file)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_names_the_nearest(file: Path) -> None:
    """A typing error in a name is found at a glance."""
    with pytest.raises(WrongUse, match=r"did you mean 'settings.yaml'"):
        read_yaml(file.with_name("setings.yaml"))


def test_a_broken_file_is_one_line(file: Path) -> None:
    """YAML's own complaint, on one line, with the file's name."""
    file.write_text("home: [")
    with pytest.raises(WrongUse, match="must be YAML") as error:
        load(Settings, file)
    assert "\n" not in str(error.value)


class Inner(Frozen):
    """A model inside another."""

    seed: int = 1


class Outer(Frozen):
    """A model with an optional model."""

    inner: Inner | None = None


def test_a_typing_error_inside_an_optional_part_is_named(file: Path) -> None:
    """The hint names the keys of that part, not of the whole."""
    file.write_text("inner: {sed: 3}\n")
    with pytest.raises(WrongUse, match=r"unknown key 'inner.sed': did you mean 'seed'"):
        load(Outer, file)


def test_secrets_do_not_print(tmp_path: Path) -> None:
    """A database's password stays out of every repr."""
    settings = Settings.model_validate(
        {"home": tmp_path, "database_url": "postgresql://u:hunter2@localhost/db"}
    )
    assert "hunter2" not in repr(settings)
    assert "hunter2" in settings.database
