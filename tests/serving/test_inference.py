"""The Open Inference Protocol: given rows get the scores that we give them, to the bit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from cluster.errors import Refusal
from serving.api import inference as routes
from serving.api import messages
from serving.reading import inference, tensors
from serving.slots.active import Slots
from serving.slots.slot import Answer, Slot
from serving.wire.inference import InferOut, ModelMetaOut, ServerMetaOut

if TYPE_CHECKING:
    import httpx

    from cluster.workspace import Workspace

NAME = "lead_qualification"
PATH = f"/v2/models/{NAME}"
ROWS = 40
type Request = dict[str, Any]


@pytest.fixture(scope="module")
def slot(trained: Workspace) -> Slot:
    """Return what answers about leads."""
    found = Slot.load(trained, Answer(target=NAME, policy="lead_routing"))
    assert not isinstance(found, Refusal)
    return found


@pytest.fixture(scope="module")
def client(slot: Slot) -> Iterator[TestClient]:
    """Return a client of the routes."""
    app = FastAPI()
    app.include_router(routes.router(SimpleNamespace(slots=Slots(by_kind={"lead": slot}))))
    with TestClient(app) as made:
        yield made


@pytest.fixture(scope="module")
def rows(trained: Workspace) -> list[dict[str, Any]]:
    """Return the features of some leads."""
    scored = set(trained.tables.read(f"scores_{NAME}")["entity"].to_pylist())
    every = trained.tables.read(f"scoring_{NAME}").to_pylist()
    read = [row for row in every if row["entity"] in scored][:ROWS]
    assert any(value is None for row in read for value in row.values())
    return read


@pytest.fixture(scope="module")
def scored(trained: Workspace, rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Return what batch scoring said of them."""
    known = {row["entity"]: row for row in trained.tables.read(f"scores_{NAME}").to_pylist()}
    return {name: [known[r["entity"]][name] for r in rows] for name in inference.OUTPUTS}


def _request(slot: Slot, rows: list[dict[str, Any]], **more: Any) -> Request:
    given = [
        {
            "name": each.name,
            "shape": [len(rows)],
            "datatype": each.datatype,
            "data": [row[each.name] for row in rows],
        }
        for each in inference.inputs(slot.model)
    ]
    return {"inputs": given, **more}


def _outputs(answer: httpx.Response) -> dict[str, list[float]]:
    assert answer.status_code == 200, answer.text
    said = InferOut.model_validate_json(answer.content)
    return {each.name: each.data for each in said.outputs}


def test_given_rows_get_the_scores_of_batch_scoring(
    client: TestClient, slot: Slot, rows: list[dict[str, Any]], scored: dict[str, list[float]]
) -> None:
    """Rules included; interval too; under the version or without, flat or as columns of one."""
    asked = _request(slot, rows)
    for path in (PATH, f"{PATH}/versions/{slot.basis.model}"):
        assert _outputs(client.post(f"{path}/infer", json=asked)) == scored
    for each in asked["inputs"]:
        each.update(shape=[ROWS, 1], data=[[value] for value in each["data"]])
    assert _outputs(client.post(f"{PATH}/infer", json=asked)) == scored


@pytest.mark.parametrize("is_mutant", [False, True])
def test_features_may_come_as_one_tensor(
    client: TestClient,
    slot: Slot,
    rows: list[dict[str, Any]],
    scored: dict[str, list[float]],
    monkeypatch: pytest.MonkeyPatch,
    is_mutant: bool,
) -> None:
    """Categories by their places. Mutant: the rules see no categories."""
    matrix = slot.model.encode(rows).astype(np.float64)
    data = [[None if v != v else v for v in row] for row in matrix.tolist()]
    given = {"name": "features", "shape": list(matrix.shape), "datatype": "FP64", "data": data}
    for f, column in zip(slot.model.signature.features, range(matrix.shape[1]), strict=True):
        if f.kind == "number":  # float32 is what the trees see, the rules see all of it
            for row, said in zip(rows, data, strict=True):
                said[column] = row[f.name]
    if is_mutant:
        decoded = inference._decoded
        monkeypatch.setattr(
            inference,
            "_decoded",
            lambda f, codes: decoded(f, codes * 0 if f.kind == "category" else codes),
        )
    answer = client.post(f"{PATH}/infer", json={"inputs": [given]})
    assert (_outputs(answer) == scored) != is_mutant


