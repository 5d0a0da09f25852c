"""`warc_length`: the bytes of a record, fetched alone, hold the same page."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.documents import Page
from pipeline.stages.read_warc import read_record
from tests.conftest import MINICRAWL
from tests.pipeline.warcs import crawl, one_gzip_member, read, write, zstd_frames


def pages_of(path: str) -> list[Page]:
    return [found for found in read(path) if isinstance(found, Page)]


@pytest.mark.parametrize("path", sorted(MINICRAWL.iterdir()), ids=lambda path: path.name)
def test_the_bytes_of_a_record_alone_hold_the_same_page(path: Path, tmp_path: Path) -> None:
    content = path.read_bytes()
    found = pages_of(str(path))
    assert found
    for page in found:
        assert page.warc_length is not None
        alone = tmp_path / path.name
        alone.write_bytes(content[page.warc_offset : page.warc_offset + page.warc_length])
        again = read_record(str(alone), 0)
        assert isinstance(again, Page)
        assert (again.id, again.warc_length) == (page.id, page.warc_length)


@pytest.mark.parametrize("name", ["plain.warc", "records.warc.gz", "records.warc.zst"])
def test_lengths_reach_to_the_next_record(name: str, tmp_path: Path) -> None:
    parts = list(crawl(5, compressed=name.endswith(".gz")))
    whole = zstd_frames(parts) if name.endswith(".zst") else b"".join(parts)
    path = write(tmp_path / name, [whole])
    starts = [page.warc_offset for page in pages_of(path)]
    sizes = [len(zstd_frames([part])) if name.endswith(".zst") else len(part) for part in parts]
    expected = [(sum(sizes[:number]), sizes[number]) for number in range(1, len(parts), 3)]
    assert [(page.warc_offset, page.warc_length) for page in pages_of(path)] == expected
    assert starts == sorted(starts)


def test_a_record_that_shares_its_member_has_no_length(tmp_path: Path) -> None:
    path = write(tmp_path / "one.warc.gz", [one_gzip_member(crawl(3, compressed=False))])
    assert [page.warc_length for page in pages_of(path)] == [None, None, None]
