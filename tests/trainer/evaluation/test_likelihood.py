from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.trainer.curated import pages
from tests.trainer.evaluation.bigram import bigram, by_hand, scorer
from trainer.data.questions import Question
from trainer.data.tokenizer import Tokenizer, TokenizerSettings, train_tokenizer
from trainer.errors import UserError
from trainer.evaluation.harness import EvaluationSettings, score_questions
from trainer.evaluation.likelihood import Pair, Scorer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([row["text"] for row in pages(40)], TokenizerSettings(vocab_size=768))


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


def test_greedy_is_true_if_the_model_would_generate_the_continuation(tokenizer: Tokenizer) -> None:
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


def test_a_model_that_knows_the_answers_gets_them_all(tokenizer: Tokenizer) -> None:
    """A model that prefers short answers is wrong only by sums of log-likelihoods."""
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


def splits_inside_words() -> list[tuple[str, str]]:
    words = {word for row in pages(40) for word in row["text"].split()}
    cuts = [(f"a {word[:cut]}", word[cut:]) for word in sorted(words) for cut in range(1, len(word))]
    return [*cuts, *((context, f"{rest}xq zv museum") for context, rest in cuts)]


def test_no_continuation_is_certain_where_a_token_spans_the_join(tokenizer: Tokenizer) -> None:
    def uniform(tokens: Tensor) -> Tensor:
        return torch.zeros(*tokens.shape, tokenizer.vocab_size)

    joined = 0
    for first in (True, False):
        ours = Scorer(uniform, tokenizer, 64, separator_first=first)
        for context, continuation in [*splits_inside_words(), ("ho", "tel"), ("h", "otel")]:
            pair = ours.pair(context, continuation)
            assert pair.context
            assert ours.scores([pair])[0].likelihood < 0
            whole = [*pair.context, *pair.continuation]
            if len(tokenizer.encode(context)) >= len(tokenizer.encode(context + continuation)):
                joined += 1  # all of the text is in the pair, and its tokens are those of the text as one
                begin = [tokenizer.separator] if whole[0] == tokenizer.separator else []
                assert whole == [*begin, *tokenizer.encode(context + continuation)]
    assert joined > 50
    assert Scorer(uniform, tokenizer, 64).pair("a", "").continuation == ()
