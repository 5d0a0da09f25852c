"""Weights of a model and floating-point operations of training it, computed from its settings."""

from __future__ import annotations

from trainer.model.encoder_decoder import BUCKETS
from trainer.model.model_settings import ModelSettings


def count_parameters(model: ModelSettings, active: bool = False) -> int:
    """Weights, embeddings included; with `active` only those used for one token (its top-k experts)."""
    attention = model.hidden_size * model.dim_per_head * (2 * model.heads + 2 * model.num_kv_heads)
    block = attention + 2 * model.hidden_size
    total = (1 if model.tie_embeddings else 2) * model.padded_vocab_size * model.hidden_size + model.hidden_size
    if model.scalar_head:
        total = (model.padded_vocab_size + 2) * model.hidden_size
    total += _feed_forward_parameters(model, model.layers, active) + model.layers * block
    if model.encoder_layers:  # the encoder with its last norm, cross-attention in the decoder, and position biases
        total += _feed_forward_parameters(model, model.encoder_layers, active) + model.encoder_layers * block
        total += model.hidden_size + model.layers * (attention + model.hidden_size) + 2 * BUCKETS * model.heads
    return total + _count_adapters(model) + _count_retro(model)


def _count_retro(model: ModelSettings) -> int:
    """Cross-attention to neighbors, and their encoder."""
    if model.retro is None:
        return 0
    plain = model.model_copy(update={"retro": None, "experts": None, "layers": 1})
    embedding = (1 if model.tie_embeddings else 2) * model.padded_vocab_size * model.hidden_size + model.hidden_size
    block = count_parameters(plain) - embedding
    attention = model.hidden_size * model.dim_per_head * (2 * model.heads + 2 * model.num_kv_heads)
    reading = sum(map(model.retro.reads, range(model.layers)))
    return reading * (attention + model.hidden_size) + model.retro.encoder_layers * block + model.hidden_size


def _count_adapters(model: ModelSettings) -> int:
    if model.lora is None:
        return 0
    width, queries = model.hidden_size, model.heads * model.dim_per_head
    keys, inner = model.num_kv_heads * model.dim_per_head, model.intermediate_size
    sides = {"q": width + queries, "k": width + keys, "v": width + keys, "out": width + queries}
    dense = dict.fromkeys(("gate", "up", "down"), width + inner)
    blocks = [sides if model.is_sparse(block) else sides | dense for block in range(model.layers)]
    return sum(model.lora.rank * block[name] for block in blocks for name in model.lora.targets if name in block)


def _feed_forward_parameters(model: ModelSettings, blocks: int, active: bool) -> int:
    dense = 3 * model.hidden_size * model.intermediate_size
    sparse = dense
    if model.experts is not None:
        used = model.experts.top_k if active else model.experts.num_experts
        sparse = used * dense + model.experts.num_experts * model.hidden_size
    return sum(sparse if model.is_sparse(block) else dense for block in range(blocks))


def count_flops_per_token(model: ModelSettings, sequence_length: int) -> float:
    """FLOP of training on one token in sequences of `sequence_length`, forward and backward.

    6 for each weight in a matrix product (the head counts, the embedding's look-up does not; Kaplan et al. 2020), and
    6 D H for each of the (sequence_length + 1) / 2 tokens that a causal query attends to on average, for the scores and
    again for the weighted sum (Chowdhery et al. 2022, appendix B, without the half that the causal mask saves). In an
    encoder-decoder a token passes through one stack: half the weights (Raffel et al. 2020, section 3.2.2). The encoder
    of retrieved neighbors counts as often as it has tokens for one of the sequence.
    """
    looked_up = 0 if model.tie_embeddings and not model.scalar_head else model.padded_vocab_size * model.hidden_size
    if model.encoder_layers:
        return 3.0 * (count_parameters(model, active=True) - looked_up)
    attention = 6 * model.layers * model.heads * model.dim_per_head * (sequence_length + 1)
    weights = count_parameters(model, active=True) - looked_up
    if model.retro is not None:
        tokens = model.retro.neighbors * model.retro.neighbor_tokens / model.retro.chunk_tokens  # for each token
        weights += int((tokens - 1) * _count_retro(model))
    return 6.0 * weights + attention
