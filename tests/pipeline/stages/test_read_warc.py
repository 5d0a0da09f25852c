"""read_warc: which records become pages, and the drop reasons of the others."""

import base64
import gzip
import hashlib
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import brotli
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.documents import Dropped, Page
from pipeline.stages.read_warc import ReadWarcReason
from tests.classifiers.test_urls import STORED
from tests.pipeline.warcs import DATE, Found, html, read, record, write


def one(tmp_path: Path, *parts: bytes, name: str = "x.warc.gz", **changes: object) -> Found:
    found = read(write(tmp_path / name, parts), **changes)
    assert len(found) == 1
    return found[0]


def sha1(data: bytes) -> str:
    return "sha1:" + base64.b32encode(hashlib.sha1(data).digest()).decode()


def page_of(found: Found) -> Page:
    assert isinstance(found, Page)
    return found


def drop_of(found: Found) -> Dropped:
    assert isinstance(found, Dropped)
    return found


# --- pages and drops -------------------------------------------------------------------------------------------------

TYPE = ("Content-Type", "text/html")


def test_a_bomb_is_too_large_and_stays_small_in_memory(tmp_path: Path) -> None:
    bomb = gzip.compress(b"<html>" + b"\x00" * 50_000_000)
    drop = drop_of(one(tmp_path, record(bomb, http=[TYPE, ("Content-Encoding", "gzip")]), max_body_bytes=100_000))
    assert (drop.reason, drop.threshold) == (ReadWarcReason.TOO_LARGE, 100_000)
    assert len(drop.record.content) < 1_000_000  # type: ignore[union-attr]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "identity", "x-gzip"])
def test_content_encodings_are_decoded_within_the_cap(tmp_path: Path, coding: str) -> None:
    body = html("Encoded " * 1000)
    packed = _encoders()[coding](body)
    http = [TYPE, ("Content-Encoding", coding.upper())]
    assert page_of(one(tmp_path, record(packed, http=http))).content == body
    assert (
        drop_of(one(tmp_path, record(packed, http=http), max_body_bytes=len(body) - 1)).reason
        is ReadWarcReason.TOO_LARGE
    )
    assert page_of(one(tmp_path, record(packed, http=http), max_body_bytes=len(body))).content == body
    # Stored decoded with the header left as it was: the bytes decide.
    assert page_of(one(tmp_path, record(body, http=http))).content == body


def test_nested_encodings_and_several_members(tmp_path: Path) -> None:
    body = html("Twice")
    twice = gzip.compress(brotli.compress(body))
    assert page_of(one(tmp_path, record(twice, http=[TYPE, ("Content-Encoding", "br, gzip")]))).content == body
    halves = gzip.compress(body[:20]) + gzip.compress(body[20:])
    assert page_of(one(tmp_path, record(halves, http=[TYPE, ("Content-Encoding", "gzip")]))).content == body


def test_common_crawls_renamed_headers_are_not_encodings(tmp_path: Path) -> None:
    http = [TYPE, ("X-Crawl-Content-Encoding", "gzip"), ("X-Crawl-Transfer-Encoding", "chunked")]
    assert page_of(one(tmp_path, record(html("a"), http=http))).content == html("a")


def test_chunks_are_joined(tmp_path: Path) -> None:
    body = html("Chunked")
    chunked = b"".join(b"%x;x=y\r\n%b\r\n" % (len(part), part) for part in (body[:9], body[9:])) + b"0\r\n\r\n"
    http = [TYPE, ("Transfer-Encoding", "chunked")]
    assert page_of(one(tmp_path, record(chunked, http=http))).content == body
    assert page_of(one(tmp_path, record(chunked[:-12], http=http))).content == body[:-5]  # cut off by the crawler
    assert page_of(one(tmp_path, record(body, http=http))).content == body
    packed = gzip.compress(body)
    both = b"%x\r\n%b\r\n0\r\n\r\n" % (len(packed), packed)
    assert page_of(one(tmp_path, record(both, http=[*http, ("Content-Encoding", "gzip")]))).content == body


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_an_encoding_that_cannot_be_decoded(tmp_path: Path, coding: str) -> None:
    packed = _encoders()[coding](html("x" * 300))
    broken = packed[: 2 if coding == "deflate" else 4] + b"\xff" * 60
    drop = drop_of(one(tmp_path, record(broken, http=[TYPE, ("Content-Encoding", coding)])))
    assert (drop.reason, coding in drop.detail) == (ReadWarcReason.BAD_ENCODING, True)


