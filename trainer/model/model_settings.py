"""The shape of a decoder or an encoder-decoder."""

from __future__ import annotations

from pydantic import Field, model_validator

from trainer.model.experts import ExpertSettings
from trainer.model.lora import LoraSettings
from trainer.model.retro import RetroSettings
from trainer.model.rotary import RopeSettings
from trainer.settings import Settings


class ModelSettings(Settings):
    """Shape and initialization of the network. The defaults are the small model of the demo.

    Sources: ffn_hidden_size of 8/3 of the hidden size with SwiGLU has as many weights as 4 times with GELU (Shazeer
    2020); init_std is GPT-2's (Radford et al. 2019); z_loss of 1e-4 is PaLM's (Chowdhery et al. 2022).
    """

    vocab_size: int = Field(
        default=8192,
        ge=2,
        description="number of token ids; the embedding is padded to a multiple of vocab_multiple",
    )
    vocab_multiple: int = Field(
        default=64, ge=1, description="rows of the embedding are a multiple of this, for fast matmuls; 1 = no padding"
    )
    hidden_size: int = Field(default=256, ge=2, description="width of the residual stream")
    layers: int = Field(default=6, ge=1, description="number of decoder blocks")
    encoder_layers: int = Field(
        default=0,
        ge=0,
        description="number of encoder blocks; above 0 the model is an encoder-decoder after T5, without RoPE",
    )
    heads: int = Field(default=4, ge=1, description="number of attention heads (of the queries)")
    kv_heads: int | None = Field(
        default=None,
        ge=1,
        description="number of key and value heads (grouped-query attention); equal to heads if unset",
    )
    head_dim: int | None = Field(
        default=None, ge=2, description="width of one attention head; hidden_size / heads if unset"
    )
    ffn_hidden_size: int | None = Field(
        default=None,
        ge=1,
        description="width inside the feed-forward; if unset 8/3 of hidden_size, rounded up to a multiple of 64",
    )
    context_length: int = Field(default=512, ge=1, description="longest sequence, in tokens")
    tie_embeddings: bool = Field(
        default=True, description="use one matrix as embedding and output head; saves weights in small models"
    )
    norm_eps: float = Field(
        default=1e-5, gt=0, description="added to the mean square in RMSNorm, against division by 0"
    )
    init_std: float = Field(
        default=0.02,
        gt=0,
        description="standard deviation of initial weights; / sqrt(2 layers) where they write to the residual",
    )
    z_loss: float = Field(
        default=0.0, ge=0, description="weight in the loss of the head's squared log-partition; PaLM uses 1e-4"
    )
    rope: RopeSettings = Field(default=RopeSettings(), description="rotary positions")
    scalar_head: bool = Field(
        default=False, description="one number a token instead of logits: the head of reward and value models"
    )
    lora: LoraSettings | None = Field(
        default=None, description="adapters beside frozen matrices (LoRA); all weights are trained if unset"
    )
    experts: ExpertSettings | None = Field(
        default=None, description="sparse feed-forward (mixture of experts); dense if unset"
    )

    retro: RetroSettings | None = Field(
        default=None, description="cross-attention to retrieved neighbors (RETRO); none if unset"
    )

    @model_validator(mode="after")
    def _check_retro(self) -> ModelSettings:
        if self.retro is None:
            return self
        if self.encoder_layers or self.scalar_head or self.lora:
            raise ValueError("model.retro needs a decoder without scalar head and adapters")
        if self.retro.first > self.layers:
            raise ValueError(f"model.retro.first = {self.retro.first} leaves no block to read among {self.layers}")
        if self.retro.chunk_tokens > self.context_length:
            raise ValueError("model.retro.chunk_tokens is larger than model.context_length: no chunk would be whole")
        return self

    @model_validator(mode="after")
    def _check_shape(self) -> ModelSettings:
        if self.head_dim is None and self.hidden_size % self.heads:
            raise ValueError(f"model.hidden_size = {self.hidden_size} is not a multiple of model.heads = {self.heads}")
        if self.heads % self.num_kv_heads:
            raise ValueError(f"model.heads = {self.heads} is not a multiple of model.kv_heads = {self.num_kv_heads}")
        if self.dim_per_head % 2:
            raise ValueError(f"the head width is {self.dim_per_head}; RoPE rotates pairs, so it must be even")
        if self.encoder_layers and (self.num_kv_heads != self.heads or self.rope != RopeSettings()):
            raise ValueError(
                "model.kv_heads and model.rope cannot be set for an encoder-decoder (model.encoder_layers above 0)"
            )
        if self.encoder_layers and (self.scalar_head or self.lora):
            raise ValueError("model.scalar_head and model.lora need a decoder (model.encoder_layers = 0)")
        if self.experts and self.experts.top_k > self.experts.num_experts:
            raise ValueError("model.experts.top_k is larger than model.experts.num_experts")
        if self.experts and self.experts.every > self.layers:
            raise ValueError(f"model.experts.every = {self.experts.every} leaves no sparse block among {self.layers}")
        return self

    @property
    def num_kv_heads(self) -> int:
        """G, heads of keys and values."""
        return self.kv_heads or self.heads

    @property
    def dim_per_head(self) -> int:
        """D, width of a head."""
        return self.head_dim or self.hidden_size // self.heads

    @property
    def intermediate_size(self) -> int:
        """F, width inside the feed-forward."""
        return self.ffn_hidden_size or 64 * -(-8 * self.hidden_size // (3 * 64))

    @property
    def padded_vocab_size(self) -> int:
        """V, rows of the embedding: the vocabulary rounded up to a multiple of `vocab_multiple`."""
        return self.vocab_multiple * -(-self.vocab_size // self.vocab_multiple)

    def is_sparse(self, block: int) -> bool:
        """Whether a block (from 0) has experts."""
        return self.experts is not None and (block + 1) % self.experts.every == 0
