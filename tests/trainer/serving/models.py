"""Small models with random weights, served by the real server."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.trainer.curated import pages, row, write_dataset
from tests.trainer.runs import build_decoder
from trainer.chat.chat_template import ChatTemplate
from trainer.data.sources import DataSettings, SourceSettings, load_corpus
from trainer.data.tokenizer import Tokenizer, TokenizerSettings, train_tokenizer
from trainer.model.decoder import Decoder
from trainer.model.model_settings import ModelSettings
from trainer.retrieval.chunk_database import ChunkSettings, build_database
from trainer.serving.battles import BattleStore
from trainer.serving.passages import PassageReader
from trainer.serving.served_model import ServedModel
from trainer.serving.server import ServeSettings, Serving, make_server

CONTEXT = 128


@cache
def tokenizer() -> Tokenizer:
    return train_tokenizer([row["text"] for row in pages(80)], TokenizerSettings(vocab_size=896))


@cache
def decoder(seed: int, context: int = CONTEXT) -> Decoder:
    """Weights so large that the scores of texts differ."""
    shape = ModelSettings(vocab_size=tokenizer().vocab_size, hidden_size=32, layers=2, heads=4, kv_heads=2)
    return build_decoder(shape.model_copy(update={"context_length": context, "init_std": 0.3}), seed=seed).eval()


def served(name: str, seed: int, context: int = CONTEXT, **more: object) -> ServedModel:
    return ServedModel(name, decoder(seed, context), tokenizer(), ChatTemplate(tokenizer()), **more)  # type: ignore[arg-type]


def passage_reader(folder: Path, texts: Mapping[str, str], most: int = 3) -> PassageReader:
    """A database of documents, texts by their URLs, in chunks of 16 tokens."""
    rows = [row(number, text, domain="travel", url=url) for number, (url, text) in enumerate(texts.items())]
    write_dataset(folder / "set", rows)
    sources = {"web": SourceSettings(path=str(folder / "set"))}
    data = DataSettings(sources=sources, cache=folder / "cache", workers=1)
    corpus = load_corpus(data, tokenizer(), progress=False)
    settings = ChunkSettings(chunk_tokens=16, dimensions=256)
    return PassageReader(build_database(corpus, tokenizer(), settings, folder / "chunks", progress=False), most)


def two_models(folder: Path, **settings: object) -> Serving:
    store = BattleStore(folder / "battles.sqlite")
    return Serving([served("first", 1), served("second", 2)], store, ServeSettings(**settings))  # type: ignore[arg-type]


@contextmanager
def serve(serving: Serving) -> Iterator[str]:
    """The address while the block runs."""
    server, address = make_server(serving)
    threading.Thread(target=server.run, daemon=True).start()
    try:
        yield address
    finally:
        server.close()
