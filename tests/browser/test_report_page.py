"""The report page in a browser: of made-up numbers, of the workflow tests' run and the demo where they were made."""

import base64
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_up import ROOT, settings_of, write_results

from tfcore.report.page.page import write_page

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.remote.webelement import WebElement  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
REPORT = "results/report/index.html"
MADE = [name for name in ("tests", "demo") if (ROOT / "runs" / name / REPORT).exists()]
SHOTS = Path(os.environ.get("SCREENSHOTS", ROOT / "runs" / "screenshots"))
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--window-size=1280,900"),
]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CHROMIUM and CHROMEDRIVER),
        reason="needs Chromium and its driver: apt-get install chromium chromium-driver",
    ),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator["webdriver.Chrome"]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(CHROMEDRIVER)))
    driver.set_page_load_timeout(120)
    yield driver
    driver.quit()


@pytest.fixture(scope="module", params=["made_up", *MADE])
def kind(request: pytest.FixtureRequest) -> str:
    """Whose page it is; screenshots are named by it."""
    return request.param


@pytest.fixture(scope="module")
def address(kind: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    if kind in MADE:
        return (ROOT / "runs" / kind / REPORT).as_uri()
    root = tmp_path_factory.mktemp("made_up")
    settings = settings_of(root)
    write_results(root, settings)
    times = [f"made up,{steps},{batch},0.5" for steps in (5, 10, 20, 100) for batch in (1, 8)]
    text = "\n".join(["device,steps,batch,seconds_per_image", *times])
    (root / "results" / "timing.csv").write_text(text, encoding="utf-8")
    write_page(root, settings, root / REPORT, "snakemake --profile demo")
    return (root / REPORT).as_uri()


@pytest.fixture
def page(browser, address: str):
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(address)
    browser.execute_script("document.documentElement.style.scrollBehavior = 'auto'")
    return browser


def find(page, selector: str) -> WebElement:
    return page.find_element(By.CSS_SELECTOR, selector)


def click(page, element: WebElement) -> None:
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


def column(page, table: str, index: int) -> list[str]:
    cells = page.find_elements(By.CSS_SELECTOR, f"#{table} tbody tr:not(.total) > :nth-child({index + 1})")
    return [cell.text for cell in cells]


def numbers(texts: list[str]) -> list[float]:
    return [float(text.split("±")[0].strip(" †‡?").replace("−", "-")) for text in texts if text.strip(" ?")]


def measured_column(page, table: str) -> int:
    """Return the first column that shows plain numbers."""
    cells = page.find_elements(By.CSS_SELECTOR, f"#{table} tbody tr:first-child > *")
    return next(index for index, cell in enumerate(cells) if cell.get_attribute("data-v"))


def shot(page, kind: str, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.save_screenshot(str(SHOTS / f"{kind}_{name}.png"))


def test_no_error_and_no_request_beyond_the_page(page, kind):
    time.sleep(0.5)
    assert [entry["message"] for entry in page.get_log("browser")] == []
    sent = [entry["message"] for entry in page.get_log("performance")]
    assert not [message for message in sent if '"Network.loadingFailed"' in message]
    requests = [message for message in sent if '"Network.requestWillBeSent"' in message]
    assert not [message for message in requests if '"url":"http' in message]
    shot(page, kind, "desktop")


def test_no_picture_is_broken(page):
    script = """return Promise.all([...document.images].map(async (image) => {
        image.loading = 'eager';
        try { await image.decode(); return image.naturalWidth > 0; } catch { return false; }
    }))"""
    decoded = page.execute_script(script)
    assert decoded and all(decoded)


def test_sorting_a_table_by_click_and_by_keyboard(page):
    table = next(name for name in ("table1", "table4") if len(column(page, name, 0)) > 1)  # one category, one row
    index = measured_column(page, table)
    header = find(page, f"#{table} thead tr:last-child th:nth-child({index + 1})")
    average = [row.text for row in page.find_elements(By.CSS_SELECTOR, f"#{table} tbody tr.total")]
    click(page, header.find_element(By.TAG_NAME, "button"))
    assert header.get_attribute("aria-sort") == "descending"
    found = numbers(column(page, table, index))
    assert len(found) > 1 and found == sorted(found, reverse=True)
    header.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert header.get_attribute("aria-sort") == "ascending"
    found = numbers(column(page, table, index))
    assert found == sorted(found)
    assert not average or find(page, f"#{table} tbody tr:last-child").text == average[0]
    assert "Sorted by" in find(page, "#status").get_attribute("textContent")


def test_numbers_in_a_column_of_words_are_sorted_as_numbers(page, kind):
    if kind != "made_up":
        pytest.skip("may have one number of timesteps only")
    header = find(page, "#table5 thead tr:last-child th:nth-child(4)")
    assert header.text == "T"
    for _ in range(2):
        click(page, header.find_element(By.TAG_NAME, "button"))
        found = [int(text) for text in column(page, "table5", 3) if text]
        assert len(set(found)) > 1
        assert found == sorted(found, reverse=header.get_attribute("aria-sort") == "ascending")


def test_switching_between_absolute_numbers_and_differences(page, kind):
    table = next(
        block.get_attribute("id")
        for block in page.find_elements(By.CSS_SELECTOR, ".block")
        if block.find_elements(By.CSS_SELECTOR, ".switch")
    )
    before = page.execute_script("return document.querySelector(`#${arguments[0]} tbody`).innerText", table)
    click(page, find(page, f"#{table} .switch label:nth-of-type(2)"))
    after = page.execute_script("return document.querySelector(`#${arguments[0]} tbody`).innerText", table)
    assert after != before
    block = find(page, f"#{table}")
    assert block.find_element(By.TAG_NAME, "select").is_displayed()
    reference = int(find(page, f"#{table} select").get_attribute("value"))
    by_column = block.get_attribute("data-by") == "column"
    place = f"td:nth-child({reference + 1})" if by_column else f"tr:nth-child({reference + 1}) td.n"
    own = page.find_elements(By.CSS_SELECTOR, f"#{table} tbody {place}")
    assert {cell.text.strip("•○ ") for cell in own if cell.text and cell.get_attribute("data-now")} == {"0.0"}
    shot(page, kind, "difference")
    click(page, find(page, f"#{table} .switch label:nth-of-type(1)"))
    assert page.execute_script("return document.querySelector(`#${arguments[0]} tbody`).innerText", table) == before


def test_opening_a_category_shows_its_examples_and_the_slider_moves(page, kind):
    category = find(page, "details.category:has(.example)")
    click(page, category.find_element(By.TAG_NAME, "summary"))
    assert category.get_attribute("open")
    assert category.find_element(By.CSS_SELECTOR, ".example .panels").is_displayed()
    compare = category.find_element(By.CSS_SELECTOR, ".compare")
    slider = compare.find_element(By.TAG_NAME, "input")
    before = int(slider.get_attribute("value"))
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", slider)
    slider.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert slider.get_attribute("value") == str(before + 2)
    assert page.execute_script("return arguments[0].style.getPropertyValue('--cut')", compare) == f"{before + 2}%"
    shot(page, kind, "category")


def test_a_link_to_a_category_opens_it(page, address):
    identity = find(page, "details.category:has(.example)").get_attribute("id")
    page.get("about:blank")
    page.get(f"{address}#{identity}")
    assert find(page, f"#{identity}").get_attribute("open")


def test_copying_a_command(page):
    button = find(page, "#table1 .copy")
    click(page, button)
    time.sleep(0.3)
    assert button.text in ("Copied", "Selected")


def test_colours_can_be_switched(page, kind):
    background = "return getComputedStyle(document.body).backgroundColor"
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    dark = page.execute_script(background)
    shot(page, kind, "dark")
    click(page, find(page, "#theme"))  # light, whatever the system says
    assert page.execute_script(background) != dark
    click(page, find(page, "#theme"))
    assert page.execute_script(background) == dark
    click(page, find(page, "#theme"))  # as the system again


def test_page_fits_a_phone(page, kind):
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    page.execute_script("document.querySelector('details.category:has(.example)').open = true")
    width, seen = page.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert width <= seen == 390
    shot(page, kind, "phone")


# What a keyboard must reach: visible and not switched off; of a group of radio buttons the chosen one.
STOPS = """return [...document.querySelectorAll('a[href], button, input, select, summary')].filter((element) =>
    element.checkVisibility({visibilityProperty: true}) && !element.disabled
    && (element.type !== 'radio' || element.checked))"""
LISTEN = """window.reached = [];
    addEventListener('focusin', (event) => window.reached.push(event.target));"""


def test_everything_can_be_reached_by_keyboard(page):
    page.execute_script("document.querySelector('details.category:has(.example)').open = true")
    page.execute_script(LISTEN)
    stops = page.execute_script(STOPS)
    assert stops[0].get_attribute("class") == "skip"
    # Tables that scroll and the settings are stops too; they are not counted, hence some more keys.
    keys = len(stops) + len(page.find_elements(By.CSS_SELECTOR, "[tabindex='0']"))
    ActionChains(page).send_keys(Keys.TAB * keys).perform()
    reached = page.execute_script("return window.reached.filter((element) => !element.matches('[tabindex]'))")
    assert reached[: len(stops)] == stops


def test_printing_opens_everything_and_hides_controls(page, kind):
    page.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert page.execute_script("return [...document.querySelectorAll('details:not(.settings)')].every((d) => d.open)")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert not find(page, "nav").is_displayed()
    page.execute_script("dispatchEvent(new Event('afterprint'))")
    printed = page.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    SHOTS.mkdir(parents=True, exist_ok=True)
    (SHOTS / f"{kind}_print.pdf").write_bytes(base64.b64decode(printed["data"]))
    assert len(printed["data"]) > 10_000
