"""attention: all forms of a mask give equal results, those of a loop over tokens."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import create_block_mask
from torch.utils._python_dispatch import TorchDispatchMode

from trainer.model.attention import Spans, _block_mask, attend, attention_mask, dense_mask, span_lengths


def heads(rows: int, length: int, groups: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(rows, count, length, 8, generator=generator) for count in (4, groups, groups)]


def by_hand(q, k, v, ids, prefix=None):
    """A loop over tokens: a softmax over the keys that each query attends to."""
    out = torch.zeros_like(q)
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            g = h * k.shape[1] // q.shape[1]
            for i in range(q.shape[2]):
                seen = [
                    j
                    for j in range(q.shape[2])
                    if ids[b, i] == ids[b, j] and (j <= i or (prefix is not None and j < prefix[b]))
                ]
                scores = torch.stack([q[b, h, i] @ k[b, g, j] for j in seen]) / 8**0.5
                out[b, h, i] = sum(w * v[b, g, j] for w, j in zip(scores.softmax(0), seen, strict=True))
    return out


def test_attention_is_causal_within_documents():
    ids = torch.tensor([[0, 0, 1, 1, 1, 2], [0, 0, 0, 0, 0, 0]])
    q, k, v = heads(2, 6)
    mask = attention_mask(ids)
    assert mask == Spans([2, 3, 1, 6])
    torch.testing.assert_close(attend(q, k, v, mask), by_hand(q, k, v, ids))
    torch.testing.assert_close(attend(q, k, v, dense_mask(ids, ids)), by_hand(q, k, v, ids))


def test_a_prefix_is_attended_to_in_both_directions():
    ids = torch.tensor([[0, 0, 0, 0, 0, 0], [0, 0, 0, 0, -1, -1]])
    prefix = torch.tensor([3, 2])
    q, k, v = heads(2, 6)
    torch.testing.assert_close(attend(q, k, v, attention_mask(ids, prefix)), by_hand(q, k, v, ids, prefix))


@pytest.mark.parametrize("prefix", [None, torch.tensor([3, 60])])
def test_the_block_mask_equals_the_dense_mask(prefix):
    ids = torch.tensor([[0] * 20 + [1] * 44, [0] * 64])
    q, k, v = heads(2, 64)
    flexible = attend(q, k, v, _block_mask(ids, prefix))
    torch.testing.assert_close(flexible, attend(q, k, v, dense_mask(ids, ids, prefix)))


def test_one_document_per_sequence_needs_no_mask():
    assert attention_mask(None) is None
    assert attention_mask(torch.zeros(3, 5, dtype=torch.int32)) is None


def test_a_prefix_without_documents_is_refused():
    with pytest.raises(ValueError, match="document_ids"):
        attention_mask(None, torch.tensor([2]))


def test_gradients_pass_through_spans():
    ids = torch.tensor([[0, 0, 0, 1, 1, 2, 2, 2]])
    inputs = [x.requires_grad_() for x in heads(1, 8)]
    spans = torch.autograd.grad(attend(*inputs, Spans([3, 2, 3])).square().sum(), inputs)
    dense = torch.autograd.grad(attend(*inputs, dense_mask(ids, ids)).square().sum(), inputs)
    torch.testing.assert_close(spans, dense)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=6), min_size=1, max_size=4))
def test_span_lengths_are_the_runs(rows):
    longest = max(map(sum, rows))
    rows = [row + [longest - sum(row)] * (sum(row) < longest) for row in rows]
    ids = torch.stack([torch.repeat_interleave(torch.arange(len(row)), torch.tensor(row)) for row in rows])
    assert span_lengths(ids) == [length for row in rows for length in row]


@pytest.mark.parametrize("length", [1, 7, 512])
def test_short_bf16_spans_are_as_exact_as_the_kernel(length):
    inputs = [x.repeat(1, 1, 1, 2).bfloat16().requires_grad_() for x in heads(2, length, groups=4)]
    exact = F.scaled_dot_product_attention(*(x.double() for x in inputs), is_causal=True)
    ours, kernel = attend(*inputs, None), F.scaled_dot_product_attention(*inputs, is_causal=True)
    expected = torch.autograd.grad(exact.square().sum(), inputs)

    def error(found: torch.Tensor, right: torch.Tensor) -> float:
        return ((found.double() - right).norm() / right.norm()).item()

    assert error(ours, exact) < 0.01
    assert error(ours, exact) < 3 * error(kernel, exact) + 1e-6
    for a, b in zip(torch.autograd.grad(ours.square().sum(), inputs), expected, strict=True):
        assert error(a, b) < 0.03 or b.norm() < 1e-6


def packed(rows: int, length: int, longest: int, seed: int) -> torch.Tensor:
    """Document ids of random documents, int32 [rows, length]."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(rows):
        ends = torch.randint(1, longest + 1, (length,), generator=generator).cumsum(0)
        found.append(torch.searchsorted(ends, torch.arange(length), right=True))
    return torch.stack(found).to(torch.int32)


