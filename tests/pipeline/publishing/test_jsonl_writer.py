"""JSONL files: the rows that were written, and the same bytes each time."""

import gzip
import hashlib
import json

import pytest
import zstandard

from pipeline.publishing.jsonl_writer import ENDINGS, JsonlWriter

READ = {
    "plain": bytes,
    "gzip": gzip.decompress,
    "zstd": lambda content: zstandard.ZstdDecompressor().decompressobj().decompress(content),
}
ROWS = [
    {"id": "a", "text": 'Ünïcode "quoted"\nnext line\u2028', "score": 0.1 + 0.2, "other": 1, "signals": {"x": 1.0}},
    {"id": "b", "text": "", "score": None, "other": 2, "signals": {"x": 1e-300}},
]


@pytest.mark.parametrize("compression", ENDINGS)
def test_the_lines_are_the_rows(tmp_path, compression):
    entries, contents = [], []
    for name in ("one", "two"):
        path = tmp_path / name / f"jsonl/part-00000{ENDINGS[compression]}"
        path.parent.mkdir(parents=True)
        with JsonlWriter(str(path), ["id", "text", "score", "signals"], compression).open() as writer:
            for row in ROWS:
                writer.write(row)
        entries.append(writer.manifest_entry())
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    assert entries[0] == entries[1]
    assert entries[0]["sha256"] == hashlib.sha256(contents[0]).hexdigest()
    assert (entries[0]["rows"], entries[0]["bytes"]) == (2, len(contents[0]))
    lines = READ[compression](contents[0]).decode().split("\n")
    assert lines.pop() == ""
    assert [json.loads(line) for line in lines] == [{k: v for k, v in row.items() if k != "other"} for row in ROWS]


def test_a_failed_part_leaves_no_file(tmp_path):
    path = tmp_path / "part-00000.jsonl.gz"
    with pytest.raises(ValueError, match="not JSON compliant"), JsonlWriter(str(path), ["x"], "gzip").open() as writer:
        [writer.write({"x": value}) for value in (1.0, float("nan"))]
    assert list(tmp_path.iterdir()) == []
