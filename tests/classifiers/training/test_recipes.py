"""`gristmill classify` from a folder of pages to a model that passes the gate, on a small synthetic folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from scipy.stats import spearmanr
from sklearn.metrics import confusion_matrix, roc_auc_score

from classifiers.artifacts import digest_of
from classifiers.cli import classify
from classifiers.data.page_labels import read_page_labels
from classifiers.data.page_text import TextRow, read_rows
from classifiers.data.sampling import Split
from classifiers.data.source_pages import Sources
from classifiers.data.tables import read_batches
from classifiers.domain import load_domain_model
from classifiers.domain_labels import TOPICS
from classifiers.education import load_education_model
from classifiers.evaluation.evaluate import unknown_share
from classifiers.evaluation.gate import load_floors, value_at
from classifiers.evaluation.report import PLOTS
from classifiers.harm import load_harm_model
from classifiers.quality import load_quality_model
from classifiers.training import train_page_scorer
from classifiers.training.recipe_domain import item_of
from classifiers.training.recipe_quality import read_targets
from pipeline.extraction.training_pages import TrainingPageExtractor
from tests.classifiers.small_data import write_data

TRAINABLE = (
    "quality",
    "education",
    "domain",
    "harm",
)  # extraction has training pages of its own: test_train_extraction.py


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(classify, [str(argument) for argument in arguments], obj=TrainingPageExtractor)
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder; the shipped labels are replaced by ones that fit it."""
    folder = tmp_path_factory.mktemp("data")
    labels = write_data(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_page_labels, "__defaults__", (labels,))
        patch.setattr(train_page_scorer, "MIN_PAGES", 50)
        yield folder


@pytest.fixture(scope="module")
def training_output(data: Path) -> dict[str, str]:
    """The output of training each model; the models are in data/models."""
    return {name: run("train", name, *of(data), "--output", data / "models" / name) for name in TRAINABLE}


@pytest.fixture(scope="module")
def numbers(data: Path, training_output: dict[str, str]) -> dict[str, Any]:
    """What one command measured and wrote to data/report."""
    models = [part for name in TRAINABLE for part in (f"--{name}", data / "models" / name)]
    run("evaluate", *of(data), *models, "--output", data / "report")
    found: dict[str, Any] = json.loads((data / "report/numbers.json").read_text())
    return found


def of(data: Path) -> tuple[object, ...]:
    return ("--data", data, "--work", data / "work")


def pages_of(data: Path) -> list[TextRow]:
    return [row for path in (data / "work").glob("pages-*.jsonl") for row in read_rows(path)]


def test_training_prints_the_calibration_of_the_score(training_output: dict[str, str]) -> None:
    meanings = re.findall(r"^  (0\.\d\d): (\d\.\d\d) \((\d+) rows\)$", training_output["quality"], re.MULTILINE)
    assert len(meanings) >= 2
    assert [score for score, _, _ in meanings] == sorted(score for score, _, _ in meanings)
    assert "test spearman" in training_output["education"]
    assert "test_auc" in training_output["harm"]
    assert "topic_macro_f1" in training_output["domain"]


@pytest.mark.parametrize("name", TRAINABLE)
def test_the_same_folder_gives_the_same_bytes(data: Path, training_output: dict[str, str], name: str) -> None:
    run("train", name, *of(data), "--output", data / "again" / name)
    files = sorted(path.name for path in (data / "models" / name).iterdir())
    for file in files:
        assert digest_of(data / "again" / name / file) == digest_of(data / "models" / name / file), file
    assert {"manifest.json", "README.md"} < set(files)


def test_the_quality_report_is_about_pages_of_unseen_domains(data: Path, numbers: dict[str, Any]) -> None:
    model = load_quality_model(data / "models/quality")
    every = read_targets(Sources(data, data / "work", TrainingPageExtractor()), "quality")
    test = [target for target in every if target.split == Split.TEST]
    trained = {target.row.registered_domain for target in every if target.split != Split.TEST}
    assert not trained & {target.row.registered_domain for target in test}
    found = numbers["quality"]
    scores = model.score([target.row.text for target in test], [target.row.signals for target in test])
    keep, usable = [target.value == 1 for target in test], [target.value > 0 for target in test]
    assert found["keep"]["rows"] == len(test) > 30
    assert found["keep"]["auc"] == pytest.approx(roc_auc_score(keep, scores), abs=1e-4)
    assert found["usable"]["auc"] == pytest.approx(roc_auc_score(usable, scores), abs=1e-4)
    assert found["keep"]["low"] <= found["keep"]["auc"] <= found["keep"]["high"]
    assert set(found["baselines"]) == set(found["human_baselines"])
    assert {"text length", "English stop words", "Gopher pass"} <= set(found["baselines"])
    assert found["human"]["rows"] == 60
    starts = [int(name.split("-")[0]) for name in found["by_length"]]
    assert starts == sorted(starts)
    top, bottom = ([page[0] for page in found["pages"][name]] for name in ("top", "bottom"))
    assert min(top) >= max(bottom)
    assert len(found["pages"]["middle"]) == 12


