from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.corpora import build_corpus
from tests.trainer.counted_arrays import count_corpus, counted_operations
from trainer.data.batches import BatchSettings, BatchSource, Segment
from trainer.data.corpus import Corpus, join_corpora
from trainer.errors import UserError


def source(documents: list[list[int]], weights: list[float] | None = None, **more: int | None) -> BatchSource:
    return BatchSource(
        build_corpus(documents, weights), BatchSettings.model_validate({"max_repetitions": None, **more})
    )


def documents(count: int, seed: int = 0) -> list[list[int]]:
    """Documents of 1 to 60 tokens, every token different, so that each token identifies its document."""
    lengths = np.random.default_rng(seed).integers(1, 60, size=count)
    ends = np.cumsum(lengths)
    return [list(range(int(end - length) + 1, int(end) + 1)) for end, length in zip(ends, lengths, strict=True)]


def test_a_pass_reads_every_token_once_and_pads_nothing() -> None:
    texts = documents(200)
    total = sum(len(text) + 1 for text in texts)
    reader = source(texts, batch_size=1, sequence_length=16)
    whole = total // 16
    inputs = torch.cat([reader.batch(step).inputs.flatten() for step in range(whole)])
    counts = np.bincount(inputs.numpy(), minlength=1 + sum(map(len, texts)))
    assert counts[1:].max() == 1
    assert (counts[1:] == 0).sum() + 200 - counts[0] == total - whole * 16  # the tail meets the next pass's first row


