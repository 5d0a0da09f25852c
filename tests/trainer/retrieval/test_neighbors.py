"""Neighbors for a model: never of the text itself, nor of copies of it; read by it they lower the loss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainer.corpora import build_corpus
from trainer.config import ConfigError
from trainer.data.batches import PADDING, BatchSettings, BatchSource
from trainer.data.corpus import Corpus, DocumentRef
from trainer.data.tokenizer import Tokenizer, TokenizerSettings, train_tokenizer
from trainer.errors import UserError
from trainer.evaluation.neighbor_gain import count_token_bytes, find_overlaps, format_gains, measure_gain
from trainer.model.retro import RetroSettings
from trainer.retrieval.chunk_database import ChunkSettings, build_database, hash_url
from trainer.retrieval.neighbors import (
    ChunkQuery,
    NeighborFinder,
    NeighborSettings,
    list_grams,
    open_finder,
    query_chunk,
    share_of_grams,
)
from trainer.rollouts.generate import GenerateSettings, generate
from trainer.tasks.pretrain import PretrainTask, pretrain
from trainer.tasks.pretrain_settings import PretrainSettings
from trainer.training.checkpoint import read_tensors
from trainer.training.metrics import read_metrics
from trainer.training.saved_model import load_decoder

C = 8
RETRO = RetroSettings(chunk_tokens=C, neighbors=1, first=1, every=1, encoder_layers=1)
NOBODY: frozenset[int] = frozenset()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(
        ["ab ab ba " * 20], TokenizerSettings(vocab_size=420, placeholders=(), sentinels=0, reserved=0)
    )


def with_urls(corpus: Corpus, urls: list[str], keys: list[int]) -> Corpus:
    lengths = corpus.length
    return replace(
        corpus,
        key=np.array(keys, np.uint64),
        describe=lambda number: DocumentRef(id=str(keys[number]), url=urls[number], tokens=int(lengths[number])),
    )


def build(rows: list[list[int]], out: Path, tokenizer: Tokenizer, urls: list[str] | None = None, first_key: int = 0):
    keys = list(range(first_key, first_key + len(rows)))
    corpus = with_urls(build_corpus(rows, separator=tokenizer.separator), urls or [""] * len(rows), keys)
    return build_database(corpus, tokenizer, ChunkSettings(chunk_tokens=C), out, progress=False)


# --- what may be a neighbor ---


def test_a_document_its_url_and_its_copies_are_never_neighbors(tokenizer, tmp_path):
    text = list(range(1, 9)) + list(range(50, 58))
    near = [*range(1, 8), 99, *range(60, 68)]  # one token of the chunk is another
    rows = [text, [*text], near, [*range(1, 8), 98, *range(70, 76)], list(range(200, 216))]
    urls = ["https://a.example/x", "http://www.a.example/x/", "https://b.example/", "", ""]
    database = build(rows, tmp_path / "db", tokenizer, urls)
    finder = NeighborFinder(database, RETRO.model_copy(update={"neighbors": 4}))

    def found(query: ChunkQuery) -> list[list[int]]:
        (rows,) = finder.find([query]).tolist()
        return [[token for token in row if token != PADDING] for row in rows]

    chunk = text[:C]
    open_to_all = NeighborFinder(database, finder.settings, max_overlap=1.0).find([ChunkQuery(chunk, NOBODY, NOBODY)])
    assert sorted(open_to_all[0, :2].tolist()) == [text, text]
    assert text not in found(ChunkQuery(chunk, NOBODY, NOBODY))  # its 8-gram is the query's
    assert sorted(found(ChunkQuery(chunk, NOBODY, NOBODY))[:2]) == sorted([near, rows[3]])
    own = found(ChunkQuery(chunk, frozenset({2}), NOBODY))
    assert near not in own
    assert rows[3] in own
    by_url = found(ChunkQuery(list(range(51, 58)), frozenset({0}), frozenset({hash_url(urls[0])})))
    assert not any(50 in row for row in by_url)  # neither document 0 nor 1, which has its URL


def test_more_candidates_are_asked_for_until_enough_are_allowed(tokenizer, tmp_path):
    rows = [[*range(1, 8), 100 + number] for number in range(60)]
    database = build(rows, tmp_path / "db", tokenizer)
    refused = frozenset(range(59))
    (found,) = NeighborFinder(database, RETRO).find([ChunkQuery(list(range(1, 8)), refused, NOBODY)])
    assert found[0, :C].tolist() == rows[59]
    (none,) = NeighborFinder(database, RETRO).find([ChunkQuery(list(range(1, 8)), frozenset(range(60)), NOBODY)])
    assert (none == PADDING).all()
    assert (NeighborFinder(database, RETRO).find([ChunkQuery([], NOBODY, NOBODY)]) == PADDING).all()


def test_a_query_is_the_chunk_of_its_last_tokens_document_and_nothing_behind_it():
    corpus = build_corpus([[1, 2, 3], [4, 5, 6, 7, 8, 9, 10, 11, 12]])
    tokens = np.array([0, 1, 2, 3, 0, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0])
    documents = np.array([0] * 4 + [1] * 10 + [PADDING] * 2)
    query = query_chunk(tokens, documents, 0, C, corpus)
    assert (list(query.tokens), query.keys) == ([4, 5, 6], {0, 1})
    later = tokens.copy()
    later[C:] = 77
    assert list(query_chunk(later, documents, 0, C, corpus).tokens) == [4, 5, 6]
    assert len(query_chunk(tokens, documents, 1, C, corpus).tokens) == 0  # ends in padding


@pytest.mark.parametrize("seed", range(3))
def test_overlaps_are_those_counted_by_hand(seed):
    generator = np.random.default_rng(seed)
    targets = torch.from_numpy(generator.integers(0, 2, (2, 3 * C)))
    neighbors = torch.from_numpy(generator.integers(0, 2, (2, 3, 2, 2 * C)))
    neighbors[0, 1] = PADDING
    documents = np.zeros((2, 3 * C), np.int64)
    documents[1, 12:] = 1
    found = find_overlaps(targets, documents, neighbors, C)
    for row in range(2):
        for place in range(3 * C):
            chunk = (place + 1) // C - 1
            same = chunk >= 0 and documents[row, place] == documents[row, (chunk + 1) * C - 1]
            if chunk < 0 or (row, chunk) == (0, 1) or not same:
                assert np.isnan(found[row, place])
                continue
            text = [int(targets[row, p]) for p in range((chunk + 1) * C - 1, min((chunk + 2) * C - 1, 3 * C))
                    if documents[row, p] == documents[row, (chunk + 1) * C - 1]]  # fmt: skip
            words = " ".join(map(str, text))
            near = any(words in " ".join(map(str, part)) for part in neighbors[row, chunk].tolist())
            assert found[row, place] == (float(near) if len(text) == C else 0.0)


def test_shares_of_grams():
    assert list_grams([1, 2]) == [(1, 2)]
    assert share_of_grams([], set()) == 0
    assert share_of_grams(range(10), set(list_grams(range(9)))) == pytest.approx(2 / 3)


def test_bytes_of_tokens_add_up_to_the_text(tokenizer):
    text = "aé b\n😀 ab"
    assert count_token_bytes(tokenizer)[tokenizer.encode(text)].sum() == len(text.encode())
    assert count_token_bytes(tokenizer)[tokenizer.separator] == 0


def test_a_database_that_does_not_fit_is_refused(tokenizer, tmp_path):
    build([[1, 2, 3]], tmp_path / "db", tokenizer)
    settings = NeighborSettings(database=tmp_path / "db")
    for changed, retro, sha, line in (
        (None, RETRO, tokenizer.sha256, "name their chunk database"),
        (settings, RetroSettings(), tokenizer.sha256, "make them equal"),
        (settings, RETRO, "0", "another tokenizer"),
        (settings.model_copy(update={"digest": "0"}), RETRO, tokenizer.sha256, "another database"),
    ):
        with pytest.raises(UserError, match=line):
            open_finder(changed, retro, sha)


# --- what they are worth ---


def facts(count: int, seed: int) -> np.ndarray:
    """[count, 15]: seven tokens of a key, and eight values of 32 that nothing but a document of the fact can tell."""
    generator = np.random.default_rng(seed)
    return np.concatenate([generator.integers(20, 60, (count, 7)), generator.integers(70, 102, (count, 8))], axis=1)


def write_documents(known: np.ndarray, seed: int) -> list[list[int]]:
    """Key, then the values in an order of the document's own: 16 tokens with the separator, and no 8-gram in common."""
    return np.concatenate([known[:, :7], np.random.default_rng(seed).permuted(known[:, 7:], axis=1)], axis=1).tolist()


