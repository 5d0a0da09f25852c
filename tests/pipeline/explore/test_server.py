"""`gristmill explore` by requests: what its pages say, who may ask, and what cannot be asked."""

from __future__ import annotations

import json
import re
import shutil
import threading
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lxml.html
import pyarrow.dataset as ds
import pytest

from classifiers.training.sample_files import read_examples
from pipeline.errors import UserError
from pipeline.explore import judge
from pipeline.explore.pages import mark_removed
from pipeline.explore.server import Explorer, create_app, make_server
from pipeline.publishing.weights import compare_shares
from pipeline.reports.formatting import measure
from tests.pipeline.explore.hostile import HOSTILE, make_hostile
from tests.pipeline.inspection.changed_run import make_changed

HOST = "127.0.0.1:8321"
EVERYTHING = (
    "/", "/pages", "/pages?fate=dropped&sort=value&order=desc", "/pages?signal=gopher_words&low=3&sort=measurement",
    "/page/kept/0/3", "/page/dropped/0/3", "/limits", "/limits?signal=html_bytes", "/mixture", "/groups/language",
    "/groups/site", "/groups/domain", "/groups/personal", "/clusters", "/compare", "/judge", "/judge/results",
)  # fmt: skip

NOWHERE = (
    "/static/../server.py", "/static/%2e%2e/server.py", "/static//etc/passwd", "/page/..%2f/0/0",
    "/page/candidates/0/0",
    "/page/kept/0/999999", "/page/kept/-1/0", "/groups/x", "/cluster/nobody",
)  # fmt: skip
WRONG = (
    "/pages?signal=a%22b", "/pages?sort=id;drop", "/pages?low=x", "/limits?setting=publish.weights",
    "/limits?setting=score_quality.min_score&value=nan", "/limits?setting=score_quality.min_score&value=7",
    "/api/limit?setting=a.b&value=1", "/mixture?nobody=3", "/mixture?unknown=-1",
)  # fmt: skip


class Client:
    """Requests to the application of one run."""

    def __init__(self, output: Path, other: Path | None = None) -> None:
        self.explorer = Explorer(str(output), str(other) if other else None)
        self._client = create_app(self.explorer, frozenset({HOST})).test_client()

    def get(self, address: str, status: int = 200, **headers: str):
        answer = self._client.get(address, headers={"Host": HOST, **headers})
        assert answer.status_code == status, (address, answer.get_data(as_text=True)[-300:])
        return answer

    def page(self, address: str) -> lxml.html.HtmlElement:
        return lxml.html.fromstring(self.get(address).get_data(as_text=True))

    def json(self, address: str) -> dict:
        found: dict = json.loads(self.get(address).get_data(as_text=True))
        return found

    def send(self, method: str, address: str, data: dict | None = None, **headers: str) -> int:
        return int(self._client.open(address, method=method, data=data, headers={"Host": HOST, **headers}).status_code)


