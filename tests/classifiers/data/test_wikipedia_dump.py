"""The reader of Wikipedia dumps: only articles, whole or refused, in memory that no dump can make grow."""

from __future__ import annotations

import bz2
import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from classifiers.data.wikipedia_dump import MAX_ARTICLE, DumpError, articles, open_dump


def dump_of(*pages: tuple[str, str, str]) -> bytes:
    body = "".join(
        f"<page><title>{title}</title><ns>{ns}</ns><id>1</id><revision><text>"
        + text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        + "</text></revision></page>"
        for title, ns, text in pages
    )
    return f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/">{body}</mediawiki>'.encode()


def test_only_articles_are_read_from_a_multistream_file(tmp_path: Path) -> None:
    whole = dump_of(("One", "0", "text one"), ("Talk:One", "1", "talk"), ("Two", "0", "text two"))
    whole = whole.replace(b"<title>Two", b"<title>R</title><ns>0</ns><redirect/><text>x</text></page><page><title>Two")
    path = tmp_path / "dump.xml.bz2"
    middle = len(whole) // 2
    path.write_bytes(bz2.compress(whole[:middle]) + bz2.compress(whole[middle:]))
    with open_dump(path) as file:
        assert list(articles(file)) == [("One", "text one"), ("Two", "text two")]


def test_a_truncated_dump_is_an_error_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml"
    path.write_bytes(dump_of(("One", "0", "text"))[:-20])
    with open_dump(path) as file, pytest.raises(DumpError, match="my dump"):
        list(articles(file, "my dump"))


def test_memory_does_not_grow_with_the_dump(tmp_path: Path) -> None:
    def peak(pages: int) -> int:
        path = tmp_path / f"{pages}.xml"
        path.write_bytes(dump_of(*((f"A{i}", "0", "word " * 2_000) for i in range(pages))))
        tracemalloc.start()
        with open_dump(path) as file:
            assert sum(1 for _ in articles(file)) == pages
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    assert peak(400) < peak(40) + 500_000  # 400 pages are 4 MB of text


def bomb(path: Path, opening: str, filling: str, megabytes: int, closing: str = "") -> None:
    """A dump of some kilobytes that unpacks to `megabytes` of one thing."""
    with gzip.open(path, "wb") as file:
        file.write(f"<mediawiki><page><title>T</title><ns>0</ns>{opening}".encode())
        for _ in range(megabytes):
            file.write((filling * (1_000_000 // len(filling))).encode())
        file.write(f"{closing}</page></mediawiki>".encode())


def read_measured(path: Path, on_too_long: Callable[[str], object] = lambda title: None) -> int:
    """The peak of memory in bytes."""
    tracemalloc.start()
    try:
        with open_dump(path) as file:
            for _ in articles(file, path.name, on_too_long):
                pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_an_article_that_unpacks_to_very_much_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xml.gz"
    bomb(path, "<revision><text>", "a [[", 24, "</text></revision>")
    assert path.stat().st_size < 50_000
    titles: list[str] = []
    assert read_measured(path, titles.append) < 8 * MAX_ARTICLE
    assert titles == ["T"]


@pytest.mark.parametrize(
    ("opening", "filling"),
    [("<text bytes='", "9"), ("<!--", "x"), ("", "<a>"), ("<revision><", "x"), ("<?", "x"), ("<title>", "y")],
)
def test_xml_that_unpacks_to_very_much_takes_little_memory(tmp_path: Path, opening: str, filling: str) -> None:
    path = tmp_path / "bomb.xml.gz"
    bomb(path, opening, filling, 12)
    with pytest.raises(DumpError, match=r"bomb\.xml\.gz"):
        read_measured(path)


def test_entities_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml"
    path.write_text("<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;'>]><mediawiki>&b;</mediawiki>")
    with open_dump(path) as file, pytest.raises(DumpError, match="declares entities"):
        list(articles(file))
