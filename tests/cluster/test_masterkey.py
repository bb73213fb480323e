"""The master key: where it comes from, who may read it, and that it never shows."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from cluster import errors, keyfiles, masterkey
from cluster.settings import Settings, load_settings

KEY = bytes(range(32))
TEXT = base64.b64encode(KEY).decode()


def _settings(home: Path, **values: Any) -> Settings:
    home.mkdir(exist_ok=True)
    return Settings.model_validate({"home": home, **values})


def _file(path: Path, text: str = TEXT, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_setting_wins_over_the_files(tmp_path: Path) -> None:
    other = _file(tmp_path / "other", base64.b64encode(bytes(32)).decode())
    both = _settings(tmp_path, master_key=TEXT, master_key_file=other)
    assert masterkey.load(both, may_make=True) == KEY
    assert masterkey.load(_settings(tmp_path, master_key_file=other), may_make=True) == bytes(32)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other"]


def test_the_environment_sets_it_and_it_prints_as_stars(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(f"home: {tmp_path}\n")
    settings = load_settings({"FUNNELCAST_MASTER_KEY": TEXT}, tmp_path / "s.yaml")
    assert masterkey.load(settings, may_make=False) == KEY
    for shown in (repr(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert TEXT not in shown


def test_the_file_is_made_once_and_closed_to_others(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    first = masterkey.load(settings, may_make=True)
    assert (len(first), masterkey.load(settings, may_make=True)) == (32, first)
    assert (tmp_path / "master.key").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["master.key"]


def test_who_comes_second_takes_the_key_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    keyfiles.make(path)
    first = path.read_bytes()
    keyfiles.make(path)
    assert path.read_bytes() == first


def test_with_a_rename_for_the_link_the_second_would_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rename(path: Path, draft: Path) -> None:
        path.write_bytes(draft.read_bytes())

    monkeypatch.setattr(Path, "hardlink_to", rename)
    with pytest.raises(AssertionError):
        test_who_comes_second_takes_the_key_of_the_first(tmp_path)


def test_a_key_is_on_disk_before_it_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, path = [], tmp_path / "master.key"
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (synced.append(path.exists()), sync(number)))
    keyfiles.make(path)
    assert synced == [False, True]  # the text before the name, the folder after it


def test_without_leave_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(errors.WrongUse, match="restore it, or set FUNNELCAST_MASTER_KEY"):
        masterkey.load(_settings(tmp_path), may_make=False)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_named_is_never_made(tmp_path: Path) -> None:
    with pytest.raises(errors.WrongUse, match="No such file"):
        masterkey.load(_settings(tmp_path, master_key_file=tmp_path / "none"), may_make=True)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    named = _file(tmp_path / "open.key", mode=mode)
    with pytest.raises(errors.WrongUse, match=f"mode {mode:04o}.*chmod 600"):
        masterkey.load(_settings(tmp_path, master_key_file=named), may_make=True)


@pytest.mark.parametrize("text", ["", "canary", TEXT[:-4], TEXT + TEXT, "canary é", TEXT + "!"])
def test_a_malformed_key_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    named = _file(tmp_path / "bad.key", text)
    for values in ({"master_key": text}, {"master_key_file": named}):
        with pytest.raises(errors.WrongUse, match="32 bytes in base64") as refused:
            masterkey.load(_settings(tmp_path, **values), may_make=True)
        assert not text or text not in str(refused.value)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "environ",
    [
        {"FUNNELCAST_MASTER_KEY": "4930123"},  # YAML reads a number
        {"FUNNELCAST_MASTER_KEY": TEXT, "FUNNELCAST_HOME": "relative"},
        {"FUNNELCAST_MASTER_KEY": TEXT, "FUNNELCAST_MASTER_KEY_FILE": "relative"},
    ],
)
def test_no_complaint_about_settings_shows_a_key(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "s.yaml").write_text(f"home: {tmp_path}\n")
    with pytest.raises(errors.WrongUse) as refused:
        load_settings(environ, tmp_path / "s.yaml")
    assert environ["FUNNELCAST_MASTER_KEY"] not in str(refused.value)