def test_rows_are_consecutive_pieces_of_whole_documents() -> None:
    reader = source(documents(100), batch_size=4, sequence_length=32)
    batch = reader.batch(3)
    for row in range(4):
        tokens = batch.inputs[row].tolist()
        for before, after in zip(tokens, batch.targets[row].tolist(), strict=True):
            assert after in (before + 1, 0) or before == 0  # the next of the same document, or the next separator
        assert batch.targets[row, :-1].tolist() == tokens[1:]


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=6),
    weight=st.sampled_from([0.04, 0.5, 1.0, 2.5]),
    sequence=st.integers(1, 50),
    seed=st.integers(0, 1000),
)
def test_sequences_are_the_stream_of_passes_cut_by_hand(
    lengths: list[int], weight: float, sequence: int, seed: int
) -> None:
    """Tokens, targets, documents and positions one by one, also across passes that read nothing."""
    texts = [list(range(100 * number + 1, 100 * number + 1 + length)) for number, length in enumerate(lengths)]
    reader = source(texts, [weight] * len(texts), batch_size=1, sequence_length=sequence, seed=seed)
    stream = []
    for number in range(40):
        for document in reader.mixture.read_pass(number).order.tolist():
            tokens = [0, *texts[document]]
            stream += list(zip(tokens, [*tokens[1:], 0], range(len(tokens)), [document] * len(tokens), strict=True))
    by_hand = []
    for begin in range(0, len(stream) - sequence + 1, sequence):
        starts, row = [begin], []
        for place, (token, target, offset, document) in enumerate(stream[begin : begin + sequence], begin):
            if offset == 0 and place > begin:
                starts.append(place)
            row.append((token, target, len(starts) - 1, place - starts[-1], document))
        by_hand.append(row)
    if not by_hand:
        return
    every = reader.with_segments([Segment(0, 0, len(by_hand))])
    batch, owners = every.batch(0), torch.from_numpy(every.token_documents(0))
    columns = torch.stack([batch.inputs, batch.targets, batch.document_ids, batch.positions, owners], dim=2)
    read = [[tuple(place) for place in row] for row in columns.tolist()]
    passes = [reader.mixture.first_token(number) // sequence for number in range(41)]
    for first, after in pairwise(passes):  # shuffled inside a pass
        assert sorted(read[first:after]) == sorted(by_hand[first:after])


def test_document_ids_and_positions_change_where_documents_begin() -> None:
    batch = source([[1, 2, 3], [4, 5, 6]], batch_size=1, sequence_length=11).batch(0)
    tokens = batch.inputs[0].tolist()
    begins = [index == 0 or token == 0 for index, token in enumerate(tokens)]
    assert batch.document_ids[0].tolist() == (np.cumsum(begins) - 1).tolist()
    assert [position == 0 for position in batch.positions[0].tolist()] == begins
    assert batch.positions.diff().clamp(max=1).unique().tolist()[-1] == 1
    assert batch.loss_mask.all()


def test_without_a_document_mask_a_row_is_one_document() -> None:
    batch = source(documents(20), batch_size=2, sequence_length=64, document_mask=False).batch(0)
    assert batch.document_ids.unique().tolist() == [0]
    assert batch.positions.tolist() == [list(range(64))] * 2


@pytest.mark.parametrize("world", [1, 2, 3, 6])
def test_any_number_of_ranks_sees_the_same_rows(world: int) -> None:
    reader = source(documents(300), batch_size=6, sequence_length=32)
    for step in (0, 7, 500):
        whole = reader.batch(step)
        parts = [reader.batch(step, rank, world) for rank in range(world)]
        for name, tensor in vars(whole).items():
            assert torch.equal(tensor, torch.cat([getattr(part, name) for part in parts])), name


def test_a_step_does_not_depend_on_the_steps_before() -> None:
    walked = source(documents(100), batch_size=4, sequence_length=32)
    steps = [walked.batch(step).inputs for step in range(40)]
    jumped = source(documents(100), batch_size=4, sequence_length=32)
    for step in (39, 3, 17, 0):
        assert torch.equal(jumped.batch(step).inputs, steps[step])


def test_seeds_give_different_orders_of_the_same_tokens() -> None:
    texts = documents(100)
    rows = sum(len(text) + 1 for text in texts) // 8
    one, two = (source(texts, batch_size=rows, sequence_length=8, seed=seed).batch(0).inputs for seed in (1, 2))
    assert not torch.equal(one, two)
    assert len(set(one.flatten().tolist()) & set(two.flatten().tolist())) > 0.98 * sum(map(len, texts))


def test_weights_decide_how_often_tokens_are_read() -> None:
    """A quarter, once and three times: measured on the tokens of the batches, not on the plan."""
    texts = [[kind + 1] * 20 for kind in range(3) for _ in range(60)]
    weights = [weight for weight in (0.25, 1.0, 3.0) for _ in range(60)]
    reader = source(texts, weights, batch_size=8, sequence_length=32)
    passes = 8
    steps = int(passes * 21 * sum(weights) / (8 * 32))
    tokens = torch.cat([reader.batch(step).inputs.flatten() for step in range(steps)])
    read = np.bincount(tokens.numpy(), minlength=4)[1:] / (60 * 20 * passes)
    assert read == pytest.approx([0.25, 1.0, 3.0], rel=0.03)


def test_documents_of_a_step_are_those_whose_tokens_it_holds() -> None:
    texts = documents(80)
    reader = source(texts, batch_size=3, sequence_length=32)
    owner = {token: str(number) for number, text in enumerate(texts) for token in text}
    for step in range(20):
        seen = {owner[token] for token in reader.batch(step).inputs.flatten().tolist() if token}
        named = {document.id for document in reader.documents(step)}
        assert seen <= named
        assert len(named - seen) <= 3  # a row may end with a document's separator alone
    ranks = [document.id for rank in range(3) for document in reader.documents(5, rank, 3)]
    assert list(dict.fromkeys(ranks)) == [document.id for document in reader.documents(5)]


def test_capped_data_can_be_read_to_its_last_row() -> None:
    texts = documents(30)
    total = 2 * sum(len(text) + 1 for text in texts)
    reader = source(texts, batch_size=1, sequence_length=16, max_repetitions=2)
    steps = total // 16
    reader.shares(steps)
    tokens = torch.cat([reader.batch(step).inputs.flatten() for step in range(steps)])
    assert np.bincount(tokens.numpy())[1:].max() == 2
    for refused in (lambda: reader.batch(steps), lambda: reader.shares(steps + 1)):
        with pytest.raises(UserError, match="the data ends after"):
            refused()


def test_a_later_stage_continues_where_the_first_ended() -> None:
    first = source(documents(100), batch_size=4, sequence_length=16)
    second = source(documents(100), batch_size=4, sequence_length=16, first_sequence=40)
    assert torch.equal(first.batch(10).inputs, second.batch(0).inputs)


def test_a_batch_size_that_ranks_cannot_divide_is_refused() -> None:
    with pytest.raises(UserError, match=r"data.batch_size = 4 cannot be divided evenly among 3 ranks"):
        source(documents(5), batch_size=4, sequence_length=8).batch(0, 0, 3)


def test_the_fingerprint_changes_with_the_data_and_the_settings_only() -> None:
    texts = documents(50)
    base = source(texts, batch_size=4, sequence_length=16).fingerprint
    assert base == source(texts, batch_size=4, sequence_length=16).fingerprint
    others = [
        source(texts, batch_size=4, sequence_length=16, seed=1),
        source(texts, batch_size=8, sequence_length=16),
        source(texts, [2.0] + [1.0] * 49, batch_size=4, sequence_length=16),
        source([[9], *texts[1:]], batch_size=4, sequence_length=16),
    ]
    assert len({base, *(other.fingerprint for other in others)}) == 5


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=8),
    rows=st.integers(1, 4),
    sequence=st.integers(1, 50),
    seed=st.integers(0, 1000),
    step=st.integers(0, 10_000),
)
def test_any_corpus_gives_full_rows_at_any_step(
    lengths: list[int], rows: int, sequence: int, seed: int, step: int
) -> None:
    reader = source([[1] * length for length in lengths], batch_size=rows, sequence_length=sequence, seed=seed)
    batch = reader.batch(step)
    assert batch.inputs.shape == batch.targets.shape == (rows, sequence)
    assert set(batch.inputs.unique().tolist()) <= {0, 1}
    assert reader.documents(step)


