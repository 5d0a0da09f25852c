"""The mini-crawl: the generator writes the committed files, and every page gets its expected fate."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
import zstandard
from warcio.archiveiterator import ArchiveIterator

from pipeline.text import tokenize
from tests.minicrawl import duplicates, generate, kept
from tests.minicrawl.grammar import count_subjects, make_story

WARCS = generate.HERE / "warc"
EXPECTED: list[dict[str, str]] = json.loads((generate.HERE / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def rows(curated_minicrawl: Path) -> list[dict[str, Any]]:
    shards = [{**row, "fate": "kept"} for row in ds.dataset(curated_minicrawl / "shards").to_table().to_pylist()]
    drops = ds.dataset(curated_minicrawl / "drops").to_table().to_pylist()
    return [*shards, *({**row, "fate": f"{row['stage']}:{row['reason']}"} for row in drops)]


def fates(pages: list[dict[str, Any]]) -> Counter[tuple[str, str, str]]:
    return Counter((page["url"], page["fetched_at"], page["fate"]) for page in pages)


def test_every_page_gets_its_expected_fate(rows: list[dict[str, Any]]) -> None:
    # Of a pair of near duplicates either page may be kept; the next test checks them.
    groups = {line["group"] for line in EXPECTED if "group" in line}
    open_ended = {line["url"] for line in EXPECTED if "group" in line or line["url"] in groups}
    wanted = fates([line for line in EXPECTED if line["url"] not in open_ended])
    found = fates([row for row in rows if row["url"] not in open_ended])
    why = {(line["url"], line["fate"]): line["why"] for line in EXPECTED}
    missed = [f"{url} should be {fate} ({why[url, fate]})" for url, _, fate in wanted - found]
    assert sorted(missed) == [], [f"{url} is {fate}" for url, _, fate in found - wanted]
    assert found == wanted


def test_one_page_of_every_near_duplicate_pair_is_kept_and_the_other_refers_to_it(rows: list[dict[str, Any]]) -> None:
    by_url = {row["url"]: row for row in rows if row["fate"] in ("kept", "deduplicate:near_duplicate")}
    pairs = [(line["url"], line["group"]) for line in EXPECTED if "group" in line]
    assert len(pairs) == 6
    for pair in pairs:
        left, right = sorted((by_url[url] for url in pair), key=lambda row: row["fate"] != "kept")
        assert (left["fate"], right["fate"]) == ("kept", "deduplicate:near_duplicate")
        assert right["duplicate_of"] == left["id"]
        assert left["duplicates"] == 1


def test_duplicates_refer_to_their_survivors(rows: list[dict[str, Any]]) -> None:
    ids = {row["url"]: row["id"] for row in rows if row["fate"] == "kept"}
    survivors = {(line["url"], line["fetched_at"]): line["survivor"] for line in EXPECTED if "survivor" in line}
    assert len(survivors) == 14
    for row in rows:
        if (row["url"], row["fetched_at"]) in survivors and row["fate"] != "kept":
            assert row["duplicate_of"] == ids[survivors[row["url"], row["fetched_at"]]]


def test_the_shared_paragraph_is_kept_once(rows: list[dict[str, Any]]) -> None:
    essays = [row["text"] for row in rows if "essays.example" in row["url"]]
    assert len(essays) == 4
    assert sum("the surveyor, wet to the knees" in text for text in essays) == 1


def test_personal_data_is_replaced_and_look_alikes_are_not(rows: list[dict[str, Any]]) -> None:
    texts = {row["url"]: row.get("text") for row in rows}
    kinds = {"mail": ["<EMAIL_1>"], "phone": ["<PHONE_1>", "<PHONE_2>"],
             "network": ["<IP_1>", "<IP_2>", "192.168.1.20"],
             "bank": ["<IBAN_1>", "<CARD_1>"], "secret": ["<SECRET_1>", "<SSN_1>"]}  # fmt: skip
    for kind, wanted in kinds.items():
        text = texts[f"https://choir-noticeboard.example/notice/{kind}"]
        assert text is not None
        assert [piece for piece in wanted if piece not in text] == [], text
    numbers = texts["https://librarians-desk.example/numbers"]
    assert numbers is not None
    for piece in ("978-0-306-40615-7", "0317-8471", "10.1000/182", "1.2.3.4", "10.0.0.7", "user@example.com",
                  "1234 5678 9012 3456", "2026-09-14", "384,400"):  # fmt: skip
        assert piece in numbers


def test_code_tables_and_formulas_are_kept(rows: list[dict[str, Any]]) -> None:
    texts = {row["url"]: row["text"] for row in rows if row["fate"] == "kept"}
    assert (
        "    def replace(match):\n        name = match.group(1)"
        in texts["https://docs.toolbelt.example/templates.html"]
    )
    assert any(r"\frac{-b \pm \sqrt{b^2 - 4ac}}{2a}" in text for url, text in texts.items() if "lectures" in url)
    assert any("| Old ferry | 203 | 231 | 150 |" in text for url, text in texts.items() if "open-figures" in url)


def test_every_charset_is_decoded(rows: list[dict[str, Any]]) -> None:
    texts = {row["url"]: row["text"] for row in rows if row["fate"] == "kept"}
    assert "Störche zwischen Elbe und Müritz" in texts["https://kleine-notizen.example/2026/stoerche"]
    assert "Зимой в нашем посёлке" in texts["https://lib.stary-arhiv.example/rasskaz/7"]
    for genre, host in (
        ("ru_news", "vesti"),
        ("zh_article", "shougong"),
        ("fr_news", "courrier"),
        ("es_news", "eldiario"),
    ):
        url = next(url for url in texts if host in url and url.endswith("/2.html"))
        assert make_story(genre, 1).blocks[0][1][:40] in texts[url]


def test_every_language_is_identified(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        genre = next((genre for genre, site in kept.SITES.items() if f"//{site.host}/{genre[3:]}/" in row["url"]), None)
        if genre and row["fate"] == "kept":
            assert row["language"] == genre[:2], row["url"]


def test_other_records_are_counted_but_not_as_pages(curated_minicrawl: Path) -> None:
    report = json.loads((curated_minicrawl / "report.json").read_text())
    assert report["pages"] == len(EXPECTED) == report["records"]["page"]
    assert report["records"]["warcinfo"] == len(list(WARCS.iterdir()))
    assert report["unreadable"] == 2
    assert {"request", "metadata"} <= set(report["records"])


def test_the_generator_writes_the_committed_files(tmp_path: Path) -> None:
    generate.write(tmp_path / "one")
    generate.write(tmp_path / "two")
    for path in sorted(WARCS.iterdir()):
        once, again = ((tmp_path / name / "warc" / path.name).read_bytes() for name in ("one", "two"))
        assert once == again
        assert _contents(path) == _contents(tmp_path / "one" / "warc" / path.name)
    committed = (generate.HERE / "expected.json").read_bytes()
    assert committed == (tmp_path / "one" / "expected.json").read_bytes()


def _contents(path: Path) -> list[bytes]:
    """The decompressed content: the compressed bytes depend on the version of zlib."""
    if path.name.endswith(".zst"):
        with zstandard.ZstdDecompressor().stream_reader(path.open("rb"), read_across_frames=True) as stream:
            return [stream.read()]
    if not path.name.endswith(".gz"):
        return [path.read_bytes()]
    members = []
    for member in path.read_bytes().split(b"\x1f\x8b\x08")[1:]:
        try:
            members.append(gzip.decompress(b"\x1f\x8b\x08" + member))
        except (OSError, EOFError, gzip.zlib.error):
            members.append(b"damaged")
    return members


def test_the_files_are_small_and_warcio_reads_them() -> None:
    assert sum(path.stat().st_size for path in WARCS.iterdir()) < 2_000_000
    with (WARCS / "minicrawl-00002.warc.gz").open("rb") as file:
        urls = [
            record.rec_headers.get_header("WARC-Target-URI")
            for record in ArchiveIterator(file)
            if record.rec_type == "response"
        ]
    assert urls == [line["url"] for line in EXPECTED if line["file"] == "minicrawl-00002.warc.gz"]


def shingles(text: str) -> set[tuple[str, ...]]:
    words = tokenize(text)
    return {tuple(words[n : n + 5]) for n in range(len(words) - 4)}


def jaccard(left: str, right: str) -> float:
    a, b = shingles(left), shingles(right)
    return len(a & b) / len(a | b)


def test_stories_are_not_near_duplicates_of_each_other() -> None:
    for genre in kept.SITES:
        texts = [make_story(genre, number).text for number in range(count_subjects(genre))]
        assert max(jaccard(a, b) for a, b in combinations(texts, 2)) < 0.4, genre


@pytest.mark.parametrize(("share", "low", "high"), [(0.01, 0.82, 0.96), (0.02, 0.72, 0.9), (0.14, 0.2, 0.5)])
def test_edits_give_the_intended_similarity(share: float, low: float, high: float) -> None:
    for genre in ("en_travel", "en_town", "en_life"):
        story = make_story(genre, 5)
        assert low < jaccard(story.text, duplicates.edit_story(story, share, 0).text) < high
