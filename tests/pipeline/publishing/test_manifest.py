"""run.json and manifest.json: an output folder belongs to one run."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import storage
from pipeline.errors import UserError
from pipeline.publishing.manifest import claim, is_complete
from pipeline.storage.layout import Layout, read_json, write_json

IDENTITY = {"config": {"prepare": {"unit_bytes": 5}}, "inputs": [{"name": "a", "bytes": 1}]}
OTHER = {**IDENTITY, "config": {"prepare": {"unit_bytes": 7}}}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = Layout(str(tmp_path), "key")
    claim(found, IDENTITY, {"paths": {"a": "/a"}}, overwrite=False)
    return found


def test_a_claimed_folder_names_its_run(layout: Layout) -> None:
    assert read_json(layout.run) == {"identity": IDENTITY, "work": "key", "paths": {"a": "/a"}}
    assert not is_complete(layout)
    claim(layout, IDENTITY, {}, overwrite=False)  # the same run resumes it


def test_another_run_is_refused_with_the_difference(layout: Layout) -> None:
    with pytest.raises(UserError, match=r"belongs to another run \(prepare\.unit_bytes: was 5, is 7\)"):
        claim(layout, OTHER, {}, overwrite=False)
    assert read_json(layout.run)["identity"] == IDENTITY


def test_overwriting_removes_the_files_of_the_other_run(layout: Layout) -> None:
    write_json(layout.manifest, {})
    write_json(layout.part("shards", 0), {})
    claim(layout, OTHER, {}, overwrite=True)
    assert not is_complete(layout)
    assert not storage.exists(layout.part("shards", 0))
    assert read_json(layout.run)["identity"] == OTHER