def test_a_truncated_compressed_body_is_decoded_to_its_end(tmp_path: Path) -> None:
    text = html(" ".join(str(zlib.crc32(b"%d" % number)) for number in range(3000)))
    packed = gzip.compress(text)[:-3000]
    page = page_of(one(tmp_path, record(packed, http=[TYPE, ("Content-Encoding", "gzip")])))
    assert text.startswith(page.content)
    assert len(page.content) > 10_000


@pytest.mark.parametrize(
    ("identified", "declared", "body", "is_page"),
    [
        ("text/html", "image/png", b"anything", True),
        ("application/xhtml+xml", "", b"anything", True),
        ("text/plain", "text/html", b"<!-- libmagic says text --><p>Hello", True),
        ("application/pdf", "text/html", b"%PDF-1.4", False),
        ("text/plain", "text/plain", b"<html>", False),
        ("", "text/html; charset=x", b"Hello", True),
        ("", "TEXT/HTML", b"Hello", True),
        ("", "text/html", b"%PDF-1.4", False),
        ("", "text/html", b"\x89PNG\r\n", False),
        ("", "application/xml", b"<?xml version='1.0'?><!DOCTYPE html PUBLIC 'x'>\n<html xmlns='x'>", True),
        ("", "text/xml", b"<?xml version='1.0'?><rss version='2.0'><title>x</title></rss>", False),
        ("", "", b"\xef\xbb\xbf \n<!DOCTYPE HTML><p>", True),
        ("", "", "<html><p>x".encode("utf-16"), True),
        ("", "", b"<?xml version='1.0'?><!-- c --><html lang='en'>", True),
        ("", "unknown/unknown", b"<Body>", True),
        ("", "", b"{'a': 1}", False),
        ("", "", b"<rss><channel>", False),
        ("", "", b"<abbr>x", False),  # <a is a tag to look for, <abbr is not
        ("", "application/json", b"<html>", False),
        ("", "text/plain", b"<HTML>\n<title>", True),
        ("", "text/plain", b"<p>how to write <html>", False),
    ],
)  # fmt: skip
def test_which_responses_are_html(tmp_path: Path, identified: str, declared: str, body: bytes, is_page: bool) -> None:
    warc = {"WARC-Identified-Payload-Type": identified} if identified else {}
    found = one(tmp_path, record(body, http=[("Content-Type", declared)] if declared else [], warc=warc))
    if is_page:
        assert page_of(found).content == body
    else:
        assert drop_of(found).reason is ReadWarcReason.NOT_HTML


@pytest.mark.parametrize("status", ["404 Not Found", "301 Moved", "500 Oops", "206 Partial Content"])
def test_other_statuses_are_dropped(tmp_path: Path, status: str) -> None:
    drop = drop_of(one(tmp_path, record(html("x"), status=status)))
    assert (drop.reason, drop.value) == (ReadWarcReason.HTTP_STATUS, int(status[:3]))


@pytest.mark.parametrize("body", [b"", b" \r\n\t "])
def test_empty_bodies_are_dropped(tmp_path: Path, body: bytes) -> None:
    assert drop_of(one(tmp_path, record(body))).reason is ReadWarcReason.EMPTY_BODY
    wet = record(body, kind="conversion", warc={"Content-Type": "text/plain"})
    assert drop_of(one(tmp_path, wet)).reason is ReadWarcReason.EMPTY_BODY


@pytest.mark.parametrize(
    "url", ["dns:example.com", "urn:x", "ftp://example.com/x", "http://", "http://[::1", "http://a b/"]
)
def test_records_without_a_web_address_are_dropped(tmp_path: Path, url: str) -> None:
    assert drop_of(one(tmp_path, record(html("x"), url))).reason is ReadWarcReason.NO_URL


@pytest.mark.parametrize(("url", "stored"), [*STORED, ("<http://a.org/x y>", "http://a.org/x%20y")])
def test_stored_urls_have_no_password_and_no_control_characters(tmp_path: Path, url: str, stored: str) -> None:
    found = one(tmp_path, record(html("x"), url))
    assert (found.record if isinstance(found, Dropped) else found).url == stored
    assert drop_of(one(tmp_path, record(html("x"), url, status="404 Not Found"))).record.url == stored


