"""`gristmill explore` in Chromium: wide and narrow, light and dark, by keyboard, without faults that axe-core knows."""

from __future__ import annotations

import json
import os
import shutil
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from pipeline.explore.server import make_server
from tests.pipeline import browser
from tests.pipeline.explore.hostile import make_hostile
from tests.pipeline.explore.test_server import EVERYTHING

pytestmark = pytest.mark.browser
SERIOUS = {"serious", "critical"}
SETTING = "setting=filter_heuristics.gopher.min_words"
LIMIT = f"limits?{SETTING}&value=60"


@contextmanager
def serve(output: Path, other: Path | None = None) -> Iterator[str]:
    server, address = make_server(str(output), str(other) if other else None)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield address
    finally:
        server.close()


@pytest.fixture(scope="module")
def output(curated_minicrawl: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    browser.require_browser()
    copy = tmp_path_factory.mktemp("browser") / "out"
    shutil.copytree(curated_minicrawl, copy)
    return copy


def find_faults(driver: webdriver.Chrome) -> list[str]:
    """Rules of axe-core with serious or critical violations on the page, each with its first element."""
    from axe_core_python.selenium import Axe

    found = Axe().run(driver)["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html'][:120]}" for each in found if each["impact"] in SERIOUS]


def save_screenshot(driver: webdriver.Chrome, name: str) -> None:
    """For a person: the folder is named by GRISTMILL_SCREENSHOTS."""
    if folder := os.environ.get("GRISTMILL_SCREENSHOTS"):
        driver.save_screenshot(str(Path(folder) / f"{name}.png"))


@pytest.mark.parametrize(("width", "dark"), [(1300, False), (400, True)])
def test_every_view_is_readable(output: Path, curated_minicrawl: Path, tmp_path: Path, width: int, dark: bool) -> None:
    with (
        serve(output, curated_minicrawl) as address,
        browser.open_page(address, tmp_path, width=width, dark=dark) as driver,
    ):
        for number, view in enumerate((*EVERYTHING, f"/{LIMIT}")):
            driver.get(address + view[1:])
            save_screenshot(driver, f"{width}-{number:02d}")
            assert find_faults(driver) == [], view
            assert driver.execute_script("return document.documentElement.scrollWidth") <= width, view
        assert driver.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_a_handle_moves_by_keys_and_the_counts_follow(output: Path, tmp_path: Path) -> None:
    with serve(output) as address, browser.open_page(address + LIMIT, tmp_path) as driver:
        before = driver.find_element(By.ID, "lost_pages").text
        handle = driver.find_element(By.ID, "handle")
        for _ in range(8):
            handle.send_keys(Keys.PAGE_UP)
        WebDriverWait(driver, 20).until(lambda _: driver.find_element(By.ID, "lost_pages").text != before)
        value = driver.find_element(By.ID, "value").get_attribute("value")
        assert f"value={value}" in driver.current_url, "every state has an address"
        WebDriverWait(driver, 20).until(lambda _: "min_words" in driver.find_element(By.ID, "toml").text)
        with urllib.request.urlopen(f"{address}api/limit?{SETTING}&value={value}") as answer:
            lost = f"{json.load(answer)['lost_pages']:,}"
        WebDriverWait(driver, 20).until(lambda _: driver.find_element(By.ID, "lost_pages").text == lost)
        WebDriverWait(driver, 20).until(lambda _: driver.find_elements(By.CSS_SELECTOR, "#lost a"))
        driver.get(driver.current_url)
        assert driver.find_element(By.ID, "lost_pages").text == lost, "the address leads to the same state"


def test_the_line_in_the_chart_is_dragged(output: Path, tmp_path: Path) -> None:
    with serve(output) as address, browser.open_page(address + LIMIT, tmp_path) as driver:
        before = driver.find_element(By.ID, "lost_pages").text
        line = driver.find_element(By.ID, "line")
        ActionChains(driver).move_to_element(line).click_and_hold().move_by_offset(150, 5).release().perform()
        WebDriverWait(driver, 20).until(lambda _: driver.find_element(By.ID, "lost_pages").text != before)
        box, chart = line.rect, driver.find_element(By.CSS_SELECTOR, "svg[data-low]")
        low, high = (float(str(chart.get_attribute(f"data-{end}"))) for end in ("low", "high"))
        share = (box["x"] + box["width"] / 2 - chart.rect["x"]) / chart.rect["width"]
        value = float(str(driver.find_element(By.ID, "value").get_attribute("value")))
        assert value == pytest.approx(low + share * (high - low), abs=0.02 * (high - low))
        assert value > 60


def test_a_slider_changes_the_repetitions(output: Path, tmp_path: Path) -> None:
    with serve(output) as address, browser.open_page(address + "mixture", tmp_path) as driver:
        row = driver.find_element(By.CSS_SELECTOR, "tr[data-domain=home_and_hobbies]")
        before = row.find_element(By.CSS_SELECTOR, "[data-cell=repetitions]").text
        slider = row.find_element(By.CSS_SELECTOR, "input")
        most = slider.get_attribute("max")
        slider.send_keys(Keys.END)
        WebDriverWait(driver, 20).until(
            lambda _: row.find_element(By.CSS_SELECTOR, "[data-cell=repetitions]").text != before
        )
        assert f"home_and_hobbies = {most}" in driver.find_element(By.ID, "toml").text
        assert f"home_and_hobbies={most}" in driver.current_url


def test_pages_are_judged_by_keys(output: Path, tmp_path: Path) -> None:
    with serve(output) as address, browser.open_page(address + "judge", tmp_path) as driver:
        for key, votes in (("g", "1 vote"), ("b", "2 votes"), ("u", "3 votes")):
            driver.find_element(By.TAG_NAME, "body").send_keys(key)
            WebDriverWait(driver, 20).until(lambda _, votes=votes: f"{votes} so far" in driver.page_source)
    (output / "votes.sqlite").unlink()


def test_hostile_pages_do_nothing(curated_minicrawl: Path, tmp_path: Path) -> None:
    browser.require_browser()
    output = make_hostile(curated_minicrawl, tmp_path / "out")
    with serve(output) as address, browser.open_page(address, tmp_path / "profile") as driver:
        for view in (*EVERYTHING, f"/{LIMIT}"):
            driver.get(address + view[1:])
            assert driver.execute_script("return window.hacked === undefined && document.images.length === 0"), view
        handle = driver.find_element(By.ID, "handle")
        handle.send_keys(Keys.END)  # rows that the script writes
        WebDriverWait(driver, 20).until(lambda _: driver.find_elements(By.CSS_SELECTOR, "#lost a"))
        assert driver.execute_script("return window.hacked === undefined && document.images.length === 0")
        assert driver.get_log("browser") == []  # type: ignore[no-untyped-call]
