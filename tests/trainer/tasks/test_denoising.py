"""denoising: the text can be rebuilt from inputs and targets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from trainer.data.batches import Batch
from trainer.tasks.denoising import (
    DenoiserSettings,
    Example,
    Noise,
    ObjectiveSettings,
    choose_spans,
    corrupt,
    denoising_inputs,
)

FIRST = 1000
SETTINGS = ObjectiveSettings(denoisers=(DenoiserSettings(),), first_sentinel=FIRST, sentinels=100, separator=0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def text(length: int, seed: int = 0) -> np.ndarray:
    return rng(seed).integers(1, 900, length)


def rebuild(example: Example) -> list[int]:
    """Insert the tokens that follow each sentinel in the targets at its place in the inputs."""
    hidden: dict[int, list[int]] = {}
    for token in example.targets.tolist():
        if token >= FIRST:
            hidden[last := token] = []
        else:
            hidden[last].append(token)
    return [t for token in example.inputs.tolist() for t in (hidden[token] if token >= FIRST else [token])]


@settings(max_examples=150, deadline=None)
@given(
    st.integers(2, 400),
    st.integers(0, 2**32),
    st.sampled_from([Noise.SPANS, Noise.TOKENS]),
    st.floats(0.01, 0.9),
    st.floats(1, 20),
)
def test_inputs_and_targets_rebuild_the_text(length, seed, noise, share, mean_span):
    tokens = text(length, seed % 1000)
    denoiser = DenoiserSettings(noise=noise, share=share, mean_span=mean_span)
    example = corrupt(tokens, denoiser, SETTINGS, 900, rng(seed))
    assert rebuild(example) == tokens.tolist()
    sentinels = [token for token in example.inputs.tolist() if token >= FIRST]
    assert sentinels == list(range(FIRST, FIRST + len(sentinels)))  # each once, in order
    assert 1 <= len(sentinels) <= 100


def test_span_corruption_hides_15_percent_in_spans_of_3():
    shares, spans = [], []
    for seed in range(300):
        hidden = choose_spans(512, DenoiserSettings(), 100, rng(seed))
        edges = np.diff(np.concatenate(([0], hidden.astype(int), [0])))
        spans.append(np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1))
        shares.append(hidden.mean())
    assert set(shares) == {77 / 512}  # round(0.15 * 512): the same for every row, so that rows stay equally long
    assert np.concatenate(spans).mean() == pytest.approx(77 / 26)  # round(77 / 3) spans
    assert pytest.approx(3.0, abs=0.05) == 77 / 26
    assert np.concatenate(spans).std() > 1  # and they do vary


def test_every_cut_is_equally_likely():
    hidden = [
        tuple(choose_spans(6, DenoiserSettings(share=0.5, mean_span=1.5), 9, rng(seed)).tolist())
        for seed in range(4000)
    ]
    kinds, counts = np.unique(hidden, axis=0, return_counts=True)
    assert len(kinds) == 4  # 3 hidden and 3 kept, each cut into two pieces in one of two ways
    assert counts.min() > 900


def test_independent_choice_hides_its_share():
    tokens = text(20_000)
    dropped = corrupt(tokens, DenoiserSettings(noise="drop"), SETTINGS, 900, rng())
    assert len(dropped.targets) / 20_000 == pytest.approx(0.15, abs=0.01)
    assert len(dropped.inputs) + len(dropped.targets) == 20_000
    masked = corrupt(tokens, DenoiserSettings(noise="mass"), SETTINGS, 900, rng())
    assert (masked.inputs == FIRST).mean() == pytest.approx(0.15, abs=0.01)
    assert (masked.inputs == tokens)[masked.inputs != FIRST].all()
    assert np.array_equal(masked.targets, tokens)
    bert = corrupt(tokens, DenoiserSettings(noise="bert"), SETTINGS, 900, rng())
    changed = bert.inputs != tokens
    assert (bert.inputs[changed] == FIRST).mean() == pytest.approx(0.9, abs=0.02)
    assert np.array_equal(bert.targets, tokens)


def test_shuffling_and_prefixes_keep_every_token():
    tokens = text(100)
    shuffled = corrupt(tokens, DenoiserSettings(noise="deshuffle"), SETTINGS, 900, rng())
    assert sorted(shuffled.inputs) == sorted(tokens)
    assert shuffled.inputs.tolist() != tokens.tolist()
    assert np.array_equal(shuffled.targets, tokens)
    cuts = set()
    for seed in range(50):
        prefix = corrupt(tokens, DenoiserSettings(noise="prefix", mode=7), SETTINGS, 900, rng(seed))
        assert prefix.inputs[0] == 7
        assert np.array_equal(np.concatenate((prefix.inputs[1:], prefix.targets)), tokens)
        cuts.add(len(prefix.targets))
    assert min(cuts) >= 1
    assert len(cuts) > 20


def batch(rows: int, sequence: int = 40) -> Batch:
    tokens = torch.from_numpy(np.stack([text(sequence + 1, seed) for seed in range(rows)]))
    zeros = torch.zeros(rows, sequence, dtype=torch.int32)
    return Batch(tokens[:, :-1], tokens[:, 1:], zeros, torch.arange(sequence).expand(rows, -1), zeros == 0)


MIXED = SETTINGS.model_copy(update={"denoisers": (DenoiserSettings(), DenoiserSettings(noise="prefix", weight=2))})


def test_the_decoder_reads_inputs_as_prefix_and_learns_targets_only():
    inputs = denoising_inputs(batch(6), MIXED, 900, False, (1, 2), 0)
    kinds = set()
    for row in range(6):
        length = int((inputs["document_ids"][row] == 0).sum())
        tokens = [*inputs["tokens"][row, :length].tolist(), int(inputs["targets"][row, length - 1])]
        cut = int(inputs["prefix"][row])
        assert tokens[cut - 1] == 0  # the separator between inputs and targets
        assert tokens[-1] == 0
        example = Example(np.array(tokens[: cut - 1]), np.array(tokens[cut:-1]))
        was_prefix = example.targets[0] < FIRST
        kinds.add(was_prefix)
        assert ([*example.inputs, *example.targets] if was_prefix else rebuild(example)) == text(41, row).tolist()
        assert inputs["weights"][row].nonzero().flatten().tolist() == list(range(cut - 1, length))
        assert inputs["targets"][row, : length - 1].tolist() == inputs["tokens"][row, 1:length].tolist()
    assert kinds == {True, False}  # of six rows some drew either denoiser


def test_the_encoder_gets_the_inputs_and_the_decoder_the_shifted_targets():
    inputs = denoising_inputs(batch(4), SETTINGS, 900, True, (1, 2), 0)
    assert (inputs["tokens"][:, 0] == 0).all()
    assert torch.equal(inputs["tokens"][:, 1:], inputs["targets"][:, :-1])
    for row in range(4):
        source = inputs["source"][row][inputs["source_ids"][row] >= 0].numpy()
        targets = inputs["targets"][row][inputs["weights"][row]].numpy()
        assert targets[-1] == 0
        assert rebuild(Example(source, targets[:-1])) == text(41, row).tolist()


def test_each_ul2_denoiser_is_marked_by_its_mode():
    """R: T5's spans; X: long spans or many; S: a prefix. The mode token comes first."""
    r, x = DenoiserSettings(mode=901), DenoiserSettings(mode=902, share=0.5, mean_span=20)
    mixture = SETTINGS.model_copy(update={"denoisers": (r, x, DenoiserSettings(noise="prefix", mode=903, weight=2))})
    inputs = denoising_inputs(batch(200, 80), mixture, 950, True, (1, 2), 0)
    drawn = {901: 0, 902: 0, 903: 0}
    for row in range(200):
        mode, *source = inputs["source"][row][inputs["source_ids"][row] >= 0].tolist()
        targets = inputs["targets"][row][inputs["weights"][row]].tolist()[:-1]
        sentinels = sum(token >= FIRST for token in targets)
        kinds = {901: (12, 4), 902: (40, 2), 903: (len(targets), 0)}  # of 81 tokens: hidden, and sentinels
        assert (len(targets) - sentinels, sentinels) == kinds[mode]
        assert len(source) + len(targets) - 2 * sentinels == 81
        drawn[mode] += 1
    assert [drawn[mode] / 200 for mode in (901, 902, 903)] == pytest.approx([0.25, 0.25, 0.5], abs=0.1)


def test_rows_draw_the_same_noise_whatever_the_number_of_ranks():
    whole = denoising_inputs(batch(4), SETTINGS, 900, True, (1, 2), 0)
    last = denoising_inputs(Batch(*(x[2:] for x in vars(batch(4)).values())), SETTINGS, 900, True, (1, 2), 2)
    other = denoising_inputs(batch(4), SETTINGS, 900, True, (1, 3), 0)
    assert torch.equal(whole["source"][2:], last["source"])
    assert not torch.equal(whole["source"], other["source"])


def test_a_separator_among_the_sentinels_is_refused():
    with pytest.raises(ValidationError, match="separator"):
        ObjectiveSettings(denoisers=(DenoiserSettings(),), first_sentinel=0, separator=5)