@pytest.fixture(scope="module")
def output(curated_minicrawl: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("explore") / "out"
    shutil.copytree(curated_minicrawl, copy)
    return copy


@pytest.fixture(scope="module")
def client(output: Path) -> Client:
    return Client(output)


@pytest.fixture(scope="module")
def rows(output: Path) -> dict[str, list[dict]]:
    return {kind: ds.dataset(output / kind).to_table().to_pylist() for kind in ("shards", "drops")}


def words_of(row: dict) -> float:
    return (row["signals"] or {}).get("gopher_words") or 0.0


def links(page: lxml.html.HtmlElement, start: str) -> list[str]:
    return [href for href in page.xpath("//main//a/@href") if href.startswith(start)]


def test_the_funnel_leads_to_the_pages_of_a_reason(client: Client, rows) -> None:
    fates = Counter(f"{row['stage']}:{row['reason']}" for row in rows["drops"])
    found = [href for href in links(client.page("/"), "/pages") if "%3A" in href or ":" in href]
    assert len(found) == len(fates)
    fate, count = min(fates.items(), key=lambda item: (item[1], item[0]))
    assert len(links(client.page(f"/pages?fate={fate}"), "/page/dropped")) == min(count, 25)


@pytest.mark.parametrize(
    ("address", "fits"),
    [
        ("/pages?fate=kept&language=de", lambda row: row["language"] == "de" and "weight" in row),
        ("/pages?url=garden", lambda row: "garden" in row["url"]),
        ("/pages?text=THE RIVER&fate=kept", lambda row: "weight" in row and "the river" in row["text"].lower()),
        ("/pages?signal=gopher_words&low=200&high=250", lambda row: 200 <= words_of(row) <= 250),
        ("/pages?host=wet.example", lambda row: "wet.example" in (row["host"], row["registered_domain"])),
    ],
)  # fmt: skip
def test_a_search_finds_what_fits_and_nothing_else(client: Client, rows, address: str, fits) -> None:
    expected = sorted(row["url"] for row in (*rows["shards"], *rows["drops"]) if fits(row))
    found: list[str] = []
    for number in range(1, 20):
        page = client.page(f"{address}&page={number}")
        names = [a.text for a in page.xpath("//main//th/a") if a.get("href").startswith("/page/")]
        found += names
        if len(names) < 25:
            break
    assert expected
    assert sorted(found) == expected


def test_a_page_shows_the_deciding_rule_and_its_text(client: Client, rows) -> None:
    number, row = next((n, row) for n, row in enumerate(rows["drops"]) if row["reason"] == "too_few_words")
    text = client.page(f"/page/dropped/0/{number}").text_content()
    assert "filter heuristics: too few words" in text
    assert f"limit {row['threshold']:.0f}" in text
    number, row = next((n, row) for n, row in enumerate(rows["shards"]) if "<EMAIL_1>" in row["text"])
    page = client.page(f"/page/kept/0/{number}")
    assert page.xpath("//div[@class='text']")[0].text_content() == row["text"]
    assert "<EMAIL_1>" in page.xpath("//mark[@class='placeholder']/text()")


def test_every_dropped_page_has_advice(client: Client, rows) -> None:
    for stage in {row["stage"] for row in rows["drops"]}:
        number = next(number for number, row in enumerate(rows["drops"]) if row["stage"] == stage)
        assert "To keep such pages: " in client.page(f"/page/dropped/0/{number}").text_content(), stage


def test_lines_that_corrections_took_are_struck_through() -> None:
    """The text of the mini-crawl that is extracted has no such line."""
    stages = [("extract_text", "a@b.example"), ("scrub_pii", "one\nMenu\ntwo <EMAIL_1>"), ("filter_heuristics", None)]
    later = [("deduplicate", "one\ntwo <EMAIL_1>")]
    replayed: Any = SimpleNamespace(stages=[SimpleNamespace(name=n, after=after) for n, after in stages + later])
    pieces = mark_removed(replayed)
    assert [text for text, how in pieces if how == "removed"] == ["Menu\n"]
    assert [text for text, how in pieces if how == "placeholder"] == ["<EMAIL_1>"]
    assert "".join(text for text, how in pieces if how != "removed").split("\n")[:2] == ["one", "two <EMAIL_1>"]


def test_a_replayed_page_has_the_text_of_its_row(client: Client, rows) -> None:
    page = client.page("/page/kept/0/0?replay=1")
    kept = "".join(page.xpath("//div[@class='text']//text()[not(ancestor::del)]"))
    assert kept.split() == rows["shards"][0]["text"].split()


def test_a_moved_limit_counts_what_leaves_and_passes(client: Client, rows) -> None:
    found = client.json("/api/limit?setting=filter_heuristics.gopher.min_words&value=120")
    leave = [row for row in rows["shards"] if row["signals"]["gopher_words"] < 120]
    assert (found["lost_pages"], found["lost_words"]) == (len(leave), sum(row["words"] for row in leave))
    assert found["passed_pages"] == 0
    assert found["toml"] == "[filter_heuristics.gopher]\nmin_words = 120"
    assert {row["id"] for row in found["lost"]} <= {row["id"] for row in leave}
    loose = client.json("/api/limit?setting=identify_language.min_score&value=0")
    uncertain = [row for row in rows["drops"] if row["reason"] == "language_uncertain"]
    assert (loose["lost_pages"], loose["passed_pages"]) == (0, len(uncertain))
    drawn = client.page("/limits?setting=filter_heuristics.gopher.min_words").xpath(
        "//rect[@class='flow']/title/text()"
    )
    assert sum(int(re.search(r": ([\d,]+)", title)[1].replace(",", "")) for title in drawn) == len(rows["shards"])  # type: ignore[index]


def test_moved_targets_give_the_weights_of_the_settings(client: Client) -> None:
    found = client.json("/api/mixture?home_and_hobbies=30")
    before = {line["domain"]: line for line in client.json("/api/mixture")["domains"]}
    after = {line["domain"]: line for line in found["domains"]}
    assert after["home_and_hobbies"]["target"] > before["home_and_hobbies"]["target"]
    assert found["toml"] == "[publish.weights.shares]\nhome_and_hobbies = 30"
    cells = client.explorer.cells
    shares = compare_shares(*cells, client.explorer.run.config.publish.weights)
    assert {share.domain: share.weighted for share in shares} == {
        name: line["weighted"] for name, line in before.items()
    }


def test_duplicates_side_by_side(client: Client, rows) -> None:
    survivor = next(row for row in rows["shards"] if row["duplicates"])
    page = client.page(f"/cluster/{survivor['id']}")
    members = [row for row in rows["drops"] if row["duplicate_of"] == survivor["id"]]
    assert len(links(page, "/page/dropped")) == len(members)


def test_two_runs_beside_each_other(output: Path, curated_minicrawl: Path) -> None:
    client = Client(output, curated_minicrawl)
    assert "the contents are the same" in client.page("/compare").text_content()
    assert client.page("/").xpath("//nav//a[text()='Compare']")


def test_pages_that_changed_their_fate_are_listed_with_the_reason(curated_minicrawl: Path, tmp_path: Path) -> None:
    gone, _ = make_changed(curated_minicrawl, tmp_path / "other")
    client = Client(curated_minicrawl, tmp_path / "other")
    (address,) = links(client.page("/compare"), "/compare/pages")
    page = client.page(address)
    assert "kept → score quality: low quality" in page.text_content()
    for row in gone:
        (line,) = page.xpath("//li[a[text()=$url]]", url=row["url"])
        assert f"now measured {measure(row['quality_score'])}, limit 0.9" in line.text_content()
        shown = client.page(line.xpath("a/@href")[0])
        assert row["id"] in shown.text_content()
    Client(curated_minicrawl).get("/compare/pages?before=kept&after=x", 404)


def test_votes_are_blind_stored_and_give_precision_and_recall(output: Path, rows, tmp_path: Path) -> None:
    client, kept = Client(output), {row["id"]: row for row in rows["shards"]}
    judged = []
    for _ in range(12):
        page = client.page("/judge")
        wanted = page.xpath("//input[@name='id']/@value")[0]
        assert len(page.xpath("//div[@class='text']")[0].text_content()) <= 500, "as much of every page, kept or not"
        assert "kept" not in page.xpath("//form[@id='vote']")[0].text_content()
        vote = "good" if wanted in kept else "bad"
        assert client.send("POST", "/judge/vote", {"id": wanted, "vote": vote}, Origin=f"http://{HOST}") == 303
        judged.append(wanted)
    assert len(set(judged)) == 12
    assert 5 <= sum(page in kept for page in judged) <= 7
    assert "Precision and recall by 12 votes" in client.page("/judge/results").text_content()
    path = tmp_path / "labels.jsonl"
    path.write_bytes(client.get("/judge/labels.jsonl").get_data())
    examples = {example.row.id: example.label for example in read_examples(path)}
    assert examples == {page: "cited" if page in kept else "crawl" for page in judged}
    (output / "votes.sqlite").unlink()


def test_precision_and_recall_of_known_votes() -> None:
    """1,000 kept and 500 dropped pages, of which 80% and 20% are good."""
    votes = {f"k{n}": (True, "good" if n < 160 else "bad") for n in range(200)}
    votes |= {f"d{n}": (False, "good" if n < 40 else "bad") for n in range(200)}
    scores = judge.score_filters(votes, 1_000, 500)
    assert scores["precision"]["value"] == pytest.approx(0.8, abs=0.01)
    assert scores["recall"]["value"] == pytest.approx(800 / 900, abs=0.01)
    assert scores["precision"]["low"] < 0.8 < scores["precision"]["high"]
    assert scores["recall"]["low"] < 800 / 900 < scores["recall"]["high"]
    none = judge.score_filters({}, 1_000, 500)
    assert (none["precision"]["value"], none["recall"]["value"]) == (None, None)


def test_hostile_pages_are_texts_on_every_page(curated_minicrawl: Path, tmp_path: Path) -> None:
    client = Client(make_hostile(curated_minicrawl, tmp_path / "out"))
    survivor = client.explorer.cursor().execute("SELECT id FROM kept WHERE duplicates > 0").fetchone()[0]
    for address in (*EVERYTHING, f"/cluster/{survivor}", f"/pages?url={'%3Cscript%3E'}", f"/pages?fate={HOSTILE[:9]}"):
        text = client.get(address).get_data(as_text=True)
        assert "<script>window" not in text
        assert "<img src=x" not in text
        page = lxml.html.fromstring(text)
        assert [script.get("src") for script in page.iter("script")] == ["/static/explore.js"]
        assert not page.xpath("//@onerror | //@onclick | //@style | //b[contains(., 'window')]")
        assert not [href for href in page.xpath("//@href") if href.strip().lower().startswith(("javascript:", "data:"))]
        assert "49" not in page.xpath("string(//title)"), "a text is no template"


def test_every_answer_forbids_what_a_page_could_do(client: Client) -> None:
    for address in (*EVERYTHING, "/static/explore.js", "/nothing"):
        headers = client.get(address, 404 if address == "/nothing" else 200).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'; script-src 'self'")
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"}, {"Host": "127.0.0.1"}, {"Host": "evil.example:8321"}, {"Origin": "https://evil.example"},
        {"Origin": "null"}, {"Origin": "http://127.0.0.1:9"}, {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)  # fmt: skip
def test_foreign_hosts_and_origins_are_refused(client: Client, headers: dict[str, str]) -> None:
    assert client.send("GET", "/", **headers) == 403
    assert (
        client.send("POST", "/judge/vote", {"id": "x", "vote": "good"}, **{"Origin": f"http://{HOST}", **headers})
        == 403
    )


def test_nothing_can_be_written_but_a_vote(client: Client, output: Path, rows) -> None:
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        for address in ("/", "/pages", "/page/kept/0/1", "/static/explore.js", "/api/limit", "/judge/labels.jsonl"):
            assert client.send(method, address, Origin=f"http://{HOST}") == 405
    known = rows["shards"][0]["id"]
    assert client.send("POST", "/judge/vote", {"id": known, "vote": "good"}) == 403, "a vote without an origin"
    assert client.send("POST", "/judge/vote", {"id": known, "vote": "x'; DROP"}, Origin=f"http://{HOST}") == 400
    assert client.send("POST", "/judge/vote", {"id": "nobody", "vote": "good"}, Origin=f"http://{HOST}") == 400
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()} == before


def test_path_tricks_and_wrong_values_lead_nowhere(client: Client) -> None:
    for address in NOWHERE:
        client.get(address, 404)
    for address in WRONG:
        client.get(address, 400)
    assert client.page("/pages?url=' OR 1=1 --").xpath("//td[text()='No page fits.']")


def test_the_server_listens_on_the_loopback_only(output: Path) -> None:
    server, address = make_server(str(output))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        assert server.effective_host == "127.0.0.1"
        with urllib.request.urlopen(address) as answer:
            assert b"pages" in answer.read()
        request = urllib.request.Request(address, headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request)
        with pytest.raises(UserError, match=f"port {server.effective_port}: .*--port"):
            make_server(str(output), port=server.effective_port)
    finally:
        server.close()