def test_a_request_keeps_its_id_and_gets_the_outputs_it_wants(
    client: TestClient, slot: Slot, rows: list[dict[str, Any]]
) -> None:
    """In the form of the protocol's own example; members it does not name are let pass."""
    wanted = [{"name": "high"}, {"name": "probability", "parameters": {}}]
    asked = _request(slot, rows[:3], id="42", outputs=wanted, parameters={"priority": 1})
    said = client.post(f"{PATH}/infer", json={**asked, "model_name": NAME}).json()
    assert (said["id"], said["model_name"], said["model_version"]) == ("42", NAME, slot.basis.model)
    assert [(o["name"], o["shape"], o["datatype"]) for o in said["outputs"]] == [
        ("high", [3], "FP64"),
        ("probability", [3], "FP64"),
    ]
    assert "id" not in client.post(f"{PATH}/infer", json=_request(slot, rows[:1])).json()


def test_no_rows_have_no_scores(client: TestClient, slot: Slot) -> None:
    """An empty batch is answered by empty outputs."""
    answer = client.post(f"{PATH}/infer", json=_request(slot, []))
    assert _outputs(answer) == {name: [] for name in inference.OUTPUTS}


def _packed(asked: Request) -> tuple[dict[str, str], bytes]:
    """Write the tensors of a request as bytes behind it, as Triton's client does."""
    behind = []
    for each in asked["inputs"]:
        values = each.pop("data")
        if each["datatype"] == "BYTES":
            texts = [(v or "").encode() for v in values]
            data = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
        else:
            data = np.array([np.nan if v is None else v for v in values], "<f8").tobytes()
        each["parameters"] = {"binary_data_size": len(data)}
        behind.append(data)
    head = json.dumps(asked).encode()
    return {messages.LENGTH: str(len(head))}, head + b"".join(behind)


