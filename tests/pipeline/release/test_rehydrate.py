"""A release without text, and the dataset again from it: equal hashes, from a server that is slow, busy and cut off."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from classifiers.artifacts import default_folder
from pipeline import effects
from pipeline.errors import LockedError, UserError
from pipeline.page_process.chain import close_started_worker
from pipeline.release.annotations import ANNOTATIONS, RELEASE, release_annotations
from pipeline.release.rehydrate import PARTS, rehydrate
from pipeline.release.remove import remove
from pipeline.release.selectors import make_request
from pipeline.storage.layout import Layout, read_manifest
from pipeline.storage.lease import hold_lease
from tests.conftest import MINICRAWL, Command
from tests.pipeline.heuristics.good_texts import prose
from tests.pipeline.release.outputs import Page, write_output
from tests.pipeline.servers import Web, serve
from tests.pipeline.simulation.world import FAULTS, Fault, Killed, World, at_call
from trainer.data.curated_dataset import open_dataset


@pytest.fixture(scope="module")
def release(curated_minicrawl: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release") / "annotations"
    release_annotations(str(curated_minicrawl), str(folder))
    return folder


@pytest.fixture
def web() -> Iterator[Web]:
    with serve(MINICRAWL) as found:
        yield found


@pytest.fixture(autouse=True)
def _no_started_worker() -> Iterator[None]:
    yield
    close_started_worker()


def rows_of(folder: Path) -> list[dict[str, object]]:
    return [row for path in sorted(folder.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_a_release_holds_no_text(release: Path, curated_minicrawl: Path) -> None:
    rows = rows_of(release / ANNOTATIONS)
    originals = rows_of(curated_minicrawl / "shards")
    assert [row["url"] for row in rows] == [row["url"] for row in originals]
    assert not {"text", "title"} & set(rows[0])
    content = b"".join(path.read_bytes() for path in release.rglob("*") if path.is_file())
    words = [str(row["text"])[20:80] for row in originals]
    assert not any(json.dumps(row, default=str).count(text) for row, text in zip(rows, words, strict=True))
    assert not any(text.encode() in content for text in words)


def test_the_dataset_again_has_the_same_rows_and_hash(
    release: Path, curated_minicrawl: Path, web: Web, tmp_path: Path
) -> None:
    web.failures = [503, 429, "reset", 503, "short"]
    found = rehydrate(str(release), str(tmp_path / "out"), web.url)
    original = read_manifest(Layout(str(curated_minicrawl)))
    assert (found.is_equal, found.content_hash, found.missing) == (True, original["content_hash"], 0)
    assert rows_of(tmp_path / "out" / "shards") == rows_of(curated_minicrawl / "shards")
    assert open_dataset(str(tmp_path / "out")).rows == original["kept"]
    files = [path for path in MINICRAWL.iterdir() if path.suffix != ".md"]
    assert web.requests["GET"] <= len(files) + 5  # one for the close records of a file, and those that failed
    assert web.sent < 2 * sum(path.stat().st_size for path in files)


def test_what_cannot_be_had_is_listed_and_the_same_command_fetches_nothing_twice(release: Path, tmp_path: Path) -> None:
    shutil.copytree(MINICRAWL, tmp_path / "mirror")
    (tmp_path / "mirror" / "minicrawl-00003.warc").unlink()
    broken = tmp_path / "mirror" / "minicrawl-00004.warc.zst"
    broken.write_bytes(broken.read_bytes()[:-5])
    with serve(tmp_path / "mirror") as web:
        found = rehydrate(str(release), str(tmp_path / "out"), web.url)
        missing = json.loads((tmp_path / "out" / "missing.json").read_text())["documents"]
        names = {row["id"]: row["warc_file"] for row in rows_of(release / ANNOTATIONS)}
        assert not found.is_equal
        assert found.missing == len(missing) > 0
        assert {names[line["id"]] for line in missing} == {"minicrawl-00003.warc", "minicrawl-00004.warc.zst"}
        assert all(line["url"] and line["reason"] for line in missing)
        requests = web.requests.total()
        assert rehydrate(str(release), str(tmp_path / "out"), web.url) == found
        assert web.requests.total() == requests
        assert sum(count for _, count in found.reasons) == found.missing
        shutil.copytree(MINICRAWL, tmp_path / "mirror", dirs_exist_ok=True)
        assert rehydrate(str(release), str(tmp_path / "out"), web.url) == found
        web.requests.clear()
        assert rehydrate(str(release), str(tmp_path / "out"), web.url, retry=True).is_equal
        assert web.requests["GET"] == 2  # the two files, and nothing that was had


def test_a_password_of_the_source_is_not_stored(release: Path, tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    with serve(tmp_path / "mirror") as web:
        found = rehydrate(str(release), str(tmp_path / "out"), web.url.replace("//", "//me:SECRET@"))
    stored = [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(stored) >= 3  # the note, the result of a part, missing.json
    assert not any(b"SECRET" in content for content in stored)
    names = {str(row["warc_file"]) for row in rows_of(release / ANNOTATIONS)}
    assert {reason for reason, _ in found.reasons} == {
        f"{name}: no such file or folder; check the spelling" for name in names
    }


def test_a_release_of_which_no_page_can_be_had_fails(release: Path, tmp_path: Path, gristmill: Command) -> None:
    (tmp_path / "mirror").mkdir()
    words = ("rehydrate", release, "--source", tmp_path / "mirror", "--output", tmp_path / "out")
    done = gristmill(*words, check=False)
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].endswith(f"could be had; {tmp_path}/out/missing.json has the reasons")
    listed = json.loads((tmp_path / "out/missing.json").read_text())["documents"]
    assert len(listed) == len(rows_of(release / ANNOTATIONS))


def test_a_damaged_result_of_an_earlier_call_is_named(release: Path, tmp_path: Path) -> None:
    words = (str(release), str(tmp_path / "out"), str(MINICRAWL))
    rehydrate(*words)
    path = next((tmp_path / "out" / PARTS).glob("part-*.json"))
    whole = json.loads(path.read_text())
    changes = ({"content": "no number"}, {"file": {**whole["file"], "rows": "x"}}, {"missing": [7]})
    for change in changes:
        path.write_text(json.dumps({**whole, **change}))
        with pytest.raises(UserError, match=rf"{PARTS}/{path.name}: ") as caught:
            rehydrate(*words)
        assert "\n" not in str(caught.value)
    path.write_text(json.dumps(whole))
    assert rehydrate(*words).is_equal


def test_another_page_at_the_place_is_not_taken_for_it(release: Path, tmp_path: Path) -> None:
    copy = tmp_path / "release"
    shutil.copytree(release, copy)
    entry = json.loads((copy / RELEASE).read_text())[ANNOTATIONS][0]
    table = pq.read_table(copy / entry["path"])
    rows = table.to_pylist()
    rows[0]["text_sha256"] = "0" * 64
    rows[1]["id"] = "0" * 32
    pq.write_table(table.from_pylist(rows, schema=table.schema), copy / entry["path"])
    found = rehydrate(str(copy), str(tmp_path / "out"), str(MINICRAWL))
    missing = json.loads((tmp_path / "out" / "missing.json").read_text())["documents"]
    assert (found.missing, found.is_equal) == (2, False)
    assert [line["reason"] for line in missing] == [
        "another text than the release was made from", "another capture than the release was made from",
    ]  # fmt: skip


def test_only_a_folder_of_the_same_release_is_written_to(
    release: Path, curated_minicrawl: Path, tmp_path: Path
) -> None:
    shutil.copytree(curated_minicrawl, tmp_path / "curated")
    before = {path: path.read_bytes() for path in (tmp_path / "curated").rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="holds files that no run of gristmill wrote"):
        rehydrate(str(release), str(tmp_path / "curated"), str(MINICRAWL))
    assert {path: path.read_bytes() for path in (tmp_path / "curated").rglob("*") if path.is_file()} == before
    (tmp_path / "other" / "rehydrated").mkdir(parents=True)
    (tmp_path / "other" / "rehydrated" / RELEASE).write_text('{"content_hash": "another"}')
    with pytest.raises(UserError, match="holds another release's dataset"):
        rehydrate(str(release), str(tmp_path / "other"), str(MINICRAWL))
    with pytest.raises(UserError, match="choose an --output outside of it"):
        rehydrate(str(release), str(release / "new"), str(MINICRAWL))


PAGES = [Page("https://www.example.org/1.html", prose(6)), Page("https://www.example.org/2.html", prose(6, start=9))]


def change_json(path: Path, **tables: dict[str, object]) -> None:
    """Values inside of tables of run.json's settings or of manifest.json's config."""
    values = json.loads(path.read_text())
    settings = values["settings" if path.name == "run.json" else "config"]
    for table, changed in tables.items():
        settings[table] |= changed
    path.write_text(json.dumps(values))


def test_no_secret_and_no_path_of_the_settings_is_released(tmp_path: Path) -> None:
    output, target, address = write_output(tmp_path / "out", PAGES), tmp_path / "new", "https://me:SECRET@a.example/"
    heuristics = json.loads((output / "run.json").read_text())["settings"]["filter_heuristics"]
    heuristics["harmful_words"] |= {"lists": "/SECRET/here", "everyday": "/SECRET/every.txt"}
    sketches = {
        "previous_sketches": ["/SECRET/old/sketches", f"{address}x?key=SECRET"],
        "prefer_source": ["/SECRET/a/b"],
    }
    change_json(
        output / "run.json",
        suppress={"lists": [f"{address}list.json?key=SECRET"]},
        block_urls={"annotations": [{"path": f"{address}spam.parquet?key=SECRET"}], "hosts": [{"path": "/SECRET/a"}]},
        check_rights={"robots_files": ["/SECRET/robots.warc.gz"]},
        decontaminate={"sets": ["/SECRET/items.jsonl"]},
        custom_rules={"folder": "/SECRET/rules", "filters": ["mine.rules:find"]},
        score_quality={"model": "/SECRET/quality"},
        tag_domain={"model": "/SECRET/domain", "harm_model": "/SECRET/harm"},
        identify_language={"model": "/SECRET/languages/glot.bin"},
        scrub_pii={"names_model": "/SECRET/names"},
        publish={"tokenizer": "/SECRET/tokenizer.json"},
        filter_heuristics=heuristics,
        deduplicate=sketches,
    )  # fmt: skip
    change_json(output / "manifest.json", deduplicate=sketches)
    release_annotations(str(output), str(target))
    names = {path.name for path in target.rglob("*") if path.is_file() and b"SECRET" in path.read_bytes()}
    assert (target / RELEASE).is_file()
    assert names == set()


def test_a_release_after_a_removal_needs_nothing_of_the_original(curated_minicrawl: Path, tmp_path: Path) -> None:
    original = tmp_path / "original"
    shutil.copytree(curated_minicrawl, original)
    removed = str(rows_of(original / "shards")[0]["id"])
    remove(str(original), make_request({"id": [removed]}, []))
    release_annotations(str(original), str(tmp_path / "release"))
    rows = rows_of(original / "shards")
    shutil.rmtree(original)
    assert rehydrate(str(tmp_path / "release"), str(tmp_path / "out"), str(MINICRAWL)).is_equal
    assert rows_of(tmp_path / "out" / "shards") == rows
    assert removed not in {row["id"] for row in rows}


def test_settings_that_drop_and_score_pages_do_not_matter(
    curated_minicrawl: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a run that kept pages which the defaults would drop, and whose own models and lists nobody has."""
    shutil.copytree(curated_minicrawl, tmp_path / "original")
    listed = tmp_path / "hosts.txt"
    listed.write_text("".join(f"{row['host']}\n" for row in rows_of(curated_minicrawl / "shards")))
    change_json(
        tmp_path / "original" / "run.json",
        block_urls={"hosts": [{"path": str(listed)}]},
        score_quality={"model": "/nowhere/quality", "min_score": 1.0},
        tag_domain={"harm_model": "/nowhere/harm", "max_harm": 0.0},
    )
    release_annotations(str(tmp_path / "original"), str(tmp_path / "release"))
    assert rehydrate(str(tmp_path / "release"), str(tmp_path / "out"), str(MINICRAWL)).is_equal
    assert "than the release was made with" not in caplog.text


