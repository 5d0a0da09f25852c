from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.trainer.corpora import build_corpus
from tests.trainer.curated import pages
from trainer.data.tokenizer import Tokenizer, TokenizerSettings, train_tokenizer
from trainer.errors import UserError
from trainer.evaluation.harness import EvaluationSettings, score_questions
from trainer.evaluation.likelihood import Pair, Scorer
from trainer.evaluation.perplexity import TextLoss, held_out_documents, measure_loss, windows
from trainer.evaluation.questions import Question


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([row["text"] for row in pages(40)], TokenizerSettings(vocab_size=768))


def bigram(vocabulary: int) -> Tensor:
    """ln P(next | token) of a fixed random chain, [V, V]."""
    return torch.randn(vocabulary, vocabulary, generator=torch.Generator().manual_seed(1)).log_softmax(-1)


def scorer(tokenizer: Tokenizer, context: int = 32, seen: list[Tensor] | None = None) -> Scorer:
    table = bigram(tokenizer.vocab_size)

    def model(tokens: Tensor) -> Tensor:
        if seen is not None:
            seen.append(tokens)
        return table[tokens] + 7.5  # logits need not be normalized

    return Scorer(model, tokenizer, context, tokens_at_once=100)


def by_hand(tokens: list[int], start: int, table: Tensor) -> float:
    """The sum of a chain's log-probabilities from token `start` on."""
    return sum(float(table[tokens[n - 1], tokens[n]]) for n in range(start, len(tokens)))


def test_scores_are_sums_of_log_probabilities(tokenizer: Tokenizer) -> None:
    ours = scorer(tokenizer)
    table = bigram(tokenizer.vocab_size)
    pairs = [ours.pair("the doctor of", " the train"), ours.pair("a", " hotel museum map"), ours.pair("", "code")]
    for pair, score in zip(pairs, ours.scores(pairs), strict=True):
        whole = [*pair.context, *pair.continuation]
        assert score.likelihood == pytest.approx(by_hand(whole, len(pair.context), table), abs=1e-4)


def test_a_pair_is_one_text_split_where_the_context_ends(tokenizer: Tokenizer) -> None:
    ours = scorer(tokenizer)
    pair = ours.pair("the doctor ", "of the")
    assert pair.context == (tokenizer.separator, *tokenizer.encode("the doctor"))
    assert (*pair.context, *pair.continuation) == (tokenizer.separator, *tokenizer.encode("the doctor of the"))
    assert ours.pair("", "x").context == (tokenizer.separator,)


def test_a_long_context_is_cut_on_the_left(tokenizer: Tokenizer) -> None:
    ours = scorer(tokenizer, context=4)
    table = bigram(tokenizer.vocab_size)
    tokens = list(range(20, 40))
    (score,) = ours.scores([Pair(tuple(tokens[:17]), tuple(tokens[17:]))])
    assert score.likelihood == pytest.approx(by_hand(tokens, 17, table), abs=1e-4)
    with pytest.raises(UserError, match="does not fit the model's context of 4"):
        ours.scores([Pair((1,), (1, 2, 3, 4, 5))])


def test_greedy_says_whether_the_model_would_write_it(tokenizer: Tokenizer) -> None:
    table = bigram(tokenizer.vocab_size)
    best = int(table[5].argmax())
    after = int(table[best].argmax())
    found = scorer(tokenizer).scores([Pair((5,), (best, after)), Pair((5,), (best, (after + 1) % 400))])
    assert [score.greedy for score in found] == [True, False]


def test_choices_of_one_token_share_a_forward_pass(tokenizer: Tokenizer) -> None:
    seen: list[Tensor] = []
    scorer(tokenizer, seen=seen).scores([Pair((1, 2, 3), (answer,)) for answer in range(4)])
    assert sum(len(tokens) for tokens in seen) == 1


def test_batches_hold_no_more_tokens_than_allowed(tokenizer: Tokenizer) -> None:
    seen: list[Tensor] = []
    scorer(tokenizer, seen=seen).scores([Pair((1,), tuple(range(2, 2 + n))) for n in range(1, 30)])
    assert max(tokens.numel() for tokens in seen) <= 100
    assert sum(len(tokens) for tokens in seen) == 29


@pytest.mark.parametrize(("context", "kept"), [(4, 1), (4, 2), (4, 4), (7, 3), (100, 1)])
def test_windows_predict_every_token_once_with_all_the_context_that_fits(context: int, kept: int) -> None:
    tokens = list(range(1, 24))
    found = list(windows(tokens, 0, context, kept))
    assert [token for pair in found for token in pair.continuation] == tokens
    for pair in found:
        assert len(pair.context) + len(pair.continuation) <= context + 1
    for pair in found[1:]:
        assert len(pair.context) >= kept
        assert pair.context[-1] == pair.continuation[0] - 1
    assert list(windows([], 0, 4)) == []
    with pytest.raises(ValueError, match="keeps 1 to 4"):
        list(windows(tokens, 0, 4, 5))


def test_bits_per_byte_does_not_depend_on_the_tokenizer_and_perplexity_does() -> None:
    """The same text, the same probability of it: 10 tokens or 20, bits per byte agree."""
    coarse, fine = TextLoss(1, 10, 50, 30.0), TextLoss(1, 20, 50, 30.0)
    assert coarse.bits_per_byte == fine.bits_per_byte == pytest.approx(30 / math.log(2) / 50)
    assert coarse.perplexity == pytest.approx(math.exp(3.0))
    assert fine.perplexity == pytest.approx(math.exp(1.5))


def test_fits_by_domain_add_up(tokenizer: Tokenizer) -> None:
    documents = [("a", [5, 6, 7], 12), ("b", [8] * 50, 99), ("a", [9], 3)]
    fits = measure_loss(scorer(tokenizer), documents)
    assert (fits["a"].documents, fits["a"].tokens, fits["a"].bytes) == (2, 4, 15)
    assert fits[""] == fits["a"] + fits["b"]
    table = bigram(tokenizer.vocab_size)
    assert fits["a"].nats == pytest.approx(
        -by_hand([tokenizer.separator, 5, 6, 7], 1, table) - float(table[tokenizer.separator, 9]), abs=1e-4
    )


def test_held_out_documents_come_without_separator_in_an_order_of_their_own() -> None:
    corpus = build_corpus([[1, 2], [3], [4, 5, 6]])
    assert [tokens for _, tokens, _ in held_out_documents(corpus)] == [[1, 2], [3], [4, 5, 6]]
    assert len(list(held_out_documents(corpus, 2))) == 2


def test_a_model_that_knows_the_answers_gets_them_all(tokenizer: Tokenizer) -> None:
    """And one that prefers short answers is fooled by sums only."""
    questions = [Question("Pick", ("hotel", "a hotel in the city of museum and river", "map"), 1) for _ in range(5)]

    def uniform(tokens: Tensor) -> Tensor:
        return torch.zeros(*tokens.shape, tokenizer.vocab_size)

    found = score_questions(Scorer(uniform, tokenizer, 64), questions, EvaluationSettings())
    assert found["answer"] == 0.0  # every token costs the same: the shortest wins
    assert found["chance"] == pytest.approx(1 / 3)
    assert found["questions"] == 5
    assert found["answer_error"] == 0.0
    with pytest.raises(UserError, match="examples = 2, but the file has 0 dev questions"):
        score_questions(Scorer(uniform, tokenizer, 64), questions, EvaluationSettings(examples=2))
