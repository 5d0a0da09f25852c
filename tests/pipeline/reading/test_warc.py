"""Every record is read once, however the file is compressed, cut or damaged."""

import gzip
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import zstandard
from fastwarc.warc import ArchiveIterator as FastIterator
from fastwarc.warc import WarcRecordType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator

from pipeline import effects
from pipeline.documents import Dropped, Kind, Page
from pipeline.errors import UserError
from pipeline.reading.inputs import Input
from pipeline.reading.units import Unit, cut_units
from pipeline.stages.read_warc import OtherRecord, ReadWarcSettings, read_record, read_unit
from pipeline.storage import StorageError, retries
from tests.pipeline.servers import serve
from tests.pipeline.warcs import DATE, Found, crawl, html, one_gzip_member, outcome, read, record, write, zstd_frames

# --- whole files -----------------------------------------------------------------------------------------------------


def test_a_page_has_all_fields_of_its_record(tmp_path: Path) -> None:
    before = record(b"", kind="request")
    response = record(html("Hello"), "https://News.Example.co.uk/a?b")
    path = write(tmp_path / "x.warc.gz", [before, response])
    other, page = read(path)
    assert other == OtherRecord("request")
    assert page == Page(
        url="https://News.Example.co.uk/a?b",
        fetched_at=DATE,
        warc_file="crawl/x.warc.gz",
        warc_offset=len(before),
        content=html("Hello"),
        kind=Kind.HTML,
        http_charset="utf-8",
        host="news.example.co.uk",
        registered_domain="example.co.uk",
        warc_length=len(response),
    )


def test_the_same_records_as_warcio_and_fastwarc_read(tmp_path: Path) -> None:
    path = write(tmp_path / "x.warc.gz", crawl(40))
    pages = [found for found in read(path) if isinstance(found, Page)]
    with open(path, "rb") as file:
        iterator = ArchiveIterator(file)
        peers = []
        for entry in iterator:
            content = entry.content_stream().read()
            if entry.rec_type == "response":
                peers.append((entry.rec_headers.get_header("WARC-Target-URI"), iterator.get_record_offset(), content))
    assert [(page.url, page.warc_offset, page.content) for page in pages] == peers
    with open(path, "rb") as file:
        fast = [entry.stream_pos for entry in FastIterator(file, record_types=WarcRecordType.response)]
    assert [page.warc_offset for page in pages] == fast


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("x.warc", b"".join),
        ("x.warc.gz", one_gzip_member),
        ("x.warc.zst", zstd_frames),
        ("x.warc.zst", lambda parts: zstandard.compress(b"".join(parts))),
    ],
)
def test_other_compressions_give_the_same(tmp_path: Path, name: str, pack: Callable[[Sequence[bytes]], bytes]) -> None:
    expected = [_without_offset(found) for found in read(write(tmp_path / "y.warc.gz", crawl(30)))]
    path = write(tmp_path / name, [pack(crawl(30, compressed=False))])
    found = read(path)
    assert [_without_offset(entry) for entry in found] == expected
    offsets = [entry.warc_offset for entry in found if isinstance(entry, Page)]
    assert len(set(offsets)) == 30
    for entry in found:
        if isinstance(entry, Page):
            assert read_record(path, entry.warc_offset, name=entry.warc_file) == entry


def test_a_zstd_dictionary_in_the_first_frame_is_used(tmp_path: Path) -> None:
    parts = crawl(30, compressed=False)
    dictionary = zstandard.train_dictionary(2000, [html(f"page {number} words and more") for number in range(500)])
    compressor = zstandard.ZstdCompressor(dict_data=dictionary)
    for stored in (dictionary.as_bytes(), zstandard.compress(dictionary.as_bytes())):
        head = (0x184D2A5D).to_bytes(4, "little") + len(stored).to_bytes(4, "little") + stored
        path = write(tmp_path / "x.warc.zst", [head, *map(compressor.compress, parts)])
        assert Counter(map(outcome, read(path))) == {"page": 30, "request": 30, "metadata": 30}


