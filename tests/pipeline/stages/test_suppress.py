"""suppress: removed pages stay away, however they were named, and their rows say nothing of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.config import Config
from pipeline.deduplication.minhash import shingle_hashes
from pipeline.documents import Dropped, Page
from pipeline.errors import UserError
from pipeline.ledger import REMOVED, drop_row
from pipeline.lists.suppressions import SelectorKind, SuppressionList, suppress_text, suppress_value
from pipeline.page_process.chain import Chain
from pipeline.stages.suppress import SuppressReason, SuppressSettings, build, drop_removed
from pipeline.text import tokenize
from tests.pipeline.heuristics.good_texts import prose

PAGE = Page(
    "https://www.news.example.org/2026/a.html?utm_source=x", "2026-10-01T12:00:00Z", "f.warc.gz", 7, b"<p>text",
    host="www.news.example.org", registered_domain="example.org", warc_length=99,
)  # fmt: skip


def write_list(path: Path, *entries: object) -> Path:
    path.write_text(json.dumps(SuppressionList().plus(entries).to_json()))  # type: ignore[arg-type]
    return path


HITS = [
    (SelectorKind.URL, "http://news.example.org/2026/a.html"),
    (SelectorKind.PREFIX, "https://news.example.org/2026/"),
    (SelectorKind.PREFIX, "http://www.news.example.org/20"),
    (SelectorKind.HOST, "news.example.org"),
    (SelectorKind.HOST, "WWW.Example.org"),  # and all hosts below it
    (SelectorKind.DOMAIN, "example.org"),
    (SelectorKind.ID, PAGE.id),
]
MISSES = [
    (SelectorKind.URL, "http://news.example.org/2026/"),
    (SelectorKind.PREFIX, "https://news.example.org/2025"),
    (SelectorKind.HOST, "ews.example.org"),
    (SelectorKind.DOMAIN, "org"),
    (SelectorKind.ID, "0" * 32),
]


@pytest.mark.parametrize(("kind", "value"), HITS)
def test_a_page_on_the_list_is_dropped_and_its_row_says_nothing(kind: SelectorKind, value: str, tmp_path: Path) -> None:
    path = write_list(tmp_path / "list.json", suppress_value(kind, value))
    assert "example" not in path.read_text()
    dropped = build(SuppressSettings(lists=(str(path),)))(PAGE)
    assert isinstance(dropped, Dropped)
    row = drop_row(dropped)
    assert f"{row['stage']}:{row['reason']}" == REMOVED == f"suppress:{SuppressReason.REMOVED}"
    assert (row["id"], row["warc_offset"], row["warc_length"]) == (PAGE.id, 7, 99)
    assert "example" not in json.dumps(row)


@pytest.mark.parametrize(("kind", "value"), MISSES)
def test_other_pages_pass(kind: SelectorKind, value: str, tmp_path: Path) -> None:
    path = write_list(tmp_path / "list.json", suppress_value(kind, value))
    assert build(SuppressSettings(lists=(str(path),)))(PAGE) is PAGE


SPELLINGS = [
    ("https://example.org/people/", [
        "http://example.org:80/people/a", "https://example.org./people/a", "https://www.EXAMPLE.org/%70eople/a?b#c",
        "https://example.org/people/", "https://example.org//x/../people/./a", "example.org/people/index.html",
    ]),
    ("https://b\u00fccher.example/stra\u00dfe/", [
        "http://xn--bcher-kva.example/stra%C3%9Fe/1", "https://B\u00dcCHER.example/stra%c3%9fe/",
    ]),
    ("http://xn--bcher-kva.example", ["https://b\u00fccher.example", "https://www.b\u00fccher.example/x"]),
    ("example.org/list?page=", ["https://example.org/list?page=2&sort=a"]),
    ("https://example.org:8080/", ["http://example.org:8080/a"]),
]  # fmt: skip
OTHERS = [
    ("https://example.org/people/", "https://example.org/people"), ("https://example.org", "https://example.org.uk/"),
    ("https://example.org/a", "https://example.org:8080/a"), ("https://example.org/a", "https://example.org/A"),
    ("https://example.org/list?page=", "https://example.org/lists"), ("https://example.org/", "https://x.example.org/"),
]  # fmt: skip


@pytest.mark.parametrize(("prefix", "url"), [(prefix, url) for prefix, urls in SPELLINGS for url in urls])
def test_a_prefix_fits_every_spelling_of_a_page_below_it(prefix: str, url: str) -> None:
    found = SuppressionList((suppress_value(SelectorKind.PREFIX, prefix),))
    assert found.find_page(url, "", "", "") is SelectorKind.PREFIX


@pytest.mark.parametrize(("prefix", "url"), OTHERS)
def test_a_prefix_fits_no_other_page(prefix: str, url: str) -> None:
    assert SuppressionList((suppress_value(SelectorKind.PREFIX, prefix),)).find_page(url, "", "", "") is None


def test_a_site_is_named_in_any_script() -> None:
    for kind in (SelectorKind.HOST, SelectorKind.DOMAIN):
        found = SuppressionList((suppress_value(kind, "B\u00fccher.example."),))
        host = "xn--bcher-kva.example"
        assert found.find_page(f"https://{host}/", host, host, "") is kind


def test_a_list_of_format_1_is_read_unless_it_has_prefixes(tmp_path: Path) -> None:
    """Prefixes were hashed in another spelling: passed over in silence, their pages would come back."""
    path = tmp_path / "list.json"
    for kind, value in HITS:
        path.write_text(json.dumps({**SuppressionList((suppress_value(kind, value),)).to_json(), "format": 1}))
        if kind is SelectorKind.PREFIX:
            with pytest.raises(
                UserError, match=r"list\.json: its prefixes .* delete its entries of the kind"
            ) as caught:
                build(SuppressSettings(lists=(str(path),)))
            assert "restore" not in str(caught.value)  # its backup is as old
        else:
            assert isinstance(build(SuppressSettings(lists=(str(path),)))(PAGE), Dropped)


def test_a_removed_text_is_recognized_changed_and_inside_another_page(tmp_path: Path) -> None:
    text = prose(12)
    removed = suppress_text(shingle_hashes(tokenize(text)))
    path = write_list(tmp_path / "list.json", removed)
    chain = Chain(Config.model_validate({"suppress": {"lists": [str(path)]}}))
    words = text.split()
    changed = " ".join([*words[:30], "instead", *words[31:]])
    others = prose(12, start=40)
    texts = {"same": text, "changed": changed, "inside": f"{others} {text} {others}", "other": others}
    found = {name: chain.removed.find_text(shingle_hashes(tokenize(value))) for name, value in texts.items()}
    assert found == {"same": True, "changed": True, "inside": True, "other": False}


def test_a_damaged_list_is_one_line(tmp_path: Path) -> None:
    for content in ("{}", "[]", "{", '{"format": 9, "entries": []}', '{"format": 1, "entries": [{"kind": "x"}]}'):
        (tmp_path / "list.json").write_text(content)
        with pytest.raises(UserError, match=r"^suppression list .*list\.json: not written by .*; restore it$"):
            build(SuppressSettings(lists=(str(tmp_path / "list.json"),)))
    with pytest.raises(UserError, match=r"^suppression list .*none\.json: no such file"):
        build(SuppressSettings(lists=(str(tmp_path / "none.json"),)))


def test_a_page_that_cannot_be_read_is_suppressed_as_well() -> None:
    assert drop_row(drop_removed(PAGE))["url"] == ""
