"""Bytes of text per token by domain and language, of a tokenizer and of others to compare with.

Bytes per token decide how much text a context window and a training budget hold; tokenizers of different sizes and
languages differ by a factor of two and more on the same text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import tiktoken
from tokenizers import ByteLevelBPETokenizer
from tokenizers import Tokenizer as Engine

from trainer.data.text_samples import Sample
from trainer.data.tokenizer import Tokenizer, TokenizerError

CountTokens = Callable[[Sequence[str]], list[int]]  # texts -> tokens of each
MIN_BYTES = 10_000  # a domain or language with less text has no row


def count_with(tokenizer: Tokenizer) -> CountTokens:
    """A function that counts the tokens of texts."""
    return lambda texts: [len(ids) for ids in tokenizer.encode_many(texts)]


def open_peer(spec: str) -> CountTokens:
    """A function that counts the tokens of texts with another tokenizer.

    spec: a tokenizer.json, a folder with it or with vocab.json and merges.txt, or one of tiktoken's names (gpt2,
    cl100k_base, o200k_base), which tiktoken downloads unless TIKTOKEN_CACHE_DIR holds it.
    """
    path = Path(spec)
    if path.exists():
        engine = _load_peer(path)
        return lambda texts: [len(item.ids) for item in engine.encode_batch(list(texts), add_special_tokens=False)]
    if spec not in tiktoken.list_encoding_names():
        raise TokenizerError(
            f"{spec}: neither a file nor an encoding of tiktoken ({', '.join(tiktoken.list_encoding_names())})"
        )
    try:
        encoding = tiktoken.get_encoding(spec)
    except Exception as error:
        raise TokenizerError(
            f"{spec}: tiktoken cannot load it ({type(error).__name__}); without a network set TIKTOKEN_CACHE_DIR, "
            "or give a folder with vocab.json and merges.txt"
        ) from error
    return lambda texts: [len(ids) for ids in encoding.encode_ordinary_batch(list(texts), num_threads=1)]


def _load_peer(path: Path) -> Any:
    try:
        if (path / "merges.txt").is_file():
            return ByteLevelBPETokenizer(str(path / "vocab.json"), str(path / "merges.txt"))
        return Engine.from_file(str(path / "tokenizer.json" if path.is_dir() else path))
    except Exception as error:
        raise TokenizerError(f"{path}: not a tokenizer ({error})") from error


def measure_tokenizers(samples: Iterable[Sample], counters: dict[str, CountTokens]) -> dict[str, Any]:
    """{"all": row, "domain": {name: row}, "language": {name: row}}; a row is documents, bytes and bytes per token."""
    groups: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    waiting: list[Sample] = []
    for sample in samples:
        waiting.append(sample)
        if len(waiting) == 1000:
            _add_counts(groups, waiting, counters)
            waiting = []
    _add_counts(groups, waiting, counters)
    rows = {group: _build_row(sums, counters) for group, sums in groups.items()}
    large = {group: row for group, row in sorted(rows.items()) if row["bytes"] >= MIN_BYTES}
    return {
        "all": rows.get(("all", ""), {"documents": 0, "bytes": 0, "bytes_per_token": {}}),
        "domain": {name: row for (kind, name), row in large.items() if kind == "domain"},
        "language": {name: row for (kind, name), row in large.items() if kind == "language"},
    }


def _add_counts(
    groups: dict[tuple[str, str], dict[str, int]], samples: Sequence[Sample], counters: dict[str, CountTokens]
) -> None:
    counts = {name: counter([sample.text for sample in samples]) for name, counter in counters.items()}
    for index, sample in enumerate(samples):
        for group in (("all", ""), ("domain", sample.domain), ("language", sample.language)):
            groups[group]["documents"] += 1
            groups[group]["bytes"] += len(sample.text.encode())
            for name in counters:
                groups[group][f"tokens {name}"] += counts[name][index]


def _build_row(sums: dict[str, int], counters: dict[str, CountTokens]) -> dict[str, Any]:
    ratios = {name: round(sums["bytes"] / max(sums[f"tokens {name}"], 1), 3) for name in counters}
    return {"documents": sums["documents"], "bytes": sums["bytes"], "bytes_per_token": ratios}


def format_report(report: dict[str, Any]) -> str:
    """The report for a terminal."""
    names = list(report["all"]["bytes_per_token"])
    lines = [f"{'bytes per token':<24}{'documents':>10}{'bytes':>13}" + "".join(f"{name:>14}" for name in names)]
    rows = [("all", report["all"])]
    rows += [(f"{kind} {name or '?'}", row) for kind in ("domain", "language") for name, row in report[kind].items()]
    for label, row in rows:
        numbers = "".join(f"{row['bytes_per_token'].get(name, 0):>14.2f}" for name in names)
        lines.append(f"{label[:24]:<24}{row['documents']:>10,}{row['bytes']:>13,}{numbers}")
    return "\n".join(lines)
