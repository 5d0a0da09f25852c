"""Chunked cross-attention: equal to the rule written out, causal, and without a trace where there are no neighbors."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError

from tests.trainer.model.small_models import TINY, tokens
from tests.trainer.runs import build_decoder
from trainer.model.hugging_face import ExportError, export_to_hugging_face
from trainer.model.key_value_cache import KeyValueCache
from trainer.model.model_settings import ModelSettings
from trainer.model.retro import ChunkedCrossAttention, EncodedNeighbors, RetroSettings, plan_chunks
from trainer.model.rotary import RopeSettings, frequencies
from trainer.model.size import count_parameters

C, K, R = 4, 2, 8
RETRO = TINY.model_copy(
    update={"layers": 3, "retro": RetroSettings(chunk_tokens=C, neighbors=K, first=1, every=2, encoder_layers=2)}
)


def build(settings: ModelSettings = RETRO, seed: int = 0):
    """A model whose cross-attention has a say."""
    model = build_decoder(settings, seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".cross." in name:
                weight.mul_(8)
    return model.eval()


def neighbors(rows: int, chunks: int, seed: int = 1) -> torch.Tensor:
    return tokens(rows, chunks, K, R, seed=seed)


@torch.no_grad()
def logits(model, ids, found=None, **more):
    return model(ids, neighbors=found, **more).logits


# --- the rule, written out token by token ---


def turn(vector: torch.Tensor, place: int, rope: RopeSettings) -> torch.Tensor:
    """Rotary positions by complex numbers: the halves of a head are real and imaginary parts."""
    half = len(vector) // 2
    turned = torch.complex(vector[:half], vector[half:]) * torch.exp(1j * place * frequencies(rope, len(vector)))
    return torch.cat([turned.real, turned.imag])


def cross_attention_written_out(module, x, states, real, documents):
    heads, groups = module.q.out_features // module.head_dim, module.k.out_features // module.head_dim
    result = torch.zeros_like(x)
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            chunk = next((u for u in range(states.shape[1]) if (u + 1) * C - 1 <= t <= (u + 2) * C - 2), None)
            if chunk is None or documents[b, t] != documents[b, (chunk + 1) * C - 1] or not real[b, chunk].any():
                continue
            mixed = []
            query = module.q(x[b, t]).view(heads, -1)
            for head in range(heads):
                group = head // (heads // groups)
                scores, values = [], []
                for m in range(states.shape[2]):
                    if not real[b, chunk, m]:
                        continue
                    key = module.k(states[b, chunk, m]).view(groups, -1)[group]
                    place = C + t - ((chunk + 1) * C - 1)
                    asked, known = turn(query[head], place, module.rope), turn(key, m % R, module.rope)
                    scores.append(asked @ known / math.sqrt(module.head_dim))
                    values.append(module.v(states[b, chunk, m]).view(groups, -1)[group])
                mixed.append(torch.stack(scores).softmax(0) @ torch.stack(values))
            result[b, t] = module.out(torch.cat(mixed))
    return result


@torch.no_grad()
def test_attention_is_the_rule_written_out():
    torch.manual_seed(0)
    module = ChunkedCrossAttention(16, heads=4, kv_heads=2, head_dim=4, rope=RopeSettings())
    x, states = torch.randn(2, 14, 16), torch.randn(2, 3, K * R, 16)
    real = torch.rand(2, 3, K * R) < 0.7
    real[0, 1] = False  # a chunk without neighbors
    documents = torch.tensor([[0] * 14, [0] * 5 + [1] * 9])
    places = torch.arange(14).expand(2, -1)
    found = module(x, EncodedNeighbors(states, real), plan_chunks(places, 3, C, documents), R)
    torch.testing.assert_close(found, cross_attention_written_out(module, x, states, real, documents))
    assert not found[:, : C - 1].any()
    assert not found[0, 2 * C - 1 : 3 * C - 1].any()
    assert found[1, C - 1].any()
    assert not found[1, C + 1 : 2 * C - 1].any()  # another document than the chunk's


# --- causality ---


@pytest.mark.parametrize("length", [12, 14])
def test_no_token_sees_a_later_token_or_the_neighbors_of_a_later_chunk(length):
    model, ids, found = build(), tokens(1, length), neighbors(1, length // C)
    before = logits(model, ids, found)
    for place in range(length):
        changed, others = ids.clone(), found.clone()
        changed[0, place] = (changed[0, place] + 1) % 100
        if place // C < found.shape[1]:  # another chunk finds other neighbors
            others[0, place // C :] = neighbors(1, found.shape[1], seed=7)[0, place // C :]
        after = logits(model, changed, others)
        torch.testing.assert_close(after[:, :place], before[:, :place], rtol=0, atol=0)
        assert not torch.equal(after[:, place], before[:, place])


def test_neighbors_reach_exactly_the_tokens_from_the_end_of_their_chunk_on():
    model, ids, found = build(), tokens(1, 14), neighbors(1, 3)
    before = logits(model, ids, found)
    for chunk in range(3):
        others = found.clone()
        others[0, chunk] = neighbors(1, 3, seed=9)[0, chunk]
        changed = (logits(model, ids, others) != before).any(dim=-1)[0]
        first = (chunk + 1) * C - 1
        assert not changed[:first].any()
        assert changed[first : first + C].all()


def test_a_neighbor_is_read_in_both_directions_and_alone():
    model, found = build(), neighbors(1, 2)
    states = model.encode_neighbors(found).states.view(1, 2, K, R, -1)
    found[0, 1, 0, -1] = (found[0, 1, 0, -1] + 1) % 100
    changed = (model.encode_neighbors(found).states.view(1, 2, K, R, -1) != states).any(dim=-1)
    assert changed[0, 1, 0].all()
    assert int(changed.sum()) == R


# --- without neighbors ---


def test_without_neighbors_the_model_is_the_plain_decoder():
    model, ids = build(), tokens(2, 13)
    plain = build_decoder(RETRO.model_copy(update={"retro": None})).eval()
    plain.load_state_dict({name: value for name, value in model.state_dict().items() if name in plain.state_dict()})
    none = torch.full((2, 3, K, R), -1)
    for found in (None, none):
        torch.testing.assert_close(logits(model, ids, found), logits(plain, ids))
    assert not torch.equal(logits(model, ids, neighbors(2, 3)), logits(plain, ids))


def test_padding_of_a_neighbor_changes_nothing():
    model, ids, found = build(), tokens(1, 12), neighbors(1, 3)
    found[:, :, 0, 5:] = -1
    found[:, :, 1] = -1
    before = logits(model, ids, found)
    padded = found.clone()
    padded[padded < 0] = -2
    assert torch.equal(logits(model, ids, padded), before)


# --- step by step, padding, gradients, sizes ---


@torch.no_grad()
def test_with_a_cache_and_left_padding_the_tokens_read_the_same():
    model, ids = build(), tokens(2, 13)
    starts, found = [0, 3], neighbors(2, 3)
    whole = [logits(model, ids[b : b + 1, s:], found[b : b + 1, : (13 - s) // C])[0] for b, s in enumerate(starts)]
    places = torch.arange(13)[None] - torch.tensor(starts)[:, None]
    encoded, first = model.encode_neighbors(found), 9
    cache = KeyValueCache(model.settings, 2, 13, model.embedding.weight)
    states, _ = model.hidden_states(
        ids[:, :first], positions=places[:, :first].clamp(min=0), document_ids=-(places < 0)[:, :first].int(),
        cache=cache, neighbors=encoded, places=places[:, :first],
    )  # fmt: skip
    read = [states]
    for step in range(first, 13):
        chunk = ((places[:, step] + 1) // C - 1).clamp(min=0)
        current = EncodedNeighbors(*(part[torch.arange(2), chunk][:, None] for part in encoded))
        place = places[:, step : step + 1]
        read.append(model.hidden_states(ids[:, step : step + 1], positions=place, cache=cache, neighbors=current,
                                        places=place)[0])  # fmt: skip
    found_logits = torch.cat(read, dim=1) @ model.head_weight.T
    for row, start in enumerate(starts):
        torch.testing.assert_close(found_logits[row, start:], whole[row], rtol=1e-4, atol=1e-5)


def test_every_weight_learns():
    model, ids = build(), tokens(2, 13)
    model(ids[:, :-1], ids[:, 1:], neighbors=neighbors(2, 3)).loss.backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()] == []


def test_recomputed_activations_give_the_same_gradient():
    ids, gradients = tokens(2, 13), []
    for recompute in (False, True):
        model = build()
        model.activation_checkpointing = recompute
        model(ids[:, :-1], ids[:, 1:], neighbors=neighbors(2, 3)).loss.backward()
        gradients.append([weight.grad for weight in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("changes", [{}, {"tie_embeddings": False}, {"kv_heads": 4}])
def test_the_count_of_weights_is_exact(changes):
    settings = RETRO.model_copy(update=changes)
    assert count_parameters(settings) == sum(weight.numel() for weight in build_decoder(settings).parameters())


def test_what_does_not_fit_is_refused(tmp_path):
    values = TINY.model_dump()
    for changes, line in (
        ({"retro": {"first": 3}}, "leaves no block to read among 2"),
        ({"retro": {"chunk_tokens": 65}}, "no chunk would be whole"),
        ({"retro": {}, "lora": {"rank": 2}}, "without scalar head and adapters"),
    ):
        with pytest.raises(ValidationError, match=line):
            ModelSettings.model_validate(values | changes)
    with pytest.raises(ExportError, match=r"model\.retro"):
        export_to_hugging_face(RETRO, build().named_parameters(), tmp_path / "out")
