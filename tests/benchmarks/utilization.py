"""How much of a GPU is used: MFU of the presets with compile, beside a plain torch loop, by turns in one process.

    python -m tests.benchmarks.utilization [--presets 125m 1b] [--steps 20] [--rounds 3] [--rows 2]

Steps have one micro-batch of the preset. The plain loop is that of `tests.benchmarks.trainer`, compiled as a whole,
with the preset's width, depth and heads; each MFU counts its own model's products. The peak is that of a large bf16
product on the same GPU; fp8 (`loop.precision = float8`) is measured where the GPU has it, against the same peak. Three
models are held at once: `1b` ran with two rows on 80 GB. `--device cpu --presets tiny` only shows that the code runs.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch

from tests.benchmarks.trainer import Plain, Step, plain_step, trainer_step
from tests.trainer.corpora import build_corpus
from tests.trainer.runs import build_decoder
from trainer.data.batches import BatchSettings, BatchSource
from trainer.model.build import blocks_of
from trainer.model.decoder import Decoder
from trainer.model.float8 import use_float8
from trainer.model.model_settings import ModelSettings
from trainer.model.size import count_flops_per_token
from trainer.tasks.pretrain_settings import PretrainSettings, read_pretrain_settings
from trainer.training.distributed import World
from trainer.training.hardware import FLOAT8_CAPABILITY, measure_matmul_rate

VOCABULARY = 32_768


def random_source(settings: PretrainSettings) -> BatchSource:
    """Documents of about 500 random tokens, which take as long as any others."""
    generator = np.random.default_rng(0)
    documents = [generator.integers(1, VOCABULARY, generator.integers(100, 900)).tolist() for _ in range(2000)]
    rows = settings.loop.micro_batch_size or settings.data.batch_size
    batches = BatchSettings(batch_size=rows, sequence_length=settings.data.sequence_length, max_repetitions=None)
    return BatchSource(build_corpus(documents), batches)


def build_ours(shape: ModelSettings, device: torch.device, float8: bool) -> Decoder:
    """The trainer's model, its blocks compiled."""
    model = build_decoder(shape)
    if float8:
        weights = model.state_dict()
        use_float8(blocks_of(model))
        model.to_empty(device="cpu").load_state_dict(weights)
    model.to(device)
    for block in blocks_of(model):
        block.compile()
    return model


def contenders(settings: PretrainSettings, device: torch.device) -> dict[str, tuple[Step, float]]:
    """A step of each, and the FLOP of one of its tokens."""
    shape, source, world = settings.model, random_source(settings), World(0, 1, device)
    attention = 6 * shape.layers * shape.hidden_size * (source.settings.sequence_length + 1)
    plain = Plain(shape).to(device)
    products = sum(weight.numel() for weight in plain.parameters()) - plain.places.weight.numel()
    ours = count_flops_per_token(shape, source.settings.sequence_length)
    found = {
        "plain torch": (plain_step(plain, torch.compile(plain), source, True, device), 6.0 * products + attention),
        "ours, bf16": (trainer_step(build_ours(shape, device, False), source, True, world=world), ours),
    }
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= FLOAT8_CAPABILITY:
        found["ours, fp8"] = (trainer_step(build_ours(shape, device, True), source, True, world=world), ours)
    return found


def measure(steps: dict[str, tuple[Step, float]], count: int, rounds: int, device: torch.device) -> dict[str, float]:
    """Seconds of a step of each, the median of the rounds; three steps before, in which torch compiles."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name, (step, _) in steps.items():
            wait(device)
            begin = time.perf_counter()
            taken = count if number else 3
            for index in range(taken):
                step(number * count + index)
            wait(device)
            if number:
                times[name].append((time.perf_counter() - begin) / taken)
    return {name: statistics.median(found) for name, found in times.items()}


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["125m", "1b"])
    parser.add_argument("--steps", type=int, default=20, help="of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--rows", type=int, help="sequences of a step, if not the preset's: three models are held at once"
    )
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("this measures a GPU, and torch finds none here: run it where nvidia-smi lists one")
    peak = measure_matmul_rate(device, torch.bfloat16)
    print(f"bf16 product: {peak / 1e12:.1f} TFLOP/s")
    for name in options.presets:
        rows = [f"loop.micro_batch_size={options.rows}"] if options.rows else []
        settings = read_pretrain_settings(name, [f"model.vocab_size={VOCABULARY}", *rows])
        steps = contenders(settings, device)
        source = random_source(settings).settings
        for label, seconds in measure(steps, options.steps, options.rounds, device).items():
            rate = source.batch_size * source.sequence_length / seconds
            print(f"  {name}, {label:<12} {rate:12,.0f} tokens/s  MFU {rate * steps[label][1] / peak:.1%}", flush=True)


if __name__ == "__main__":
    main()