@pytest.mark.parametrize("version", ["0.17", "0.18", "1.0", "1.1"])
@pytest.mark.parametrize("name", ["x.warc", "x.warc.gz", "x.warc.zst"])
def test_every_version_of_the_format_is_read(tmp_path: Path, version: str, name: str) -> None:
    plain = record(html("a"), compressed=False).replace(b"WARC/1.0\r\n", f"WARC/{version}\r\n".encode())
    assert plain.startswith(f"WARC/{version}".encode())
    pack = {"x.warc": bytes, "x.warc.gz": gzip.compress, "x.warc.zst": zstandard.compress}[name]
    (page,) = read(write(tmp_path / name, [pack(plain)]))
    assert isinstance(page, Page)
    assert page.content == html("a")


def test_wet_records_are_text(tmp_path: Path) -> None:
    text = "Plain text, ünïcode.\n".encode()
    (page,) = read(
        write(tmp_path / "x.warc.gz", [record(text, kind="conversion", warc={"Content-Type": "text/plain"})])
    )
    assert isinstance(page, Page)
    assert (page.kind, page.content, page.http_charset) == (Kind.TEXT, text, "utf-8")


@pytest.mark.parametrize("unit_bytes", [1 << 30, 3_000, 100])
def test_zstd_in_a_file_that_is_named_gz_is_read_once(tmp_path: Path, unit_bytes: int) -> None:
    named_right = write(tmp_path / "x.warc.zst", [zstd_frames(crawl(20, compressed=False))])
    named_wrong = write(tmp_path / "x.warc.gz", [zstd_frames(crawl(20, compressed=False))])
    assert [outcome(found) for found in read(named_wrong, unit_bytes)] == [
        outcome(found) for found in read(named_right)
    ]


def test_empty_members_and_blank_lines_between_records_are_skipped(tmp_path: Path) -> None:
    parts = [gzip.compress(b""), record(html("a")), gzip.compress(b"\r\n\r\n"), record(html("b"))]
    assert [outcome(found) for found in read(write(tmp_path / "x.warc.gz", parts))] == ["page", "page"]


# --- cuts ------------------------------------------------------------------------------------------------------------


