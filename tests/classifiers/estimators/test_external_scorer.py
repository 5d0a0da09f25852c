"""Models that were trained elsewhere: scores as their own libraries give them, and clear refusals."""

from __future__ import annotations

from pathlib import Path

import fasttext
import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from classifiers.errors import UserError
from classifiers.estimators.external_scorer import FastTextScorer, HuggingFaceScorer

GOOD = "the study of rivers shows how water shapes the land over many years"
BAD = "buy cheap pills now click here win money free offer"


@pytest.fixture(scope="module")
def fasttext_file(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fasttext")
    lines = [f"__label__hq {GOOD}", f"__label__cc {BAD}"] * 50
    (folder / "lines.txt").write_text("\n".join(lines) + "\n")
    model = fasttext.train_supervised(str(folder / "lines.txt"), dim=8, epoch=20, thread=1, seed=1, verbose=0)
    model.save_model(str(folder / "model.bin"))
    return folder / "model.bin"


def make_classifier(folder: Path, labels: int, *, seed: int = 0) -> Path:
    """A tiny BERT with random weights."""
    words = ["[UNK]", "[PAD]", *dict.fromkeys(f"{GOOD} {BAD}".split())]
    engine = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    engine.pre_tokenizer = pre_tokenizers.Whitespace()
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=engine, unk_token="[UNK]", pad_token="[PAD]")
    wrapped.save_pretrained(folder)
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=32, num_labels=labels, initializer_range=1.0,
        id2label={n: f"class_{n}" for n in range(labels)}, label2id={f"class_{n}": n for n in range(labels)},
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> Path:
    return make_classifier(tmp_path_factory.mktemp("classifier"), 3)


def test_fasttext_scores_are_the_probabilities_of_its_label(fasttext_file):
    scorer = FastTextScorer(fasttext_file, "hq")
    scores = scorer.score([GOOD, BAD, f"{GOOD}\n\n{BAD}", "", "unknownword"])
    model = fasttext.load_model(str(fasttext_file))
    for text, score in zip([GOOD, BAD, f"{GOOD} {BAD}"], scores, strict=False):
        names, values = model.predict(text, k=2)
        assert score == pytest.approx(dict(zip(names, values, strict=True))["__label__hq"], abs=1e-6)
    assert scores[0] > 0.9 > 0.1 > scores[1]
    assert all(0 <= score <= 1 for score in scores)
    assert FastTextScorer(fasttext_file, "__label__hq").score([GOOD]) == scores[:1]


def test_hugging_face_scores_are_the_softmax_of_its_logits(classifier):
    pipe = transformers.pipeline("text-classification", model=str(classifier), top_k=None, device="cpu")
    scorer = HuggingFaceScorer(classifier, "class_2", 512, (0.0, 1.0))
    for text in (GOOD, BAD):
        expected = {found["label"]: found["score"] for found in pipe([text])[0]}
        assert scorer.score([text])[0] == pytest.approx(expected["class_2"], abs=1e-4)
    long = f"{GOOD} {BAD} " * 1000  # more tokens than the model has positions
    assert scorer.score([long]) == scorer.score([" ".join(long.split()[:32])])
    assert HuggingFaceScorer(classifier, "class_2", 8, (0, 1)).score([long]) == scorer.score(
        [" ".join(GOOD.split()[:8])]
    )


def test_one_output_is_scaled_to_the_range(tmp_path):
    folder = make_classifier(tmp_path, 1)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        raw = float(model(**tokenizer(GOOD, return_tensors="pt")).logits[0, 0])
    assert HuggingFaceScorer(folder, None, 512, (-10, 10)).score([GOOD]) == [pytest.approx((raw + 10) / 20, abs=1e-4)]
    assert HuggingFaceScorer(folder, None, 512, (raw + 1, raw + 2)).score([GOOD]) == [0.0]
    assert HuggingFaceScorer(folder, None, 512, (raw - 2, raw - 1)).score([GOOD]) == [1.0]


def test_a_missing_label_is_answered_with_the_labels_of_the_model(fasttext_file, classifier):
    with pytest.raises(UserError, match=r"name the label of good text .*label=NAME\); the model has (hq, cc|cc, hq)"):
        FastTextScorer(fasttext_file, None)
    with pytest.raises(UserError, match=r"no label good .* the model has class_0, class_1, class_2"):
        HuggingFaceScorer(classifier, "good", 512, (0, 1))


def test_other_files_are_refused(tmp_path, classifier):
    (tmp_path / "model.bin").write_bytes(b"no model")
    with pytest.raises(UserError, match="is no fastText model"):
        FastTextScorer(tmp_path / "model.bin", "hq")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="holds no sequence classifier that can be used"):
        HuggingFaceScorer(tmp_path, "hq", 512, (0, 1))


def test_pickled_weights_are_refused(tmp_path, classifier):
    for file in classifier.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="holds no sequence classifier that can be used"):
        HuggingFaceScorer(tmp_path, "class_0", 512, (0, 1))


def test_scores_do_not_depend_on_the_other_texts(classifier):
    scorer = HuggingFaceScorer(classifier, "class_0", 512, (0, 1))
    both = scorer.score([GOOD, BAD])
    assert both == [*scorer.score([GOOD]), *scorer.score([BAD])]
    assert np.all(np.isfinite(both))
