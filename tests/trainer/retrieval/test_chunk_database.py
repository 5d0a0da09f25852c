"""Chunk databases: every token of every document is in one chunk, and texts find what resembles them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.feature_extraction.text import TfidfTransformer
from tokenizers import Tokenizer as Engine
from tokenizers import models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from tests.trainer.curated import pages, write_dataset
from trainer.data.sources import DataSettings, SourceSettings, load_corpus
from trainer.data.tokenizer import TokenizerSettings, train_tokenizer
from trainer.retrieval.chunk_database import ChunkSettings, DatabaseError, build_database, open_database
from trainer.retrieval.embedders import (
    EmbedderError,
    HashedEmbedder,
    HuggingFaceEmbedder,
    count_features,
    fit_rarity,
    to_unit_length,
)

SIZE = 16


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    """(folder, rows, tokenizer, corpus, database)."""
    folder = tmp_path_factory.mktemp("chunks")
    rows = pages(30, words=(5, 60))
    write_dataset(folder / "set", rows)
    settings = TokenizerSettings(vocab_size=700, placeholders=(), sentinels=0, reserved=0)
    tokenizer = train_tokenizer([row["text"] for row in rows], settings)
    sources = {"web": SourceSettings(path=str(folder / "set"))}
    corpus = load_corpus(DataSettings(sources=sources, cache=folder / "cache", workers=1), tokenizer, progress=False)
    settings = ChunkSettings(chunk_tokens=SIZE, dimensions=256, faiss=True)
    database = build_database(corpus, tokenizer, settings, folder / "db", progress=False)
    return folder, rows, tokenizer, corpus, database


def test_every_token_is_in_one_chunk_with_its_source(made):
    _, rows, tokenizer, corpus, database = made
    by_id = {row["id"]: row for row in rows}
    texts: dict[int, list[int]] = {}
    for number in range(len(database)):
        document = int(database.document[number])
        assert database.offset[number] == len(texts.setdefault(document, []))
        texts[document] += database.chunk(number).tolist()
    assert len(texts) == len(rows) == len(database.key)
    for document, tokens in texts.items():
        row = by_id[str(database.documents.column("id")[document].as_py())]
        assert tokenizer.decode(tokens) == row["text"]
        assert database.documents["url"][document].as_py() == row["url"]
        assert database.key[document] == corpus.key[document]
    assert isinstance(database.embeddings, np.memmap)
    assert isinstance(database.tokens, np.memmap)


@pytest.mark.parametrize("exact", [True, False])
def test_a_chunk_finds_itself(made, exact):
    *_, database = made
    full = [number for number in range(len(database)) if database.length[number] == SIZE][:10]
    texts = [database.tokenizer.decode(database.chunk(number)) for number in full]
    for number, found in zip(full, database.find(texts, 3, exact=exact), strict=True):
        assert found[0].score == pytest.approx(1, abs=0.02)  # a text may be encoded otherwise at its edges
        assert found[0].text == database.tokenizer.decode(database.chunk(number))
        assert found[0].score >= found[1].score >= found[2].score


def test_a_topic_finds_its_documents(made):
    *_, database = made
    (found,) = database.find(["museum beach hotel ticket flight"], 5)
    assert {passage.url.split("/")[2] for passage in found} == {"travel.example"}


def test_the_same_data_give_the_same_bytes(made, tmp_path):
    _, _, tokenizer, corpus, database = made
    again = build_database(corpus, tokenizer, ChunkSettings(chunk_tokens=SIZE), tmp_path / "b", progress=False)
    assert again.digest == database.digest


def test_damage_is_refused_in_one_line(made, tmp_path):
    folder, *_ = made
    shutil.copytree(folder / "db", tmp_path / "db")
    path = tmp_path / "db/embeddings.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match="missing or damaged"):
        open_database(tmp_path / "db")
    record = json.loads((folder / "db/database.json").read_text())
    (tmp_path / "db/database.json").write_text(json.dumps(record | {"sha256": {"../x": "0"}}))
    with pytest.raises(DatabaseError, match="missing or damaged"):
        open_database(tmp_path / "db")
    with pytest.raises(DatabaseError, match="not a chunk database"):
        open_database(tmp_path)


# --- embeddings ---


def test_hashed_embeddings_keep_the_products_of_tf_idf():
    generator = np.random.default_rng(0)
    texts = [generator.integers(0, 50, generator.integers(1, 30)).tolist() for _ in range(40)]
    counts = count_features(texts)
    transformer = TfidfTransformer(sublinear_tf=True)
    wanted = transformer.fit_transform(scipy.sparse.csr_matrix(counts))
    rarity = fit_rarity([texts[:10], texts[10:]])
    np.testing.assert_allclose(rarity, transformer.idf_, rtol=1e-6)
    found = HashedEmbedder(rarity, 1024).embed(texts)
    difference = found @ found.T - (wanted @ wanted.T).toarray()
    assert np.abs(difference).max() < 5 / 1024**0.5
    assert np.sqrt(np.mean(difference**2)) < 1.5 / 1024**0.5


def test_a_text_without_tokens_has_a_vector_of_zeros():
    rarity = fit_rarity([[[1, 2]]])
    assert not HashedEmbedder(rarity, 8).embed([[]]).any()


def test_an_encoder_of_hugging_face(made, tmp_path):
    _, _, tokenizer, *_ = made
    words = ["[PAD]", "[UNK]", "heart", "blood", "hotel", "beach"]
    engine = Engine(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    engine.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=engine, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(tmp_path)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=6, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    model = BertModel(config).eval()
    model.save_pretrained(tmp_path)
    texts = ["heart blood hotel", "beach"]
    found = HuggingFaceEmbedder(tmp_path, tokenizer).embed([tokenizer.encode(text) for text in texts])
    with torch.inference_mode():  # each alone, without padding
        alone = [model(**fast(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0).numpy() for text in texts]
    np.testing.assert_allclose(found, to_unit_length(np.stack(alone)), atol=1e-5)
    with pytest.raises(EmbedderError, match="not an encoder"):
        HuggingFaceEmbedder(tmp_path / "none", tokenizer)
