"""Run events: in the words of the standard, to files or over HTTP, never in the way of a run."""

from __future__ import annotations

import http.server
import json
import multiprocessing
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from openlineage.client import event_v2 as ol
from pydantic import SecretStr

from cluster import emitter, runevents
from cluster.errors import WrongUse
from cluster.runevents import Described, Run
from cluster.settings import OpenLineageSettings, load_settings

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUN = Run(namespace="house", job="bake", key="k" * 64, code="c" * 64, started=AT)
BREAD = Described(
    namespace="file:///store",
    name="bread",
    version="7",
    kind="TABLE",
    where="file:///store",
    columns=(("crumb", "string"),),
    rows=10,
    size=100,
    files=1,
    present={"crumb": (10, 8)},
)


def _spoken(*, state: runevents.State = "COMPLETE", **more: Any) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(runevents.line(runevents.event(RUN, state, AT, **more)))
    return told


def _lines(home: Path) -> list[dict[str, Any]]:
    text = (home / "openlineage" / "2026-03-01.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines() if line]


def test_an_event_names_run_job_and_datasets_in_the_standards_words() -> None:
    """What a catalogue needs: version, schema, statistics and quality of what was written."""
    told = _spoken(outputs=[BREAD], inputs=[replace(BREAD, name="flour", version="3")])
    (written,), (read,) = told["outputs"], told["inputs"]
    assert (told["eventType"], told["job"]["name"], read["name"]) == ("COMPLETE", "bake", "flour")
    assert written["facets"]["version"]["datasetVersion"] == "7"
    assert written["facets"]["schema"]["fields"][0]["name"] == "crumb"
    assert written["outputFacets"]["outputStatistics"]["rowCount"] == 10
    quality = written["facets"]["dataQualityMetrics"]
    assert (quality["rowCount"], quality["columnMetrics"]["crumb"]["nullCount"]) == (10, 2)
    assert written["facets"]["dataSource"]["uri"] == "file:///store"


def test_an_event_is_one_of_the_clients_own_after_reading_it_back() -> None:
    """Its validators accept time, run id and producer; every facet names producer and schema."""
    told = _spoken(outputs=[BREAD], error=KeyError("x"))
    run = ol.Run(runId=told["run"]["runId"])
    job = ol.Job(namespace=told["job"]["namespace"], name=told["job"]["name"])
    again = ol.RunEvent(
        eventTime=told["eventTime"], run=run, job=job, eventType=ol.RunState[told["eventType"]]
    )
    assert again.schemaURL == told["schemaURL"]
    facets = [*told["run"]["facets"].values(), *told["outputs"][0]["facets"].values()]
    assert len(facets) == 8
    assert all(facet["_producer"] == runevents.PRODUCER and facet["_schemaURL"] for facet in facets)


def test_a_run_is_named_by_key_and_start() -> None:
    """The same for all who know both; another try is another run."""
    later = replace(RUN, started=AT.replace(hour=13))
    assert RUN.id == replace(RUN).id != later.id
    assert uuid.UUID(RUN.id).version == 5


def test_a_run_inside_another_names_parent_and_root() -> None:
    """A step of a step still finds the outermost run."""
    inner = replace(RUN, job="step", parent=replace(RUN, job="half", parent=RUN))
    told = json.loads(runevents.line(runevents.event(inner, "START", AT)))
    parent = told["run"]["facets"]["parent"]
    assert parent["job"]["name"] == "half"
    assert parent["root"]["run"]["runId"] == RUN.id


def test_an_error_is_told_without_its_values() -> None:
    """The kind of error and its meaning, never the text, which may quote a person."""
    told = _spoken(state="FAIL", error=WrongUse("must be good, got Ada Lovelace"))
    message = told["run"]["facets"]["errorMessage"]["message"]
    assert message.startswith("WrongUse: The request itself is wrong")
    assert "Lovelace" not in json.dumps(told)


def test_without_that_rule_the_value_would_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above fails where an error speaks for itself."""
    monkeypatch.setattr(runevents, "words", str)
    assert "Lovelace" in json.dumps(_spoken(error=WrongUse("must be good, got Ada Lovelace")))


def test_events_are_lines_of_the_file_of_their_day(tmp_path: Path) -> None:
    """One line each, in a file that only its owner reads."""
    warned: list[str] = []
    out = emitter.Emitter(tmp_path, OpenLineageSettings(), warned.append)
    out.emit(runevents.event(RUN, "START", AT))
    out.emit(runevents.event(RUN, "COMPLETE", AT, outputs=[BREAD]))
    out.close()
    assert [line["eventType"] for line in _lines(tmp_path)] == ["START", "COMPLETE"]
    assert (tmp_path / "openlineage" / "2026-03-01.jsonl").stat().st_mode & 0o777 == 0o600
    assert not warned


def _many(home: Path, number: int) -> None:
    wide = replace(BREAD, columns=tuple((f"column_{n}", "string") for n in range(400)))
    out = emitter.DayFiles(home / "openlineage")
    for _ in range(40):
        out.emit(runevents.event(replace(RUN, job=f"job {number}"), "START", AT, inputs=[wide]))


def test_several_processes_write_one_file(tmp_path: Path) -> None:
    """Long lines of four writers: all there, none within another."""
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_many, args=(tmp_path, n)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(_lines(tmp_path)) == 160


def test_half_a_line_of_a_killed_writer_spoils_no_other(tmp_path: Path) -> None:
    """What follows starts on a line of its own."""
    path = tmp_path / "openlineage" / "2026-03-01.jsonl"
    path.parent.mkdir()
    path.write_bytes(b'{"eventType": "STA')
    emitter.DayFiles(path.parent).emit(runevents.event(RUN, "START", AT))
    torn, whole = path.read_text().splitlines()
    assert torn == '{"eventType": "STA'
    assert json.loads(whole)["eventType"] == "START"


def test_without_that_rule_two_lines_would_become_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above fails where a writer trusts the end of the file."""
    monkeypatch.setattr(emitter, "_start", lambda handle: b"")
    path = tmp_path / "openlineage" / "2026-03-01.jsonl"
    path.parent.mkdir()
    path.write_bytes(b'{"eventType": "STA')
    emitter.DayFiles(path.parent).emit(runevents.event(RUN, "START", AT))
    assert len(path.read_text().splitlines()) == 1


def test_a_full_or_closed_folder_is_one_warning(tmp_path: Path) -> None:
    """No run fails because nobody can write down that it runs."""
    (tmp_path / "openlineage").write_text("a file where the folder should be")
    warned: list[str] = []
    out = emitter.Emitter(tmp_path, OpenLineageSettings(), warned.append)
    out.emit(runevents.event(RUN, "START", AT))
    assert len(warned) == 1
    assert "run events could not be kept" in warned[0]


@pytest.fixture
def receiver() -> Iterator[Callable[..., tuple[str, list[dict[str, Any]]]]]:
    """Return a function that starts a real HTTP server: its URL, and what it has received."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(answer: int = 201, wait_s: float = 0.0) -> tuple[str, list[dict[str, Any]]]:
        received: list[dict[str, Any]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(wait_s)
                received.append({"path": self.path, "auth": self.headers["Authorization"]})
                received[-1]["event"] = json.loads(body)
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", received

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def _sent(home: Path, url: str, timeout_s: float = 3.0) -> tuple[list[str], float]:
    """Emit start and end of a run to a receiver; returns the warnings and the seconds it cost."""
    settings = OpenLineageSettings(
        url=SecretStr(url), api_key=SecretStr("let-me-in"), timeout_s=timeout_s
    )
    warned: list[str] = []
    began = time.monotonic()
    out = emitter.Emitter(home, settings, warned.append)
    out.emit(runevents.event(RUN, "START", AT))
    out.emit(runevents.event(RUN, "COMPLETE", AT))
    out.close()
    return warned, time.monotonic() - began


def test_a_receiver_gets_every_event_in_order(
    tmp_path: Path, receiver: Callable[..., tuple[str, list[dict[str, Any]]]]
) -> None:
    """To the standard's path, with the key, and nothing is left to keep."""
    url, received = receiver()
    warned, _ = _sent(tmp_path, url)
    assert not warned
    assert [post["event"]["eventType"] for post in received] == ["START", "COMPLETE"]
    assert {(post["path"], post["auth"]) for post in received} == {
        ("/api/v1/lineage", "Bearer let-me-in")
    }
    assert not (tmp_path / "openlineage").exists()


def test_a_slow_receiver_costs_its_timeout_and_loses_nothing(
    tmp_path: Path, receiver: Callable[..., tuple[str, list[dict[str, Any]]]]
) -> None:
    """Two events of 2 s each against 0.4 s in all: one warning, both kept."""
    url, _ = receiver(wait_s=2.0)
    warned, took = _sent(tmp_path, url, timeout_s=0.4)
    assert took < 1.0
    assert len(warned) == 1
    assert [line["eventType"] for line in _lines(tmp_path)] == ["START", "COMPLETE"]


@pytest.mark.parametrize("answer", [500, 503, 404])
def test_a_receiver_that_refuses_is_one_warning(
    tmp_path: Path, receiver: Callable[..., tuple[str, list[dict[str, Any]]]], answer: int
) -> None:
    """Whatever it answers, both events are kept."""
    url, _ = receiver(answer=answer)
    warned, took = _sent(tmp_path, url)
    assert (len(warned), len(_lines(tmp_path))) == (1, 2)
    assert took < 2.0


def test_a_dead_receiver_is_one_warning_that_names_no_secret(tmp_path: Path) -> None:
    """Nobody listens: told at once, without address or key."""
    warned, took = _sent(tmp_path, "http://user:password@127.0.0.1:9")
    assert len(warned) == 1
    assert "password" not in warned[0]
    assert "let-me-in" not in warned[0]
    assert (len(_lines(tmp_path)), took < 2.0) == (2, True)


def test_settings_name_the_receiver_and_hide_it(tmp_path: Path) -> None:
    """By the environment; a wrong one is refused without showing it."""
    given = {"FUNNELCAST_HOME": str(tmp_path), "FUNNELCAST_OPENLINEAGE__URL": "https://u:p@host"}
    told = load_settings(given).openlineage
    assert told.url is not None
    assert "u:p" not in repr(told)
    with pytest.raises(WrongUse, match="must begin with http") as refused:
        load_settings({**given, "FUNNELCAST_OPENLINEAGE__URL": "ftp://u:secret@host"})
    assert "secret" not in str(refused.value)
    assert os.environ.get("OPENLINEAGE_URL") is None
