"""Records of JSONL, Parquet and HTML files become pages; hostile ones become drops that name their place."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.documents import Dropped, Kind, Page
from pipeline.errors import UserError
from pipeline.reading.inputs import Input, resolve_inputs
from pipeline.reading.units import cut_units
from pipeline.stages.read_documents import ReadDocumentsSettings, check_inputs, read_record, read_unit
from tests.classifiers.test_urls import STORED

TEXT = "The river rises in the hills and reaches the sea after two hundred kilometers."


def read(path, unit_bytes: int = 10**9, **changes: object) -> list[Page | Dropped]:
    chosen = ReadDocumentsSettings.model_validate(changes)
    units = cut_units(resolve_inputs([str(path)]), unit_bytes)
    return [item for unit in units for _, item in read_unit(unit, chosen)]


def jsonl(tmp_path, *lines: object):
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    )
    return path


def drop_of(found: Page | Dropped) -> tuple[str, str]:
    assert isinstance(found, Dropped)
    return str(found.reason), found.detail


def test_text_url_and_date_are_found(tmp_path):
    record = {"text": TEXT, "url": "https://www.example.org/river", "date": "2026-03-01 10:00:00+02:00", "id": 7}
    (page,) = read(jsonl(tmp_path, record))
    assert page == Page(
        "https://www.example.org/river",
        "2026-03-01T08:00:00Z",
        "a.jsonl",
        0,
        TEXT.encode(),
        Kind.TEXT,
        "utf-8",
        "www.example.org",
        "example.org",
    )


def test_html_is_read_where_there_is_no_text(tmp_path):
    html = "<p>Größe &amp; more</p>"
    pages = read(jsonl(tmp_path, {"html": html}, {"html": html, "text": " \n"}, {"html": html, "text": TEXT}))
    assert [page.kind for page in pages] == [Kind.HTML, Kind.HTML, Kind.TEXT]
    assert (pages[0].content.decode(), pages[0].http_charset) == (html, "utf-8")


def test_fields_may_have_other_names_and_lie_inside_others(tmp_path):
    record = {"body": {"main": TEXT}, "metadata": {"url": "http://example.org/a"}, "when": "2020-01-01"}
    (page,) = read(jsonl(tmp_path, record), text=["body.main"], date=["when"])
    assert (page.content.decode(), page.url, page.fetched_at) == (TEXT, "http://example.org/a", "2020-01-01T00:00:00Z")


def test_a_record_without_url_has_a_place_of_its_own_and_no_host(tmp_path):
    first, second = read(jsonl(tmp_path, {"text": TEXT}, {"text": TEXT, "url": None}))
    assert (first.url, first.host) == ("file:///a.jsonl#0", "")
    assert second.url == f"file:///a.jsonl#{second.warc_offset}"
    assert second.warc_offset == len(json.dumps({"text": TEXT})) + 1


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        (b"{broken", "unreadable", "a.jsonl, line 2: "),
        (b"[1, 2]", "unreadable", "expected a JSON object, found a list"),
        (b"\xff\xfe{}", "unreadable", "line 2: 'utf-8' codec"),
        (b"[" * 15_000, "unreadable", "line 2: "),
        (b'{"a": ' + b"9" * 10_000 + b"}", "unreadable", "line 2: "),
        (b"{}", "no_text", "a.jsonl, line 2: no text in text, raw_content, html"),
        (b'{"text": ["a"], "html": 5}', "no_text", "line 2"),
        (b'{"text": "' + b"x" * 3000 + b'"}', "too_large", "a.jsonl, line 2"),
        (b'{"a": "' + b"x" * 30_000 + b'"}', "too_large", "a.jsonl, line 2"),
    ],
)
def test_a_bad_line_is_one_drop_with_its_place(tmp_path, line, reason, detail):
    lines = jsonl(tmp_path, {"text": TEXT}, line, {"text": TEXT})
    before, found, after = read(lines, max_text_bytes=2000, max_line_bytes=20_000)
    assert isinstance(before, Page)
    assert isinstance(after, Page)
    assert drop_of(found)[0] == reason
    assert detail in drop_of(found)[1]


def test_lone_surrogates_and_control_characters_do_not_reach_the_output(tmp_path):
    (page,) = read(
        jsonl(tmp_path, b'{"text": "a \\ud800 b", "url": "http://example.org/\\ud800 \\u0000x", "date": "\\udfff"}')
    )
    assert page.content == b"a ? b"
    assert page.url == "http://example.org/?%20%00x"
    assert page.id


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_stored_urls_have_no_password_and_can_be_printed(tmp_path, ending):
    records = [{"text": TEXT, "url": url} for url, _ in STORED] + [{"text": None, "url": url} for url, _ in STORED]
    path = tmp_path / f"a.{ending}"
    if ending == "jsonl":
        jsonl(tmp_path, *records)
    else:
        pq.write_table(pa.Table.from_pylist(records), path)
    found = [item.record.url if isinstance(item, Dropped) else item.url for item in read(path)]
    assert found == [stored for _, stored in STORED] * 2


def test_the_prefix_of_an_html_file_may_hold_a_password(site):
    assert read(site, url_prefix="https://user:password@")[2].url == "https://example.org/index.html"


@settings(max_examples=80)
@given(lines=st.lists(st.binary(max_size=60) | st.recursive(
    st.none() | st.text(max_size=5) | st.integers() | st.floats(), lambda inner: st.dictionaries(
        st.sampled_from(["text", "url", "html", "metadata", "date"]), inner, max_size=4) | st.lists(inner, max_size=2),
).map(lambda value: json.dumps(value).encode()), max_size=8))  # fmt: skip
def test_no_line_crashes_the_reader(tmp_path_factory, lines):
    path = jsonl(tmp_path_factory.mktemp("hostile"), *lines)
    found = read(path, 37)
    expected = [line for line in path.read_bytes().split(b"\n") if line.strip() and line != b"\xef\xbb\xbf"]
    assert len(found) == len(expected)
    for item in found:
        record = item.record if isinstance(item, Dropped) else item
        assert len(record.id) == 32
        if isinstance(item, Page):
            assert read_record(str(path), item.warc_offset, "a.jsonl", ReadDocumentsSettings()) == item


def test_rows_of_parquet_are_pages(tmp_path):
    path = tmp_path / "a.parquet"
    table = pa.table({
        "text": [TEXT, None, None, None],
        "html": pa.array([None, b"<meta charset=latin1><p>caf\xe9", b"", None]),
        "url": ["http://example.org/", "http://example.org/b", None, None],
        "fetched_at": ["2026-01-01T00:00:00Z", None, None, "x"],
    })  # fmt: skip
    pq.write_table(table, path, row_group_size=2)
    first, second, third, fourth = read(path)
    assert (first.content.decode(), first.warc_offset, first.fetched_at) == (TEXT, 0, "2026-01-01T00:00:00Z")
    assert (second.content, second.http_charset, second.kind) == (b"<meta charset=latin1><p>caf\xe9", None, Kind.HTML)
    assert drop_of(third) == ("no_text", "a.parquet at row 2: no text in text, raw_content, html")
    assert drop_of(fourth)[0] == "no_text"
    assert read_record(str(path), 1, "a.parquet", ReadDocumentsSettings()) == second
    with pytest.raises(UserError, match=r"no record there: a\.parquet at row 4"):
        read_record(str(path), 4, "a.parquet", ReadDocumentsSettings())


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    (folder / "example.org/a b").mkdir(parents=True)
    (folder / "example.org/index.html").write_bytes(b"<html><p>caf\xe9")
    (folder / "example.org/a b/ü.HTM").write_bytes(b"<p>" + b"x" * 3000)
    (folder / "example.org/empty.html").write_bytes(b"")
    (folder / "example.org/really.html").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "style.css").write_bytes(b"p {}")
    return folder


def test_a_folder_of_html_files_is_one_unit_of_pages(site):
    assert len(cut_units(resolve_inputs([str(site)]))) == 1
    large, empty, page, image = read(site, url_prefix="https://", max_text_bytes=2000)
    assert drop_of(large) == ("too_large", "example.org/a b/ü.HTM")
    assert drop_of(empty)[0] == "no_text"
    assert drop_of(image)[0] == "not_html"
    assert (page.url, page.host) == ("https://example.org/index.html", "example.org")
    assert large.record.url == "https://example.org/a%20b/%C3%BC.HTM"
    assert [len(unit.files) for unit in cut_units(resolve_inputs([str(site)]), 1)] == [1, 1, 1, 1]
    assert read(site, 1, url_prefix="https://", max_text_bytes=2000) == [large, empty, page, image]
    name = "example.org/index.html"
    assert read_record(str(site / name), 0, name, ReadDocumentsSettings(url_prefix="https://")) == page


def test_without_a_prefix_html_files_have_no_host(site):
    page = read(site)[2]
    assert (page.url, page.host) == ("file:///example.org/index.html#0", "")


def test_wrong_field_names_are_refused_before_the_run(tmp_path):
    path = jsonl(tmp_path, b"no json", {"content": TEXT, "id": 1})
    inputs = resolve_inputs([str(path)])
    with pytest.raises(UserError, match=r"a\.jsonl: no field text or raw_content or html; it has content, id \(name"):
        check_inputs(inputs, ReadDocumentsSettings())
    check_inputs(inputs, ReadDocumentsSettings(text=("content",)))
    pq.write_table(pa.table({"x": [1]}), tmp_path / "b.parquet")
    with pytest.raises(UserError, match=r"b\.parquet: no field text .* it has x "):
        check_inputs(resolve_inputs([str(tmp_path / "b.parquet")]), ReadDocumentsSettings())
    check_inputs([Input("crawl.warc.gz", "/nowhere", 5)], ReadDocumentsSettings())  # it is not opened
