"""Identifying data in free text: e-mail addresses, phone numbers, IBANs, payment-card numbers.

A cheap look with RE2 over the distinct values leaves the few that need the exact rules: check
digits, lengths per country, and what a phone number is not (a date, an id, an amount). Names and
postal addresses have no form of their own and are not found.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

EMAIL, PHONE, IBAN, CARD = "e-mail", "phone", "iban", "card"
CLASSES = (EMAIL, PHONE, IBAN, CARD)

type Cells = pa.Array | pa.ChunkedArray

_AT = "(?:@|%40|\uff20)"
_GAP = r"[ \u00a0\u2009\u202f()./\-\u2010\u2011\u2013]"  # what stands between groups of digits
_LOOKS = {  # RE2, wider than the rules below: what it passes over is free of the class
    EMAIL: _AT,
    PHONE: (
        r"(?i)(?:^|[^\w./-]|[a-z][.:#])[(+]?\d"
        r"(?:[ \x{00a0}\x{2009}\x{202f}()./\-\x{2010}\x{2011}\x{2013}]{0,3}\d){6,}(?:$|[^\w/-])"
    ),
    IBAN: r"(?:^|[^\w-])[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]){11}",
    CARD: r"(?:^|[^\w.,+-])\d(?:[ -]?\d){12,18}(?:$|[^\w-])",
}
_EMAIL = re.compile(rf"[^\s@<>()\[\],;:\"'=?&]+{_AT}(?:[\w-]+\.)+[^\W\d_][\w-]*", re.IGNORECASE)
_PHONES = [
    re.compile(rule, re.ASCII | re.IGNORECASE)
    for rule in (
        rf"(?<![\w.+])\+[1-9](?:{_GAP}{{0,3}}\d){{7,14}}(?![\d\w]|[.,]\d)",
        rf"(?<![\w(])\(0?[1-9]\d{{1,3}}\){_GAP}?\d(?:{_GAP}?\d){{5,8}}(?!\w)",
        rf"(?<![\w.+/-])(?:1{_GAP})?[2-9]\d\d{_GAP}\d{{3}}{_GAP}\d{{4}}(?![\w/-]|[.,]\d)",
        r"(?<![\w.+/,:-])0[1-9]\d{0,4}(?: ?[ /-] ?)\d{2,8}(?:[ -]\d{2,8}){0,4}(?![\w/:-]|[.,]\d)",
        r"(?<![\w.+/,:-])00[1-9]\d{0,2} \d(?:[ -]?\d){6,12}(?![\w/:-]|[.,]\d)",
        r"(?<![\w.+/,-])0[1-9]([. -])\d\d\1\d\d\1\d\d\1\d\d(?![\w/:-]|[.,]\d)",
        rf"\b(?:tel|telephone|telefon|phone|fon|mobile|mobil|cell|fax)\b[.:# ]{{0,3}}"
        rf"\d(?:{_GAP}?\d){{6,14}}(?!\w)",
    )
]
_DATE = re.compile(r"(?<!\d)[0-3]?\d[./-][0-3]?\d[./-](?:\d\d)?\d\d(?![\d./-])", re.ASCII)
_IBAN_START = re.compile(r"(?<![\w-])[A-Za-z]{2}\d\d(?= ?[A-Za-z0-9])", re.ASCII)
_IBAN_LENGTHS = {  # ISO 13616 registry: letters of the whole number by country
    country: int(length)
    for length, countries in (
        pair.split(":")
        for pair in [
            "15:NO",
            "16:BE",
            "18:DK,FI,FO,GL,NL,SD",
            "19:MK,SI",
            "20:AT,BA,EE,KZ,LT,LU,MN,XK",
            "21:CH,HR,LI,LV",
            "22:BG,BH,CR,DE,GB,GE,IE,ME,RS,VA",
            "23:AE,GI,IL,IQ,OM,SO,TL",
            "24:AD,CZ,ES,MD,PK,RO,SA,SE,SK,TN,VG",
            "25:LY,PT,ST",
            "26:IS,TR",
            "27:BI,DJ,FR,GR,IT,MC,MR,SM",
            "28:AL,AZ,BY,CY,DO,GT,HU,LB,NI,PL,SV",
            "29:BR,EG,PS,QA,UA",
            "30:JO,KW,MU,YE",
            "31:MT,SC",
            "32:LC",
            "33:RU",
        ]
    )
    for country in countries.split(",")
}
_CARD = re.compile(
    r"(?<![\w.,+-])(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}|\d{4}([ -])\d{6}\2\d{4,5})"
    r"(?![\w-]|[.,]\d)",
    re.ASCII,
)
_CARD_FAMILIES = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|3(?:0|6|8)\d{12}"
    r"|(?:35|6[0245])\d{14}"
)


def found(values: Cells, classes: Iterable[str] = CLASSES) -> dict[str, np.ndarray]:
    """Return of each class which of the strings hold such data: (n,) bool, null is no find."""
    distinct, places = _distinct(values)
    wanted = set(classes)
    masks = {name: np.zeros(len(distinct) + 1, dtype=bool) for name in wanted}
    for place, text in _suspects(distinct, wanted):
        for _, _, name in _finds(text, wanted):
            masks[name][place] = True
    return {name: mask[places] for name, mask in masks.items()}


def scrubbed(values: Cells) -> Cells:
    """Return the strings with every find replaced by its class: "call [phone]"; the rest unchanged,
    and the same object where there is nothing to replace.
    """
    distinct, places = _distinct(values)
    clean = {place: _scrubbed(text) for place, text in _suspects(distinct, set(CLASSES))}
    changed = {place: text for place, text in clean.items() if text != distinct[place].as_py()}
    if not changed:
        return values
    texts = [changed.get(place, text) for place, text in enumerate(distinct.to_pylist())]
    indices = pa.array(places, pa.int64(), mask=places == len(distinct))
    whole = pa.array(texts, distinct.type).take(indices)
    return pa.chunked_array([whole]) if isinstance(values, pa.ChunkedArray) else whole


def is_identifying(text: str) -> bool:
    """Does the text hold identifying data of any class?"""
    return any(True for _ in _finds(text, set(CLASSES)))


def _distinct(values: Cells) -> tuple[pa.Array, np.ndarray]:
    """Return the distinct values and of each row its place among them; a null is behind them."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    coded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    count = len(coded.dictionary)
    return coded.dictionary, pc.fill_null(coded.indices.cast(pa.int64()), count).to_numpy()


