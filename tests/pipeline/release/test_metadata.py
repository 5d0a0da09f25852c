"""Metadata that machines read: Croissant by mlcroissant, the card, the EU summary and PROV by the ledger's numbers."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import mlcroissant
import pytest
import yaml
from click.testing import CliRunner

from pipeline.release.provenance_graph import write_provenance
from pipeline.release.training_summary import format_summary, summarize, write_training_summary
from pipeline.release_commands import release
from pipeline.storage.layout import Layout
from tests.pipeline.heuristics.good_texts import prose
from tests.pipeline.release.outputs import Page, write_output

# The template of the Commission, as the summaries of Apertus and SmolLM3 have it.
SECTIONS = [
    "1.", "1.1.", "1.2.", "1.3.", "2.", "2.1.", "2.2.", "2.3.", "2.4.", "2.5.", "2.6.", "3.", "3.1.", "3.2.", "3.3.",
]  # fmt: skip


def test_croissant_is_valid_and_loads_the_rows(curated_minicrawl: Path) -> None:
    dataset = mlcroissant.Dataset(str(curated_minicrawl / "croissant.json"))
    assert list(dataset.metadata.ctx.issues.errors) == []
    assert dataset.metadata.ctx.is_v1_1()
    records = list(dataset.records("documents"))
    found = {(record["documents/id"].decode(), record["documents/words"]) for record in records}
    rows = duckdb.sql(f"SELECT id, words FROM '{curated_minicrawl}/shards/*.parquet'").fetchall()
    assert found == set(rows)
    assert len(records) == len(rows)


def test_the_card_has_front_matter_that_names_the_shards(curated_minicrawl: Path) -> None:
    front = yaml.safe_load((curated_minicrawl / "README.md").read_text().split("---")[1])
    assert front["configs"][0]["data_files"] == [{"split": "train", "path": "shards/*.parquet"}]


@pytest.mark.parametrize("small", [False, True])
def test_the_numbers_of_the_summary_add_up(curated_minicrawl: Path, tmp_path: Path, small: bool) -> None:
    values = write_training_summary(str(curated_minicrawl), str(tmp_path), small=small)
    assert json.loads((tmp_path / "training_summary.json").read_text()) == values
    names = values["domain_names"]
    listed = sum(row["characters"] for row in names["top"])
    assert listed + names["characters_of_others"] + names["characters_without_name"] == values["characters"]
    assert sum(row["documents"] for row in values["languages"]) == values["documents"]
    dropped = sum(sum(reasons.values()) for reasons in values["measures"]["dropped"].values())
    assert values["documents"] + dropped == values["crawl"]["pages"]
    shards = f"'{curated_minicrawl}/shards/*.parquet'"
    query = f"SELECT registered_domain, sum(characters) FROM {shards} WHERE registered_domain != '' GROUP BY 1"
    sums = duckdb.sql(f"{query} ORDER BY 2 DESC, 1").fetchall()
    assert names["all"] == len(sums)
    shown = -(-len(sums) // (20 if small else 10))
    assert [(row["domain"], row["characters"]) for row in names["top"]] == sums[:shown]
    text = (tmp_path / "training_summary.md").read_text()
    assert f"{values['words']:,} words" in text
    assert f"| {names['top'][0]['domain']} |" in text
    headings = [line.lstrip("# ") for line in text.splitlines() if line.startswith("##")]
    assert [line.split(" ")[0] for line in headings] == SECTIONS
    assert values["size_range"] == "less than 1 billion tokens"
    assert values["common_crawl"] == []
    hostile = {**names, "top": [{"domain": "a|b`<script>", "documents": 1, "characters": 1}]}
    assert "| a?b??script? |" in format_summary({**values, "domain_names": hostile})


def test_common_crawl_is_a_public_dataset_of_the_summary(tmp_path: Path) -> None:
    pages = [Page("https://www.a.example.org/1", f"A story. {prose(6)}")]
    output = write_output(tmp_path / "out", pages, input_name="crawl-data/CC-MAIN-2026-43/segments/1/warc/a.warc.gz")
    values = summarize(Layout(str(output)), small=False)
    assert values["common_crawl"] == ["CC-MAIN-2026-43"]
    public, own = format_summary(values).split("### 2.1.")[1].split("### 2.3.")
    assert "Common Crawl, https://commoncrawl.org/: CC-MAIN-2026-43" in public
    assert "are Common Crawl's (2.1)" in own


def test_provenance_names_every_file_once(curated_minicrawl: Path, tmp_path: Path) -> None:
    values = write_provenance(str(curated_minicrawl), str(tmp_path))
    manifest = json.loads((curated_minicrawl / "manifest.json").read_text())
    entities = values["entity"].values()
    assert sorted(entity["gm:name"] for entity in entities if "gm:bytes" in entity) == sorted(
        entry["name"] for entry in manifest["inputs"]
    )
    assert {entity["gm:sha256"] for entity in entities if "gm:path" in entity} == {
        entry["sha256"] for entry in manifest["shards"]
    }
    used = {link["prov:entity"] for link in values["used"].values()}
    assert used == {key for key, entity in values["entity"].items() if "gm:path" not in entity} - {"gm:dataset"}


@pytest.mark.parametrize("kind", ["annotations", "training-summary", "provenance"])
def test_nothing_is_released_of_a_run_that_kept_nothing(kind: str, tmp_path: Path) -> None:
    output = write_output(tmp_path / "out", [Page("https://a.example/1", "Short.", dropped=True)], units=1)
    done = CliRunner().invoke(release, [str(output), f"--{kind}", "--output", str(tmp_path / "new")])
    assert done.exit_code == 3
    assert done.output == f"Error: nothing was kept; {output}/report.html has the reasons\n"
    assert not (tmp_path / "new").exists()
