"""Texts of API keys: made, read, refused when mistyped, hashed and compared."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import re
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.access import apikeys
from cluster.access.principal import Unauthenticated
from cluster.settings import ROOT

PEPPER, OTHER = bytes(range(32)), bytes(32)
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_ "

randoms = st.binary(min_size=apikeys.RANDOM_BYTES, max_size=apikeys.RANDOM_BYTES)
keys = randoms.map(apikeys.make)


def _loose(text: str) -> bool:
    """Would the text be taken without its checksum?"""
    return apikeys._FORM.fullmatch(text) is not None


@settings(deadline=None)
@given(keys)
def test_what_is_made_is_read_again(key: apikeys.ApiKey) -> None:
    assert apikeys.parse(key.text) == key
    assert len(key.text) == apikeys.LENGTH


@settings(deadline=None)
@given(randoms, randoms)
def test_other_bytes_are_another_key(one: bytes, other: bytes) -> None:
    assert (apikeys.make(one).text == apikeys.make(other).text) == (one == other)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_no_other_text_is_a_key(text: str) -> None:
    assert isinstance(apikeys.parse(text), Unauthenticated)


@settings(deadline=None)
@given(keys, st.integers(0, apikeys.LENGTH - 1), st.sampled_from(LETTERS))
def test_one_wrong_letter_is_refused(key: apikeys.ApiKey, place: int, letter: str) -> None:
    wrong = key.text[:place] + letter + key.text[place + 1 :]
    assert (apikeys.parse(wrong) == key) == (wrong == key.text)
    if wrong != key.text:
        assert isinstance(apikeys.parse(wrong), Unauthenticated)


@settings(deadline=None)
@given(keys, st.integers(0, apikeys.LENGTH - 2))
def test_two_letters_exchanged_are_refused(key: apikeys.ApiKey, place: int) -> None:
    text = key.text
    wrong = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    assert wrong == text or isinstance(apikeys.parse(wrong), Unauthenticated)


@settings(deadline=None)
@given(keys, st.sampled_from(["\n", " ", "\0", "é", "=", ""]), st.booleans())
def test_nothing_may_stand_around_it(key: apikeys.ApiKey, more: str, before: bool) -> None:
    text = more + key.text if before else key.text + more
    assert isinstance(apikeys.parse(text), Unauthenticated) == bool(more)


def test_without_the_checksum_a_wrong_letter_would_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    text = apikeys.make(bytes(42)).text
    wrong = text[:30] + "B" + text[31:]
    assert _loose(wrong)
    assert isinstance(apikeys.parse(wrong), Unauthenticated)
    monkeypatch.setattr(apikeys, "_checksum", lambda said: wrong[-6:])
    assert isinstance(apikeys.parse(wrong), apikeys.ApiKey)


def test_the_example_of_the_page_holds_and_a_scanner_finds_it() -> None:
    page = (ROOT / "docs" / "access.md").read_text()
    (found,) = re.findall(r"fck_[a-z2-7]{16}_[A-Za-z0-9_-]{49}", page)
    assert found == apikeys.make(bytes(range(42))).text
    crc = zlib.crc32(found[:-6].encode())
    assert hmac.compare_digest(found[-6:], apikeys._base64(crc.to_bytes(4)))


def test_the_hash_is_the_one_of_the_page() -> None:
    key = apikeys.make(bytes(range(42)))
    said = b"funnelcast/api-key/1\0" + key.id.encode() + b"\0" + key.secret.encode()
    assert apikeys.hashed(key, PEPPER) == hmac.new(PEPPER, said, hashlib.sha256).digest()


@settings(deadline=None)
@given(keys, randoms)
def test_only_the_key_under_its_pepper_matches(key: apikeys.ApiKey, random: bytes) -> None:
    other = dataclasses.replace(apikeys.make(random), id=key.id)
    stored = apikeys.hashed(key, PEPPER)
    assert apikeys.matches(key, PEPPER, stored)
    assert not apikeys.matches(key, OTHER, stored)
    assert apikeys.matches(other, PEPPER, stored) == (other == key)


def test_another_id_is_another_hash() -> None:
    key = apikeys.make(bytes(42))
    moved = dataclasses.replace(key, id="b" * 16)
    assert apikeys.hashed(moved, PEPPER) != apikeys.hashed(key, PEPPER)


def test_bytes_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = hmac.compare_digest
    monkeypatch.setattr(
        apikeys.hmac, "compare_digest", lambda a, b: asked.append((a, b)) or real(a, b)
    )
    key = apikeys.make(bytes(42))
    for stored in (bytes(32), apikeys.hashed(key, PEPPER)):
        apikeys.matches(key, PEPPER, stored)
    assert asked == [(apikeys.hashed(key, PEPPER), bytes(32)), (asked[1][0], asked[1][0])]


def test_a_key_prints_its_id_alone() -> None:
    key = apikeys.make(bytes(range(42)))
    shown = f"{key!r} {key} {[key]}"
    assert key.id in shown
    assert key.secret not in shown
    refused = apikeys.parse(key.text[:-1])
    assert key.secret[:20] not in f"{refused} {refused!r}"


def test_a_key_that_printed_itself_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    key = apikeys.make(bytes(range(42)))
    monkeypatch.setattr(apikeys.ApiKey, "__repr__", lambda self: str(dataclasses.asdict(self)))
    assert key.secret in f"{key!r}"


def test_a_key_needs_all_its_random_bytes() -> None:
    with pytest.raises(ValueError, match="42 random bytes, got 41"):
        apikeys.make(bytes(41))
