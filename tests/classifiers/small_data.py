"""A small synthetic data folder with the layout that the shipped models are trained on, for fast tests."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import tarfile
from collections.abc import Iterable, Mapping
from hashlib import sha1
from io import BytesIO
from pathlib import Path

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from classifiers.data.sampling import Split, split_of
from classifiers.training.weak_labels import UT1_CATEGORIES
from classifiers.urls import host_of, registered_domain_of

SITES = 150  # of each class
GOOD = [
    "the",
    "committee",
    "published",
    "its",
    "report",
    "on",
    "the",
    "history",
    "of",
    "the",
    "canal",
    "and",
    "described",
    "how",
    "locks",
    "were",
    "built",
    "by",
    "hand",
]
BAD = [
    "SALE",
    "cart",
    "login",
    "free",
    "click",
    "here",
    "best",
    "price",
    "offer",
    "menu",
    "home",
    "next",
    "page",
    "buy",
    "now",
    "cheap",
    "deal",
]
TOPICS = {
    "health": ["patients", "doctor", "treatment", "hospital", "disease", "symptoms", "surgery", "medicine"],
    "food_and_dining": ["flour", "butter", "sugar", "oven", "recipe", "sauce", "bake", "dinner"],
    "crime_and_law": ["court", "judge", "police", "lawyer", "trial", "prison", "verdict", "crime"],
    "politics": ["party", "minister", "election", "vote", "parliament", "president", "campaign", "senate"],
}
HARM = ["poison", "steal", "weapon", "hurt", "hide", "body", "neighbor", "kill", "bomb", "threaten"]


def write_data(folder: Path) -> Path:
    """Writes everything that training and evaluation read; returns the file of labels that replaces the shipped one."""
    chance = random.Random(5)
    good = [_page(chance, f"good{n}.info", GOOD, BAD, n) for n in range(SITES)]
    bad = [_page(chance, f"bad{n}.info", BAD, GOOD, n) for n in range(SITES)]
    for name, pages in (("articles", good), ("adverts", bad)):
        _write_warc(folder / "warc" / f"{name}-00000.warc.gz", pages)
    _gzip(folder / "wiki/ref_urls.txt.gz", (f"https://www.good{n}.info/cited" for n in range(SITES)))
    articles = [{"lang": "en", "title": f"Canal {n}", "text": _wikitext(chance, n)} for n in range(12)]
    _gzip(folder / "wiki/articles.jsonl.gz", map(json.dumps, articles))
    trees = [{"prompt": _turn(f"q{n}", "prompter", chance, [_turn(f"a{n}", "assistant", chance)])} for n in range(30)]
    _gzip(folder / "trainer/sft/oasst_en_100_tree.jsonl.gz", map(json.dumps, trees))
    dialogues = [
        {"chosen": f"\n\nHuman: how do i {_words(chance, HARM, GOOD, 12)}\n\nAssistant: No."} for _ in range(120)
    ]
    _gzip(folder / "trainer/pref/hh_rlhf_harmless_dev.jsonl.gz", map(json.dumps, dialogues))
    judged = [{"text": _text(chance, *pools), "label": n % 2} for n in range(60) for pools in [_pools(n % 2)]]
    _gzip(folder / "quality/dclm_human_agreement.jsonl.gz", map(json.dumps, judged))
    _write_tar(folder / "lists/ldnoobw.tar.gz", {"en": "rude\nruder\n"})
    listed = {f"ut1/{category}.domains.txt": f"{category}.example\n" for category in UT1_CATEGORIES}
    _write_tar(folder / "lists/ut1.tar.gz", listed)
    _write_tables(folder / "topics", chance)
    known = ({"sha1": sha1(body).hexdigest(), "topic": "news"} for _, body in good[: SITES // 2])
    _gzip(folder / "labels.jsonl.gz", map(json.dumps, known))
    return _write_labels(folder / "labels.csv", dict((*good[30:], *bad)))


def _pools(good: int) -> tuple[list[str], list[str]]:
    return (GOOD, BAD) if good else (BAD, GOOD)


def _words(chance: random.Random, words: list[str], mixed: list[str], count: int) -> str:
    return " ".join(chance.choice(words if chance.random() < 0.53 else mixed) for _ in range(count))


def _text(chance: random.Random, words: list[str], mixed: list[str]) -> str:
    return "\n".join(f"{_words(chance, words, mixed, 9)}." for _ in range(chance.randint(6, 30)))


def _topic_of(number: int) -> str:
    return list(TOPICS)[number % len(TOPICS)]


def _page(chance: random.Random, host: str, words: list[str], mixed: list[str], number: int) -> tuple[str, bytes]:
    topic = TOPICS[_topic_of(number)]
    lines = (f"<p>{line} {_words(chance, topic, topic, 3)}.</p>" for line in _text(chance, words, mixed).splitlines())
    menu = "".join(f"<li><a href='/{n}'>{_words(chance, BAD, BAD, 4)}</a></li>" for n in range(15))
    head = f"<head><title>{host} {topic[0]}</title></head>"
    body = f"<body><ul>{menu}</ul><article>{''.join(lines)}</article></body>"
    return f"https://{host}/{number}", f"<html>{head}{body}</html>".encode()


def _wikitext(chance: random.Random, number: int) -> str:
    return f"{_text(chance, GOOD, GOOD)}\n\n[[Category:{'Diseases' if number % 2 else 'Cuisine'}]]"


def _turn(name: str, role: str, chance: random.Random, replies: Iterable[object] = ()) -> dict[str, object]:
    return {"message_id": name, "role": role, "text": _text(chance, GOOD, GOOD), "replies": list(replies)}


def _write_warc(path: Path, pages: Iterable[tuple[str, bytes]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        writer = WARCWriter(file, gzip=True)
        for url, body in pages:
            headers = StatusAndHeaders("200 OK", [("Content-Type", "text/html; charset=utf-8")], protocol="HTTP/1.1")
            date = {"WARC-Date": "2026-11-01T00:00:00Z"}
            writer.write_record(
                writer.create_warc_record(
                    url, "response", payload=BytesIO(body), http_headers=headers, warc_headers_dict=date
                )
            )


def _gzip(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))


def _write_tar(path: Path, files: Mapping[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content.encode()))


def _write_tables(folder: Path, chance: random.Random) -> None:
    rows = [(f"https://table{n}.example", _words(chance, TOPICS["health"], GOOD, 40), "medical") for n in range(6)]
    kaggle, other = ("website_url", "cleaned_website_text", "Category"), ("url", "text", "category")
    for name, head in (
        ("website_classification", kaggle),
        ("website_classification_ruthvik", kaggle),
        ("yeshapan_websites_dataset", other),
    ):
        text = io.StringIO()
        csv.writer(text).writerows([head, *rows])
        _gzip(folder / f"{name}.csv.gz", text.getvalue().splitlines())


def _write_labels(path: Path, pages: Mapping[str, bytes]) -> Path:
    """As the shipped `page_labels.csv`, without second readings."""
    rows = []
    for url, body in pages.items():
        split = Split.TEST if split_of(registered_domain_of(host_of(url))) == Split.TEST else Split.TRAIN
        number, good = int(url.rsplit("/", 1)[1]), "good" in url
        scores = f"{3 + number % 3},2" if good else f"{number % 2},{number % 2}"
        rows.append(f"{sha1(body).hexdigest()},{split},{scores},{_topic_of(number)},{'news' if good else 'shop'}")
    path.write_text("\n".join(["id,split,education,quality,topic,kind", *rows]) + "\n", encoding="utf-8")
    return path
