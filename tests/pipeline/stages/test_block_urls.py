"""block_urls: every rule and their order, URLs that must pass, and the formats and errors of lists."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.urls import host_of, registered_domain_of
from pipeline.documents import Dropped, Page
from pipeline.lists.blocklists import SHIPPED, HashTable, ListError
from pipeline.settings import ListFile
from pipeline.stages.block_urls import BlockUrlsReason, BlockUrlsSettings, Ut1, build, files

NONE: dict[str, Any] = dict.fromkeys(("hosts", "hard_words", "soft_words", "banned_substrings"), ())


def page(url: str) -> Page:
    host = host_of(url)
    return Page(url, "", "x", 0, b"", host=host, registered_domain=registered_domain_of(host))


def match_rule(url: str, settings: BlockUrlsSettings | None = None) -> tuple[str, str]:
    answer = build(settings or BlockUrlsSettings())(page(url))
    return (answer.reason, answer.detail) if isinstance(answer, Dropped) else ("", "")


def write_list(path: Path, *lines: str) -> tuple[ListFile, ...]:
    path.write_text("".join(f"{line}\n" for line in lines))
    return (ListFile(path=path),)


# --- rules -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "reason", "detail"),
    [
        ("http://bad.example.com/x", "", ""),
        ("https://www.bad.com/x", "registered_domain", "bad.com (hosts.txt)"),
        ("https://a.b.bad.com/x", "registered_domain", "bad.com (hosts.txt)"),
        ("https://notbad.com/x", "", ""),
        ("https://bad.com.org/x", "", ""),
        ("https://one.blogspot.com/", "host", "one.blogspot.com (hosts.txt)"),
        ("https://x.one.blogspot.com/", "host", "one.blogspot.com (hosts.txt)"),
        ("https://two.blogspot.com/", "", ""),
        ("http://192.0.2.7/x", "registered_domain", "192.0.2.7 (hosts.txt)"),
        ("http://192.0.2.70/x", "", ""),
        ("http://bücher.example/", "registered_domain", "xn--bcher-kva.example (hosts.txt)"),
    ],
)
def test_hosts(tmp_path: Path, url: str, reason: str, detail: str) -> None:
    hosts = write_list(tmp_path / "hosts.txt", "bad.com", "one.blogspot.com", "192.0.2.7", "Bücher.example", "com")
    assert match_rule(url, BlockUrlsSettings(**{**NONE, "hosts": hosts})) == (reason, detail)


@pytest.mark.parametrize("entry", ["www.gov.uk", "WWW.GOV.UK", "||www.gov.uk^", "0.0.0.0 www.gov.uk", "www.gov.uk."])
def test_a_www_host_directly_under_a_public_suffix_is_blocked(tmp_path: Path, entry: str) -> None:
    settings = BlockUrlsSettings(**{**NONE, "hosts": write_list(tmp_path / "hosts.txt", entry)})
    assert match_rule("https://www.gov.uk/vat", settings) == ("registered_domain", "www.gov.uk (hosts.txt)")
    assert match_rule("https://www.tax.gov.uk/", settings) == ("", "")
    assert match_rule("https://other.gov.uk/", settings) == ("", "")


@pytest.mark.parametrize("entry", ["2001:db8::1", "[2001:DB8:0::1]", "0.0.0.0 2001:db8::1", "example.org:8080"])
def test_addresses_and_ports_in_lists(tmp_path: Path, entry: str) -> None:
    settings = BlockUrlsSettings(**{**NONE, "hosts": write_list(tmp_path / "hosts.txt", entry)})
    url = "http://www.example.org/" if "example" in entry else "http://[2001:db8:0:0::1]:80/x"
    assert match_rule(url, settings)[0] == "registered_domain"
    assert match_rule("http://[2001:db8::2]/x", settings) == ("", "")


def test_urls_are_exact_up_to_their_normal_form(tmp_path: Path) -> None:
    settings = BlockUrlsSettings(
        **NONE, urls=write_list(tmp_path / "urls.txt", "https://www.example.com/a/?x=1", "example.org")
    )
    assert match_rule("http://example.com/a?x=1&utm_source=y", settings) == ("url", "example.com/a?x=1 (urls.txt)")
    assert match_rule("http://example.org/", settings)[0] == "url"
    for other in ("http://example.com/a", "http://example.com/a/b?x=1", "http://example.org/a"):
        assert match_rule(other, settings) == ("", "")


def test_words_and_substrings(tmp_path: Path) -> None:
    settings = BlockUrlsSettings(
        hosts=(),
        hard_words=write_list(tmp_path / "hard", "gloomy"),
        soft_words=write_list(tmp_path / "soft", "sad", "sour"),
        banned_substrings=write_list(tmp_path / "banned", "verysad"),
    )
    assert match_rule("http://example.com/the-GLOOMY/day", settings) == ("hard_word", "gloomy")
    assert match_rule("http://example.com/the%2dgloomy%20day", settings) == ("hard_word", "gloomy")
    assert match_rule("http://gloomyday.com/", settings) == ("", "")
    assert match_rule("http://sad.com/sour?sad=1", settings) == ("soft_words", "sad sour")
    assert match_rule("http://sad.com/sad/sad", settings) == ("", "")
    assert match_rule("http://ver-y.example/s/ad", settings) == ("", "")
    assert match_rule("http://example.com/ver-ys_ad", settings) == ("banned_substring", "verysad")
    drop = build(settings)(page("http://sad.com/sour"))
    assert isinstance(drop, Dropped)
    assert (drop.stage, drop.value, drop.threshold) == ("block_urls", 2, 2)
    assert match_rule("http://sad.com/", settings.model_copy(update={"min_soft_words": 1})) == ("soft_words", "sad")


def test_the_order_of_the_rules(tmp_path: Path) -> None:
    settings = BlockUrlsSettings(
        hosts=write_list(tmp_path / "hosts", "bad.com", "one.blogspot.com"),
        urls=write_list(tmp_path / "urls", "bad.com/hard", "one.blogspot.com/hard", "x.com/hard"),
        hard_words=write_list(tmp_path / "hard", "hard"),
        soft_words=write_list(tmp_path / "soft", "soft", "softer"),
        banned_substrings=write_list(tmp_path / "banned", "softsofter"),
        excluded_sources=write_list(tmp_path / "curated", "x.com", "y.com"),
    )
    reasons = [
        match_rule(url, settings)[0]
        for url in (
            "http://bad.com/hard",
            "http://one.blogspot.com/hard",
            "http://x.com/hard",
            "http://x.com/hard/soft-softer",
            "http://x.com/soft-softer",
            "http://x.com/softsofter",
            "http://m.y.com/",
            "http://z.com/",
        )
    ]
    assert reasons == [*BlockUrlsReason, ""]


def test_curated_sources_are_kept_by_default(tmp_path: Path) -> None:
    assert match_rule("https://en.wikipedia.org/wiki/Mill") == ("", "")
    settings = BlockUrlsSettings(excluded_sources=(ListFile(path=Path("curated_sources.txt")),))
    assert match_rule("https://en.wikipedia.org/wiki/Mill", settings) == ("curated_source", "wikipedia.org")
    assert match_rule("https://en.m.wikipedia.org/wiki/Mill", settings) == ("curated_source", "wikipedia.org")
    assert match_rule("https://example.org/wikipedia.org", settings) == ("", "")


def test_allowed_hosts_pass_every_rule(tmp_path: Path) -> None:
    settings = BlockUrlsSettings(
        hosts=write_list(tmp_path / "hosts", "bad.com"), allowed_hosts=write_list(tmp_path / "allowed", "good.bad.com")
    )
    assert match_rule("http://good.bad.com/pornhub", settings) == ("", "")
    assert match_rule("http://a.good.bad.com/", settings) == ("", "")
    assert match_rule("http://bad.com/", settings)[0] == "registered_domain"


@given(st.text(max_size=80))
def test_any_url_has_a_result(url: str) -> None:
    assert isinstance(_DEFAULT(page(url)), Page | Dropped)


_DEFAULT = build(BlockUrlsSettings())

# --- the lists that ship ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://www.essex.ac.uk/courses/middlesex-and-sussex",
        "http://scunthorpe.gov.uk/penistone/clitheroe",
        "https://example.com/analytics/cumulative-analysis-of-assassins",
        "https://example.com/same-sex-marriage-ruling",
        "https://example.com/sex-education-in-schools",
        "https://example.com/health/breast-cancer-screening",
        "https://example.com/super-bowl-xxx-highlights",
        "https://xxx.lanl.gov/abs/hep-th/9901001",
        "https://example.com/recipes/cock-a-leekie-soup",
        "https://example.com/recipes/chocolate-creampie",
        "https://example.com/film/casino-royale",
        "https://example.com/birds/great-tits-and-boobies",
        "https://example.com/therapist-finder",
        "https://example.com/pen-island",
        "https://example.com/naked-mole-rat-genome",
        "https://example.com/revenge-porn-law",
        "https://example.com/women-experts-exchange",
        "https://example.com/ford-escort-mk2",
        "https://example.com/pussy-riot-trial",
        "https://example.com/moby-dick-chapter-1",
    ],
)
def test_innocent_urls_pass(url: str) -> None:
    assert match_rule(url) == ("", "")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://www.pornhub.com/view", "registered_domain"),
        ("https://de.xhamster.com/", "registered_domain"),
        ("http://example.com/xvideos/1", "hard_word"),
        ("http://example.com/hot-milfs-porn", "soft_words"),
        ("http://best-free-porn-here.example/", "banned_substring"),
    ],
)
def test_plain_cases_do_not(url: str, reason: str) -> None:
    assert match_rule(url)[0] == reason


@pytest.mark.parametrize(
    "name", ["hosts.txt", "hard_words.txt", "soft_words.txt", "banned_substrings.txt", "curated_sources.txt"]
)
def test_shipped_lists_are_tidy_and_described(name: str) -> None:
    lines = [line for line in (SHIPPED / name).read_text().splitlines() if not line.startswith("#")]
    assert lines == sorted(set(lines))
    assert f"`{name}`" in (SHIPPED / "README.md").read_text()


def test_a_file_in_the_current_directory_does_not_replace_a_default_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("hosts.txt", "hard_words.txt", "soft_words.txt", "banned_substrings.txt"):
        (tmp_path / name).write_text("example")
    assert match_rule("http://example.com/example") == ("", "")
    assert match_rule("http://www.pornhub.com/")[0] == "registered_domain"


# --- formats ---------------------------------------------------------------------------------------------------------


def test_host_list_formats(tmp_path: Path) -> None:
    lines = ["# comment", "! comment", "", "plain.com", "0.0.0.0 zeros.com", "127.0.0.1\ttabs.com # why", "||ad.com^"]
    lines += [
        "*.wild.com",
        ".dot.com",
        "WWW.UPPER.com.",
        "http://no.com/path",
    ]  # the last is invalid, as some in real lists
    settings = BlockUrlsSettings(**{**NONE, "hosts": write_list(tmp_path / "hosts", *lines)})
    for name in ("plain", "zeros", "tabs", "ad", "wild", "dot", "upper"):
        assert match_rule(f"http://{name}.com/", settings)[0] == "registered_domain"
    assert match_rule("http://no.com/path", settings) == ("", "")
    (tmp_path / "hosts.gz").write_bytes(gzip.compress(b"packed.com\r\n"))
    settings = BlockUrlsSettings(**{**NONE, "hosts": (ListFile(path=tmp_path / "hosts.gz"),)})
    assert match_rule("http://packed.com/", settings)[0] == "registered_domain"


UT1 = {
    "adult/domains": "bad.com\n",
    "adult/urls": "example.com/~bad\nexample.com/one/two.html\n",
    "adult/expressions": "(bad|worse)\n",
    "press/domains": "news.com\n",
    "press/usage": "white\n",
}


def ut1_archive(path: Path, content: Mapping[str, str] = UT1) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo("blacklists/porn")
        link.type, link.linkname = tarfile.SYMTYPE, "adult"
        archive.addfile(link)
        for name, text in content.items():
            entry = tarfile.TarInfo(f"blacklists/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


def ut1_folder(path: Path, content: Mapping[str, str] = UT1) -> Path:
    for name, text in content.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path


def test_ut1_as_archive_folder_and_flat(tmp_path: Path) -> None:
    flat = {f"{name.replace('/', '.')}.txt": text for name, text in UT1.items()}
    for path in (
        ut1_archive(tmp_path / "blacklists.tar.gz"),
        ut1_folder(tmp_path / "blacklists"),
        ut1_folder(tmp_path / "flat", flat),
        ut1_archive(tmp_path / "flat.tar.gz", flat),
    ):
        settings = BlockUrlsSettings(**NONE, ut1=(Ut1(path=path, categories=("adult",)),))
        assert match_rule("http://x.bad.com/", settings) == ("registered_domain", "bad.com (ut1 adult)")
        assert match_rule("http://news.com/", settings) == ("", "")
        assert match_rule("http://example.com/~bad/photos/1.html", settings) == ("url", "example.com/~bad (ut1 adult)")
        assert match_rule("http://www.example.com/one/two.html?x=1", settings)[0] == "url"
        for other in ("http://example.com/", "http://example.com/~badger", "http://example.com/one"):
            assert match_rule(other, settings) == ("", "")
    alias = BlockUrlsSettings(**NONE, ut1=(Ut1(path=tmp_path / "blacklists.tar.gz", categories=("porn",)),))
    assert match_rule("http://bad.com/", alias) == ("registered_domain", "bad.com (ut1 porn)")


def test_files_name_everything_that_is_read(tmp_path: Path) -> None:
    folder, archive = ut1_folder(tmp_path / "blacklists"), ut1_archive(tmp_path / "b.tar.gz")
    settings = BlockUrlsSettings(
        ut1=(Ut1(path=folder, categories=("adult",)), Ut1(path=archive, categories=("press",)))
    )
    shipped = [SHIPPED / name for name in ("hosts.txt", "hard_words.txt", "soft_words.txt", "banned_substrings.txt")]
    assert files(settings) == [*shipped, folder / "adult/domains", folder / "adult/urls", archive]


# --- errors ----------------------------------------------------------------------------------------------------------


def test_unusable_lists_are_refused(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>\n<p>Not Found</p>\n" * 10)
    (tmp_path / "binary").write_bytes(b"\x00\x01")
    (tmp_path / "torn.gz").write_bytes(gzip.compress(b"bad.com\n" * 999)[:30])
    (tmp_path / "torn.tar.gz").write_bytes(ut1_archive(tmp_path / "b.tar.gz").read_bytes()[:150])
    (tmp_path / "words").write_text("good\ntwo words\n")
    for settings, message in (
        (BlockUrlsSettings(hosts=(ListFile(path=tmp_path / "missing"),)), "missing: no such file"),
        (BlockUrlsSettings(hosts=(ListFile(path=Path("missing.txt")),)), r"missing\.txt: no such file"),
        (
            BlockUrlsSettings(hosts=(ListFile(path=tmp_path / "page.html"),)),
            r"page\.html, line \d+: .* is it the right file",
        ),
        (BlockUrlsSettings(urls=(ListFile(path=tmp_path / "binary"),)), "binary: not a text file"),
        (BlockUrlsSettings(hosts=(ListFile(path=tmp_path / "torn.gz"),)), r"torn\.gz: damaged gzip"),
        (
            BlockUrlsSettings(hard_words=(ListFile(path=tmp_path / "words"),)),
            "words, line 2: 'two words' is not a word",
        ),
        (BlockUrlsSettings(ut1=(Ut1(path=tmp_path / "torn.tar.gz"),)), r"torn\.tar\.gz: not a readable tar archive"),
        (
            BlockUrlsSettings(ut1=(Ut1(path=tmp_path / "b.tar.gz", categories=("adult", "nonsense")),)),
            "no category nonsense; it has adult, porn, press",
        ),
    ):
        with pytest.raises(ListError, match=message) as caught:
            build(settings)
        assert "\n" not in str(caught.value)


def test_a_list_of_another_hash_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("bad.com\n")
    right = hashlib.sha256(b"bad.com\n").hexdigest()
    build(BlockUrlsSettings(hosts=(ListFile(path=tmp_path / "hosts", sha256=right.upper()),)))
    with pytest.raises(ListError, match=f"its sha256 is {right}, but the settings say 00"):
        build(BlockUrlsSettings(hosts=(ListFile(path=tmp_path / "hosts", sha256="0" * 64),)))
    archive = ut1_archive(tmp_path / "b.tar.gz")
    with pytest.raises(ListError, match="its sha256 is"):
        build(BlockUrlsSettings(ut1=(Ut1(path=archive, sha256="0" * 64, categories=("adult",)),)))
    with pytest.raises(ListError, match="a folder has no sha256"):
        build(BlockUrlsSettings(ut1=(Ut1(path=ut1_folder(tmp_path / "f"), sha256="0" * 64, categories=("adult",)),)))


# --- the table -------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from("abc"), st.text(max_size=5))), st.lists(st.text(max_size=5)))
def test_the_table_finds_the_first_list_with_an_entry(entries: list[tuple[str, str]], others: list[str]) -> None:
    expected: dict[str, str] = {}
    for name, entry in entries:
        expected.setdefault(entry, name)
    table = HashTable(entries)
    assert len(table) == len(expected)
    assert [table.find(text) for text in [*expected, *others]] == [expected.get(text) for text in [*expected, *others]]