@pytest.fixture(scope="module")
def world(tokenizer, tmp_path_factory):
    """(finder, source, validation): every fact is told by two documents, one of them in the database."""
    folder = tmp_path_factory.mktemp("facts")
    known = facts(5100, 0)
    database = build(write_documents(known, 1), folder / "db", tokenizer, first_key=100_000)
    rows = write_documents(known, 2)
    batches = BatchSettings(batch_size=32, sequence_length=2 * C, packing="best_fit", max_repetitions=None)
    separator = tokenizer.separator
    training = BatchSource(build_corpus(rows[:5000], separator=separator), batches)
    held_out = with_urls(build_corpus(rows[5000:], separator=separator), [""] * 100, list(range(50_000, 50_100)))
    return NeighborFinder(database, RETRO), training, BatchSource(held_out, batches)


def train(out: Path, world, steps: int, every: int = 4):
    finder, training, held_out = world
    settings = PretrainSettings.model_validate({
        "model": {"vocab_size": 448, "hidden_size": 48, "layers": 1, "heads": 4, "context_length": 2 * C,
                  "init_std": 0.05, "retro": RETRO.model_dump()},
        "retrieval": {"database": finder.database.folder},
        "data": {"sequence_length": 2 * C},
        "optimizer": {"algorithm": "muon"},
        "schedule": {"learning_rate": 2e-2, "warmup_steps": 20},
        "loop": {"steps": steps, "precision": "float32", "threads": 1, "validate_every": 1000, "validate_batches": 3},
        "checkpoints": {"every": every},
    })  # fmt: skip
    return pretrain(settings, training, out, validation=held_out, neighbors=finder, log=lambda _: None)


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("retro") / "run"
    train(out, world, 100, every=100)
    return out


