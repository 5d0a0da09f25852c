"""Only what a run made is overwritten or removed; an output folder holds nothing of others and no input."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import storage
from pipeline.errors import UserError
from pipeline.storage.layout import Layout, write_json
from pipeline.storage.own_files import check_apart, check_output, remove_leftovers, remove_published, remove_work

KEY = "0123456789abcdef"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


FOREIGN = ["README.md", "work/thesis.tex", "shards/part-00000.parquet", "notes.txt", ".git/HEAD", "manifest.json",
           "run.json", "report.html"]  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_a_folder_with_files_of_others_is_refused(tmp_path: Path, name: str) -> None:
    fill(tmp_path, name)
    if name == "run.json":
        (tmp_path / name).write_text('{"settings": {}}')  # of the trainer, for example
    before = contents(tmp_path)
    with pytest.raises(UserError, match=f"no run of gristmill wrote .{name.split('/')[0]}.; choose a new folder"):
        check_output(Layout(str(tmp_path), KEY), [])
    assert contents(tmp_path) == before


def test_a_file_is_no_output_folder(tmp_path: Path) -> None:
    fill(tmp_path, "out")
    with pytest.raises(UserError, match="out: is a file"):
        check_output(Layout(str(tmp_path / "out"), KEY), [])


def test_new_and_empty_folders_and_those_of_a_run_are_accepted(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "out"), KEY)
    check_output(layout, [])
    fill(tmp_path, "out/lost+found/x", "out/run.lock", "out/.run.json.a1b2c3d4.tmp")
    check_output(layout, [])
    write_json(layout.run, {"identity": {}, "work": KEY})
    fill(tmp_path, "out/notes.txt")
    check_output(layout, [])


def test_an_output_folder_on_an_object_store(bucket: str) -> None:
    check_output(Layout(f"{bucket}/own/new", KEY), [])
    storage.create_exclusively(f"{bucket}/own/other/data/x", b"x")
    with pytest.raises(UserError, match="no run of gristmill wrote"):
        check_output(Layout(f"{bucket}/own/other", KEY), [])
    with pytest.raises(UserError, match="holds the input"):
        check_output(Layout(f"{bucket}/own/crawl", KEY), [f"{bucket}/own//crawl/a.warc.gz"])


@pytest.mark.parametrize(
    ("output", "source", "says"),
    [
        ("a", "a", "holds the input"),
        ("a", "a/b/x.warc.gz", "holds the input"),
        ("a/b/out", "a", "is inside the input"),
        ("link", "a/x.warc.gz", "holds the input"),
        ("a", "link/x.warc.gz", "holds the input"),
        ("link/out", "a", "is inside the input"),
        ("a/../a/", "a", "holds the input"),
    ],
)
def test_output_and_input_are_apart(tmp_path: Path, output: str, source: str, says: str) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(UserError, match=says):
        check_apart(f"{tmp_path}/{output}", [f"file://{tmp_path}/{source}"])
    check_apart(f"{tmp_path}/ab", [f"{tmp_path}/a", f"{tmp_path}/a.warc.gz"])


def test_only_own_files_are_removed(tmp_path: Path) -> None:
    own = ["manifest.json", "shards/part-00000.parquet", "drops/part-123456.parquet", "sketches/part-00001.parquet",
           "shards/.part-00001.parquet.abcd1234.tmp", f"work/{KEY}/staged/x.parquet", f"work/{KEY}/units.parquet",
           f"work/{KEY[::-1]}/tally/x.json"]  # fmt: skip
    mine = ["notes.txt", "shards/extra.parquet", "shards/part-1.parquet", "shards/old/part-00000.parquet",
            "drops/part-00000.parquet.bak", "work/thesis.tex", "work/data/x", "sketches/.hidden"]  # fmt: skip
    fill(tmp_path, *own, *mine)
    layout = Layout(str(tmp_path), KEY)
    remove_published(layout)
    remove_work(layout)
    assert sorted(contents(tmp_path)) == sorted(mine)


def test_folders_that_are_links_lose_only_own_files(tmp_path: Path) -> None:
    fill(tmp_path, f"scratch/{KEY}/staged/x.parquet", "scratch/mine.txt", "out/run.json")
    (tmp_path / "out/work").symlink_to(tmp_path / "scratch")
    remove_work(Layout(str(tmp_path / "out"), KEY))
    assert sorted(contents(tmp_path / "scratch")) == ["mine.txt"]


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path) -> None:
    fill(
        tmp_path, "shards/.part-00001.parquet.abcd1234.tmp", ".run.json.abcd1234.tmp", ".my.json.abcd1234.tmp", "x.tmp"
    )
    remove_leftovers(Layout(str(tmp_path), KEY))
    assert sorted(contents(tmp_path)) == [".my.json.abcd1234.tmp", "x.tmp"]


def test_published_files_on_an_object_store_are_removed_by_name(bucket: str) -> None:
    for name in ("shards/part-00000.parquet", "shards/mine.parquet", f"work/{KEY}/staged/x", "work/mine"):
        storage.create_exclusively(f"{bucket}/own/removed/{name}", b"x")
    layout = Layout(f"{bucket}/own/removed", KEY)
    remove_published(layout)
    remove_work(layout)
    assert sorted(storage.file_sizes(layout.root)) == ["shards/mine.parquet", "work/mine"]