def test_the_bias_of_a_layer_is_its_mean_score_minus_the_mean_label(data: Path, numbers: dict[str, Any]) -> None:
    every = read_targets(Sources(data, data / "work", TrainingPageExtractor()), "quality")
    test = [target for target in every if target.split == Split.TEST]
    texts, signals = [target.row.text for target in test], [target.row.signals for target in test]
    lengths, truth = np.array(list(map(len, texts))), np.array([target.value for target in test])
    model, found = load_quality_model(data / "models/quality"), numbers["quality"]["bias"]
    for layer, scores in (("text", model.score(texts)), ("page", model.score(texts, signals))):
        assert found[layer]["length"]
        for name, entry in found[layer]["length"].items():
            low, high = (int(edge or 10**9) for edge in name.split("-"))
            inside = (lengths >= low) & (lengths < high)
            expected = np.array(scores)[inside].mean() - truth[inside].mean()
            assert entry == {"rows": inside.sum(), "bias": pytest.approx(expected, abs=1e-3)}
        assert sum(entry["rows"] for entry in found[layer]["kind"].values()) == len(test)


def test_the_education_report_holds_scipys_correlation(data: Path, numbers: dict[str, Any]) -> None:
    model = load_education_model(data / "models/education")
    every = read_targets(Sources(data, data / "work", TrainingPageExtractor()), "education")
    test = [target for target in every if target.split == Split.TEST]
    scores = model.score([target.row.text for target in test], [target.row.signals for target in test])
    assert all(0 <= score <= 5 for score in scores)
    expected = spearmanr([target.value for target in test], scores).statistic
    assert numbers["education"]["spearman"]["value"] == pytest.approx(expected, abs=1e-4)
    assert numbers["education"]["spearman"]["low"] <= expected <= numbers["education"]["spearman"]["high"]


def test_the_domain_report_holds_scikit_learns_confusion_matrix(data: Path, numbers: dict[str, Any]) -> None:
    labels, model = read_page_labels(), load_domain_model(data / "models/domain")
    found = numbers["domain"]["topic"]
    assert found["labels"] == [*TOPICS, "unknown"]
    tested = [row for row in pages_of(data) if row.id in labels and labels[row.id].split == Split.TEST]
    answers = [label for label, _ in model.tag([item_of(row) for row in tested])]
    truth = [labels[row.id].domains["topic"] for row in tested]
    assert found["confusion"] == confusion_matrix(truth, answers, labels=found["labels"]).tolist()
    assert numbers["domain"]["test"]["topic_rows"] == len(tested) > 30
    assert found["left_empty"] == {"rows": 0, "unknown": None}
    assert unknown_share(model, "topic", tested) == {
        "rows": len(tested),
        "unknown": pytest.approx(answers.count("unknown") / len(tested), abs=1e-4),
    }
    assert numbers["domain"]["test"]["topic_macro_f1"] > 0.9


def test_the_manifest_holds_the_trust_in_each_labeling_function(data: Path, training_output: dict[str, str]) -> None:
    calibration = load_domain_model(data / "models/domain").artifact.manifest.calibration
    trust = calibration["witnesses"]["label topic news / kind"]
    assert trust["right"] == trust["checked"] > 20
    assert calibration["conflicts"] == {}


def test_false_alarms_are_counted_on_health_law_and_news(data: Path, numbers: dict[str, Any]) -> None:
    found = numbers["harm"]
    for group in ("health", "crime_and_law", "politics", "news"):
        counted = found["above"][f"web pages: {group}"]
        assert counted["rows"] > 5
        assert found["spared"][f"web pages: {group}"] == pytest.approx(1 - counted["above_threshold"])
    assert found["above"]["hh-rlhf"]["above_threshold"] > 0.9
    assert load_harm_model(data / "models/harm").score(["the committee published its report"])[0] < 0.5


