"""packing: best fit against a plain simulation, and what every layout must keep."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.corpora import build_corpus
from tests.trainer.counted_arrays import count_corpus, counted_operations
from trainer.config import ConfigError
from trainer.data.batches import PADDING, BatchSettings, BatchSource, Segment
from trainer.data.packing import Packing, best_fit, measure_waste
from trainer.errors import UserError
from trainer.tasks.pretrain_settings import PretrainSettings, change_settings

LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=30)


def source(lengths: list[int], **values: object) -> BatchSource:
    """Documents of these numbers of tokens after the separator, every token different."""
    ends = np.cumsum(lengths)
    rows = [list(range(int(end - length) + 1, int(end) + 1)) for end, length in zip(ends, lengths, strict=True)]
    given = {"max_repetitions": None, "packing": "best_fit", **values}
    return BatchSource(build_corpus(rows), BatchSettings.model_validate(given))


def simulate(pieces: list[int], size: int) -> list[list[int]]:
    """Best-fit decreasing, one piece after the other."""
    bins: list[list[int]] = []
    for piece in sorted(pieces, reverse=True):
        fitting = [found for found in bins if sum(found) + piece <= size]
        tightest = max(fitting, key=sum, default=None)
        if tightest is None:
            bins.append([piece])
        else:
            tightest.append(piece)
    return bins


@given(st.lists(st.integers(1, 19), max_size=60))
def test_best_fit_leaves_the_room_that_a_simulation_leaves(pieces):
    packed = best_fit(np.bincount(pieces, minlength=20), 20)
    assert Counter(length for pattern, number in packed for length in pattern * number) == Counter(pieces)
    assert all(0 < sum(pattern) <= 20 and number > 0 for pattern, number in packed)
    rooms = Counter({}) + sum((Counter({20 - sum(pattern): number}) for pattern, number in packed), Counter())
    assert rooms == Counter(20 - sum(found) for found in simulate(pieces, 20))


@settings(max_examples=60, deadline=None)
@given(lengths=LENGTHS, length=st.integers(2, 25), seed=st.integers(0, 99))
def test_a_pass_reads_every_token_once_and_short_documents_whole(lengths, length, seed):
    reader = source(lengths, batch_size=1, sequence_length=length, seed=seed)
    sequences = len(reader.layout.pass_pieces(0).begins) - 1
    batches = [reader.batch(step) for step in range(sequences)]
    read = torch.cat([batch.inputs[batch.loss_mask] for batch in batches]).tolist()
    assert Counter(read)[0] >= len(lengths)
    assert sorted(token for token in read if token) == list(range(1, sum(lengths) + 1))
    for batch in batches:
        real = batch.loss_mask[0]
        assert torch.equal(real, batch.document_ids[0] != PADDING)
        assert (batch.inputs[0][~real] == 0).all()
        for number in range(int(batch.document_ids.max()) + 1):
            inside = (batch.document_ids[0] == number).nonzero().flatten()
            tokens, targets = batch.inputs[0][inside], batch.targets[0][inside]
            assert batch.positions[0][inside].tolist() == list(range(len(inside)))
            assert torch.equal(targets[:-1], tokens[1:])
            assert int(targets[-1]) in (0, int(tokens[-1]) + 1)
            if tokens[0] != 0:  # the rest of a document that no sequence holds
                assert 1 + max(lengths) > length


@pytest.mark.parametrize("packing", list(Packing))
def test_the_shares_count_what_the_batches_hold(packing):
    lengths = np.random.default_rng(1).integers(0, 50, 90).tolist()
    reader = source(lengths, batch_size=3, sequence_length=16, packing=packing)
    for steps in (1, 40, 130):
        read = np.zeros(len(lengths))
        for step in range(steps):
            owners = reader.token_documents(step)
            read += np.bincount(owners[owners != PADDING], minlength=len(lengths))
        exact = 0 if packing is Packing.BEST_FIT else 16  # where two passes meet
        assert np.abs(reader.layout.count_tokens_read(3 * steps) - read).sum() <= exact


@pytest.mark.parametrize("packing", list(Packing))
def test_waste_is_what_the_batches_show(packing):
    lengths = np.random.default_rng(2).integers(0, 60, 400).tolist()
    reader = source(lengths, batch_size=1, sequence_length=32, packing=packing)
    found = measure_waste(reader.layout, reader.corpus.length, 32)
    sequences = len(reader.layout.pass_pieces(0).begins) - 1
    padded = headless = tokens = 0
    for step in range(sequences - (packing is Packing.CUT)):
        batch = reader.batch(step)
        padded += int((~batch.loss_mask).sum())
        for number in range(int(batch.document_ids.max()) + 1):
            inside = batch.inputs[0][batch.document_ids[0] == number]
            tokens += len(inside)
            headless += len(inside) * int(inside[0] != 0)
    assert found.padded == pytest.approx(padded / (padded + tokens), abs=1e-9)
    assert found.headless == pytest.approx(headless / tokens, abs=0.01)  # the end of a cut stream is not read here
    whole = np.array(lengths) + 1 <= 32
    if packing is Packing.BEST_FIT:
        assert found.cut == pytest.approx(1 - (np.array(lengths) + 1)[whole].sum() / (np.array(lengths) + 1).sum())
    else:
        assert found.cut > 0.6


def test_best_fit_wastes_little_and_keeps_starts():
    lengths = np.random.default_rng(3).geometric(1 / 200, 3000).tolist()
    cut, packed = (source(lengths, sequence_length=512, packing=packing).waste() for packing in Packing)
    assert cut.padded == 0
    assert packed.padded < 0.005
    assert packed.headless < 0.1 < 0.2 < cut.headless
    assert packed.cut < 0.3 < 0.5 < cut.cut


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_and_segments_read_the_sequences_that_one_process_reads(world):
    reader = source(np.random.default_rng(4).integers(0, 40, 80).tolist(), batch_size=6, sequence_length=16)
    parts = [reader.batch(9, rank, world).inputs for rank in range(world)]
    assert torch.equal(torch.cat(parts), reader.batch(9).inputs)
    changed = reader.with_segments([Segment(0, 0, 6), Segment(5, 30, 3)])
    assert torch.equal(torch.cat([changed.batch(13).inputs, changed.batch(14).inputs]), reader.batch(9).inputs)
    assert torch.equal(changed.batch(2).targets, reader.batch(2).targets)


def test_capped_data_can_be_read_to_its_last_sequence():
    reader = source([5, 3, 9, 30], batch_size=1, sequence_length=10, max_repetitions=2)
    sequences = 2 * (len(reader.layout.pass_pieces(0).begins) - 1)
    read = torch.cat([batch.inputs[batch.loss_mask] for batch in map(reader.batch, range(sequences))])
    assert np.bincount(read.numpy())[1:].tolist() == [2] * 47
    for refused in (lambda: reader.batch(sequences), lambda: reader.shares(sequences + 1)):
        with pytest.raises(UserError, match="the data ends after"):
            refused()


def test_a_batch_reads_no_array_over_all_documents():
    corpus = count_corpus(build_corpus([[1] * 9] * 4000))
    reader = BatchSource(corpus, BatchSettings(batch_size=4, sequence_length=32, packing=Packing.BEST_FIT))
    with counted_operations() as started:
        reader.batch(0)
    with counted_operations() as later:
        for step in range(1, 100):
            reader.batch(step)
            reader.token_documents(step)
            reader.documents(step)
    assert started[0] > 0
    assert later == [0]


def test_padding_in_denoising_is_refused():
    with pytest.raises(ConfigError, match=r"leave data\.packing = cut"):
        change_settings(PretrainSettings(), ["data.packing=best_fit", "objective.denoisers=[{}]"])
