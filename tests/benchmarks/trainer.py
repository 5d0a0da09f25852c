"""What training costs: tokens per CPU-second of a 14M model beside nanoGPT-like plain torch and Hugging Face's Llama.

    python -m tests.benchmarks.trainer [--steps 3] [--rounds 3] [--threads 1] [--precisions fp32 bf16]

All take the same real text (GRISTMILL_DATA, default ../shared/data), cut by the trainer's own batches; a step is
forward, backward, clipping and AdamW. The models take turns in one process, so that other load affects all alike. The
plain model follows nanoGPT: LayerNorm, learned positions, GELU, cross-entropy over the whole logits. Its feed-forward
layers are 4 x wide instead of 8/3 gated, so all models have the same number of weights and products.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from tests.benchmarks import data_folder
from tests.trainer.corpora import build_corpus
from tests.trainer.runs import build_decoder
from trainer.data.batches import BatchSettings, BatchSource
from trainer.data.tokenizer import TokenizerSettings, train_tokenizer
from trainer.model.decoder import Decoder
from trainer.model.experts import ExpertSettings
from trainer.model.model_settings import ModelSettings
from trainer.model.size import count_flops_per_token
from trainer.tasks.pretrain import causal_inputs
from trainer.training.distributed import World
from trainer.training.optimizer import OptimizerSettings, build_optimizer, clip_gradients, set_learning_rate
from trainer.training.step import accumulate, autocast

SHAPE = ModelSettings(vocab_size=8192, hidden_size=384, layers=6, heads=6, context_length=512)  # 13.8M weights
ROWS, SEQUENCE = 8, 512
ALONE = World(0, 1, torch.device("cpu"))

Step = Callable[[int], None]


class PlainBlock(nn.Module):
    """As in nanoGPT."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        rows, length, width = x.shape
        parts = self.qkv(self.norm1(x)).split(width, dim=2)
        q, k, v = (part.view(rows, length, self.heads, -1).transpose(1, 2) for part in parts)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).contiguous().view(rows, length, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Plain(nn.Module):
    """A plain decoder."""

    def __init__(self, shape: ModelSettings = SHAPE) -> None:
        super().__init__()
        self.tokens, self.places = (
            nn.Embedding(shape.padded_vocab_size, shape.hidden_size),
            nn.Embedding(shape.context_length, shape.hidden_size),
        )
        self.blocks = nn.ModuleList(PlainBlock(shape.hidden_size, shape.heads) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.hidden_size, bias=False)
        for weight in self.parameters():
            if weight.ndim > 1:
                nn.init.normal_(weight, 0, 0.02)

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        x = self.tokens(inputs) + self.places.weight[: inputs.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.norm(x), self.tokens.weight)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))


def llama() -> LlamaForCausalLM:
    """Hugging Face's model of the same shape."""
    config = LlamaConfig(
        vocab_size=SHAPE.padded_vocab_size,
        hidden_size=SHAPE.hidden_size,
        intermediate_size=SHAPE.intermediate_size,
        num_hidden_layers=SHAPE.layers,
        num_attention_heads=SHAPE.heads,
        max_position_embeddings=SEQUENCE,
        tie_word_embeddings=True,
        use_cache=False,
    )
    return LlamaForCausalLM(config)


def trainer_step(model: Decoder, source: BatchSource, bf16: bool, masked: bool = True, world: World = ALONE) -> Step:
    """One step of the trainer, its data included."""
    optimizer = build_optimizer(model, OptimizerSettings())
    set_learning_rate(optimizer, 1e-3)

    def step(number: int) -> None:
        inputs = causal_inputs(source.batch(number))
        if not masked:
            del inputs["document_ids"], inputs["positions"]
        optimizer.zero_grad(set_to_none=True)
        accumulate(model, [inputs], world, bf16, model.settings.experts)
        clip_gradients(model, 1.0)
        optimizer.step()

    return step


