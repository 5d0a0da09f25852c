"""block_urls with annotations of Common Crawl's index: which hosts they block, from a server as well, and errors."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import Config, load_config
from pipeline.lists.annotations import Annotation
from pipeline.lists.blocklists import ListError
from pipeline.publishing.provenance import file_digests, settings_as_json
from pipeline.stages.block_urls import BlockUrlsSettings, build
from pipeline.storage import retries
from pipeline.storage.digests import sha256_of_file
from tests.pipeline.servers import Web, serve
from tests.pipeline.stages.test_block_urls import NONE, match_rule

# As the annotation spam-abuse is published: keys in SURT form, one Boolean column a source.
SPAM = {
    "surt_host_name": ["com,bad", "com,blogspot,phish", "com,good", "uk,co,worse,shop", "net,ads:8080"],
    "domain": ["bad.com", "phish.blogspot.com", "good.com", "shop.worse.co.uk", "ads.net"],
    "abuse_malware": [True, False, False, None, True],
    "abuse_phishing": [True, True, False, True, False],
    "rank": [0.5, 0.0, 3.0, 0.0, 0.0],
}


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.001)
    pq.write_table(pa.table(SPAM), tmp_path / "spam.parquet")
    text = 'surt_host_name,wikipedia_spam,wikipedia_shortener\n"com,bad",1,0\n"com,short",0,1\n"com,good",0,0\n'
    (tmp_path / "wikipedia.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "hosts.csv").write_text("domain,since\nbad.com,2020\nwww.worse.co.uk,2021\n")
    with serve(tmp_path) as server:
        yield server


def settings(path: str, *columns: str, sha256: str | None = None) -> BlockUrlsSettings:
    return BlockUrlsSettings(**{**NONE, "annotations": (Annotation(path=path, columns=columns, sha256=sha256),)})


@pytest.mark.parametrize("remote", [False, True])
def test_marked_hosts_and_those_below_them_are_blocked(web: Web, tmp_path: Path, remote: bool) -> None:
    rules = settings(f"{web.url if remote else tmp_path}/spam.parquet")
    web.failures = [503, "reset"]
    assert match_rule("https://www.bad.com/x", rules) == ("registered_domain", "bad.com (spam.parquet abuse_malware)")
    assert match_rule("https://a.bad.com/x", rules)[0] == "registered_domain"
    found = match_rule("https://phish.blogspot.com/", rules)
    assert found == ("host", "phish.blogspot.com (spam.parquet abuse_phishing)")
    assert match_rule("https://shop.worse.co.uk/", rules)[0] == "host"
    assert match_rule("https://ads.net/", rules)[0] == "registered_domain"
    for url in ("https://good.com/", "https://other.blogspot.com/", "https://worse.co.uk/"):
        assert match_rule(url, rules) == ("", "")


def test_columns_choose_whose_judgment_counts(web: Web, tmp_path: Path) -> None:
    rules = settings(f"{tmp_path}/spam.parquet", "abuse_malware")
    assert match_rule("https://bad.com/", rules)[0] == "registered_domain"
    assert match_rule("https://phish.blogspot.com/", rules) == ("", "")
    assert match_rule("https://good.com/", settings(f"{tmp_path}/spam.parquet", "rank"))[0] == "registered_domain"
    everything = settings(f"{tmp_path}/spam.parquet", "surt_host_name")
    assert match_rule("https://good.com/", everything)[0] == "registered_domain"


def test_csv_with_numbers_and_lists_of_plain_hosts(web: Web) -> None:
    rules = settings(f"{web.url}/wikipedia.csv.gz", "wikipedia_spam", "wikipedia_shortener")
    assert match_rule("https://short.com/", rules)[1] == "short.com (wikipedia.csv.gz wikipedia_shortener)"
    assert match_rule("https://good.com/", rules) == ("", "")
    assert match_rule("https://worse.co.uk/", settings(f"{web.url}/hosts.csv", "domain"))[0] == "registered_domain"


def test_the_run_names_the_file_and_its_hash(web: Web, tmp_path: Path) -> None:
    toml = tmp_path / "settings.toml"
    toml.write_text(f'[[block_urls.annotations]]\npath = "{web.url}/spam.parquet"\ncolumns = ["abuse_malware"]\n')
    config = load_config(toml)
    digest = sha256_of_file(str(tmp_path / "spam.parquet"))
    name = f"{web.url.removeprefix('http://')}/spam.parquet"
    assert file_digests(config)[f"block_urls:{name}"] == digest
    local = Config(block_urls=settings(f"{tmp_path}/spam.parquet"))
    assert str(tmp_path) not in str(settings_as_json(local))
    build(settings(f"{web.url}/spam.parquet", sha256=digest.upper()))
    with pytest.raises(ListError, match=f"its sha256 is {digest}, but the settings say 00"):
        build(settings(f"{web.url}/spam.parquet", sha256="0" * 64))


def test_other_files_are_refused_in_one_line(web: Web, tmp_path: Path) -> None:
    pq.write_table(pa.table({"surt_host_name": ["com,a"], "text": ["x"]}), tmp_path / "text.parquet")
    pq.write_table(pa.table({"url": ["x"], "spam": [True]}), tmp_path / "urls.parquet")
    pq.write_table(pa.table({"host": ["<p>"] * 9, "spam": [True] * 9}), tmp_path / "page.parquet")
    (tmp_path / "page.html").write_text("<html>")
    (tmp_path / "torn.csv.gz").write_bytes(gzip.compress(b"host,spam\na.com,1\n" * 99)[:40])
    for name, columns, message in (
        ("missing.parquet", (), r"missing\.parquet: no such file"),
        ("text.parquet", (), "has no Boolean column; name those that block a host in `columns`"),
        ("text.parquet", ("text",), "the column text is string; expected true and false, or numbers"),
        ("text.parquet", ("spam",), "has no column spam; it has surt_host_name, text"),
        ("urls.parquet", (), "names no hosts, it has none of the columns surt_host_name"),
        ("page.parquet", (), "'<p>' in host is no host; is it the right file"),
        ("page.html", (), "not a readable Parquet file"),
        ("torn.csv.gz", ("spam",), "not a readable CSV file"),
    ):
        for place in (str(tmp_path), web.url):
            with pytest.raises(ListError, match=message) as caught:
                build(settings(f"{place}/{name}", *columns))
            assert "\n" not in str(caught.value)