def _suspects(distinct: pa.Array, classes: set[str]) -> Iterator[tuple[int, str]]:
    may = np.zeros(len(distinct), dtype=bool)
    for name in classes:
        looks = pc.match_substring_regex(distinct, _LOOKS[name])
        may |= looks.to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(may)
    return zip(rows.tolist(), distinct.take(pa.array(rows)).to_pylist(), strict=True)


def _finds(text: str, classes: set[str]) -> Iterator[tuple[int, int, str]]:
    for name, spans in SPANS.items():
        if name in classes:
            for start, stop in spans(text):
                yield start, stop, name
                # what is one thing is not another: the digits of an IBAN are no phone number
                text = f"{text[:start]}{'_' * (stop - start)}{text[stop:]}"


def _scrubbed(text: str) -> str:
    parts, end = [], 0
    for start, stop, name in sorted(_finds(text, set(CLASSES)), key=lambda find: find[:2]):
        if start >= end:
            parts += [text[end:start], f"[{name}]"]
        end = max(end, stop)
    return "".join([*parts, text[end:]])


def _emails(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in _EMAIL.finditer(text)]


def _ibans(text: str) -> list[tuple[int, int]]:
    starts = (match.start() for match in _IBAN_START.finditer(text))
    ends = ((start, _end_of_iban(text, start)) for start in starts)
    return [(start, end) for start, end in ends if end is not None]


def _end_of_iban(text: str, start: int) -> int | None:
    length = _IBAN_LENGTHS.get(text[start : start + 2].upper())
    rule = rf"\w(?: ?\w){{{length - 1}}}(?!\w)" if length else "(?!)"
    whole = re.compile(rule, re.ASCII).match(text, start)
    if whole is None:
        return None
    code = whole[0].replace(" ", "").replace("_", "").upper()
    is_iban = int("".join(str(int(letter, 36)) for letter in code[4:] + code[:4])) % 97 == 1
    return whole.end() if is_iban else None


def _cards(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in _CARD.finditer(text) if _is_card(match[0])]


def _is_card(text: str) -> bool:
    digits = re.sub("[ -]", "", text)
    if not _CARD_FAMILIES.fullmatch(digits):
        return False
    doubled = (int(d) * (1 + place % 2) for place, d in enumerate(reversed(digits)))
    return sum(value - 9 * (value > 9) for value in doubled) % 10 == 0


def _phones(text: str) -> list[tuple[int, int]]:
    matches = (match for rule in _PHONES for match in rule.finditer(text))
    return [match.span() for match in matches if _is_phone(match[0])]


def _is_phone(text: str) -> bool:
    digits = sum(letter.isdigit() for letter in text)
    most = 12 if text.startswith("0") and not text.startswith("00") else 15
    return 7 <= digits <= most and not _DATE.search(text)


SPANS: dict[str, Callable[[str], list[tuple[int, int]]]] = {
    EMAIL: _emails,
    IBAN: _ibans,
    CARD: _cards,
    PHONE: _phones,
}
