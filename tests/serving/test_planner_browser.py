"""The planner's page in Chromium: walked by keyboard, without a script, on a phone, and looked at
as those do who do not see it.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from serving.simulations.records import Asked
from serving.simulations.store import Store
from tests.serving import made_up, planning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

    from cluster.workspace import Workspace
    from tests.serving.planning import Threads

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]
LOOK = Path(__file__).with_name("looked.js").read_text()
PHONE = {"width": 390, "height": 844}
WAIT_MS = 60_000
COMPILED_MS = 300_000  # the first simulation of a machine compiles its kernel
NOTES = """
window.notes = [];
document.addEventListener("securitypolicyviolation", (e) => notes.push(e.violatedDirective));
window.addEventListener("error", (e) => notes.push(`error: ${e.message}`));
"""

if CHROMIUM is None:
    pytest.skip(
        "CHROMIUM MISSING: nothing of the planner's page was tried in a browser: install chromium",
        allow_module_level=True,
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, Workspace, Threads]]:
    """The page of a small company, its workspace and its jobs."""
    with planning.page(tmp_path_factory.mktemp("planner") / "home") as found:
        yield found


@contextmanager
def _opened(browser: Browser, **more: Any) -> Iterator[Page]:
    """Open a page; nothing on it may have failed or been refused when it is left."""
    context: BrowserContext = browser.new_context(**more)
    context.set_default_timeout(WAIT_MS)
    context.add_init_script(NOTES)
    page = context.new_page()
    try:
        yield page
        assert page.evaluate("window.notes || []") == []
    finally:
        context.close()


@pytest.fixture(scope="module")
def done(place: tuple[str, Workspace, Threads]) -> str:
    """Where a result stands that nobody simulated."""
    address, workspace, _ = place
    said = made_up.result(("more_calls", "a_rep", "discount"))
    id, now = "0" * 32, datetime.now(UTC)
    store = Store(workspace.database)
    asked = Asked(
        id=id, key="made up", request={"scenarios": [{"name": "more_calls"}]}, pinned={},
        owner="local", now=now,
    )  # fmt: skip
    begun = store.begin(asked, workspace.settings.simulations)
    assert isinstance(begun, tuple)
    blob = workspace.blobs.put(said.model_dump_json().encode())
    assert store.done(begun[0].run, blob, now)
    return f"{address}/planner/simulations/{id}"


def _focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.id || document.activeElement.tagName"))


def _tab_to(page: Page, name: str) -> None:
    """Go on by the tabulator until what is focused has a name, as who has no mouse does."""
    for _ in range(150):
        page.keyboard.press("Tab")
        said = page.evaluate(
            "(() => { const e = document.activeElement; return e.getAttribute('aria-label') ||"
            " (e.labels && e.labels[0] || e).textContent.trim() })()"
        )
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", f"where the keyboard is must be seen, got nothing at {said}"
        if said == name:
            return
    raise AssertionError(f"the keyboard must come to {name}")


def _write(page: Page, name: str, text: str) -> None:
    _tab_to(page, name)
    page.keyboard.press("Control+A")
    page.keyboard.type(text)


def _wait(page: Page, id: str) -> None:
    page.wait_for_function("(id) => document.activeElement.id === id", arg=id)


def test_a_comparison_by_keyboard_from_nothing_to_its_end(
    browser: Browser, place: tuple[str, Workspace, Threads]
) -> None:
    """Who has no mouse sets a lever, is told what is wrong, mends it, runs it, watches it and reads
    what came out.
    """
    address, _, jobs = place
    with _opened(browser, viewport={"width": 1200, "height": 800}) as page:
        page.goto(f"{address}/planner")
        _tab_to(page, "New comparison")
        page.keyboard.press("Enter")
        page.wait_for_url("**/planner/new")
        _write(page, "How far to look", "6")
        _write(page, "Simulated futures", "40")
        _write(page, "Name of the scenario", "20 % more calls")
        _tab_to(page, "+ Follow-ups")
        page.keyboard.press("Enter")
        _wait(page, "s0-l0")
        _write(page, "How much more", "lots")
        _tab_to(page, "+ Desk")
        page.keyboard.press("Enter")
        _wait(page, "f-d0-name")
        _tab_to(page, "Run the comparison")
        page.keyboard.press("Enter")
        _wait(page, "problems")
        assert "Stages must be chosen" in page.locator("#problems").inner_text()
        _tab_to(page, "Stages")
        page.keyboard.press("Enter")
        _tab_to(page, "lead")
        page.keyboard.press("Space")
        _more(page)
        _tab_to(page, "Run the comparison")
        jobs.holds.clear()
        page.keyboard.press("Enter")
        page.wait_for_url("**/simulations/*")
        page.wait_for_selector("progress")
        assert page.locator("#said").get_attribute("aria-live") == "polite"
        jobs.holds.set()
        page.wait_for_selector("[data-fans] canvas", timeout=COMPILED_MS)
        assert page.locator("h1").inner_text() == "20 percent more calls"
        assert "assumption" in page.locator(".verdict").first.inner_text()
        assert page.evaluate(LOOK) == []


def _more(page: Page) -> None:
    """State what a contact does, and how much more."""
    _write(page, "How much more", "20")
    _tab_to(page, "as measured here")
    page.keyboard.press("ArrowDown")
    _write(page, "Odds to go forward, times", "1.3")


def test_a_simulation_is_stopped(browser: Browser, place: tuple[str, Workspace, Threads]) -> None:
    """While it runs, by its button; and is found among the comparisons."""
    address, _, jobs = place
    with _opened(browser) as page:
        page.goto(f"{address}/planner/new?preset=outreach")
        page.get_by_label("How far to look").fill("5")
        page.get_by_label("Simulated futures").fill("30")
        page.get_by_text("my assumption").first.click()
        page.get_by_label("Odds to go forward, times").fill("1.2")
        jobs.holds.clear()
        page.get_by_role("button", name="Run the comparison").click()
        page.get_by_role("button", name="Stop it").click()
        page.get_by_text("It was stopped.").wait_for()
        jobs.holds.set()
        page.goto(f"{address}/planner")
        assert "stopped" in page.locator("table").inner_text()


def test_a_result_is_drawn_and_told(browser: Browser, done: str) -> None:
    """Charts for eyes, the same numbers in tables; the measure changes by a choice."""
    with _opened(browser, viewport={"width": 1200, "height": 800}) as page:
        page.goto(done)
        page.wait_for_selector("[data-fans] canvas")
        assert page.locator("[data-fans] canvas").count() == 3
        assert page.locator("[data-gains] canvas").count() == 3
        wide = "(e) => [e.querySelector('.uplot').offsetWidth, e.clientWidth]"
        for box in page.locator(".charts > div").all():
            drawn, there = box.evaluate(wide)
            assert 240 <= drawn <= there
        reading = page.locator("[data-fans] .reading").first
        assert reading.inner_text().startswith("week 26: 60 (36 to 84)")
        page.get_by_role("radio", name="value won, thousands").check()
        assert reading.inner_text().startswith("week 26: 1,014")
        assert page.locator("table.heat td").count() == 4 * 26
        assert page.locator("figure svg").count() == 4
        assert page.evaluate(LOOK) == []
        page.emulate_media(reduced_motion="reduce")
        assert page.evaluate(LOOK) == []


def test_files_are_given(browser: Browser, done: str) -> None:
    """By links, as downloads."""
    with _opened(browser, accept_downloads=True) as page:
        page.goto(done)
        for name, ending in (("Bands as CSV", ".csv"), ("as Parquet", ".parquet"),
                             ("All as JSON", ".json"), ("Question as YAML", ".yaml")):  # fmt: skip
            with page.expect_download() as found:
                page.get_by_role("link", name=name).click()
            assert found.value.suggested_filename.endswith(ending)


def test_a_shared_result_says_so(browser: Browser, done: str) -> None:
    """And its address is there to be copied."""
    with _opened(browser) as page:
        page.goto(done)
        page.get_by_role("button", name="Let others see it").click()
        page.get_by_text("Shared: everybody who may run forecasts").wait_for()
        assert page.get_by_label("Address of this page").input_value() == done


@pytest.mark.parametrize("path", ["", "/new", "/new?preset=outreach", "/sign-in"])
def test_pages_fit_a_phone_and_can_be_read_aloud(
    browser: Browser, place: tuple[str, Workspace, Threads], path: str
) -> None:
    """No page is wider than 390 pixels, and every control has a name."""
    with _opened(browser, viewport=PHONE, is_mobile=True, has_touch=True) as page:
        page.goto(f"{place[0]}/planner{path}")
        page.wait_for_load_state("networkidle")
        for fold in page.locator("details > summary").all():
            fold.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert page.evaluate(LOOK) == []


def test_a_form_of_all_levers_and_of_all_that_is_wrong_fits_a_phone(
    browser: Browser, place: tuple[str, Workspace, Threads]
) -> None:
    """The longest page there is."""
    with _opened(browser, viewport=PHONE) as page:
        page.goto(f"{place[0]}/planner/new")
        for count, name in enumerate(("+ Follow-ups", "+ Price", "+ Campaign budget", "+ Reps",
                                      "+ Who is contacted first")):  # fmt: skip
            page.get_by_role("button", name=name).click()
            page.wait_for_selector(f"#s0-l{count}")
        page.get_by_role("button", name="Run the comparison").click()
        page.wait_for_selector("#problems")
        assert page.locator(".problem").count() >= 4
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert page.evaluate(LOOK) == []


def test_a_result_fits_a_phone(browser: Browser, done: str) -> None:
    """Only tables are wider, and those scroll by themselves."""
    with _opened(browser, viewport=PHONE, is_mobile=True) as page:
        page.goto(done)
        page.wait_for_selector("[data-fans] canvas")
        for fold in page.locator("details > summary").all():
            fold.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert page.evaluate(LOOK) == []


def test_without_a_script_all_is_there(
    browser: Browser, place: tuple[str, Workspace, Threads]
) -> None:
    """Forms are sent, tables show the numbers, and a page that waits loads itself again."""
    address, _, jobs = place
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/planner/new?preset=outreach")
    page.get_by_role("button", name="Copy outreach").click()
    page.get_by_label("Name of the scenario").nth(1).fill("no script")
    page.get_by_label("How far to look").fill("4")
    page.get_by_label("Simulated futures").fill("25")
    for number in range(2):
        page.get_by_label("my assumption").nth(number).check()
        page.get_by_label("Odds to go forward, times").nth(number).fill("1.1")
    jobs.holds.clear()
    page.get_by_role("button", name="Run the comparison").click()
    assert "no script" in page.locator("h1").inner_text()
    jobs.holds.set()
    page.get_by_text("What it brings").wait_for(timeout=COMPILED_MS)
    page.get_by_text("The same in numbers").first.click()
    assert page.locator("table").first.is_visible()
    context.close()


def test_what_the_look_finds(browser: Browser) -> None:
    """The mutant of the look itself: a page with everything wrong."""
    page = browser.new_page()
    page.set_content(
        "<h3>a</h3><input><button></button><a href='#x'></a><svg role=img></svg><th>x</th>"
        "<p style='color:#aaa'>pale</p><i id=a></i><i id=a></i><label for=zz>x</label>"
        "<i tabindex=3>x</i><fieldset></fieldset><table><tr><th>x</th></tr></table>"
    )
    found = "; ".join(page.evaluate(LOOK))
    page.close()
    words = ("no name: input", "no name: button", "no name: a", "no text", "no scope", "twice")
    for word in (*words, "hard to read", "leads nowhere", "jumps", "legend", "skips", "language"):
        assert word in found
