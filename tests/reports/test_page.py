"""The HTML page of a report, in a real browser."""

import base64
import json
import shutil

import pytest

from deeplab_lit.reports import collect
from tests.end_to_end.running import train, use
from tests.sweeps.test_run_table import TINY

pytestmark = pytest.mark.skipif(not shutil.which("chromedriver"), reason="needs chromium and chromium-driver")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Of a table whose second row was removed; its tiny runs count as runs at the rows' own values."""
    folder = tmp_path_factory.mktemp("sweep")
    train(folder, "experiments=table3_aspp_vgg16", *TINY, "pictures=2", "seed=0,1")
    shutil.rmtree(folder / "runs/table3_aspp_vgg16/aspp_s")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collect, "departures", lambda config, of_row: [])
        use("report", folder)
    return folder / "runs/table3_aspp_vgg16/report.html"


@pytest.fixture(scope="module")
def browser(page):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    driver.get(page.as_uri())
    yield driver
    driver.quit()


@pytest.mark.slow
def test_it_needs_nothing_besides_itself(page, browser):
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]
    assert page.as_uri() in asked and all(url == page.as_uri() or url.startswith("data:") for url in asked)
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    assert page.stat().st_size < 5_000_000
    broken = browser.execute_script("return [...document.images].filter(i => !i.naturalWidth).length")
    assert broken == 0 and browser.execute_script("return document.images.length") == 2 * (2 + 2 * 2)


@pytest.mark.slow
def test_the_slider_moves_with_the_keyboard(browser):
    from selenium.webdriver.common.keys import Keys

    slider = browser.find_element("css selector", "#mini .slider input")
    shown = "return getComputedStyle(document.querySelector('#mini .both img + img')).clipPath"
    # the picture with the CRF lies on top, cut off left of the line
    assert browser.execute_script(shown) == "inset(0px 0px 0px 50%)"
    slider.send_keys(Keys.HOME)
    assert browser.execute_script(shown) == "inset(0px 0px 0px 0%)"
    slider.send_keys(Keys.END)
    assert browser.execute_script(shown) == "inset(0px 0px 0px 100%)"
    over = "return document.querySelector('#mini .both img + img').alt"
    assert browser.execute_script(over).endswith("with CRF")


@pytest.mark.slow
def test_the_table_sorts_and_goes_back(browser):
    from selenium.webdriver.common.keys import Keys

    def column(number):
        rows = "[...document.querySelector('#mini table.sortable').tBodies[0].rows]"
        return browser.execute_script(f"return {rows}.map(r => r.cells[{number}].textContent)")

    heads = browser.find_elements("css selector", "#mini table.sortable th button")
    titles = [head.text for head in heads]
    published = titles.index("mIoU: published")
    order = column(0)
    assert order == ["largefov", "aspp_s", "aspp_l"]
    heads[published].send_keys(Keys.ENTER)
    assert column(published) == ["68.96 / 71.57", "66.98 / 69.73", "65.76 / 69.84"]
    heads[published].send_keys(Keys.ENTER)
    assert column(published) == ["65.76 / 69.84", "66.98 / 69.73", "68.96 / 71.57"]
    heads[published].send_keys(Keys.ENTER)
    assert column(0) == order
    heads[titles.index("mini")].send_keys(Keys.ENTER)
    assert column(titles.index("status"))[-1] == "not run"  # what has no value stays below


@pytest.mark.slow
def test_it_fits_a_narrow_screen_and_the_dark(browser):
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                            {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True})  # fmt: skip
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    colours = []
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        colours.append(
            [
                browser.execute_script(f"return getComputedStyle(document.querySelector('{which}')).{what}")
                for which, what in (("#mini svg text", "fill"), ("body", "color"))
            ]
        )
        assert base64.b64decode(browser.get_screenshot_as_base64())
    assert colours[0] == ["rgb(0, 0, 0)"] * 2 and colours[1] == ["rgb(255, 255, 255)"] * 2