@pytest.mark.parametrize(
    ("length", "longest"), [(1024, 20), (1024, 300), (1024, 5000), (1000, 200), (130, 7), (128, 1)]
)
@pytest.mark.parametrize("prefix", [None, (0, 1), (128, 129), (700, 1000)])
def test_blocks_from_offsets_are_those_of_every_pair(length, longest, prefix):
    """torch's create_block_mask evaluates the rule for all pairs of tokens."""
    ends = torch.zeros(2) if prefix is None else torch.tensor(prefix)
    for seed in range(3 if prefix is None else 1):
        ids = packed(2, length, longest, seed)

        def visible(batch, head, query, key, ids=ids):
            return (ids[batch, query] == ids[batch, key]) & ((query >= key) | (key < ends[batch]))

        expected = create_block_mask(visible, 2, None, length, length, device="cpu")
        found = _block_mask(ids, None if prefix is None else ends)
        assert torch.equal(found.to_dense(), expected.to_dense())
        assert torch.equal(found.kv_num_blocks, expected.kv_num_blocks)
        assert torch.equal(found.full_kv_num_blocks, expected.full_kv_num_blocks)
        for row in range(2):
            for query in range(found.kv_num_blocks.shape[-1]):
                for name in ("kv", "full_kv"):
                    count = int(getattr(found, f"{name}_num_blocks")[row, 0, query])
                    chosen = (getattr(mask, f"{name}_indices")[row, 0, query, :count] for mask in (found, expected))
                    first, second = (sorted(indices.tolist()) for indices in chosen)
                    assert first == second


class LargestTensor(TorchDispatchMode):
    """Remembers the most elements of any tensor that an operation made."""

    elements = 0

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        result = function(*arguments, **(named or {}))
        made = result if isinstance(result, tuple | list) else (result,)
        self.elements = max([self.elements, *(x.numel() for x in made if isinstance(x, torch.Tensor))])
        return result


@pytest.mark.parametrize("prefix", [None, torch.tensor([40_000])])
def test_a_mask_of_a_long_context_holds_no_pairs_of_tokens(prefix):
    ids = packed(1, 1 << 16, 9000, 0)
    with LargestTensor() as watch:
        _block_mask(ids, prefix)
    assert watch.elements <= 512 * 513  # pairs of blocks, with a column that torch adds; pairs of tokens are 2 ** 32


def test_padding_behind_a_document_needs_no_mask():
    padded = torch.tensor([[0, 0, 0, -1], [0, 0, 0, 0], [2, -1, -1, -1]], dtype=torch.int32)
    assert attention_mask(padded) is None
    for other in ([[0, 0, 1, -1]], [[-1, 0, 0, 0]], [[0, -1, 0, 0]], [[0, 0, 1, 1]]):
        assert attention_mask(torch.tensor(other, dtype=torch.int32)) is not None
