"""Commands on an output whose files are damaged or deleted: one line that names the file, never a traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.inspection.audit import audit_output
from pipeline.inspection.explain import explain_page
from pipeline.inspection.status import read_status
from pipeline.publishing.manifest import claim
from pipeline.reports.console_summary import funnel
from pipeline.reports.html_report import rebuild_report
from pipeline.storage.layout import Layout

CONTENTS = ["", "{}", "[]", "null", '{"pages": "x", "identity": [], "work": 7, "kept": null}', "{" * 2000]
COMMANDS: dict[str, tuple[Callable[[str], Any], list[str]]] = {
    "status": (read_status, ["manifest.json"]),
    "report": (rebuild_report, ["manifest.json", "report.json"]),
    "audit": (audit_output, ["manifest.json", "report.json"]),
    "explain": (lambda output: explain_page("https://nowhere.example/", output), []),
    "summary": (lambda output: funnel(Layout(output)), ["report.json"]),
    "curate": (lambda output: claim(Layout(output), {}, {}, overwrite=False), ["run.json"]),
}


@pytest.fixture
def output(curated_minicrawl: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(curated_minicrawl, tmp_path / "out"))


@pytest.mark.parametrize(("command", "name"), [(key, name) for key, (_, names) in COMMANDS.items() for name in names])
def test_a_damaged_file_is_named(output: Path, command: str, name: str) -> None:
    for content in CONTENTS:
        (output / name).write_text(content)
        with pytest.raises(UserError) as caught:
            COMMANDS[command][0](str(output))
        assert str(output / name) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_key_less_is_named_too(output: Path) -> None:
    for name, command in (("manifest.json", audit_output), ("report.json", rebuild_report)):
        whole = json.loads((output / name).read_text())
        for key in whole:
            (output / name).write_text(json.dumps({other: value for other, value in whole.items() if other != key}))
            try:
                command(str(output))
            except UserError as error:
                message = str(error)
            else:
                continue  # a key that the command does not need
            assert name in message
            assert repr(key) in message
        (output / name).write_text(json.dumps(whole))


def test_a_run_of_another_version_is_named(output: Path) -> None:
    run = json.loads((output / "run.json").read_text())
    url = next(row for row in audit_urls(output))
    for settings in ({"no_such_stage": {}}, None):
        (output / "run.json").write_text(json.dumps({**run, "settings": settings}))
        with pytest.raises(UserError, match=r"run\.json: of another version"):
            explain_page(url, str(output))


def audit_urls(output: Path) -> list[str]:
    import pyarrow.dataset as ds

    urls: list[str] = ds.dataset(output / "shards").head(1, columns=["url"])["url"].to_pylist()
    return urls


@pytest.mark.parametrize("kind", ["shards", "drops"])
def test_a_report_is_not_written_from_a_part_of_the_rows(output: Path, kind: str) -> None:
    before = (output / "report.html").read_bytes()
    shutil.rmtree(output / kind)
    with pytest.raises(UserError, match=rf"{kind}/part-00000\.parquet: is missing, but in manifest\.json"):
        rebuild_report(str(output))
    assert (output / "report.html").read_bytes() == before


def test_a_damaged_parquet_file_is_named(output: Path) -> None:
    (output / "drops/part-00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"drops/part-00000\.parquet: not a readable Parquet file"):
        rebuild_report(str(output))
