"""`gristmill train serve` in Chromium: wide and narrow, light and dark, by keyboard, without faults of axe-core."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.pipeline import browser
from tests.pipeline.explore.test_browser import find_faults, save_screenshot
from tests.trainer.serving.models import decoder, passage_reader, serve, served, tokenizer, two_models
from trainer.chat.chat_template import ChatTemplate
from trainer.rollouts.generate import GenerateSettings
from trainer.serving.served_model import ServedModel, TextPiece
from trainer.serving.server import ServeSettings, Serving

pytestmark = pytest.mark.browser
HOSTILE = "<img src=x onerror='window.hacked=1'></div><script>window.hacked=1</script>"
RECORD = """window.asked = []; const real = fetch; window.fetch = (address, options) => {
  asked.push(JSON.parse(options.body).messages.map((message) => message.content));
  return real(address, options);
};"""


class EndlessModel(ServedModel):
    """Begins anew where an answer ends: the model's own answers end after 30 tokens, sooner than a browser can look."""

    def pieces(
        self, prompt: Sequence[int], settings: GenerateSettings, samples: int, stops: Sequence[str], *, chat: bool
    ) -> Iterator[TextPiece]:
        while True:
            for piece in super().pieces(prompt, settings, samples, stops, chat=chat):
                time.sleep(0.01)  # a page that gets thousands of pieces a second cannot be clicked
                yield piece._replace(text=piece.text or "...", finish=None)


def wait(driver: webdriver.Chrome, condition: str) -> None:
    WebDriverWait(driver, 60).until(lambda _: driver.execute_script(f"return {condition}"))


def say(driver: webdriver.Chrome, text: str) -> None:
    driver.find_element(By.ID, "text").send_keys(text, Keys.ENTER)


def readable(driver: webdriver.Chrome, name: str, width: int) -> None:
    save_screenshot(driver, name)
    assert find_faults(driver) == [], name
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width, name


@pytest.mark.parametrize(("width", "dark"), [(1300, False), (400, True)])
def test_every_view_is_readable_and_works_by_keys(tmp_path: Path, width: int, dark: bool) -> None:
    browser.require_browser()
    with (
        serve(two_models(tmp_path, max_new_tokens=8, temperature=0.5)) as address,
        browser.open_page(address, tmp_path / "profile", width=width, dark=dark) as driver,
    ):
        readable(driver, f"{width}-chat-empty", width)
        for number, text in enumerate(("The river is", HOSTILE)):
            say(driver, text)
            wait(driver, f"document.querySelectorAll('.said').length === {2 * number + 2} && !running")
        driver.find_element(By.TAG_NAME, "summary").click()
        readable(driver, f"{width}-chat", width)
        said = driver.find_elements(By.CSS_SELECTOR, ".words")
        assert [said[0].text, said[2].text] == ["The river is", HOSTILE]
        assert said[1].text.strip()
        driver.get(f"{address}compare")
        for key, vote in (("1", "left"), ("4", "bad")):
            say(driver, f"The river is {key}")
            wait(driver, "[...document.querySelectorAll('[data-vote]')].every((button) => !button.disabled)")
            assert "first" not in driver.find_element(By.TAG_NAME, "main").text
            readable(driver, f"{width}-compare-{vote}", width)
            driver.find_element(By.TAG_NAME, "body").send_keys(key)
            wait(driver, "document.getElementById('said').textContent.startsWith('Stored')")
            names = {driver.find_element(By.ID, f"{side}-name").text for side in ("left", "right")}
            assert names in ({"Left: first", "Right: second"}, {"Left: second", "Right: first"})
            text = driver.find_element(By.ID, "text")
            assert driver.switch_to.active_element == text
            said = driver.find_elements(By.CSS_SELECTOR, "#past .words")  # two bad answers are no conversation
            assert [words.text for words in said][::2] == ["The river is 1"]
        readable(driver, f"{width}-compare-voted", width)
        driver.find_element(By.ID, "again").click()
        assert not driver.find_element(By.ID, "past").is_displayed()
        driver.get(f"{address}compare/results")
        readable(driver, f"{width}-votes", width)
        assert driver.execute_script("return window.hacked === undefined && document.images.length === 0")
        assert driver.get_log("browser") == []  # type: ignore[no-untyped-call]
    with sqlite3.connect(tmp_path / "battles.sqlite") as connection:
        rows = connection.execute("SELECT vote, history FROM battles ORDER BY rowid").fetchall()
    assert [vote for vote, _ in rows] == ["left", "bad"]
    assert json.loads(rows[1][1])[0] == {"role": "user", "content": "The river is 1"}


