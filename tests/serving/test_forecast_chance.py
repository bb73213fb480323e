"""Random numbers: the published answers of Philox, and inversion against known quantiles."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from serving.forecast import philox, variates

ONES = 0xFFFFFFFF


def block(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    """Return the words of one block as plain integers."""
    c0, c1, c2, c3, k0, k1 = (np.uint64(word) for word in (*counter, *key))
    return tuple(int(word) for word in philox.block((c0, c1, c2, c3), (k0, k1)))


# kat_vectors of Random123, philox4x32 with 10 rounds: counter, key, answer
@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_answers(
    counter: tuple[int, ...], key: tuple[int, ...], answer: tuple[int, ...]
) -> None:
    assert block(counter, key) == answer


def test_a_number_is_that_of_its_address() -> None:
    address = {"seed": 2**40 + 3, "draw": 7, "deal": 2**63 + 5, "step": 11, "purpose": 2}
    c = (7, 5, 2**31, 11 * 65536 + 2)
    words = block(c, (3, 256))
    bits = (words[0] << 32 | words[1]) >> 12
    deal = np.uint64(address.pop("deal"))
    assert philox.uniform(deal=deal, **address) == (bits + 0.5) / 2**52


@pytest.mark.parametrize("part", ["seed", "draw", "deal", "step", "purpose"])
def test_every_part_of_the_address_counts(part: str) -> None:
    address = {"seed": 1, "draw": 2, "deal": 3, "step": 4, "purpose": 5}
    other = {**address, part: address[part] + 1}
    assert philox.uniform(**address) != philox.uniform(**other)


def test_numbers_fill_the_unit_interval_evenly() -> None:
    numbers = philox.common(1, 0, 200, 500, 3).ravel()
    assert 0.0 < numbers.min() < 1e-4 < 1.0 - 1e-4 < numbers.max() < 1.0
    cells = np.histogram(numbers, 100, (0.0, 1.0))[0]
    chi_square = ((cells - 1000.0) ** 2 / 1000.0).sum()
    assert chi_square < 99 + 4 * math.sqrt(2 * 99)


@pytest.mark.parametrize("u", [1e-15, 1e-6, 0.01, 0.0243, 0.3, 0.5, 0.77, 0.976, 1 - 1e-9])
def test_normal_is_the_normal_quantile(u: float) -> None:
    assert variates.normal(u) == pytest.approx(NormalDist().inv_cdf(u), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("mean", [0.0, 0.3, 4.0, 60.0, 450.0])
def test_poisson_is_the_smallest_count_that_reaches_u(mean: float) -> None:
    for u in (1e-9, 0.2, 0.5, 0.99):
        k = variates.poisson(mean, u)
        terms = [
            math.exp(j * math.log(mean or 1.0) - mean - math.lgamma(j + 1)) for j in range(k + 1)
        ]
        assert k == 0 or (sum(terms[:-1]) < u <= sum(terms) + 1e-12)


def test_a_large_poisson_keeps_its_mean_and_variance() -> None:
    u = (np.arange(2000) + 0.5) / 2000
    counts = np.array([variates.poisson(5000.0, x) for x in u])
    assert counts.mean() == pytest.approx(5000.0, rel=1e-3)
    assert counts.var() == pytest.approx(5000.0, rel=0.01)


@pytest.mark.parametrize("u", [1e-4, 0.1, 0.5, 0.9, 0.9999])
def test_gamma_agrees_with_its_closed_forms(u: float) -> None:
    assert variates.gamma(1.0, u) == pytest.approx(-math.log1p(-u), rel=1e-9)
    half = NormalDist().inv_cdf((1.0 + u) / 2.0) ** 2 / 2.0
    assert variates.gamma(0.5, u) == pytest.approx(half, rel=1e-7)
    x = variates.gamma(3.0, u)
    assert 1.0 - math.exp(-x) * (1.0 + x + x * x / 2.0) == pytest.approx(u, rel=1e-9)


def test_a_wide_gamma_keeps_its_mean_and_variance() -> None:
    u = (np.arange(4000) + 0.5) / 4000
    values = np.array([variates.gamma(400.0, x) for x in u])
    assert values.mean() == pytest.approx(400.0, rel=1e-4)
    assert values.var() == pytest.approx(400.0, rel=0.01)
