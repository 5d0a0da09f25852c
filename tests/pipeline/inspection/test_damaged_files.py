"""Commands on an output whose files are damaged or deleted: one line that names the file, never a traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.cli import gristmill
from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.explore.server import make_server
from pipeline.inspection.audit import audit_output
from pipeline.inspection.compare import compare_runs
from pipeline.inspection.explain import explain_page
from pipeline.inspection.sample import run_sql, sample_pages
from pipeline.inspection.status import read_status
from pipeline.publishing.manifest import claim
from pipeline.release.annotations import release_annotations
from pipeline.release.new_folder import open_new_folder
from pipeline.release.provenance_graph import write_provenance
from pipeline.release.push import push
from pipeline.release.rehydrate import rehydrate
from pipeline.release.remove import remove
from pipeline.release.selectors import make_request
from pipeline.release.training_summary import write_training_summary
from pipeline.reports.console_summary import funnel
from pipeline.reports.html_report import rebuild_report
from pipeline.rerun import plan_rerun
from pipeline.storage.errors import DamagedFileError
from pipeline.storage.layout import Layout
from pipeline.whatif.ask import what_if
from tests.conftest import MINICRAWL

REQUEST = make_request({"url": ("https://nowhere.example/",)}, ())
CONTENTS = ["", "{}", "[]", "null", '{"pages": "x", "identity": [], "work": 7, "kept": null}', "{" * 2000]
COMMANDS: dict[str, tuple[Callable[[str], Any], list[str]]] = {
    "status": (read_status, ["manifest.json"]),
    "report": (rebuild_report, ["manifest.json", "report.json"]),
    "audit": (audit_output, ["manifest.json", "report.json"]),
    "explain": (lambda output: explain_page("https://nowhere.example/", output), ["run.json"]),
    "sample": (lambda output: sample_pages(output, 1, None, None, 0), ["manifest.json"]),
    "sql": (lambda output: run_sql(output, "SELECT 1", "table"), ["manifest.json"]),
    "compare": (lambda output: compare_runs(output, output), ["manifest.json"]),
    "whatif": (lambda output: what_if(output, Config(), 0), ["manifest.json", "run.json"]),
    "rerun": (lambda output: plan_rerun(output, f"{output}-new", None, ()), ["manifest.json", "run.json"]),
    "explore": (lambda output: make_server(output, None, 0), ["manifest.json", "report.json", "run.json"]),
    "release": (lambda output: release_annotations(output, f"{output}-new"), ["manifest.json", "run.json"]),
    "summary of training": (
        lambda output: write_training_summary(output, f"{output}-new"),
        ["manifest.json", "report.json"],
    ),
    "provenance": (lambda output: write_provenance(output, f"{output}-new"), ["manifest.json"]),
    "push": (lambda output: push(output, f"{output}-new"), ["manifest.json", "report.json"]),
    "remove": (lambda output: remove(output, REQUEST), ["manifest.json", "run.json", "suppressions.json"]),
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


@pytest.fixture
def release(output: Path, tmp_path: Path) -> Path:
    release_annotations(str(output), str(tmp_path / "release"))
    return tmp_path / "release"


def test_a_release_of_another_version_is_named(output: Path, release: Path, tmp_path: Path) -> None:
    whole = json.loads((release / "release.json").read_text())
    changes = {
        "of another version of gristmill": {"settings": '{"no_such_stage": {}}'},
        "of format 9, this version of gristmill reads 1": {"release": 9},
        "has '7' where a path is expected": {"annotations": [7]},
        "has '7' where a name is expected": {"inputs": 7},
        "'settings' is 'None'": {"settings": None},
        "'drops' is 'no number'": {"content_sums": {**whole["content_sums"], "drops": "no number"}},
    }
    for said, change in changes.items():
        (release / "release.json").write_text(json.dumps({**whole, **change}))
        with pytest.raises(UserError, match=rf"release\.json: {said}"):
            rehydrate(str(release), str(tmp_path / "new"), str(MINICRAWL))
    for content in CONTENTS:
        (release / "release.json").write_text(content)
        with pytest.raises(UserError, match=r"release\.json: "):
            rehydrate(str(release), str(tmp_path / "new"), str(MINICRAWL))
    run = json.loads((output / "run.json").read_text())
    (output / "run.json").write_text(json.dumps({**run, "settings": {"no_such_stage": {}}}))
    with pytest.raises(UserError, match=r"run\.json: of another version"):
        release_annotations(str(output), str(tmp_path / "again"))


def test_a_damaged_record_of_a_removal_is_named(output: Path) -> None:
    request = make_request({"url": (audit_urls(output)[0],)}, ())
    remove(str(output), request)
    (record,) = (output / "removals").iterdir()
    whole = json.loads(record.read_text())
    changed = [json.dumps({**whole, **change}) for change in ({"documents": 7}, {"files": None}, {"no_such": 1})]
    for content in [*CONTENTS, *changed]:
        record.write_text(content)
        with pytest.raises(UserError, match=rf"removals/{record.name}: ") as caught:
            remove(str(output), request)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("entry", [{"kind": "text", "digest": "0", "shingles": [1e400]},
                                   {"kind": "text", "digest": "0", "shingles": [-1]},
                                   {"kind": "url"}, {"kind": "other", "digest": "0"}, 7])  # fmt: skip
def test_a_damaged_entry_of_a_suppression_list_is_named(output: Path, entry: object) -> None:
    path = output / "suppressions.json"
    path.write_text(json.dumps({"format": 1, "entries": [entry]}))
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"^suppression list .*suppressions\.json: not written by"):
        remove(str(output), REQUEST)
    assert path.read_bytes() == before


def test_stored_settings_of_another_version_are_named(output: Path) -> None:
    manifest = json.loads((output / "manifest.json").read_text())
    manifest["config"]["publish"]["weights"] = {"no_such": 1}
    (output / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"manifest\.json: of another version of gristmill \(no_such: unknown key"):
        audit_output(str(output))
    with pytest.raises(UserError, match=r"manifest\.json: of another version of gristmill \(no_such: unknown key"):
        remove(str(output), make_request({"url": (audit_urls(output)[0],)}, ()))


DAMAGED_RUNS = [
    {"settings": 7},
    {"settings": {"suppress": 7}},
    {"settings": {"suppress": {"lists": [7]}}},
    {"identity": {"config": 7, "files": {}}},
    {"identity": {"config": {"suppress": []}, "files": {}}},
    {"identity": {"config": {}, "files": 7}},
    {"identity": {"config": {}}},
]


@pytest.mark.parametrize("change", DAMAGED_RUNS, ids=str)
def test_wrong_types_inside_run_json_are_named(output: Path, change: dict[str, Any]) -> None:
    run = json.loads((output / "run.json").read_text())
    damaged = json.dumps({**run, **change})
    (output / "run.json").write_text(damaged)
    request = make_request({"url": (audit_urls(output)[0],)}, ())
    commands: list[Callable[[], Any]] = [lambda: remove(str(output), request)]
    if "settings" in change:
        commands.append(lambda: audit_output(str(output)))
    for command in commands:
        with pytest.raises(UserError, match=r"/run\.json: ") as caught:
            command()
        assert "\n" not in str(caught.value)
    assert (output / "run.json").read_text() == damaged


INSIDE_REPORT: list[tuple[tuple[str | int, ...], object]] = [
    (("dropped", "filter_heuristics"), 7),
    (("dropped", "filter_heuristics"), {"too_few_words": None}),
    (("records",), {"page": "x"}),
    (("languages", 0), 7),
    (("languages", 0, "documents"), "x"),
    (("hosts", 0, "host"), 7),
    (("domains", 0, "repetitions"), None),
    (("quality",), {"low": 1}),
    (("signals",), {"pii_finds": {"sum": "x"}}),
    (("cpu_seconds",), {"extract_text": []}),
    (("rescan",), {"documents": 1, "finds": 7}),
    (("rights",), 7),
    (("inputs", 0, "bytes"), "x"),
    (("versions",), 7),
    (("duplicates", "warnings"), 7),
    (("run", "seconds"), "x"),
    (("trends",), []),
    (("warnings",), [7]),
]


@pytest.mark.parametrize(("place", "value"), INSIDE_REPORT, ids=str)
def test_wrong_types_inside_report_json_are_named(output: Path, place: tuple[str | int, ...], value: object) -> None:
    report: Any = json.loads((output / "report.json").read_text())
    inside = report
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    (output / "report.json").write_text(json.dumps(report))
    named = [command for command, names in COMMANDS.values() if "report.json" in names]
    request = make_request({"url": (audit_urls(output)[0],)}, ())
    for command in [*named, lambda output: remove(output, request)]:
        with pytest.raises(UserError, match=r"/report\.json: ") as caught:
            command(str(output))
        assert ".".join(map(str, place)) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"content_sums": 7},
        {"content_sums": {"shards": "x"}},
        {"column_sums": 7},
        {"column_sums": {"shards": {"id": 1}}},
    ],
    ids=str,
)
def test_sums_that_are_no_numbers_are_named(output: Path, change: dict[str, Any]) -> None:
    manifest = json.loads((output / "manifest.json").read_text())
    (output / "manifest.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(UserError, match=r"/manifest\.json: .*the file is damaged"):
        remove(str(output), make_request({"url": (audit_urls(output)[0],)}, ()))


def audit_urls(output: Path) -> list[str]:
    import pyarrow.dataset as ds

    urls: list[str] = ds.dataset(output / "shards").head(1, columns=["url"])["url"].to_pylist()
    return urls


def release_all(output: str) -> None:
    with open_new_folder(output, f"{output}-new"):
        raise AssertionError("nothing may be released")


SHARDS, DROPS = "shards/part-00000.parquet", "drops/part-00000.parquet"
ROWS = (SHARDS, DROPS, "duplicates/part-00000.parquet")
READERS: dict[str, tuple[Callable[[str], Any], tuple[str, ...]]] = {
    "report": (rebuild_report, (SHARDS, DROPS)),
    "explain": (lambda output: explain_page("https://nowhere.example/", output), ROWS),
    "sample": (lambda output: sample_pages(output, 1, None, None, 0), ROWS),
    "sql": (lambda output: run_sql(output, "SELECT 1", "table"), ROWS),
    "compare": (lambda output: compare_runs(output, output), ROWS),
    "whatif": (lambda output: what_if(output, Config(), 0), (*ROWS, "candidates/part-00000.parquet")),
    "explore": (lambda output: make_server(output, None, 0), ROWS),
    "release": (release_all, (SHARDS,)),
    "push": (lambda output: push(output, f"{output}-new"), (SHARDS,)),
}


@pytest.mark.parametrize(("command", "name"), [(key, name) for key, (_, names) in READERS.items() for name in names])
def test_a_missing_or_truncated_part_is_named(output: Path, command: str, name: str) -> None:
    before = (output / "report.html").read_bytes()
    whole = (output / name).read_bytes()
    for content in (b"", b"PAR1", whole[:-100]):
        (output / name).write_bytes(content)
        with pytest.raises(DamagedFileError) as caught:
            READERS[command][0](str(output))
        assert f"{output / name}: not a readable Parquet file" in str(caught.value)
        assert str(caught.value).endswith("; restore it or curate again")
    shutil.rmtree((output / name).parent)
    with pytest.raises(DamagedFileError) as caught:
        READERS[command][0](str(output))
    assert str(caught.value) == f"{output / name}: is missing, but in manifest.json; restore it or curate again"
    assert (output / "report.html").read_bytes() == before
    assert not Path(f"{output}-new").exists()


def test_rows_that_cannot_be_decoded_are_damage_and_no_mistake_of_the_statement(output: Path) -> None:
    content = (output / SHARDS).read_bytes()
    (output / SHARDS).write_bytes(content[:4] + bytes(len(content) // 2) + content[4 + len(content) // 2 :])
    with pytest.raises(DamagedFileError, match=r"a Parquet file of the run is damaged .*`gristmill audit` names it"):
        run_sql(str(output), "SELECT * FROM kept", "table")
    with pytest.raises(UserError, match=r"^sql: .*no_such_table"):
        run_sql(str(output), "SELECT * FROM no_such_table", "table")
    assert failed(output) == [f"{SHARDS} has other bytes than in the manifest", "not checked"]


@pytest.mark.parametrize("name", [*ROWS, "candidates/part-00000.parquet", "sketches/part-00000.parquet"])
def test_a_missing_folder_or_part_fails_the_audit(output: Path, name: str) -> None:
    (output / name).unlink()
    assert failed(output) == [f"{name} is missing", "not checked"]
    (output / name).parent.rmdir()
    assert failed(output) == [f"{name} is missing", "not checked"]


def test_a_missing_report_fails_the_audit(output: Path) -> None:
    (output / "report.json").unlink()
    assert failed(output) == ["report.json is missing", "not checked"]
    done = CliRunner().invoke(gristmill, ["audit", str(output)])
    assert done.exit_code == 3
    assert "FAIL" in done.output


def failed(output: Path) -> list[str]:
    return [check.detail.split(",")[0] for check in audit_output(str(output)) if not check.ok]
