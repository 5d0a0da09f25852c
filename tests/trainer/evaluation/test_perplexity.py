from __future__ import annotations

import math

import pytest

from tests.trainer.corpora import build_corpus
from tests.trainer.curated import pages
from tests.trainer.evaluation.bigram import bigram, by_hand, scorer
from trainer.data.tokenizer import Tokenizer, TokenizerSettings, train_tokenizer
from trainer.evaluation.perplexity import TextLoss, held_out_documents, measure_loss, split_windows


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([row["text"] for row in pages(40)], TokenizerSettings(vocab_size=768))


@pytest.mark.parametrize(("context", "kept"), [(4, 1), (4, 2), (4, 4), (7, 3), (100, 1)])
def test_windows_predict_every_token_once_with_all_the_context_that_fits(context: int, kept: int) -> None:
    tokens = list(range(1, 24))
    found = list(split_windows(tokens, 0, context, kept))
    assert [token for pair in found for token in pair.continuation] == tokens
    for pair in found:
        assert len(pair.context) + len(pair.continuation) <= context + 1
    for pair in found[1:]:
        assert len(pair.context) >= kept
        assert pair.context[-1] == pair.continuation[0] - 1
    assert list(split_windows([], 0, 4)) == []
    with pytest.raises(ValueError, match="keeps 1 to 4"):
        list(split_windows(tokens, 0, 4, 5))


def test_bits_per_byte_does_not_depend_on_the_tokenizer_and_perplexity_does() -> None:
    """The same text, the same probability of it: 10 tokens or 20, bits per byte agree."""
    coarse, fine = TextLoss(1, 10, 50, 30.0), TextLoss(1, 20, 50, 30.0)
    assert coarse.bits_per_byte == fine.bits_per_byte == pytest.approx(30 / math.log(2) / 50)
    assert coarse.perplexity == pytest.approx(math.exp(3.0))
    assert fine.perplexity == pytest.approx(math.exp(1.5))


def test_losses_by_domain_add_up(tokenizer: Tokenizer) -> None:
    documents = [("a", [5, 6, 7], 12), ("b", [8] * 50, 99), ("a", [9], 3)]
    fits = measure_loss(scorer(tokenizer), documents)
    assert (fits["a"].documents, fits["a"].tokens, fits["a"].bytes) == (2, 4, 15)
    assert fits[""] == fits["a"] + fits["b"]
    table = bigram(tokenizer.vocab_size)
    assert fits["a"].nats == pytest.approx(
        -by_hand([tokenizer.separator, 5, 6, 7], 1, table) - float(table[tokenizer.separator, 9]), abs=1e-4
    )


def test_held_out_documents_have_no_separator_and_are_ordered_by_hash() -> None:
    corpus = build_corpus([[1, 2], [3], [4, 5, 6]])
    assert [tokens for _, tokens, _ in held_out_documents(corpus)] == [[1, 2], [3], [4, 5, 6]]
    assert len(list(held_out_documents(corpus, 2))) == 2