@pytest.mark.parametrize("url", ["http://a\x00.org/", "http://a.org\\@b.org/", "http://a\x1b.org/x"])
def test_a_host_with_control_characters_is_no_web_address(tmp_path: Path, url: str) -> None:
    dropped = drop_of(one(tmp_path, record(html("x"), url)))
    assert dropped.reason is ReadWarcReason.NO_URL
    assert "\x1b" not in dropped.detail
    assert "\x00" not in dropped.detail


def test_a_response_without_target_is_dropped(tmp_path: Path) -> None:
    plain = record(html("x"), compressed=False).replace(b"WARC-Target-URI", b"X-Target-URI")
    assert drop_of(one(tmp_path, gzip.compress(plain))).reason is ReadWarcReason.NO_URL


def test_bodies_over_the_cap_are_dropped_as_stored_too(tmp_path: Path) -> None:
    for body, http in (
        (html("x" * 5000), [TYPE]),
        (b"%x\r\n%b" % (9000, b"x" * 9000), [TYPE, ("Transfer-Encoding", "chunked")]),
    ):
        assert drop_of(one(tmp_path, record(body, http=http), max_body_bytes=2048)).reason is ReadWarcReason.TOO_LARGE
    huge = record(html("x" * 500_000))
    assert drop_of(one(tmp_path, huge, max_body_bytes=2048)).reason is ReadWarcReason.TOO_LARGE


def test_truncated_pages_are_kept_by_default(tmp_path: Path) -> None:
    cut = record(html("x"), warc={"WARC-Truncated": "length"})
    page_of(one(tmp_path, cut))
    assert drop_of(one(tmp_path, cut, keep_truncated=False)).reason is ReadWarcReason.TRUNCATED


PAGE = html("a page")
RIGHT = {  # of the bytes that `record` writes
    "Block": sha1(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + PAGE),
    "Payload": sha1(PAGE),
}
OTHER, UNKNOWN = sha1(b"other"), "sha256:" + 64 * "0"


def with_digests(stored: bytes, block: str, payload: str) -> bytes:
    """The record with these digests in its header; warcio writes the right ones."""
    stored, blocks = re.subn(rb"(?<=WARC-Block-Digest: )\S+", block.encode(), stored)
    stored, payloads = re.subn(rb"(?<=WARC-Payload-Digest: )\S+", payload.encode(), stored)
    assert (blocks, payloads) == (1, 1)
    return stored


@pytest.mark.parametrize(
    ("block", "payload", "is_page"),
    [
        (RIGHT["Block"], RIGHT["Payload"], True),
        (RIGHT["Block"], OTHER, True),
        (OTHER, RIGHT["Payload"], True),  # some writers have changed the HTTP headers afterwards
        (RIGHT["Block"], UNKNOWN, True),
        (UNKNOWN, RIGHT["Payload"], True),
        (UNKNOWN, UNKNOWN, True),
        (OTHER, OTHER, False),
        (OTHER, UNKNOWN, False),
        (UNKNOWN, OTHER, False),
    ],
)
def test_a_page_that_fits_none_of_its_digests_is_dropped(
    tmp_path: Path, block: str, payload: str, is_page: bool
) -> None:
    stored = with_digests(record(PAGE, http=[TYPE], compressed=False), block, payload)
    found, page = (one(tmp_path, stored, name="x.warc", check_digests=check) for check in (True, False))
    assert (found if is_page else drop_of(found).record) == page_of(page)
    assert is_page or drop_of(found).reason == ReadWarcReason.WRONG_DIGEST


@pytest.mark.parametrize("digested", ["stored", "joined", "decoded"])
def test_writers_digest_other_forms_of_the_payload(tmp_path: Path, digested: str) -> None:
    joined = gzip.compress(PAGE)
    forms = {"stored": b"%x\r\n%b\r\n0\r\n\r\n" % (len(joined), joined), "joined": joined, "decoded": PAGE}
    headers = [TYPE, ("Transfer-Encoding", "chunked"), ("Content-Encoding", "gzip")]
    stored = with_digests(record(forms["stored"], http=headers, compressed=False), OTHER, sha1(forms[digested]))
    assert page_of(one(tmp_path, stored, name="x.warc")).content == PAGE