@pytest.mark.parametrize(("width", "dark"), [(1300, False), (400, True)])
def test_sources_stand_below_an_answer_and_only_web_addresses_are_links(tmp_path: Path, width: int, dark: bool) -> None:
    browser.require_browser()
    good = ("https://travel.example/hotels/by-the-river", "http://travel.example/?a=\"onmouseover='window.hacked=1'")
    hidden = "javascript:window.hacked=1", " java\nscript:window.hacked=1", f"data:text/html,{HOSTILE}"
    bad = (
        *hidden,
        "//travel.example/",
        "https://travel.example:x/",
        f"https://travel.example{HOSTILE}@evil.example/",
        "",
    )
    texts = {url: f"hotel {n} {HOSTILE if n % 2 else 'by the river'}" for n, url in enumerate((*good, *bad))}
    reader = passage_reader(tmp_path, texts, most=40)
    serving = Serving([served("first", 1, context=1024)], None, ServeSettings(max_new_tokens=8), reader)
    with (
        serve(serving) as address,
        browser.open_page(address, tmp_path / "profile", width=width, dark=dark) as driver,
    ):
        driver.execute_script(RECORD)
        for asked in (1, 2):
            say(driver, "hotel by the river?")
            wait(driver, f"document.querySelectorAll('.sources').length === {asked} && !running")
        words = [said.text for said in driver.find_elements(By.CSS_SELECTOR, ".words")]
        assert words[0] == words[2] == "hotel by the river?"
        assert driver.execute_script("return asked[1]") == words[:3]  # the passages belonged to the first question
        readable(driver, f"{width}-sources", width)
        links = driver.find_elements(By.CSS_SELECTOR, ".sources a")
        encoded = "http://travel.example/?a=%22onmouseover=%27window.hacked=1%27"
        assert {link.get_attribute("href") for link in links} == {good[0], encoded}
        assert all(link.text == link.get_attribute("href") for link in links)
        assert {(link.get_attribute("rel"), link.get_attribute("target")) for link in links} == {
            ("noopener noreferrer", "_blank")
        }
        shown = driver.find_element(By.CLASS_NAME, "sources").text
        assert all(url.strip().replace("\n", " ") in shown for url in bad)
        details = driver.find_elements(By.CSS_SELECTOR, ".sources details")
        hostile = next(each for each in details if "<img src=x" in str(each.get_attribute("textContent")))
        for each in (details[0], hostile):
            each.find_element(By.TAG_NAME, "summary").click()
        assert "<img src=x" in hostile.text
        driver.execute_script("document.querySelector('.said').scrollIntoView()")
        readable(driver, f"{width}-sources-open", width)
        assert driver.execute_script("return window.hacked === undefined && document.images.length === 0")
        assert driver.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_errors_are_said_and_a_conversation_begins_anew(tmp_path: Path) -> None:
    browser.require_browser()
    with (
        serve(two_models(tmp_path, max_new_tokens=5)) as address,
        browser.open_page(address, tmp_path / "profile") as driver,
    ):
        say(driver, "word " * 300)
        wait(driver, "!document.getElementById('problem').hidden")
        assert "the model's context is 128 tokens" in driver.find_element(By.ID, "problem").text
        assert driver.find_elements(By.CSS_SELECTOR, ".said") == []
        text = driver.find_element(By.ID, "text")
        assert text.get_attribute("value").startswith("word word")
        text.clear()
        driver.find_element(By.ID, "again").click()
        say(driver, "Hello")
        wait(driver, "document.querySelectorAll('.said').length === 2 && !running")
        driver.find_element(By.ID, "again").click()
        assert driver.find_elements(By.CSS_SELECTOR, ".said") == []


def test_an_answer_is_shown_as_it_comes_and_can_be_stopped(tmp_path: Path) -> None:
    browser.require_browser()
    model = EndlessModel("first", decoder(1), tokenizer(), ChatTemplate(tokenizer()))
    reader = passage_reader(tmp_path, {"https://travel.example/": "Hello hotel"})
    with (
        serve(Serving([model], None, ServeSettings(), reader)) as address,
        browser.open_page(address, tmp_path / "profile") as driver,
    ):
        for asked in (1, 2):
            say(driver, "Hello")
            wait(driver, f"document.querySelectorAll('.words')[{2 * asked - 1}]?.textContent")
            assert driver.execute_script("return running !== null"), "it is still being written"
            driver.find_element(By.ID, "stop").click()
            wait(driver, "!running")
            assert len(driver.find_elements(By.CSS_SELECTOR, ".sources a")) == asked
        assert driver.find_element(By.ID, "problem").text == ""