def test_micro_batches_are_the_batch() -> None:
    batch = source(documents(50), batch_size=5, sequence_length=16).batch(0)
    parts = batch.split(2)
    assert [len(part.inputs) for part in parts] == [2, 2, 1]
    assert torch.equal(torch.cat([part.targets for part in parts]), batch.targets)


def web(count: int, name: str, length: int = 9) -> Corpus:
    return build_corpus([[1] * length] * count, name=name)


def reader_of(parts: list[Corpus], shares: dict[str, float], cap: int | None = None) -> BatchSource:
    return BatchSource(
        join_corpora(parts), BatchSettings(batch_size=5, sequence_length=40, max_repetitions=cap), shares
    )


def test_shares_weigh_tokens_not_documents() -> None:
    """200 long documents against 800 short ones: the shares are of tokens."""
    reader = reader_of([web(200, "long", 99), web(800, "short")], {"long": 0.25, "short": 0.75})
    lines = reader.shares(1400)
    assert [line.target for line in lines] == pytest.approx([0.25, 0.75])
    assert [line.realized for line in lines] == pytest.approx([0.25, 0.75], abs=0.01)
    assert lines[0].repetitions == pytest.approx(280_000 * 0.25 / 20_000, rel=0.04)
    assert lines[1].repetitions == pytest.approx(280_000 * 0.75 / 8_000, rel=0.04)


def test_the_table_counts_what_the_batches_hold() -> None:
    """Against a count of every token of every batch, in the middle of a pass."""
    parts = [
        build_corpus([[2] * 31] * 90, name="a"),
        build_corpus([[3] * 7] * 200, name="b"),
        build_corpus([[5]] * 50, name="c"),
    ]
    reader = reader_of(parts, {"a": 0.5})
    for steps in (1, 7, 20, 61):
        read = np.zeros(3)
        for step in range(steps):
            read += np.bincount(reader.corpus.source[reader.token_documents(step)].flatten(), minlength=3)
        lines = reader.shares(steps)
        counted = [line.repetitions * line.tokens for line in lines]
        assert counted == pytest.approx(read.tolist(), abs=40)  # a row's worth where passes meet
        assert [line.realized for line in lines] == pytest.approx((read / read.sum()).tolist(), abs=40 / read.sum())