@given(unit_bytes=st.integers(1, 12_000))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_cut_gives_the_same_records(tmp_path: Path, unit_bytes: int) -> None:
    path = write(tmp_path / "x.warc.gz", crawl(8))
    assert read(path, unit_bytes) == read(path)


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_cut_of_a_damaged_file_gives_the_same_records_and_damage(tmp_path: Path, data: st.DataObject) -> None:
    parts = crawl(6)
    content = bytearray(b"".join(parts))
    for start, length, byte in data.draw(
        st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(1, 900), st.integers(0, 255)), max_size=3)
    ):
        content[start : start + length] = bytes([byte]) * length
    cut = data.draw(st.integers(len(content) // 2, len(content)))
    path = write(tmp_path / "x.warc.gz", [bytes(content[:cut])])
    whole = read(path)
    assert read(path, data.draw(st.integers(40, 6000))) == whole
    # Every undamaged record is read, and none twice.
    offset = 0
    kept = [found.warc_offset for found in whole if isinstance(found, Page)]
    assert len(set(kept)) == len(kept)
    for part in parts:
        if (
            content[:cut][offset : offset + len(part)] == part
            and len(part) > 300
            and b"response" in gzip.decompress(part)
        ):
            assert offset in kept
        offset += len(part)


def test_units_are_read_from_a_web_server_that_fails_at_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.001)
    path = write(tmp_path / "x.warc.gz", crawl(30))
    with serve(tmp_path) as web:
        entry = Input("crawl/x.warc.gz", f"{web.url}/x.warc.gz", Path(path).stat().st_size)
        units = cut_units([entry], 5000)
        assert len(units) > 3
        web.failures = [503, "reset", 503]
        assert [found for unit in units for found in read_unit(unit, ReadWarcSettings())] == read(path)
        assert not web.failures
        page = next(found for found in read(path) if isinstance(found, Page))
        assert read_record(entry.path, page.warc_offset, name=entry.name) == page


# --- damage ----------------------------------------------------------------------------------------------------------


def test_a_corrupt_member_loses_only_that_member(tmp_path: Path) -> None:
    parts = [record(html(f"page {number}" * 50), f"http://example.com/{number}") for number in range(5)]
    parts[2] = parts[2][:60] + b"\xff" * 40 + parts[2][100:]
    found = read(write(tmp_path / "x.warc.gz", parts))
    assert [outcome(entry) for entry in found] == ["page", "page", "unreadable", "page", "page"]
    damage = found[2]
    assert isinstance(damage, Dropped)
    assert damage.record.warc_offset == len(parts[0] + parts[1])
    assert "crawl/x.warc.gz" in damage.detail
    assert str(damage.record.warc_offset) in damage.detail
    assert "gzip" in damage.detail


def test_a_wrong_checksum_loses_only_that_member(tmp_path: Path) -> None:
    broken = bytearray(record(html("b")))
    broken[-6] ^= 1
    found = read(write(tmp_path / "x.warc.gz", [record(html("a")), bytes(broken), record(html("c"))]))
    assert [outcome(entry) for entry in found] == ["page", "unreadable", "page"]


def test_a_truncated_file_ends_in_one_unreadable_record(tmp_path: Path) -> None:
    parts = [record(html("a" * 900)), record(html("b" * 900))]
    for missing in (1, 8, 40, len(parts[1]) - 2):
        found = read(write(tmp_path / "x.warc.gz", [b"".join(parts)[:-missing]]))
        assert [outcome(entry) for entry in found] == ["page", "unreadable"]


@pytest.mark.parametrize("ranges", [(), ((0, 500), (600, 700))])
def test_a_file_that_has_shrunk_since_the_run_began_is_an_error_and_no_damage(tmp_path: Path, ranges: tuple) -> None:
    path = write(tmp_path / "x.warc.gz", crawl(20))
    size = Path(path).stat().st_size
    chosen = tuple((size - end, size - start) for start, end in reversed(ranges))
    unit = Unit("x.warc.gz", path, 0, size, chosen)
    Path(path).write_bytes(Path(path).read_bytes()[: size - 100])
    with pytest.raises(StorageError, match=f"{path}: .*has the file changed?"):
        list(read_unit(unit, ReadWarcSettings()))


def test_a_disk_that_cannot_be_read_is_an_error_and_no_damage(tmp_path: Path) -> None:
    class Broken:
        def perform(self, effect, subject, action, torn=None):
            if effect is effects.Effect.READ:
                raise OSError(5, "Input/output error")
            return action()

    path = write(tmp_path / "x.warc.gz", crawl(20))
    with effects.simulate(Broken()), pytest.raises(StorageError, match=f"{path}: cannot read it"):
        read(path)


def test_junk_between_members_is_one_unreadable_record(tmp_path: Path) -> None:
    for junk in (b"\x00" * 500, b"\x1f\x8b\x08" * 30, gzip.compress(b"no record"), record(html("x"))[30:]):
        found = read(write(tmp_path / "x.warc.gz", [record(html("a")), junk, record(html("b"))]))
        assert [outcome(entry) for entry in found] == ["page", "unreadable", "page"]


def test_a_record_with_a_wrong_length_is_unreadable(tmp_path: Path) -> None:
    plain = record(html("b"), compressed=False)
    length = int(plain.split(b"Content-Length: ")[1].split(b"\r\n")[0])
    for wrong in (b"%d" % (length + 500), b"-5", b"many", b"9" * 30):
        damaged = gzip.compress(plain.replace(b"Content-Length: %d" % length, b"Content-Length: " + wrong, 1))
        found = read(write(tmp_path / "x.warc.gz", [record(html("a")), damaged, record(html("c"))]))
        assert [outcome(entry) for entry in found] == ["page", "unreadable", "page"]


def test_an_endless_header_is_unreadable(tmp_path: Path) -> None:
    endless = gzip.compress(b"WARC/1.0\r\n" + b"X-Long: " + b"a" * 3_000_000)
    found = read(write(tmp_path / "x.warc.gz", [endless, record(html("c"))]))
    assert [outcome(entry) for entry in found] == ["unreadable", "page"]


def test_damage_in_an_uncompressed_file_loses_one_record(tmp_path: Path) -> None:
    parts = [record(html(f"page {number}"), compressed=False) for number in range(4)]
    parts[1] = parts[1].replace(b"WARC/1.0", b"\x00\x01\x02\x03\x04\x05\x06\x07")
    found = read(write(tmp_path / "x.warc", parts))
    assert [outcome(entry) for entry in found] == ["page", "unreadable", "page", "page"]


def test_damage_in_a_zstd_file_loses_one_frame(tmp_path: Path) -> None:
    parts = [zstd_frames([record(html(f"page {number}" * 30), compressed=False)]) for number in range(4)]
    parts[1] = parts[1][:50] + b"\xff" * 60 + parts[1][110:]
    found = read(write(tmp_path / "x.warc.zst", parts))
    assert [outcome(entry) for entry in found] == ["page", "unreadable", "page", "page"]
    cut = read(write(tmp_path / "x.warc.zst", [b"".join(zstd_frames(crawl(1, compressed=False)) for _ in "ab")[:-9]]))
    assert [outcome(entry) for entry in cut][-1] == "unreadable"


@pytest.mark.parametrize(
    "content", [b"", b"<html>not a WARC</html>", b"\x1f\x8b", gzip.compress(b"text" * 99, mtime=0), b"\x00" * 70_000]
)
def test_a_file_that_is_not_a_warc_file_is_one_unreadable_record(tmp_path: Path, content: bytes) -> None:
    for name in ("x.warc.gz", "x.warc", "x.warc.zst"):
        assert [outcome(found) for found in read(write(tmp_path / name, [content]))] == ["unreadable"]


@given(st.binary(max_size=400), st.sampled_from(["x.warc.gz", "x.warc", "x.warc.zst"]), st.booleans())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_raise(tmp_path: Path, content: bytes, name: str, magic: bool) -> None:
    head = {"x.warc.gz": b"\x1f\x8b\x08", "x.warc": b"WARC/1.0\r\n", "x.warc.zst": b"\x28\xb5\x2f\xfd"}[name]
    found = read(write(tmp_path / name, [head * magic + content, b"\r\n\r\n"]))
    assert all(isinstance(entry, Dropped | OtherRecord) for entry in found)


# --- single records --------------------------------------------------------------------------------------------------


def test_a_record_is_found_again_by_its_offset(tmp_path: Path) -> None:
    parts = [*crawl(5), record(html("gone"), status="404 Not Found"), b"junk"]
    path = write(tmp_path / "x.warc.gz", parts)
    for found in read(path):
        if not isinstance(found, OtherRecord):
            page = found if isinstance(found, Page) else found.record
            assert read_record(path, page.warc_offset, name="crawl/x.warc.gz") == found


def test_an_offset_without_a_page_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "x.warc.gz", crawl(2))
    for offset in (0, 17, 10_000_000):
        with pytest.raises(UserError, match=f"no page at offset {offset}"):
            read_record(path, offset)


def test_chosen_ranges_give_exactly_these_records(tmp_path: Path) -> None:
    parts = crawl(4)
    path = write(tmp_path / "x.warc.gz", parts)
    starts = [sum(map(len, parts[:at])) for at in range(len(parts) + 1)]
    chosen = tuple((starts[at], starts[at + 1]) for at in (1, 4, 5, 10))
    (unit,) = cut_units([Input("x", path, starts[-1], chosen)])
    assert unit.ranges == chosen
    assert [outcome(found) for found in read_unit(unit, ReadWarcSettings())] == ["page", "page", "metadata", "page"]
    wrong = Unit("x", path, 5, 50, ((5, 50),))
    assert [outcome(found) for found in read_unit(wrong, ReadWarcSettings())] == ["unreadable"]


# --- helpers --------------------------------------------------------------------------------------------------------


def _without_offset(found: Found) -> object:
    return (found.url, found.fetched_at, found.content) if isinstance(found, Page) else outcome(found)