def plain_step(
    model: nn.Module, loss: Callable[..., Tensor], source: BatchSource, bf16: bool, device: torch.device = ALONE.device
) -> Step:
    """One step of a plain script: the same batches, clipping and fused AdamW."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)

    def step(number: int) -> None:
        batch = source.batch(number)
        optimizer.zero_grad(set_to_none=True)
        with autocast(device, bf16):
            found = loss(batch.inputs.to(device), batch.targets.to(device))
        found.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def hugging_face_loss(model: LlamaForCausalLM, inputs: Tensor, targets: Tensor) -> Tensor:
    return model(input_ids=inputs, labels=targets, shift_labels=targets).loss


def contenders(source: BatchSource, bf16: bool) -> dict[str, Step]:
    plain, theirs = Plain(), llama()
    sparse = SHAPE.model_copy(update={"experts": ExpertSettings(num_experts=8, top_k=2, every=2)})
    return {
        "plain torch (nanoGPT-like)": plain_step(plain, plain, source, bf16),
        "Hugging Face Llama": plain_step(theirs, partial(hugging_face_loss, theirs), source, bf16),
        "ours, no document mask": trainer_step(build_decoder(SHAPE), source, bf16, masked=False),
        "ours, document mask": trainer_step(build_decoder(SHAPE), source, bf16),
        "ours, 8 experts of which 2, every 2nd block": trainer_step(build_decoder(sparse), source, bf16),
    }


def real_source() -> BatchSource:
    """Real pages' main text through a tokenizer of 8,192, packed."""
    path = data_folder() / "gold.jsonl.gz"
    texts: list[str] = []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["kind"] == "full" and len(texts) < 600:
                texts.append(row["text"])
    tokenizer = train_tokenizer(texts[:200], TokenizerSettings(vocab_size=8192, sentinels=0))
    corpus = build_corpus(tokenizer.encode_many(texts), separator=tokenizer.separator)
    print(f"{len(texts)} real pages, {corpus.tokens:,} tokens, {corpus.tokens / len(texts):.0f} a document")
    return BatchSource(corpus, BatchSettings(batch_size=ROWS, sequence_length=SEQUENCE, max_repetitions=None))


def measure(steps: dict[str, Step], count: int, rounds: int) -> dict[str, float]:
    """Tokens per CPU-second of each, the median of the rounds."""
    for step in steps.values():
        step(0)
    rates: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds):
        for name, step in steps.items():
            begin = time.process_time()
            for index in range(count):
                step(1 + number * count + index)
            rates[name].append(count * ROWS * SEQUENCE / (time.process_time() - begin))
    return {name: statistics.median(found) for name, found in rates.items()}


def matmul_peak(dtype: torch.dtype, size: int = 1024) -> float:
    """FLOP per CPU-second of a large product, the best of twenty, against other load."""
    a, b = torch.ones(size, size, dtype=dtype), torch.ones(size, size, dtype=dtype)
    best = float("inf")
    for _ in range(20):
        begin = time.process_time()
        a @ b
        best = min(best, time.process_time() - begin)
    return 2 * size**3 / best


def loading_rate(source: BatchSource, batches: int = 50) -> float:
    """Tokens per CPU-second of making batches."""
    begin = time.process_time()
    for step in range(batches):
        source.batch(1000 + step)
    return batches * ROWS * SEQUENCE / (time.process_time() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3, help="of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"], choices=["fp32", "bf16"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    source = real_source()
    flops = count_flops_per_token(SHAPE, SEQUENCE)
    for precision in options.precisions:
        bf16 = precision == "bf16"
        peak = matmul_peak(torch.bfloat16 if bf16 else torch.float32)
        rates = measure(contenders(source, bf16), options.steps, options.rounds)
        base = rates["plain torch (nanoGPT-like)"]
        print(f"\n{precision}, {options.threads} threads; matmul peak {peak / 1e9:.0f} GFLOP per CPU-s")
        for name, rate in rates.items():
            dense = "" if "experts" in name else f"  MFU {rate * flops / peak:.0%}"
            print(f"  {name:<46} {rate:8,.0f} tokens/CPU-s  {rate / base:5.2f} x plain{dense}")
    print(f"\nloading: {loading_rate(source):,.0f} tokens/CPU-s")


if __name__ == "__main__":
    main()
