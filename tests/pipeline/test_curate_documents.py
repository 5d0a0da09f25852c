"""`gristmill curate` on JSONL, Parquet and HTML files: a page has the fate and the text that it has in a WARC file."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import zstandard

from pipeline.documents import Kind, Page
from pipeline.inspection.explain import explain_page
from pipeline.reading.inputs import resolve_inputs
from pipeline.reading.units import cut_units
from pipeline.stages.read_warc import ReadWarcSettings, read_unit
from tests.conftest import MINICRAWL, Command

SMALL = ("--set", "prepare.unit_bytes=20000", "--workers", 2)


def manifest(output: Path) -> dict:
    return json.loads((output / "manifest.json").read_text())


def rows(output: Path, kind: str) -> list[dict]:
    return ds.dataset(output / kind).to_table().to_pylist()


def outcomes(output: Path) -> set[tuple]:
    """(id, url, fate, text) of every page."""
    kept = {(row["id"], row["url"], "kept", row["text"]) for row in rows(output, "shards")}
    return kept | {(row["id"], row["url"], f"{row['stage']}:{row['reason']}", "") for row in rows(output, "drops")}


@pytest.fixture(scope="module")
def pages() -> list[Page]:
    """The HTML pages of the mini-crawl that are UTF-8, whatever their headers say."""
    units = cut_units(resolve_inputs([str(MINICRAWL)]))
    found = [item for unit in units for item in read_unit(unit, ReadWarcSettings()) if isinstance(item, Page)]
    return [page for page in found if page.kind is Kind.HTML and page.http_charset == "utf-8" and is_utf8(page.content)]


def is_utf8(content: bytes) -> bool:
    try:
        return bool(content.decode())
    except UnicodeDecodeError:
        return False


@pytest.fixture(scope="module")
def jsonl(pages, tmp_path_factory) -> Path:
    """Three files, plain, gzip and zstd, with bad lines between good ones."""
    folder = tmp_path_factory.mktemp("jsonl")
    records = [{"url": p.url, "date": p.fetched_at, "html": p.content.decode(), "extra": {"a": [1]}} for p in pages]
    lines = [json.dumps(record, ensure_ascii=bool(n % 2)).encode() for n, record in enumerate(records)]
    lines[5:5] = [b"", b'{"html": "<p>cut', b"\xff\xfe\x00", b'{"id": 5}']
    parts = [b"\n".join(lines[n::3]) + b"\n" for n in range(3)]
    (folder / "a.jsonl").write_bytes(parts[0])
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(parts[1]))
    (folder / "c.json.zst").write_bytes(zstandard.ZstdCompressor().compress(parts[2]))
    return folder


@pytest.fixture(scope="module")
def from_jsonl(jsonl, tmp_path_factory, gristmill) -> Path:
    output = tmp_path_factory.mktemp("from-jsonl") / "out"
    gristmill("curate", jsonl, "--output", output, "--workers", 1)
    return output


def test_pages_of_jsonl_have_the_texts_of_their_warc_records(from_jsonl, curated_minicrawl, pages):
    expected = {row["id"]: row["text"] for row in rows(curated_minicrawl, "shards")}
    found = {row["id"]: row["text"] for row in rows(from_jsonl, "shards")}
    shared = found.keys() & expected.keys()
    assert len(pages) > 100
    assert len(shared) > 50
    # Which paragraphs are repeated depends on the other pages of a run, and the mini-crawl has more of them.
    assert sum(found[name] == expected[name] for name in shared) >= len(shared) - 2
    assert manifest(from_jsonl)["pages"] == len(pages) + 3


def test_bad_lines_are_drops_with_file_and_line(from_jsonl):
    details = sorted(row["detail"] for row in rows(from_jsonl, "drops") if row["stage"] == "read_documents")
    assert len(details) == 3
    assert details[0].startswith("a.jsonl, line 3: ")
    assert details[1].startswith("b.jsonl.gz, line 3: ")
    assert details[2] == "c.json.zst, line 3: no text in text, raw_content, html"


def test_the_audit_accepts_documents(from_jsonl, gristmill: Command):
    assert "FAIL" not in gristmill("audit", from_jsonl).stdout


def test_units_and_workers_change_no_row(from_jsonl, jsonl, tmp_path, gristmill):
    gristmill("curate", jsonl, "--output", tmp_path / "out", *SMALL)
    assert manifest(tmp_path / "out")["content_hash"] == manifest(from_jsonl)["content_hash"]


def test_parquet_gives_the_fates_of_jsonl(from_jsonl, pages, tmp_path, gristmill):
    table = {
        "html": pa.array([page.content.decode() for page in pages], pa.large_string()),
        "url": [page.url for page in pages],
        "fetched_at": [page.fetched_at for page in pages],
    }
    pq.write_table(pa.table(table), tmp_path / "pages.parquet", row_group_size=40)
    gristmill("curate", tmp_path / "pages.parquet", "--output", tmp_path / "out", *SMALL)
    bad_lines = {item for item in outcomes(from_jsonl) if item[2].startswith("read_documents")}
    assert outcomes(tmp_path / "out") == outcomes(from_jsonl) - bad_lines


def test_shards_are_an_input(from_jsonl, tmp_path, gristmill):
    gristmill("curate", from_jsonl / "shards", "--output", tmp_path / "out", *SMALL)
    before = {row["url"]: row["text"] for row in rows(from_jsonl, "shards")}
    after = {row["url"]: row["text"] for row in rows(tmp_path / "out", "shards")}
    assert len(after) > 0.95 * len(before)
    assert sum(before[url] == text for url, text in after.items()) > 0.95 * len(after)


def test_a_folder_of_html_files_is_curated(pages, curated_minicrawl, tmp_path, gristmill):
    kept = {row["url"]: row["text"] for row in rows(curated_minicrawl, "shards")}
    chosen = {page.url: page for page in pages if page.url in kept and page.url.endswith(".html")}
    for page in chosen.values():
        path = tmp_path / "site" / (urlsplit(page.url).netloc + urlsplit(page.url).path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(page.content)
    (tmp_path / "site/robots.txt").write_text("not a page")
    prefix = ("--set", "read_documents.url_prefix=https://")
    gristmill("curate", tmp_path / "site", "--output", tmp_path / "out", *prefix, *SMALL)
    found = {row["url"]: row["text"] for row in rows(tmp_path / "out", "shards")}
    assert manifest(tmp_path / "out")["pages"] == len(chosen) > 50
    assert len(found) > 0.9 * len(chosen)
    assert sum(kept[url] == text for url, text in found.items()) > 0.9 * len(found)


def test_the_replay_gives_the_fates_of_documents(from_jsonl):
    drops = {(row["warc_file"], row["stage"], row["reason"]): row for row in rows(from_jsonl, "drops")}
    kept = {row["warc_file"]: row for row in rows(from_jsonl, "shards")}
    assert len(kept) == 3
    for row in [*drops.values(), *kept.values()]:
        found = next(item for item in explain_page(row["id"], str(from_jsonl)) if item.id == row["id"])
        assert found.agrees
        assert found.stages[0].name == "read_documents"
        assert found.place.startswith(f"{row['warc_file']} at byte")


def test_a_plan_reads_documents(jsonl, gristmill: Command):
    said = gristmill("plan", jsonl, "--sample-pages", 20, "--set", "prepare.unit_bytes=20000").stdout
    assert "3 files" in said
    pages = said.partition("pages   about ")[2].split()[0]
    assert 50 < int(pages) < 500


def test_wrong_field_names_end_the_run_before_it_starts(tmp_path, gristmill: Command):
    (tmp_path / "a.jsonl").write_text('{"content": "words"}\n')
    done = gristmill("curate", tmp_path / "a.jsonl", "--output", tmp_path / "out", check=False)
    assert done.returncode == 2
    assert "a.jsonl: no field text or raw_content or html; it has content" in done.stderr
    assert "read_documents.text=NAME" in done.stderr
