"""The page of a report in a real browser, from the file system: its sliders by mouse and keyboard, dark, on a phone."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.reports import make_report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("needs chromium and its driver (apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    yield browser
    browser.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_report(tmp_path_factory.mktemp("report"))


def show(browser: Any, page: Path, *, width: int, dark: bool) -> None:
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get(page.as_uri())
    browser.execute_script("document.documentElement.style.scrollBehavior = 'auto'")
    browser.execute_script("document.querySelector('.compare').scrollIntoView({block: 'center'})")


def screenshot(browser: Any, path: Path) -> np.ndarray:
    browser.save_screenshot(str(path))
    image = cv2.imread(str(path))
    assert image is not None
    return image


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, True)])
def test_a_slider_is_dragged(browser: Any, page: Path, tmp_path: Path, width: int, dark: bool) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    show(browser, page, width=width, dark=dark)
    slider = browser.find_element(By.CSS_SELECTOR, ".compare input")
    stage = browser.find_element(By.CSS_SELECTOR, ".stage")
    before = screenshot(browser, tmp_path / "before.png")
    quarter = stage.size["width"] // 4
    ActionChains(browser).move_to_element(slider).click_and_hold().move_by_offset(-quarter, 0).release().perform()
    assert float(slider.get_attribute("value")) == pytest.approx(25, abs=1)
    line = browser.find_element(By.CSS_SELECTOR, ".line")
    assert line.rect["x"] - stage.rect["x"] == pytest.approx(0.25 * stage.rect["width"], abs=3)
    after = screenshot(browser, tmp_path / "after.png")
    assert (before != after).any()
    assert (before[5, 5].mean() < 64) == dark
    overflow = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_the_keyboard_moves_it_and_chooses_the_pair(browser: Any, page: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    show(browser, page, width=1280, dark=False)
    slider = browser.find_element(By.CSS_SELECTOR, ".compare input")
    slider.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert float(slider.get_attribute("value")) == 51
    slider.send_keys("2")
    figure = browser.find_element(By.CSS_SELECTOR, ".compare")
    assert (figure.get_attribute("data-left"), figure.get_attribute("data-right")) == ("sr", "hr")
    shown = {name: figure.find_element(By.CSS_SELECTOR, f"img.{name}").is_displayed() for name in ("lr", "sr", "hr")}
    assert shown == {"lr": False, "sr": True, "hr": True}
    assert [tag.text for tag in figure.find_elements(By.CSS_SELECTOR, ".tag")] == ["SR", "HR"]
    figure.find_element(By.CSS_SELECTOR, ".enlarge").click()
    assert "large" in figure.get_attribute("class")
