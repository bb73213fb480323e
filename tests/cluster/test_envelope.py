"""Sealed values: what opens them, and everything that must not."""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from cluster import envelope, errors
from cluster.settings import ROOT

MASTER, OTHER = bytes(range(32)), bytes(range(1, 33))
NONCE = bytes(12)
KEY = envelope.subject_key(bytes(32))


@pytest.fixture(scope="module")
def example() -> dict[str, str]:
    """The worked example of docs/vault.md: name and value of each line."""
    text = (ROOT / "docs" / "vault.md").read_text(encoding="utf-8")
    part = text.split("## An example")[1].split("##")[0]
    return dict(re.findall(r"^\| ([^|]+) \| `([^`]+)` \|$", part, re.MULTILINE))


def _sealed(data: bytes = b"a value") -> bytes:
    return envelope.seal(KEY, data, subject="one", name="name", nonce=NONCE)


def _bytes(example: dict[str, str], name: str) -> bytes:
    return bytes.fromhex(example[name])


def test_the_documented_example_is_what_the_code_does(example: dict[str, str]) -> None:
    key = envelope.subject_key(_bytes(example, "subject's key"))
    master, value = _bytes(example, "master key"), example["value"].encode()
    made = {
        "pseudonym key, wrapped": envelope.wrap(master, _bytes(example, "pseudonym key")),
        "subject's key, wrapped": envelope.wrap(master, _bytes(example, "subject's key")),
        "key id": key.id,
        "digest": envelope.digest(key, example["field"], value),
        "sealed": envelope.seal(
            key, value, subject=example["pseudonym"], name="name", nonce=_bytes(example, "nonce")
        ),
    }
    assert {name: data.hex() for name, data in made.items()} == {n: example[n] for n in made}


def test_the_documented_example_opens_by_the_description_alone(example: dict[str, str]) -> None:
    keys = hmac.digest(_bytes(example, "subject's key"), b"funnelcast/vault/1", "sha512")
    sealed, subject = _bytes(example, "sealed"), example["pseudonym"].encode()
    bound = sealed[:9] + subject + b"\0" + example["field"].encode()
    assert sealed[:9] == b"\x01" + keys[56:]
    assert AESGCM(keys[:32]).decrypt(sealed[9:21], sealed[21:], bound) == b"Ada Lovelace"
    message = f"{example['field']}\0{example['value']}".encode()
    assert hmac.digest(keys[32:56], message, "sha256")[:16] == _bytes(example, "digest")
    named = f"{example['namespace']}\0{example['normalised']}".encode()
    digest = hmac.digest(_bytes(example, "pseudonym key"), named, "sha256")[:16]
    assert example["pseudonym"] == "p" + base64.b32encode(digest).decode().lower().rstrip("=")


@given(st.binary(max_size=200))
def test_what_is_sealed_opens_unchanged(data: bytes) -> None:
    sealed = _sealed(data)
    assert len(sealed) == len(data) + 37
    assert envelope.unseal(KEY, sealed, subject="one", name="name") == data


@pytest.mark.parametrize(("subject", "name"), [("two", "name"), ("one", "mail"), ("onen", "ame")])
def test_a_sealed_value_cannot_be_moved(subject: str, name: str) -> None:
    with pytest.raises(envelope.NotOpened, match="another"):
        envelope.unseal(KEY, _sealed(), subject=subject, name=name)


def test_without_associated_data_it_could_be_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "_bound", lambda header, subject, name: b"")
    assert envelope.unseal(KEY, _sealed(), subject="two", name="mail") == b"a value"


def test_a_change_of_any_bit_is_found() -> None:
    sealed = _sealed()
    for place in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(envelope.NotOpened):
            envelope.unseal(KEY, bytes(changed), subject="one", name="name")


def test_a_value_cut_short_is_found() -> None:
    for length in range(len(_sealed())):
        with pytest.raises(envelope.NotOpened):
            envelope.unseal(KEY, _sealed()[:length], subject="one", name="name")


def test_another_subjects_key_opens_nothing() -> None:
    stranger = envelope.subject_key(bytes(31) + b"1")
    for key in (stranger, replace(stranger, id=KEY.id)):
        with pytest.raises(envelope.NotOpened):
            envelope.unseal(key, _sealed(), subject="one", name="name")


def test_a_wrapped_key_opens_with_its_master_key_alone() -> None:
    wrapped = envelope.wrap(MASTER, KEY.digest_key + bytes(8))
    assert envelope.unwrap(MASTER, wrapped) == KEY.digest_key + bytes(8)
    with pytest.raises(envelope.NotOpened, match="wrapped with"):
        envelope.unwrap(OTHER, wrapped)


def test_equal_values_of_two_subjects_have_different_digests() -> None:
    stranger = envelope.subject_key(bytes(31) + b"1")
    digests = {envelope.digest(key, "name", b"Ada") for key in (KEY, stranger)}
    assert len(digests | {envelope.digest(KEY, "mail", b"Ada")}) == 3


def test_no_secret_prints() -> None:
    shown = repr(KEY)
    assert "digest_key" not in shown
    assert "cipher" not in shown


def test_no_message_holds_the_value_or_a_key() -> None:
    with pytest.raises(errors.FunnelcastError) as refused:
        envelope.unseal(KEY, _sealed(b"canary"), subject="two", name="name")
    assert not re.search(f"canary|{KEY.digest_key.hex()}", str(refused.value))
    assert "\n" not in str(refused.value)