def test_tensors_may_be_bytes_both_ways(
    client: TestClient, slot: Slot, rows: list[dict[str, Any]], scored: dict[str, list[float]]
) -> None:
    """All outputs, or some of them."""
    headers, body = _packed(_request(slot, rows, parameters={"binary_data_output": True}))
    answer = client.post(f"{PATH}/infer", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    size = int(answer.headers[messages.LENGTH])
    said, left = json.loads(answer.content[:size]), answer.content[size:]
    for each in said["outputs"]:
        length = each["parameters"]["binary_data_size"]
        assert np.frombuffer(left[:length], "<f8").tolist() == scored[each["name"]]
        left = left[length:]
    assert (len(said["outputs"]), left) == (4, b"")
    wanted = [{"name": "low", "parameters": {"binary_data": True}}, {"name": "high"}]
    headers, body = _packed(_request(slot, rows, outputs=wanted))
    answer = client.post(f"{PATH}/infer", content=body, headers=headers)
    size = int(answer.headers[messages.LENGTH])
    low, high = json.loads(answer.content[:size])["outputs"]
    assert np.frombuffer(answer.content[size:], "<f8").tolist() == scored["low"]
    assert ("data" not in low, high["data"]) == (True, scored["high"])


@pytest.mark.parametrize("is_mutant", [False, True])
def test_nan_of_numpy_is_a_missing_value(
    client: TestClient,
    slot: Slot,
    rows: list[dict[str, Any]],
    scored: dict[str, list[float]],
    monkeypatch: pytest.MonkeyPatch,
    is_mutant: bool,
) -> None:
    """In JSON as well. Mutant: an empty text is a category of its own."""
    asked = _request(slot, rows)
    for each in asked["inputs"]:
        nothing = "" if each["datatype"] == "BYTES" else float("nan")
        each["data"] = [nothing if v is None else v for v in each["data"]]
    if is_mutant:
        column = inference._column
        monkeypatch.setattr(
            inference,
            "_column",
            lambda f, t: column(f, t) if f.kind == "number" else pa.array(t.texts(), pa.string()),
        )
    answer = client.post(f"{PATH}/infer", content=json.dumps(asked).encode())
    assert (_outputs(answer) == scored) != is_mutant


def test_the_service_and_its_models_describe_themselves(client: TestClient, slot: Slot) -> None:
    """Inputs FP64 or BYTES of any length; alive and ready, or not."""
    assert ServerMetaOut.model_validate_json(client.get("/v2").content).name == "funnelcast"
    said = ModelMetaOut.model_validate_json(client.get(PATH).content)
    assert (said.versions, said.platform) == ([slot.basis.model], "xgboost")
    kinds = {f.name: f.kind for f in slot.model.signature.features}
    assert {each.name: each.datatype for each in said.inputs} == {
        name: "BYTES" if kind == "category" else "FP64" for name, kind in kinds.items()
    }
    assert {tuple(each.shape) for each in [*said.inputs, *said.outputs]} == {(-1,)}
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get(f"{PATH}/ready").json() == {"name": NAME, "ready": True}


def test_without_its_models_it_is_alive_and_not_ready() -> None:
    """503, and the model is none that it knows."""
    app = FastAPI()
    app.include_router(routes.router(SimpleNamespace(slots=Slots(missing=("no model",)))))
    with TestClient(app) as bare:
        assert bare.get("/v2/health/live").json() == {"live": True}
        answer = bare.get("/v2/health/ready")
        assert (answer.status_code, answer.json()) == (503, {"ready": False})
        assert bare.get(f"{PATH}/ready").status_code == 404


WRONG = [
    ({"shape": [2]}, "its shape [2] must hold 2 values, got 1"),
    ({"shape": [1, 2], "data": [1, 2]}, "must have shape [n] or [n, 1], got [1, 2]"),
    ({"shape": [2], "data": [1, 2]}, "as many rows"),
    ({"data": ["x"]}, "must hold numbers, got a text"),
    ({"datatype": "BYTES", "data": ["x"]}, "must hold numbers, got datatype BYTES"),
    ({"datatype": "FP8"}, "datatype"),
    ({"data": [1e39]}, "beyond float32"),
    ({"data": [10**400]}, "64 bits"),
    ({"name": "pages"}, "must be a feature of the model, got 'pages'"),
    ({"name": "seniority"}, "given once, got 'seniority' again"),
    ({"data": None}, "data"),
    ({"data": [[[1]]]}, "data"),
    ({"parameters": {"binary_data_size": 8}}, "binary_data_size must be a number of bytes, 0"),
]


@pytest.mark.parametrize(("change", "words"), WRONG, ids=[words for _, words in WRONG])
def test_what_is_wrong_with_a_tensor_is_said(
    client: TestClient, slot: Slot, rows: list[dict[str, Any]], change: Request, words: str
) -> None:
    """As the protocol says it: 400 and one line under `error`."""
    asked = _request(slot, rows[:1])
    place = [each["name"] for each in asked["inputs"]].index("web_visits_7d")
    asked["inputs"][place] |= change
    answer = client.post(f"{PATH}/infer", json=asked)
    assert answer.status_code == 400, answer.text
    assert list(answer.json()) == ["error"]
    assert words in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "must be JSON"),
        (b"[]", "must be a JSON object"),
        (b"[" * 100_000, "must be JSON"),
        (b'{"inputs": []}', "inputs"),
        (b'{"inputs": [7]}', "must be a JSON object"),
        (b'{"inputs": {"a": 1}}', "'inputs' must be a list"),
        (b'{"inputs": [{}]}', "inputs.0"),
        (b'{"id": 7, "inputs": []}', "id"),
        (b'{"inputs": [{"name": "x", "data": [Infinity]}]}', "must be JSON"),
        (b'{"inputs": [], "outputs": 7}', "'outputs' must be a list"),
    ],
)
def test_what_is_no_request_is_refused(client: TestClient, body: bytes, words: str) -> None:
    """Before the model is asked."""
    answer = client.post(f"{PATH}/infer", content=body)
    assert (answer.status_code, words in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize("length", ["-1", "x", "9" * 30, "1000000", "²"])
def test_a_wrong_length_of_the_json_is_refused(client: TestClient, length: str) -> None:
    """Whatever the header says."""
    headers = {messages.LENGTH: length.encode()}
    answer = client.post(f"{PATH}/infer", content=b"{}", headers=headers)
    assert (answer.status_code, "length of the body" in answer.json()["error"]) == (400, True)


def test_bytes_that_are_cut_or_left_over_are_refused(
    client: TestClient, slot: Slot, rows: list[dict[str, Any]]
) -> None:
    """Of numbers, of texts, and behind all of them."""
    headers, body = _packed(_request(slot, rows[:1]))
    for data, words in ((body + b"x", "1 more"), (body[:-1], "must be a number of bytes")):
        answer = client.post(f"{PATH}/infer", content=data, headers=headers)
        assert (answer.status_code, words in answer.json()["error"]) == (400, True)
    with pytest.raises(tensors.TensorBroken, match="8 bytes per FP64, got 7"):
        tensors.unpacked("x", "FP64", b"1234567")
    for cut in (b"\x05\0\0\0ab", b"\x01\0"):
        with pytest.raises(tensors.TensorBroken, match="whole texts"):
            tensors.unpacked("x", "BYTES", cut)
    with pytest.raises(tensors.TensorBroken, match="UTF-8"):
        tensors.unpacked("x", "BYTES", b"\x01\0\0\0\xff")


@pytest.mark.parametrize(("datatype", "dtype"), list(tensors.NUMBERS.items()))
def test_every_datatype_of_numbers_is_read(datatype: str, dtype: np.dtype[Any]) -> None:
    """Little-endian, NaN as missing."""
    values = np.array([0, 1, 1], dtype)
    assert tensors.unpacked("x", datatype, values.tobytes()) == [0, 1, 1]
    if dtype.kind == "f":
        assert tensors.unpacked("x", datatype, np.array([np.nan], dtype).tobytes()) == [None]


def test_unknown_models_versions_and_outputs_are_named(
    client: TestClient, slot: Slot, rows: list[dict[str, Any]]
) -> None:
    """404 with what there is."""
    for path, words in (
        ("/v2/models/nobody", f"live are {NAME}"),
        (f"{PATH}/versions/1", f"or for {slot.basis.model}"),
        (f"{PATH}/versions/1/ready", "must be the live one, got '1'"),
        ("/v2/models/a%07b/ready", "got 'a?b'"),
    ):
        answer = client.get(path)
        assert (answer.status_code, words in answer.json()["error"]) == (404, True), answer.text
    asked = _request(slot, rows[:1], outputs=[{"name": "probabilty"}])
    answer = client.post(f"{PATH}/infer", json=asked)
    assert (answer.status_code, "'probability'" in answer.json()["error"]) == (400, True)
    assert client.post("/v2/models/nobody/infer", json=asked).status_code == 404


@pytest.mark.parametrize("is_mutant", [False, True])
def test_requests_are_bounded(
    client: TestClient,
    slot: Slot,
    rows: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    is_mutant: bool,
) -> None:
    """In rows; in bytes by the limits of all routes. Mutant: the bound is wide."""
    monkeypatch.setattr(inference, "MOST_ROWS", 10**9 if is_mutant else ROWS - 1)
    answer = client.post(f"{PATH}/infer", json=_request(slot, rows))
    assert (answer.status_code == 400) != is_mutant
