"""The generator of `make soak`, on the mini-crawl's pages."""

from collections import Counter
from pathlib import Path

from tests.benchmarks.many_pages import _WORD, exchange_words, read_pages, write_pages

MINI_CRAWL = sorted((Path(__file__).parents[1] / "minicrawl" / "warc").glob("*.warc.gz"))


def test_copies_are_pages_of_other_hosts_with_the_same_words(tmp_path: Path) -> None:
    pages = [*read_pages(MINI_CRAWL[:1])][:5]
    size = write_pages(pages, 12, tmp_path / "a.warc.gz")
    assert size == (tmp_path / "a.warc.gz").stat().st_size
    copies = [*read_pages([tmp_path / "a.warc.gz"])]
    assert len(copies) == len({page.host for page in copies}) == 12
    assert len({page.content for page in copies}) == 12
    for number, copy in enumerate(copies):
        original = pages[number % len(pages)]
        assert len(copy.content) == len(original.content)
        assert Counter(_WORD.findall(copy.content)) == Counter(_WORD.findall(original.content))
        assert copy.http_charset == original.http_charset


def test_the_same_pages_give_the_same_bytes(tmp_path: Path) -> None:
    pages = [*read_pages(MINI_CRAWL[:1])][:3]
    for name in ("a", "b"):
        write_pages(pages, 7, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_only_words_of_the_text_change_places() -> None:
    html = b'<p class="alpha beta">' + b" ".join(b"word%c" % (97 + i % 26) for i in range(500)) + b"</p>"
    changed = exchange_words(html, seed=1)
    assert changed != html
    assert changed.startswith(b'<p class="alpha beta">')
    assert changed.endswith(b"</p>")
    both = [a == b for a, b in zip(html.split(), changed.split(), strict=True)]
    assert 0.5 < sum(both) / len(both) < 0.75  # EXCHANGED is 0.4, and some get an equal word
