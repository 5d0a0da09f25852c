from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2TokenizerFast

from tests.trainer.curated import pages
from trainer.data.text_samples import Sample
from trainer.data.tokenizer import TokenizerError, TokenizerSettings, train_tokenizer
from trainer.data.tokenizer_report import count_with, format_report, measure_tokenizers, open_peer


def test_bytes_per_token_by_domain_and_language(tmp_path: Path) -> None:
    rows = pages(120)
    tokenizer = train_tokenizer([values["text"] for values in rows], TokenizerSettings(vocab_size=768))
    tokenizer.save(tmp_path / "tokenizer.json")
    samples = [
        Sample(values["text"], 1, values["domain"], "en" if n % 2 else "", False) for n, values in enumerate(rows)
    ]
    report = measure_tokenizers(samples, {"gristmill": count_with(tokenizer), "again": open_peer(str(tmp_path))})
    texts = [values["text"] for values in rows if values["domain"] == "travel"]
    expected = sum(len(text.encode()) for text in texts) / sum(len(tokenizer.encode(text)) for text in texts)
    assert report["domain"]["travel"]["bytes_per_token"]["gristmill"] == pytest.approx(expected, abs=1e-3)
    assert report["domain"]["travel"]["bytes_per_token"]["again"] == pytest.approx(expected, abs=1e-3)
    assert report["domain"]["travel"]["documents"] == len(texts)
    assert report["all"]["bytes"] == sum(len(values["text"].encode()) for values in rows)
    assert set(report["language"]) == {"", "en"}
    lines = format_report(report).splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["bytes", "all"]
    assert len({len(line) for line in lines}) == 1


def test_a_peer_can_be_given_as_gpt2s_two_files(tmp_path: Path) -> None:
    """vocab.json and merges.txt, with GPT-2's own way of splitting text: counts as transformers has them."""
    texts = [values["text"] + " It's 1999, they'll  see!\n\n  x" for values in pages(60)]
    engine = ByteLevelBPETokenizer()
    engine.train_from_iterator(texts, vocab_size=500, show_progress=False)
    engine.save_model(str(tmp_path))
    theirs = GPT2TokenizerFast.from_pretrained(tmp_path)
    assert len(theirs) > 400  # it was read, merges and all
    assert open_peer(str(tmp_path))(texts) == [len(theirs(text)["input_ids"]) for text in texts]


def test_invalid_tokenizers_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="gpt17: neither a file nor an encoding of tiktoken"):
        open_peer("gpt17")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(TokenizerError, match="not a tokenizer"):
        open_peer(str(tmp_path))
