"""`gristmill curate` with one's own rules, quality model and evaluation sets: fates, columns, hashes, replay."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import fasttext
import pyarrow.dataset as ds
import pytest

from tests.conftest import MINICRAWL, Command, run_gristmill

RULES = """
def even(document):
    return "odd_characters" if len(document.text) % 2 else None

def characters(document):
    return len(document.text)

def broken(document):
    return document.no_such_column
"""


@pytest.fixture(scope="module")
def texts(curated_minicrawl) -> dict[str, str]:
    found = ds.dataset(curated_minicrawl / "shards").to_table(columns=["id", "text"]).to_pylist()
    return {row["id"]: row["text"] for row in found}


@pytest.fixture(scope="module")
def folder(texts, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "my_rules.py").write_text(RULES)
    copied = min(texts.values(), key=len)
    (folder / "exam.jsonl").write_text(json.dumps({"question": " ".join(copied.upper().split()[:40])}) + "\n")
    lines = [
        f"__label__{'hq' if n % 2 else 'cc'} {' '.join(text.split())[:400]}" for n, text in enumerate(texts.values())
    ]
    (folder / "lines.txt").write_text("\n".join(lines) + "\n")
    model = fasttext.train_supervised(str(folder / "lines.txt"), dim=4, epoch=2, thread=1, seed=1, verbose=0)
    model.save_model(str(folder / "model.bin"))
    return folder


@pytest.fixture(scope="module")
def output(folder) -> Path:
    options = {
        "custom_rules.folder": folder,
        "custom_rules.filters": '["my_rules:even"]',
        "custom_rules.scorers": '["my_rules:characters"]',
        "score_quality.model": folder / "model.bin",
        "score_quality.label": "hq",
        "decontaminate.sets": f'["{folder}/exam.jsonl"]',
        "publish.jsonl": "zstd",
    }
    settings = [part for name, value in options.items() for part in ("--set", f"{name}={value}")]
    run_gristmill("curate", MINICRAWL, "--output", folder / "out", "--workers", 2, *settings)
    return folder / "out"


def test_rules_have_fates_and_signals_of_their_own(output):
    kept = ds.dataset(output / "shards").to_table().to_pylist()
    drops = ds.dataset(output / "drops").to_table().to_pylist()
    ruled = [row for row in drops if row["stage"] == "custom_rules"]
    assert {row["reason"] for row in ruled} == {"odd_characters"}
    assert {row["detail"] for row in ruled} == {"my_rules:even"}
    assert all(row["signals"]["characters"] % 2 == 1 for row in ruled)
    assert len(kept) > 20
    assert all(row["signals"]["characters"] % 2 == 0 for row in kept)
    report = json.loads((output / "report.json").read_text())
    assert report["dropped"]["custom_rules"] == {"odd_characters": len(ruled)}


def test_the_quality_score_is_the_models(output, folder):
    model = fasttext.load_model(str(folder / "model.bin"))
    rows = ds.dataset(output / "shards").to_table(columns=["text", "quality_score", "duplicates"]).to_pylist()
    scores = []
    for row in rows:
        names, values = model.predict(" ".join(row["text"].split()), k=2)
        scores.append(abs(dict(zip(names, values, strict=True))["__label__hq"] - row["quality_score"]))
    assert sum(difference < 1e-5 for difference in scores) > 0.9 * len(scores)  # others lost repeated paragraphs


def test_a_copy_of_an_evaluation_item_is_dropped(output):
    drops = ds.dataset(output / "drops").to_table().to_pylist()
    found = [row for row in drops if row["stage"] == "decontaminate"]
    assert found
    assert {row["reason"] for row in found} == {"evaluation_item"}
    assert {row["detail"] for row in found} == {"exam, line 1"}
    assert all(row["value"] >= row["threshold"] == 0.5 for row in found)


def test_hashes_of_models_sets_and_sources_are_published(output, folder):
    files = json.loads((output / "manifest.json").read_text())["files"]
    for stage, name in (("score_quality", "model.bin"), ("decontaminate", "exam.jsonl")):
        assert files[f"{stage}:{folder.name}/{name}"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert len(files["custom_rules:my_rules:even"]) == 64


def test_audit_and_explain_know_the_rules(output, gristmill: Command):
    gristmill("audit", output)
    drops = ds.dataset(output / "drops").to_table(columns=["id", "stage"]).to_pylist()
    for stage in ("custom_rules", "decontaminate"):
        name = next(row["id"] for row in drops if row["stage"] == stage)
        (found,) = json.loads(gristmill("explain", name, "--run", output, "--json").stdout)[:1]
        assert found["agrees"]
        assert found["stages"][-1]["name"] == stage


def test_a_rule_that_fails_on_every_page_fails_the_run(folder, tmp_path, gristmill: Command):
    rules = ("--set", f"custom_rules.folder={folder}", "--set", 'custom_rules.filters=["my_rules:broken"]')
    done = gristmill("curate", MINICRAWL, "--output", tmp_path / "out", *rules, "--limit", 1, check=False)
    assert done.returncode == 3
    assert "custom_rules:failed" in done.stderr
