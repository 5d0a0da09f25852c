"""generate: with a cache as without, alone as in a batch, and drawn from the right distribution."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from tests.trainer.runs import build_decoder
from trainer.model.decoder import Decoder
from trainer.model.experts import ExpertSettings
from trainer.model.model_settings import ModelSettings
from trainer.rollouts.generate import GenerateSettings, generate, sample, sample_answers, stream_answers

SHAPE = ModelSettings(vocab_size=90, hidden_size=32, layers=2, heads=4, kv_heads=2, context_length=48, init_std=0.3)
GREEDY = GenerateSettings(max_new_tokens=16, temperature=0)


def model(**changes: object) -> Decoder:
    return build_decoder(SHAPE.model_copy(update=changes), seed=3)


def greedy_without_cache(net: Decoder, prompt: list[int], count: int) -> list[int]:
    row = list(prompt)
    for _ in range(count):
        row.append(int(net(torch.tensor([row])).logits[0, -1, :90].argmax()))
    return row[len(prompt) :]


@pytest.mark.parametrize("changes", [{}, {"experts": ExpertSettings(num_experts=4, every=1)}])
def test_results_do_not_depend_on_the_cache_or_the_other_prompts(changes):
    net = model(**changes).eval()
    prompts = [[0, 5, 9], [0], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]
    expected = [greedy_without_cache(net, prompt, 16) for prompt in prompts]
    assert generate(net, prompts, GREEDY) == expected
    assert [generate(net, [prompt], GREEDY)[0] for prompt in prompts] == expected
    assert len(set(expected[0])) > 3  # not one token repeated


def test_a_prefix_is_bidirectional_alone_and_in_a_batch():
    net = model().eval()
    prompts = [[5, 9, 4, 0], [7, 0], [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]]
    expected = []
    for prompt in prompts:
        row = list(prompt)
        for _ in range(16):
            ids, prefix = torch.zeros(1, len(row), dtype=torch.int32), torch.tensor([len(prompt)])
            row.append(int(net(torch.tensor([row]), document_ids=ids, prefix=prefix).logits[0, -1, :90].argmax()))
        expected.append(row[len(prompt) :])
    assert generate(net, prompts, GREEDY, prefix=True) == expected
    assert generate(net, prompts, GREEDY) != expected


def test_a_stop_token_ends_its_row_and_is_left_out():
    net = model()
    whole = generate(net, [[0, 5], [0, 7]], GREEDY)
    stop = whole[0][5]
    found = generate(net, [[0, 5], [0, 7]], GREEDY, stop={stop})
    for answer, full in zip(found, whole, strict=True):
        assert answer == (full[: full.index(stop)] if stop in full else full)


def test_the_seed_determines_the_sample():
    net = model()
    answers = [
        generate(net, [[0, 5]], GenerateSettings(max_new_tokens=16, temperature=1.0, seed=seed)) for seed in (1, 1, 2)
    ]
    assert answers[0] == answers[1] != answers[2]


def test_ids_beyond_the_vocabulary_are_never_drawn():
    net = model(init_std=1e-4)  # nearly uniform over the 128 rows
    answer = generate(net, [[0]] * 8, GenerateSettings(max_new_tokens=40, temperature=1.0, top_p=1.0))
    assert max(map(max, answer)) < 90


def frequencies(logits: list[float], **values: object) -> list[float]:
    settings = GenerateSettings(**{"temperature": 1.0, "top_p": None, **values})
    draws = torch.rand(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = sample(torch.tensor(logits).log().expand(20_000, -1), settings, draws).tokens
    return (drawn.bincount(minlength=len(logits)) / 20_000).tolist()


def test_draws_follow_temperature_top_k_and_top_p():
    mass = [0.1, 0.4, 0.3, 0.2]
    assert frequencies(mass) == pytest.approx(mass, abs=0.01)
    squares = [0.01, 0.16, 0.09, 0.04]
    assert frequencies(mass, temperature=0.5) == pytest.approx([x / 0.3 for x in squares], abs=0.01)
    assert frequencies(mass, top_k=2) == pytest.approx([0, 4 / 7, 3 / 7, 0], abs=0.01)
    assert frequencies(mass, top_p=0.65) == pytest.approx([0, 4 / 7, 3 / 7, 0], abs=0.01)
    assert frequencies(mass, top_p=0.75) == pytest.approx([0, 4 / 9, 3 / 9, 2 / 9], abs=0.01)
    assert frequencies(mass, top_p=0.01) == [0, 1, 0, 0]
    assert frequencies(mass, temperature=0) == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("prompts", "error", "fault"),
    [
        ([], ValueError, "at least one prompt"),
        ([[]], ValueError, "separator"),
    ],
)
def test_impossible_prompts_are_refused(prompts, error, fault):
    with pytest.raises(error, match=fault):
        generate(model(), prompts, GREEDY)


def test_impossible_settings_are_refused():
    for values in ({"temperature": -1}, {"top_p": 0}, {"top_k": 0}, {"max_new_tokens": 0}):
        with pytest.raises(ValidationError):
            GenerateSettings(**values)


SAMPLED = GenerateSettings(max_new_tokens=20, temperature=1.0, top_p=None)


def test_a_sample_does_not_depend_on_the_others():
    net = model().eval()
    prompts = [[0, 5, 9], [0], [0, 1, 2, 3]]
    together = sample_answers(net, prompts, SAMPLED, stop={7, 11, 30}, samples=4)
    assert [len(samples) for samples in together] == [4, 4, 4]
    lengths = {len(item.tokens) for samples in together for item in samples}
    assert len(lengths) > 3  # rows left the batch at different times
    first = sample_answers(net, prompts[:1], SAMPLED, stop={7, 11, 30}, samples=4)[0]
    assert [item.tokens for item in first] == [item.tokens for item in together[0]]
    longer = sample_answers(net, prompts, SAMPLED, samples=4)
    for samples, wholes in zip(together, longer, strict=True):
        for item, whole in zip(samples, wholes, strict=True):
            assert item.tokens == whole.tokens[: len(item.tokens)]
            assert item.stopped == (item.tokens[-1] in {7, 11, 30})
            assert item.answer == (item.tokens[:-1] if item.stopped else item.tokens)


def test_a_prompt_is_read_once_and_a_finished_row_no_more():
    net, read = model().eval(), []
    net.embedding.register_forward_pre_hook(lambda _, given: read.append(tuple(given[0].shape)))
    prompts = [[0, 5, 9], [0], [0, 1, 2, 3]]
    groups = sample_answers(net, prompts, SAMPLED, stop={7, 11, 30}, samples=4)
    lengths = [len(answer.tokens) for group in groups for answer in group]
    assert read[0] == (3, 4)  # the prompts, padded, and not twelve rows
    expected = [sum(length > step for length in lengths) for step in range(1, max(lengths))]
    assert read[1:] == [(rows, 1) for rows in expected]  # the last token of a row is not read
    assert sum(expected) == sum(lengths) - 12 < 12 * (max(lengths) - 1)


def test_log_probabilities_are_those_of_the_model():
    net = model().eval()
    settings = GenerateSettings(max_new_tokens=12, temperature=0.7, top_k=20, top_p=0.9)
    stopped = []
    for prompt, samples in zip(
        ([0, 5, 9], [0]), sample_answers(net, [[0, 5, 9], [0]], settings, samples=4, stop=range(30)), strict=True
    ):
        for item in samples:
            stopped.append(item.stopped)
            assert (item.tokens[-1] < 30) is item.stopped  # the stop token comes with its own log-probability
            row = torch.tensor([[*prompt, *item.tokens]])
            logs = (net(row).logits[0, len(prompt) - 1 : -1, :90] / 0.7).log_softmax(-1)
            expected = logs.gather(1, torch.tensor(item.tokens)[:, None])[:, 0].tolist()
            assert item.log_probs == pytest.approx(expected, abs=1e-4)
    assert any(stopped)


def test_tokens_are_shown_as_they_are_drawn():
    seen = [(row, answer.tokens[-1]) for row, answer in stream_answers(model(), [[0, 5]], SAMPLED, samples=2)]
    (samples,) = sample_answers(model(), [[0, 5]], SAMPLED, samples=2)
    assert [[token for row, token in seen if row == number] for number in (0, 1)] == [item.tokens for item in samples]


def test_a_reader_ends_one_row_and_leaves_the_others():
    (whole,) = sample_answers(model(), [[0, 5]], SAMPLED, samples=3)
    last: dict[int, list[int]] = {}
    for row, answer in stream_answers(model(), [[0, 5]], SAMPLED, samples=3):
        answer.ended = row == 1 and len(answer.tokens) == 4
        last[row] = answer.tokens
    assert [last[0], last[1], last[2]] == [whole[0].tokens, whole[1].tokens[:4], whole[2].tokens]


def test_seeds_of_prompts_make_answers_independent_of_their_place():
    net, prompts = model().eval(), [[0, 5, 9], [0], [0, 1, 2, 3]]
    together = sample_answers(net, prompts, SAMPLED, samples=2, seeds=[7, 8, 9])
    for prompt, seed, found in zip(prompts, [7, 8, 9], together, strict=True):
        ((first, second),) = sample_answers(net, [prompt], SAMPLED, samples=2, seeds=[seed])
        assert [first.tokens, second.tokens] == [item.tokens for item in found]
    assert together[0][0].tokens != together[0][1].tokens


def test_the_model_is_left_in_the_mode_it_was_in():
    net = model().train()
    generate(net, [[0]], GREEDY)
    assert net.training


@pytest.mark.parametrize(
    ("lengths", "new", "kept", "generated"),
    [((40, 3), 20, 40, 8), ((47,), 20, 47, 1), ((48,), 20, 28, 20), ((100, 30), 20, 28, 20), ((500,), 400, 24, 24)],
)
def test_what_exceeds_the_context_is_shortened_and_said(lengths, new, kept, generated):
    lines: list[str] = []
    prompts = [[1 + n % 30 for n in range(length)] for length in lengths]
    settings = GREEDY.model_copy(update={"max_new_tokens": new})
    found = generate(model(), prompts, settings, log=lines.append)
    assert [len(row) for row in found] == [generated] * len(lengths)
    assert (
        found[0]
        == generate(model(), [prompts[0][-kept:]], settings.model_copy(update={"max_new_tokens": generated}))[0]
    )
    assert len(lines) == 1
    assert f"the last {kept} of a prompt are read and at most {generated} generated, not {new}" in lines[0]
    generate(model(), [[0]], GREEDY, log=lines.append)
    assert len(lines) == 1
