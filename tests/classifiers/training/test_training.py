"""Training: equal data gives equal bytes; features of a version do not change; the gate refuses worse models."""

import gzip
import json
import random
from collections import Counter
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info, threadpool_limits

from classifiers.artifacts import digest_of
from classifiers.data.page_labels import PageLabel
from classifiers.data.page_text import TextRow, id_of
from classifiers.data.sampling import Example, Split
from classifiers.domain_labels import KINDS, TOPICS
from classifiers.errors import UserError
from classifiers.estimators.features import (
    FEATURE_VERSION,
    STATISTICS,
    kind_parts,
    one_line,
    read_text,
    shape,
    statistics,
    style_counts,
    topic_parts,
)
from classifiers.estimators.linear import LinearModel, Row, train_linear
from classifiers.estimators.metrics import auc
from classifiers.estimators.word_counts import WordCounts, sum_parts
from classifiers.evaluation.gate import FLOORS, find_failures, load_floors, value_at
from classifiers.training.recipe_domain import (
    KIND_WORDS,
    SUBTOPIC_WORDS,
    TOPIC_WORDS,
    kind_rows_of_articles,
    read_rows,
    word_rows,
)
from classifiers.training.recipe_quality import QUALITY_LABELS, split_and_match
from classifiers.training.shipped_models import train_quality_on

GOOD = "The committee published its report on the history of the canal and described how locks were built by hand"
URL = "https://www.oldcanals.example/history/locks-of-1820"
BAD = "SALE cart login free click here best price offer !!! subscribe menu home next page buy now cheap deal"


def small_examples() -> list[Example]:
    chance = random.Random(11)

    def text(words: list[str], mixed: list[str]) -> str:
        chosen = [chance.choice(words if chance.random() < 0.8 else mixed) for _ in range(90)]
        return "\n".join(" ".join(chosen[i : i + 9]) + "." for i in range(0, 90, 9))

    def rows(name: str, words: list[str], mixed: list[str]) -> list[TextRow]:
        return [TextRow(f"{name}{i}", f"https://{name}{i}.info/", name, "", text(words, mixed)) for i in range(160)]

    return split_and_match(rows("good", GOOD.split(), BAD.split()), rows("bad", BAD.split(), GOOD.split()))


def test_the_same_data_gives_the_same_bytes_and_a_model_that_works(tmp_path: Path) -> None:
    examples = small_examples()
    models = [train_quality_on(examples, tmp_path / name, 0.5, "test") for name in ("one", "two")]
    for file in ("words.txt", "weights.npy", "layer.json", "manifest.json", "README.md"):
        assert digest_of(tmp_path / "one" / file) == digest_of(tmp_path / "two" / file)
    test = [example for example in examples if example.split == Split.TEST]
    scores = models[0].score([example.row.text for example in test])
    truth = [example.label == QUALITY_LABELS[1] for example in test]
    assert auc(truth, scores) > 0.95
    manifest = models[0].artifact.manifest
    assert manifest.metrics["test auc, text alone"] == pytest.approx(auc(truth, scores), abs=1e-4)
    assert {data.role for data in manifest.training_data} == {"cited", "crawl", "as split"}
    assert manifest.calibration["cross_validation"].keys() == manifest.calibration["test"].keys() == {"text"}
    assert sum(row["rows"] for row in manifest.calibration["test"]["text"]) == len(test)


def test_the_threshold_keeps_the_requested_share(tmp_path: Path) -> None:
    """Of pages of unseen domains: of the training rows it keeps more, because the model knows them."""
    examples = small_examples()
    test = [example.row.text for example in examples if example.split == Split.TEST]
    model = train_quality_on(examples, tmp_path / "model", 0.25, "test")
    assert np.mean(np.array(model.score(test)) >= model.threshold) == pytest.approx(0.25, abs=0.12)


def test_a_split_without_one_of_the_classes_is_refused(tmp_path: Path) -> None:
    examples = [replace(example, split=Split.TRAIN) for example in small_examples()]
    with pytest.raises(UserError, match="test split holds 0 rows"):
        train_quality_on(examples, tmp_path / "model", 0.5, "test")


