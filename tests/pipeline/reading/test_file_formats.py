"""The format of a file, from its name."""

import pytest

from pipeline.reading.file_formats import Format, describe_place, format_of


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("crawl-data/CC-MAIN-2026-43/a.warc.gz", Format.WARC),
        ("a.wet.zst", Format.WARC),
        ("a", Format.WARC),
        ("a.jsonl", Format.JSONL),
        ("c4-train.00000-of-01024.json.gz", Format.JSONL),
        ("A.JSONL.ZST", Format.JSONL),
        ("a.ndjson.gz", Format.JSONL),
        ("train-00000.parquet", Format.PARQUET),
        ("site/index.html", Format.HTML),
        ("site/INDEX.HTM", Format.HTML),
    ],
)
def test_the_format_follows_from_the_name(name, expected):
    assert format_of(name) is expected


def test_a_place_is_named_as_people_find_it():
    assert describe_place("a.jsonl", 1234567) == "a.jsonl at byte 1,234,567"
    assert describe_place("a.jsonl.gz", 5) == "a.jsonl.gz at byte 5 of the decompressed file"