def test_what_the_digest_of_a_cut_page_is_of_is_not_known(tmp_path: Path) -> None:
    cut = record(PAGE, http=[TYPE], warc={"WARC-Truncated": "length"}, compressed=False)
    assert page_of(one(tmp_path, with_digests(cut, UNKNOWN, OTHER), name="x.warc")).content == PAGE


@pytest.mark.parametrize("kind", ["response", "conversion"])
def test_a_changed_byte_of_an_uncompressed_file_is_found(tmp_path: Path, kind: str) -> None:
    warc = {"Content-Type": "text/plain"} if kind == "conversion" else {}
    stored = record(PAGE, kind=kind, warc=warc, compressed=False)
    assert page_of(one(tmp_path, stored, name="x.warc")).content == PAGE
    damaged = stored.replace(b"<p>a page", b"<p>a pagf")
    drop = drop_of(one(tmp_path, damaged, name="x.warc"))
    assert drop.reason == ReadWarcReason.WRONG_DIGEST
    assert page_of(one(tmp_path, damaged, name="x.warc", check_digests=False)).content != PAGE


def test_other_text_conversions_are_not_pages(tmp_path: Path) -> None:
    drop = drop_of(one(tmp_path, record(b"x", kind="conversion", warc={"Content-Type": "image/png"})))
    assert drop.reason is ReadWarcReason.NOT_HTML


# --- dates, addresses, headers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2026-10-01T12:00:00Z", "2026-10-01T12:00:00Z"),
        ("2026-10-01T12:00:00.987654Z", "2026-10-01T12:00:00Z"),
        ("2026-10-01T12:00:00+02:00", "2026-10-01T10:00:00Z"),
        ("20261001120000", "2026-10-01T12:00:00Z"),
        ("2009-03-67T15:35:34Z", "2009-01-30T18:08:20Z"),  # ClueWeb09 has such dates: the server's is taken
        ("yesterday", "2009-01-30T18:08:20Z"),
    ],
)
def test_dates(tmp_path: Path, date: str, expected: str) -> None:
    http = [TYPE, ("Date", "Fri, 30 Jan 2009 18:08:20 GMT")]
    plain = record(html("x"), http=http, compressed=False).replace(DATE.encode(), date.encode())
    assert page_of(one(tmp_path, gzip.compress(plain))).fetched_at == expected


def test_headers_of_old_crawlers_in_any_order_and_case(tmp_path: Path) -> None:
    body = b"HTTP/1.0 200 OK\nCONTENT-TYPE:text/html;Charset='ISO-8859-1'\n\n" + html("x")
    head = b"WARC/0.18\ncontent-length: %d\narchive-date: 20090301120000\nuri: <http://example.com/a b>\n"
    head += b"warc-type: Response\n\n"
    page = page_of(one(tmp_path, gzip.compress(head % len(body) + body + b"\n\n")))
    assert (page.url, page.fetched_at) == ("http://example.com/a%20b", "2009-03-01T12:00:00Z")
    assert (page.http_charset, page.content) == ("iso-8859-1", html("x"))


@pytest.mark.parametrize(
    "message", [b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/9 x\r\n\r\n"]
)
def test_malformed_messages_are_empty(tmp_path: Path, message: bytes) -> None:
    assert drop_of(one(tmp_path, _raw_response(message))).reason is ReadWarcReason.EMPTY_BODY


def test_a_response_without_status_line_is_all_body(tmp_path: Path) -> None:
    assert page_of(one(tmp_path, _raw_response(b"<html>old"))).content == b"<html>old"


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_message_has_a_result(tmp_path: Path, message: bytes) -> None:
    for head in (b"", b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"):
        assert isinstance(one(tmp_path, _raw_response(head + message)), Page | Dropped)


# --- helpers --------------------------------------------------------------------------------------------------------


def _encoders() -> dict[str, Callable[[bytes], bytes]]:
    return {
        "gzip": gzip.compress,
        "x-gzip": gzip.compress,
        "deflate": zlib.compress,
        "br": brotli.compress,
        "zstd": zstandard.compress,
        "identity": bytes,
    }


def _raw_response(message: bytes) -> bytes:
    head = (
        b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://example.com/\r\nWARC-Date: %b\r\n" % DATE.encode()
    )
    head += b"Content-Type: application/http; msgtype=response\r\nContent-Length: %d\r\n\r\n" % len(message)
    return gzip.compress(head + message + b"\r\n\r\n")