def test_the_report_is_a_page_with_tables_and_plots(data: Path, numbers: dict[str, Any]) -> None:
    page = (data / "report/report.md").read_text()
    for part in (
        "By length",
        "By language",
        "By collection",
        "Education value",
        "### top",
        "### middle",
        "### bottom",
        "## Harm",
        "news",
    ):
        assert part in page
    assert f"{numbers['quality']['keep']['auc']:.3f}" in page
    for plot in PLOTS:
        assert plot in page
        assert (data / "report" / plot).read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def floors(data: Path, numbers: dict[str, Any]) -> Path:
    """The shipped measures, pinned on these test rows at the values that were just measured."""
    pinned = {
        name: {
            "test_digest": numbers[name]["test_digest"],
            "floors": {measure: value_at(numbers[name], measure) for measure in entry["floors"]},
        }
        for name, entry in load_floors().items()
        if name in numbers  # extraction has training pages of its own
    }
    path = data / "floors.json"
    path.write_text(json.dumps(pinned))
    return path


@pytest.mark.parametrize("name", TRAINABLE)
def test_the_gate_lets_an_equal_model_through_and_stops_a_worse_one(
    data: Path, floors: Path, tmp_path: Path, name: str
) -> None:
    pinned = json.loads(floors.read_text())
    higher = json.loads(json.dumps(pinned))
    measure = min(pinned[name]["floors"])
    higher[name]["floors"][measure] += 0.01
    other = json.loads(json.dumps(pinned))
    other[name]["test_digest"] = "0" * 64
    paths = []
    for number, content in enumerate((pinned, higher, other)):
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(json.dumps(content))
    command = ("gate", name, data / "models" / name, *of(data), "--floors")
    assert "passes" in run(*command, paths[0])
    assert f"{name}: {measure} is" in run(*command, paths[1], code=3)
    assert "measured on test rows" in run(*command, paths[2], code=3)
    assert "although worse: the old one was wrong" in run(*command, paths[1], "--accept-worse", "the old one was wrong")
    run(*command, paths[1], "--accept-worse", " ", code=3)  # no words


def test_a_sample_of_staged_documents_trains_a_model(
    data: Path, training_output: dict[str, str], tmp_path: Path
) -> None:
    pages = pages_of(data)
    staged = [{"id": row.id, "url": row.url, "title": row.title, "text": row.text} for row in pages]
    (tmp_path / "staged").mkdir()
    for number in (0, 1):
        pq.write_table(pa.Table.from_pylist(staged[number::2]), tmp_path / f"staged/part-{number}.parquet")
    urls = [row.url for row in pages if row.source == "articles"]
    other = [f"{url}/other" for url in urls[::3]]  # of these only the host is cited
    (tmp_path / "refs.txt").write_text("".join(f"{url}\n" for url in [*other, *urls[1::3], *urls[2::3]]))
    chosen = [{"text": f"Question? {row.text}"} for row in pages[:40]]
    pq.write_table(pa.Table.from_pylist(chosen), tmp_path / "chosen.parquet")
    command = ("sample", tmp_path / "staged", "--references", tmp_path / "refs.txt", "--match", "host", "--output")
    output = run(*command, tmp_path / "sample.jsonl.gz", "--positives", tmp_path / "chosen.parquet")
    rows = [row for batch in read_batches(tmp_path / "sample.jsonl.gz") for row in batch]
    assert f"{len(rows)} examples" in output
    marks = {(row["source"], row["label"], row["match"]) for row in rows}
    staged_marks = {("staged", "cited", "exact"), ("staged", "cited", "host"), ("staged", "crawl", "")}
    assert marks == {*staged_marks, ("chosen.parquet", "cited", "")}
    assert all((row["match"] == "host") == (row["url"] in urls[::3]) for row in rows if row["label"] == "cited")
    run("train", "quality", "--sample", tmp_path / "sample.jsonl.gz", "--output", tmp_path / "model")
    manifest = load_quality_model(tmp_path / "model").artifact.manifest
    assert manifest.command.endswith("--sample sample.jsonl.gz")
    assert {"cited, exact", "cited, host", "cited", "crawl"} < {data.role for data in manifest.training_data}
    refused = run("train", "harm", "--sample", tmp_path / "sample.jsonl.gz", "--output", tmp_path / "harm", code=2)
    assert "--sample trains the quality model" in refused
