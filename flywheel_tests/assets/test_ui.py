import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from flywheel_tests.assets.conftest import FILTERS
from flywheel_tests.assets.processes import ROOT, Server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SCREENSHOTS = ROOT / "build" / "screenshots"
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 60_000
SETTLE = 1_000
ENTRIES, CURATED_ON_THE_SECOND_DAY = 21, 7

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, which scripts/browser installs"),
]


@pytest.fixture(scope="module")
def page(served: Server) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        page = browser.new_page(base_url=served.url, viewport={"width": 1600, "height": 1500})
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield page
        browser.close()


def keep(page: Page, name: str) -> None:
    """A picture for people to look at, in build/screenshots."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.wait_for_timeout(SETTLE)  # colours and dialogs fade in
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def fact(page: Page, label: str) -> str:
    """What stands below a label of an asset page's status."""
    shown = page.get_by_text(label, exact=True).first.locator("xpath=..")
    expect(shown).not_to_have_text(label)
    return shown.inner_text().removeprefix(label).strip()


def test_the_landing_page_shows_every_stage_as_a_box(page: Page) -> None:
    page.goto("/asset-groups")

    for group in ("ingest", "curate", "synthesize", "mix", "format", "inspect"):
        box = page.locator("foreignObject").get_by_text(group, exact=True)  # the sidebar has their names, too
        expect(box).to_be_visible()
    keep(page, "lineage")


def test_an_open_stage_shows_a_node_for_each_filter_between_scrubbed_and_curated(page: Page) -> None:
    page.goto("/locations/flywheel/asset-groups/curate")

    for name in ("cleaned", "scrubbed", "signatures", *FILTERS, "duplicates", "curated"):
        expect(page.get_by_text(name, exact=True).first).to_be_visible()
    keep(page, "curate")


def test_the_ledger_shows_rows_checks_bars_and_plots(page: Page) -> None:
    page.goto("/assets/ledger")

    assert fact(page, "Row count") == str(ENTRIES)
    assert fact(page, "Latest check results") == "2"
    expect(page.get_by_text("█").first).to_be_visible()
    keep(page, "ledger")
    page.get_by_text("Show Markdown").first.click()
    plot = page.locator("img[src^='data:image/png']")
    expect(plot).to_be_visible()
    assert plot.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    keep(page, "ledger_plot")


def test_a_day_table_shows_its_columns_why_rows_left_and_a_preview(page: Page) -> None:
    page.goto("/assets/curated")

    assert fact(page, "Row count") == str(CURATED_ON_THE_SECOND_DAY)
    assert fact(page, "Latest check results") == "3"
    for column in ("messages", "feedback", "created_at"):
        expect(page.get_by_text(column, exact=True).first).to_be_visible()
    for metadata in ("left_by_reason", "refusal", "preview"):
        expect(page.get_by_text(metadata, exact=True).first).to_be_attached()
    page.get_by_text("left_by_reason", exact=True).first.scroll_into_view_if_needed()
    keep(page, "curated")


def test_a_check_says_what_it_found_and_what_is_allowed(page: Page) -> None:
    page.goto("/assets/curated?view=checks")

    for check in ("ids_unique", "no_empty_reply", "rows_add_up"):
        expect(page.get_by_text(check, exact=True).first).to_be_visible()
    expect(page.get_by_text("Succeeded", exact=True)).to_have_count(3)
    expect(page.get_by_text("at most 0").first).to_be_visible()
    keep(page, "checks")


def test_a_filter_says_what_it_measures_and_how_it_is_set(page: Page) -> None:
    page.goto("/assets/verdicts/refusal")

    expect(page.get_by_text("Drop conversations").first).to_be_visible()
    expect(page.get_by_text("Refusal(").first).to_be_visible()
    keep(page, "filter")


def test_a_training_set_shows_its_files_and_its_card(page: Page) -> None:
    page.goto("/assets/training_set/chat")

    expect(page.get_by_text("train", exact=True).first).to_be_visible()
    keep(page, "training_set")
    page.get_by_text("Show Markdown").first.click()
    expect(page.get_by_text("From logs to rows").first).to_be_visible()
    keep(page, "card")