def test_a_source_without_share_takes_what_is_left() -> None:
    asked = [line.target for line in reader_of([web(100, "a"), web(100, "b"), web(300, "c")], {"a": 0.6}).shares(9)]
    assert asked == pytest.approx([0.6, 0.1, 0.3])


def test_the_cap_bounds_repetitions_and_the_table_shows_it() -> None:
    reader = reader_of([web(10, "small"), web(990, "large")], {"small": 0.5, "large": 0.5}, cap=4)
    small, large = reader.shares(100)
    assert small.most_repetitions == 4
    assert small.capped == 10
    assert small.realized < 0.03 < small.target == pytest.approx(0.5)
    assert large.most_repetitions <= 4
    assert reader.mixture.available == 4 * 1000 * 10


def test_more_steps_than_the_cap_allows_are_refused() -> None:
    reader = reader_of([web(40, "a")], {}, cap=2)
    assert reader.shares(4)[0].repetitions == pytest.approx(2)
    with pytest.raises(UserError, match=r"the data ends after 800 tokens .*max_repetitions \(now 2\)"):
        reader.shares(5)


@pytest.mark.parametrize("shares", [None, {"a": 0.7}])
def test_a_batch_reads_no_array_over_all_documents(shares: dict[str, float] | None) -> None:
    parts = [web(4000, "a"), web(4000, "b")]
    reader = BatchSource(count_corpus(join_corpora(parts)), BatchSettings(batch_size=4, sequence_length=32), shares)
    with counted_operations() as started:
        read_step(reader, 0)
    with counted_operations() as later:
        for step in range(1, 100):
            read_step(reader, step)
    assert started[0] > 0
    assert later == [0]


def test_token_files_of_two_types_are_refused() -> None:
    first, second = build_corpus([[1] * 9], name="a"), build_corpus([[2] * 9], name="b")
    narrow = replace(second, files=tuple(file.astype(np.uint16) for file in second.files))
    reader = BatchSource(join_corpora([first, narrow]), BatchSettings(batch_size=1, sequence_length=4))
    with pytest.raises(ValueError, match="differ in the type of their ids"):
        reader.batch(0)


def test_work_over_all_documents_is_done_once_a_pass() -> None:
    """It grows neither with the number of batches nor, in operations, with that of the documents."""
    found = {}
    for count, batch_size in ((400, 1), (400, 10), (4000, 10), (4000, 100)):
        settings = BatchSettings(batch_size=batch_size, sequence_length=40, max_repetitions=None)
        reader = BatchSource(count_corpus(web(count, "a")), settings)
        with counted_operations() as operations:
            for step in range(6 * count * 10 // (40 * batch_size)):
                read_step(reader, step)
        found[count, batch_size] = operations[0]
    assert len(set(found.values())) == 1, found
    assert found[400, 1] <= 25 * 6


def read_step(reader: BatchSource, step: int) -> None:
    """What the loop reads of its data in a step, and what a trace and a checkpoint read."""
    reader.batch(step)
    reader.token_documents(step)
    reader.documents(step)
    assert reader.fingerprint


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3)), min_size=1, max_size=4))
def test_segments_read_every_sequence_once_in_order(changes: list[tuple[int, int]]) -> None:
    """Whatever the batch sizes, in pairs of (steps, half the batch size) and on one rank or two."""
    segments, step, sequence = [], 0, 0
    for steps, half in changes:
        segments.append(Segment(step, sequence, 2 * half))
        step, sequence = step + steps, sequence + 2 * half * steps
    whole = source(documents(50), batch_size=1, sequence_length=16)
    changed = whole.with_segments(segments)
    read = [changed.batch(number, rank, 2).inputs for number in range(step) for rank in range(2)]
    assert torch.equal(torch.cat(read), whole.with_segments([Segment(0, 0, sequence)]).batch(0).inputs)
    assert changed.order == whole.order
    assert changed.sequences(step).start == sequence
