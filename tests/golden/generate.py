"""Write the golden output of the current version of the format, once: `python -m tests.golden.generate`.

A small output of pages of our own, one of them removed, without report.html.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.lists.suppressions import SelectorKind
from pipeline.publishing.manifest import FORMAT
from pipeline.release.remove import remove
from pipeline.release.selectors import Request, make_selector
from tests.conftest import ROOT
from tests.pipeline.release.outputs import Page, copy_page, write_output

STORIES = (
    "The river rises in the hills behind the village and reaches the sea after forty miles of meadows and locks.",
    "In summer the water is low, so the stones of the mill are dressed and the leaking sluice is mended by hand.",
    "Children walk up to the weir in spring to count the eels that climb it, and write the number on the wall.",
    "The miller tells every visitor how the wheel was carried off by the flood and found in a field a week later.",
)


def write(folder: Path) -> None:
    """The output, and expected.json with what a reader must find in it."""
    pages = [Page(f"https://site{number % 2}.example.org/{number}", text) for number, text in enumerate(STORIES)]
    pages += [Page("https://site0.example.org/short", "Too few words.", dropped=True)]
    pages += [copy_page(pages, 0, "https://copy.example.net/0")]
    with tempfile.TemporaryDirectory() as place:
        output = write_output(Path(place) / "out", pages)
        remove(str(output), Request((make_selector(SelectorKind.URL, pages[3].url),)))
        (output / "report.html").unlink()
        for name in ("run.json", "report.json", "manifest.json"):
            text = (output / name).read_text().replace(str(ROOT), "/gristmill").replace(place, "/data")
            (output / name).write_text(text)
        shutil.copytree(output, folder)
    rows = [row for path in sorted((folder / "shards").iterdir()) for row in pq.read_table(path).to_pylist()]
    manifest = json.loads((folder / "manifest.json").read_text())
    order = {entry["path"].split("/")[1]: number for number, entry in enumerate(manifest["shards"])}
    assert list(order) == sorted(order)
    numbers = ("format", "content_hash", "pages", "kept", "dropped", "words", "characters", "removed")
    expected = {
        "manifest": {name: manifest[name] for name in numbers},
        "rows": [{name: row[name] for name in ("id", "text", "weight")} for row in rows],
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    write(Path(__file__).parent / f"format-{FORMAT}")