def test_the_linear_model_agrees_with_scikit_learn() -> None:
    chance = random.Random(2)
    words = [f"w{i}" for i in range(60)]
    labels = ("a", "b", "c")
    rows = [
        Row(label, WordCounts(chance.choices(words, [3 if i % 3 == n else 1 for i in range(60)], k=25)))
        for _ in range(60)
        for n, label in enumerate(labels)
    ]
    ours = train_linear(rows, labels)
    vectors = TfidfVectorizer(sublinear_tf=True, min_df=2, token_pattern=r"\S+")
    theirs = LogisticRegression(C=20, max_iter=2_000, tol=1e-8, class_weight="balanced")
    lines = [" ".join(Counter(row.counts).elements()) for row in rows]
    theirs.fit(vectors.fit_transform(lines), [row.label for row in rows])
    fresh = [" ".join(chance.choices(words, k=20)) for _ in range(50)]
    assert ours.probabilities([[WordCounts(line.split())] for line in fresh]) == pytest.approx(
        theirs.predict_proba(vectors.transform(fresh)), abs=0.02
    )


def small_rows() -> list[Row]:
    lines = (("a", "red green"), ("b", "blue green"), ("a", "red"), ("b", "blue blue"))
    return [Row(label, WordCounts(line.split())) for label, line in lines]


def test_the_weights_do_not_depend_on_the_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """With several threads, sums are added in another order, and may be rounded to other half-precision numbers."""
    threads: list[int] = []
    minimize = scipy.optimize.minimize

    def minimize_and_count_threads(*arguments: object, **options: object) -> object:
        threads.extend(pool["num_threads"] for pool in threadpool_info())
        return minimize(*arguments, **options)

    monkeypatch.setattr(scipy.optimize, "minimize", minimize_and_count_threads)
    with threadpool_limits(2):
        train_linear(small_rows(), ("a", "b"))
    assert threads
    assert set(threads) == {1}


