"""The page of the experiment of a flag: one HTML file that needs nothing else."""

from __future__ import annotations

from math import exp, log
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs import pages
from jobs.console import Report
from jobs.flags import pictures
from serving.releases import compared, flags
from serving.releases.judge import MOST_SAID, short

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.workspace import Workspace
    from jobs.drawing import Picture
    from jobs.flags.outcomes import Found
    from serving.releases.wealth import Wealth

_FOLDER = Path(__file__).parent


def written(workspace: Workspace, found: Found, to: str | None) -> Report:
    """Write the page, to a file if one is given, and report where it is."""
    name = f"flag-{found.asked.flag.name}.html"
    path = Path(to or workspace.settings.home / "reports" / name).resolve()
    html = render(found).encode()
    pages.write(path, html)
    return Report(
        read={"flag": found.asked.flag.id, "exposures": len(found.known.told)},
        wrote={"page": str(path), "bytes": len(html)},
        decided=found.sentences,
    )


def render(found: Found) -> str:
    """Return the page as HTML."""
    template = pages.environment(_FOLDER).get_template("page.html")
    return template.render(**_words(found), curves=list(_curves(found)))


def _words(found: Found) -> dict[str, Any]:
    return {
        "flag": found.asked.flag,
        "target": found.asked.target,
        "as_of": f"{found.at:%Y-%m-%d %H:%M:%S}",
        "until": f"{found.known.until:%Y-%m-%d %H:%M:%S}",
        "is_off": found.is_off,
        "split_said": found.split_said,
        "verdicts": [_verdict(found, name) for name in found.courses],
        "facts": list(_facts(found)),
        "rows": list(found.table),
        "split": list(_split(found)),
    }


def _verdict(found: Found, name: str) -> dict[str, Any]:
    course, told = found.courses[name], found.sentence(name)
    is_worse = bool(course) and compared.said(course[-1].reading) == compared.LESS
    return {"told": told, "is_bad": is_worse or found.is_off}


def _facts(found: Found) -> Iterator[tuple[str, str]]:
    asked, target = found.asked.each, found.asked.target
    horizon = f"{target.horizon_days:g} days after the exposure"
    settle = f", known {target.settle_days:g} days later" if target.settle_days else ""
    yield "flag", f"{found.asked.flag.id}: {found.asked.flag.summary}"
    yield "outcome", f"{target.name}, within {horizon}{settle}"
    yield "compared with", asked.usual
    yield "chance of an error", _chance(found)
    yield "lasts", f"{asked.most_days:g} days at most"


def _chance(found: Found) -> str:
    each, count = found.asked.each.alpha, len(found.courses)
    split = f"; {each:g} for each comparison" if count > 1 else ""
    return f"at most {each * count:g}, however often this is read{split}"


def _split(found: Found) -> Iterator[dict[str, str]]:
    every, wealth = len(found.known.told), found.split
    for name, share in found.asked.flag.shares.items():
        exposed = found.counts[name].exposed
        yield {
            "variant": name,
            "exposed": f"{exposed:,}",
            "weight": f"{share:.2%}",
            "share": f"{exposed / every:.2%}" if every else "",
            "evidence": _against(wealth[name], len(wealth)) if name in wealth else "",
        }


def _against(held: Wealth, several: int) -> str:
    """Return how much speaks against a weight, and what would be enough."""
    strength = exp(min(held.highest, log(MOST_SAID) + 1))
    return f"{short(strength)} of {short(several / flags.ALPHA)}"


def _curves(found: Found) -> Iterator[Picture]:
    for name, course in found.courses.items():
        if course:
            yield pictures.curve(name, found.asked.each.usual, course)