def test_an_own_model_on_which_texts_depend_is_named_again(
    curated_minicrawl: Path, tmp_path: Path, gristmill: Command
) -> None:
    shutil.copytree(curated_minicrawl, tmp_path / "original")
    shutil.copytree(default_folder("language"), tmp_path / "here" / "own")
    change_json(tmp_path / "original" / "run.json", identify_language={"model": str(tmp_path / "here" / "own")})
    release_annotations(str(tmp_path / "original"), str(tmp_path / "release"))
    (tmp_path / "here").rename(tmp_path / "there")
    words = ("rehydrate", tmp_path / "release", "--source", MINICRAWL, "--output", tmp_path / "out")
    refused = gristmill(*words, check=False)
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].endswith(
        "depend on the model own, which is not part of it; name where it is: --set identify_language.model=PATH"
    )
    done = gristmill(*words, "--set", f"identify_language.model={tmp_path}/there/own")
    assert "content hash that of the release" in done.stdout


def test_killed_at_any_change_the_same_command_goes_on_and_leaves_nothing_behind(release: Path, tmp_path: Path) -> None:
    """Of a release without parts: what is written first and last."""
    shutil.copytree(release, tmp_path / "release")
    path = tmp_path / "release" / RELEASE
    path.write_text(json.dumps({**json.loads(path.read_text()), ANNOTATIONS: []}))
    words, output = (str(tmp_path / "release"), str(tmp_path / "out"), str(MINICRAWL)), tmp_path / "out"
    kinds: list[effects.Effect] = []
    with effects.simulate(World(str(output), lambda _number, effect, _: kinds.append(effect))):
        expected = rehydrate(*words)
    files = {found.relative_to(output) for found in output.rglob("*")}
    assert kinds.count(effects.Effect.RENAME) >= 3  # the note, missing.json and the manifest
    for number, effect in enumerate(kinds, 1):
        if Fault.KILL not in FAULTS[effect]:
            continue
        shutil.rmtree(output)
        with pytest.raises(Killed), effects.simulate(World(str(output), at_call(number, Fault.KILL))):
            rehydrate(*words)
        for lock in output.glob("run.lock*"):
            lock.unlink()  # its owner is gone, which a test in one process cannot show
        assert rehydrate(*words) == expected, (number, effect)
        assert {found.relative_to(output) for found in output.rglob("*")} == files, (number, effect)


def test_two_processes_do_not_begin_in_one_folder(release: Path, tmp_path: Path) -> None:
    with hold_lease(Layout(str(tmp_path / "out")).lease), pytest.raises(LockedError, match="held by"):
        rehydrate(str(release), str(tmp_path / "out"), str(MINICRAWL))
    assert not (tmp_path / "out" / PARTS).exists()


def test_the_source_must_be_named_where_it_is_not_common_crawl(release: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--source"):
        rehydrate(str(release), str(tmp_path / "out"))