def test_a_linear_model_is_read_back_from_its_files(tmp_path: Path) -> None:
    model = train_linear(small_rows(), ("a", "b", "never"))
    model.save(tmp_path / "words.txt", tmp_path / "weights.npy")
    again = LinearModel.load(tmp_path / "words.txt", tmp_path / "weights.npy", ("a", "b", "never"))
    texts = [[WordCounts(line.split())] for line in ("red", "blue green", "", "unseen")]
    assert np.array_equal(model.probabilities(texts), again.probabilities(texts))
    assert again.probabilities(texts)[0].argmax() == 0
    assert again.probabilities(texts)[:, 2].max() < 1e-6
    np.save(tmp_path / "evil.npy", np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        LinearModel.load(tmp_path / "words.txt", tmp_path / "evil.npy", ("a",))


def test_features_do_not_depend_on_markup_case_or_length() -> None:
    text = "## The Old Canal\n\n- It was **built** in [1820](https://x.example/a?b) by hand.\n"
    assert style_counts(text) == Counter(["the", "old", "canal", "it", "was", "built", "in", "0000", "by", "hand", "."])
    assert sum_parts(topic_parts("Canal", text)) == Counter(["canal", "canal", "old", "canal", "built", "hand"])
    assert one_line(" a\n\nb\tc ") == "a b c"
    once, often = statistics(text), statistics(text * 30)
    assert len(once) == len(STATISTICS)
    assert once[2] == pytest.approx(often[2])  # sentence_line_share
    assert sum_parts(kind_parts("t", "```\ncode\n```\n")) != sum_parts(kind_parts("t", "code\n"))


def test_features_of_a_version_never_change() -> None:
    """Models were trained on these features: after a change, increase FEATURE_VERSION and then update the digests."""
    texts = [
        f"# Überschrift {GOOD}\n\n- {BAD}\n* Ça va, l’été? 3,14 €\n| a | b |\n|---|---|\n```\nx = 1\n```",
        "三月的天气很好，我们去公园。Короткий текст о погоде! ﬁne ﬂow\u00ad [link](http://a.example/x_y) **bold**",
        GOOD * 400,
    ]
    signals = {"page_type": 2.0, "expected_f1": 0.71}
    counted = [
        counts
        for text in texts
        for counts in (
            style_counts(text),
            sum_parts(topic_parts(BAD, text)) - read_text(text).pairs,
            sum_parts(kind_parts(BAD, text, URL, signals)),
        )
    ]
    lines = [str(sorted(counts.items())) for counts in counted]
    numbers = [f"{value:.9f}" for text in texts for value in (*statistics(text), *shape(text))]
    found = {FEATURE_VERSION: [sha256("\n".join(part).encode()).hexdigest()[:16] for part in (lines, numbers)]}
    assert found == {3: ["ba8429f38133a218", "9c0342f134f6d832"]}


def test_topics_read_pairs_of_neighbors_in_scripts_without_spaces() -> None:
    text = "**北京大学** 2024, ラメン and Müller"
    pairs = Counter(["北京", "京大", "大学", "ラメ", "メン"])
    assert sum_parts(topic_parts("", text)) == read_text(text).topic + pairs
    assert sum_parts(topic_parts("北京", ""))["北京"] == 2
    assert len(topic_parts(BAD, GOOD)) == 2  # words of the text and of the title


def test_a_page_on_which_readers_differ_trains_both_labels() -> None:
    page = TextRow("a", URL, "", "", GOOD)
    first, second = {"topic": "games", "kind": "blog"}, {"topic": "software", "kind": "news"}
    label = PageLabel(Split.TRAIN, {}, {"topic": "software", "kind": "news"}, first, second)
    assert [(r.label, r.weight) for r in read_rows([page], {"a": label}, "topic")[0]] == [
        ("software", 0.7),
        ("games", pytest.approx(0.3)),
    ]
    assert [(r.label, r.weight) for r in read_rows([page], {"a": label}, "kind")[0]] == [("news", 1.0)]
    once = replace(label, first=second, second={})
    assert [r.label for r in read_rows([page], {"a": once}, "topic")[0]] == ["software"]


@pytest.mark.parametrize("text", ["", " \n", "\x00\ud7ff", "a" * 100_000, "|" * 5_000, "[](" * 3_000, "𝕳𝖊𝖑𝖑𝖔 🙂" * 50])
def test_features_survive_hostile_text(text: str) -> None:
    assert np.isfinite(statistics(text)).all()
    words = [*style_counts(text), *sum_parts(topic_parts(text, text)), *sum_parts(kind_parts(text, text))]
    assert all(word.split() == [word] for word in words)


def test_every_topic_has_words() -> None:
    assert {row.label for row in word_rows(TOPIC_WORDS, "topic")} == set(TOPICS)
    assert {row.label for row in word_rows(SUBTOPIC_WORDS, "subtopic")} == set(TOPICS)
    assert {row.label for row in word_rows(KIND_WORDS, "kind")} < set(KINDS)


def test_articles_have_the_kind_that_was_read(tmp_path: Path) -> None:
    (tmp_path / "wiki").mkdir()
    articles = [{"lang": "en", "title": title, "text": f"{GOOD}. " * 5} for title in ("Canal", "List of canals")]
    with gzip.open(tmp_path / "wiki" / "articles.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(article) + "\n" for article in articles)
    read = {id_of(b"https://en.wikipedia.org/wiki/List_of_canals"): "listing"}
    assert [row.label for row in kind_rows_of_articles(tmp_path, read)] == ["encyclopedia", "listing"]


def test_the_gate_refuses_worse_models_and_other_test_rows() -> None:
    floors = {"quality": {"test_digest": "d" * 64, "floors": {"test.auc": 0.7, "keep.auc": 0.88}}}
    numbers = {"test_digest": "d" * 64, "test": {"auc": 0.71}, "keep": {"auc": 0.9}}
    assert find_failures("quality", numbers, floors) == []
    assert find_failures("quality", numbers | {"keep": {"auc": 0.87}}, floors) == [
        "quality: keep.auc is 0.8700, the floor is 0.8800"
    ]
    assert find_failures("quality", numbers | {"keep": {"auc": float("nan")}}, floors)
    assert "pin new floors" in find_failures("quality", numbers | {"test_digest": "e" * 64}, floors)[0]
    assert find_failures("domain", numbers, floors) == ["no floors are pinned for domain"]


def test_no_floor_chooses_a_model_by_the_human_judgments() -> None:
    assert not [name for name in load_floors()["quality"]["floors"] if name.startswith("human")]


def test_the_pinned_floors_are_readable(tmp_path: Path) -> None:
    floors = load_floors()
    assert set(floors) == {"quality", "education", "domain", "harm", "extraction"}
    assert all(len(entry["test_digest"]) == 64 and entry["floors"] for entry in floors.values())
    assert value_at({"a": {"b": 0.5}}, "a.b") == 0.5
    (tmp_path / "floors.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read as floors"):
        load_floors(tmp_path / "floors.json")
    assert json.loads(FLOORS.read_text()) == floors
