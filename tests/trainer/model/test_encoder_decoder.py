"""encoder_decoder against transformers' T5, weight by weight."""

from __future__ import annotations

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5Attention

from trainer.model.encoder_decoder import EncoderDecoder, relative_buckets
from trainer.model.experts import ExpertSettings
from trainer.model.model_settings import ModelSettings
from trainer.model.size import count_parameters
from trainer.model.weights import initialize_weights
from trainer.rollouts.generate import GenerateSettings, generate_from_source

SETTINGS = ModelSettings(
    vocab_size=128, hidden_size=32, layers=2, encoder_layers=3, heads=4, ffn_hidden_size=48, init_std=0.2
)


def ours(settings: ModelSettings = SETTINGS) -> EncoderDecoder:
    model = EncoderDecoder(settings)
    initialize_weights(model, 0)
    return model.eval()


def theirs(model: EncoderDecoder) -> T5ForConditionalGeneration:
    """T5 1.1 with SiLU gates and our weights. T5 does not divide scores by sqrt(D): that goes into its queries."""
    config = T5Config(
        vocab_size=SETTINGS.padded_vocab_size,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=3,
        num_decoder_layers=2,
        num_heads=4,
        feed_forward_proj="gated-silu",
        tie_word_embeddings=False,  # transformers 5 ties them nevertheless, but leaves out the tied models' scaling
        dropout_rate=0.0,
        layer_norm_epsilon=SETTINGS.norm_eps,
    )
    t5 = T5ForConditionalGeneration(config).eval()
    state = {
        "shared.weight": model.embedding.weight,
        "encoder.embed_tokens.weight": model.embedding.weight,
        "decoder.embed_tokens.weight": model.embedding.weight,
        "lm_head.weight": model.embedding.weight,
        "encoder.final_layer_norm.weight": model.encoder_norm.weight,
        "decoder.final_layer_norm.weight": model.norm.weight,
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": model.encoder_bias.weight,
        "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": model.bias.weight,
    }
    for stack, blocks in (("encoder", model.encoder_blocks), ("decoder", model.blocks)):
        for number, block in enumerate(blocks):
            place = f"{stack}.block.{number}.layer"
            attentions = [("SelfAttention", block.attention, block.attention_norm)]
            if block.cross is not None:
                attentions.append(("EncDecAttention", block.cross, block.cross_norm))
            for layer, (name, attention, norm) in enumerate(attentions):
                k, v = attention.kv.weight.chunk(2)
                parts = {"q": attention.q.weight / 8**0.5, "k": k, "v": v, "o": attention.out.weight}
                state |= {f"{place}.{layer}.{name}.{key}.weight": value for key, value in parts.items()}
                state[f"{place}.{layer}.layer_norm.weight"] = norm.weight
            last = f"{place}.{len(attentions)}"
            parts = {
                "wi_0": block.feed_forward.gate.weight,
                "wi_1": block.feed_forward.up.weight,
                "wo": block.feed_forward.down.weight,
            }
            state |= {f"{last}.DenseReluDense.{key}.weight": value for key, value in parts.items()}
            state[f"{last}.layer_norm.weight"] = block.feed_forward_norm.weight
    t5.load_state_dict({key: value.detach() for key, value in state.items()})
    return t5


def rows(length: int, seed: int) -> torch.Tensor:
    return torch.randint(0, 128, (2, length), generator=torch.Generator().manual_seed(seed))


def test_logits_equal_t5():
    model = ours()
    source, tokens = rows(150, 1), rows(20, 2)
    ids = torch.zeros(2, 150, dtype=torch.int32)
    ids[1, 100:] = -1
    expected = theirs(model)(input_ids=source, attention_mask=(ids >= 0).long(), decoder_input_ids=tokens).logits
    torch.testing.assert_close(model(source, tokens, source_ids=ids).logits, expected, rtol=1e-4, atol=1e-4)


def test_generated_tokens_equal_t5():
    model = ours()
    sources = [[5, 9, 100, 3], [7], list(range(1, 30))]
    ids = [[0] * (29 - len(source)) + source for source in sources]
    mask = torch.tensor([[0] * (29 - len(source)) + [1] * len(source) for source in sources])
    expected = theirs(model).generate(
        torch.tensor(ids), attention_mask=mask, decoder_start_token_id=2, eos_token_id=None, max_new_tokens=12
    )
    greedy = GenerateSettings(max_new_tokens=12, temperature=0)
    found = generate_from_source(model, sources, greedy, start=2)
    assert found == expected[:, 1:].tolist()
    assert len({tuple(row) for row in found}) == 3  # each source gives other tokens
    stop = found[2][4]
    assert generate_from_source(model, sources[2:], greedy, 2, [stop]) == [found[2][: found[2].index(stop)]]
    with pytest.raises(ValueError, match="at least one token"):
        generate_from_source(model, [[]], greedy, 2)


@pytest.mark.parametrize("both_ways", [True, False])
def test_buckets_equal_t5(both_ways):
    distance = torch.arange(300)[None, :] - torch.arange(300)[:, None]
    expected = T5Attention._relative_position_bucket(
        distance, bidirectional=both_ways, num_buckets=32, max_distance=128
    )
    assert torch.equal(relative_buckets(300, 300, both_ways), expected)


def test_padding_changes_nothing():
    model = ours()
    source, tokens = rows(12, 1), rows(9, 2)
    longer = torch.cat((source, rows(5, 3)), dim=1)
    ids = torch.tensor([[0] * 12 + [-1] * 5] * 2)
    torch.testing.assert_close(model(longer, tokens, source_ids=ids).logits, model(source, tokens).logits)


@pytest.mark.parametrize("experts", [None, ExpertSettings(num_experts=4, every=2)])
def test_parameter_count_is_exact_and_all_parameters_get_gradients(experts):
    settings = SETTINGS.model_copy(update={"experts": experts})
    model = ours(settings)
    assert count_parameters(settings) == sum(weight.numel() for weight in model.parameters())
    untied = settings.model_copy(update={"tie_embeddings": False})
    assert count_parameters(untied) == sum(weight.numel() for weight in ours(untied).parameters())
    out = model.train()(rows(12, 1), rows(9, 2), rows(9, 3))
    (out.loss + (out.routing.loss(experts) if experts else 0)).backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in model.parameters())
    assert experts is None or out.routing.load.shape == (2, 4)  # one sparse block in each stack