def test_taking_the_neighbors_away_raises_the_loss(trained, world, tokenizer):
    validation = read_metrics(trained)[-1]["validation"]
    # Keys and values are random: no model without neighbors is below this in expectation.
    chance = (7 * np.log(40) + 8 * np.log(32)) / 16
    assert validation["loss"] < chance - 0.4
    assert validation["loss_without_neighbors"] > chance - 0.1
    assert validation["bits_per_byte_without_neighbors"] > validation["bits_per_byte"]
    gains = measure_gain(load_decoder(trained), world[2], world[0], tokenizer, 3, progress=False)
    assert [gain.max_overlap for gain in gains] == [None, 0.0, 0.125, 0.5, 1.0]
    assert gains[-1].tokens == 3 * 32 * (C + 1)
    assert gains[1].tokens > 0.95 * gains[-1].tokens  # hardly an answer stands in its neighbor in the same order
    assert gains[1].gain > gains[0].gain > 0
    assert gains[0].bits_per_byte == pytest.approx(validation["loss"] / np.log(2) * gains[0].tokens / gains[0].bytes)
    assert "at most 0.0%" in format_gains(gains)


def test_generation_reads_the_neighbors_as_training_did(trained, world):
    finder, _, held_out = world
    model = load_decoder(trained)
    prompts = [
        held_out.corpus.document(number)[:length].tolist() for number, length in ((0, 8), (1, 11), (2, 3), (3, 9))
    ]
    greedy = GenerateSettings(max_new_tokens=5, temperature=0)
    found = generate(model, prompts, greedy, neighbors=finder.find_for_prompts)
    for prompt, answer in zip(prompts, found, strict=True):
        tokens = list(prompt)
        for token in answer:  # all computed anew for each token, without a cache
            chunks = [tokens[at : at + C] for at in range(0, len(tokens) - C + 1, C)]
            read = finder.find_for_prompts(chunks)[None] if chunks else None
            logits = model(torch.tensor([tokens]), neighbors=read).logits[0, -1, : model.settings.vocab_size]
            assert token == int(logits.argmax())
            tokens.append(token)


def test_generation_tells_what_only_the_database_knows(trained, world):
    finder, _, held_out = world
    model, documents = load_decoder(trained), [held_out.corpus.document(number).tolist() for number in range(100)]
    prompts, once = [document[:8] for document in documents], GenerateSettings(max_new_tokens=1, temperature=0)

    def share_of_values(answers: list[list[int]]) -> float:
        return float(np.mean([answer[0] in text[8:] for answer, text in zip(answers, documents, strict=True)]))

    assert share_of_values(generate(model, prompts, once, neighbors=finder.find_for_prompts)) > 0.75
    assert share_of_values(generate(model, prompts, once)) < 0.45  # 8 draws of 32 are 22% of them


def test_a_resumed_run_is_bitwise_the_same(world, tmp_path):
    train(tmp_path / "whole", world, 8)
    train(tmp_path / "cut", world, 8)
    last = tmp_path / "cut/checkpoints/step-00000008"
    weights = dict(read_tensors(tmp_path / "whole/checkpoints/step-00000008", "model"))
    for path in last.iterdir():
        path.unlink()
    last.rmdir()
    (tmp_path / "cut/checkpoints/latest").write_text("step-00000004\n")
    train(tmp_path / "cut", world, 8)
    assert all(torch.equal(weights[name], tensor) for name, tensor in read_tensors(last, "model"))


def test_a_run_without_a_database_is_refused(world):
    settings = PretrainSettings.model_validate({
        "model": {"context_length": 2 * C, "retro": RETRO.model_dump()}, "data": {"sequence_length": 2 * C}
    })  # fmt: skip
    with pytest.raises(ConfigError, match="no chunk database"):
        PretrainTask(settings, world[1])
