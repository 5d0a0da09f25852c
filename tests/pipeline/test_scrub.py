"""`gristmill scrub`: files of conversations lose personal data, and nothing else."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard
from click.testing import CliRunner

from pipeline.cli import gristmill
from pipeline.errors import UserError

MAIL, PHONE, KEY = "jane.doe@mail.uni-bonn.de", "212-555-0123", "AKIAQYLPMN5HHHFPZAM2"
SECOND = "o.neill@clay-works.com"
ITEMS: list[Any] = [
    {"messages": [{"role": "user", "content": f"I am {MAIL}."}, {"role": "assistant", "content": f"Hi {MAIL}, {KEY}"}]},
    {"conversations": [{"from": "human", "value": f"call {PHONE}"}, {"from": "gpt", "value": "At 10:30, for 3.50?"}]},
    {"prompt": {"text": f"from {SECOND}", "role": "prompter", "replies": [{"text": MAIL, "rank": 0, "x": None}]}},
    {"instruction": "straße 你好 \u2028", "input": "", "output": "ok", "score": 1.5, "ids": [1, True, []]},
]
SCRUBBED: list[Any] = [
    {"messages": [{"role": "user", "content": "I am <EMAIL_1>."},
                  {"role": "assistant", "content": "Hi <EMAIL_1>, <SECRET_1>"}]},
    {"conversations": [{"from": "human", "value": "call <PHONE_1>"}, {"from": "gpt", "value": "At 10:30, for 3.50?"}]},
    {"prompt": {"text": "from <EMAIL_1>", "role": "prompter",
                "replies": [{"text": "<EMAIL_2>", "rank": 0, "x": None}]}},
    ITEMS[3],
]  # fmt: skip


def scrub(path: Path, output: Path, *changes: str) -> str:
    words = [str(path), "--output", str(output), *changes]
    result = CliRunner().invoke(gristmill, ["scrub", *words], catch_exceptions=False, standalone_mode=False)
    return result.output


def lines(items: list[Any]) -> bytes:
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items).encode()


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.json", "list.json", "list.json.gz"])
def test_all_strings_of_every_format_are_scrubbed_and_the_rest_is_as_it_was(tmp_path: Path, name: str) -> None:
    data = json.dumps(ITEMS, indent=1).encode() if name.startswith("list") else lines(ITEMS)
    compress = {".gz": gzip.compress, ".zst": zstandard.compress}.get(Path(name).suffix, bytes)
    (tmp_path / name).write_bytes(compress(data))
    output = tmp_path / f"out.{name.split('.')[1]}{'.gz' if name.endswith('.gz') else ''}"
    printed = scrub(tmp_path / name, output)
    assert "4 items, 6 finds replaced (EMAIL 4, SECRET 1, PHONE 1)" in printed
    found = gzip.decompress(output.read_bytes()) if output.suffix == ".gz" else output.read_bytes()
    items = json.loads(found) if name.startswith("list") else [json.loads(line) for line in found.split(b"\n") if line]
    assert items == SCRUBBED
    again = output.with_name(f"again.{output.name}")
    assert "4 items, 0 finds replaced" in scrub(output, again)
    assert again.read_bytes() == output.read_bytes()


def test_columns_of_a_table_are_scrubbed_apart(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text(f"Who?\\n{MAIL}\t{SECOND}\nplain\\nline\tanswer\n")
    scrub(tmp_path / "t.tsv", tmp_path / "out.tsv")
    assert (tmp_path / "out.tsv").read_text() == "Who?\\n<EMAIL_1>\t<EMAIL_2>\nplain\\nline\tanswer\n"


def test_what_is_mostly_personal_data_or_cannot_be_read_is_left_out_and_counted(tmp_path: Path) -> None:
    leak = {"messages": [{"role": "user", "content": f"user{n}@clay-works.com"} for n in range(11)]}
    deep = b"[" * 900 + b"]" * 900
    bad = [json.dumps(leak).encode(), b"{", b'{"a": "\\ud83d x"}', b'{"a": "\xff"}', deep, b"[" * 99_999, b'"fine"']
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(bad))
    printed = scrub(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    assert "1 items, 0 finds replaced; left out: " in printed
    for part in ("too_much_pii 1", "not JSON 1", "not Unicode 2", "nested too deeply 2"):
        assert part in printed
    assert (tmp_path / "b.jsonl").read_text() == '"fine"\n'
    assert "11 finds" in scrub(tmp_path / "a.jsonl", tmp_path / "c.jsonl", "--set", "scrub_pii.few_finds=11")


def test_wrong_files_are_refused_in_one_line_and_leave_no_output(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_bytes(lines(ITEMS))
    for output, message in (("a.jsonl", "exists"), ("b.json", "must end with .jsonl"), ("b.jsonl.zst", "must end")):
        with pytest.raises(UserError, match=message):
            scrub(source, tmp_path / output)
    with pytest.raises(UserError, match=r"not a .jsonl, .json or .tsv file"):
        scrub(tmp_path / "a.parquet", tmp_path / "b.jsonl")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(lines(ITEMS * 50))[:-30])
    (tmp_path / "bad.json").write_text("[1, 2")
    (tmp_path / "empty.jsonl").write_text("")
    for name, message in (("cut.jsonl.gz", "damaged"), ("bad.json", "not JSON"), ("empty.jsonl", "file is empty")):
        with pytest.raises(UserError, match=message):
            scrub(tmp_path / name, tmp_path / f"out.{name.split('.')[1]}")
    with pytest.raises(UserError):
        scrub(tmp_path / "gone.jsonl", tmp_path / "out.jsonl")
    assert list(tmp_path.glob("*out*")) == []
