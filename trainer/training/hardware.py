"""Measure the FLOP/s of matrix products when a run starts, and choose the precision."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import NamedTuple

import torch

from trainer.errors import UserError
from trainer.model.float8 import FORWARD, multiply

GAIN = 1.2  # bf16 is chosen if it is this many times as fast; less does not justify its rounding errors
SECONDS = 0.1  # duration of one measurement
SIZE = {"cpu": 1024, "cuda": 8192}  # rows of the square matrices: large enough for full speed
FLOAT8_CAPABILITY = (8, 9)  # of the first GPUs with fp8 products: Ada; Hopper has 9.0


class Precision(StrEnum):
    """Type of matrix products; weights, their gradients and the optimizer are always fp32."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT8 = "float8"  # of the linear layers of blocks, the others are bf16; never chosen by auto


class Hardware(NamedTuple):
    """The measurement, and the chosen precision."""

    name: str
    threads: int
    peaks: dict[str, float]  # FLOP/s of one device's matrix products, by precision
    precision: Precision  # chosen, not AUTO

    @property
    def bf16(self) -> bool:
        """Whether matrix products are computed in bf16, those that are not in fp8."""
        return self.precision is not Precision.FLOAT32

    @property
    def peak(self) -> float:
        """FLOP/s in the chosen precision; MFU is relative to it."""
        return self.peaks[self.precision.value]


def measure_hardware(device: torch.device, requested: Precision = Precision.AUTO) -> Hardware:
    """Time square matrix products in the requested precision; if it is auto, in fp32 and bf16, and choose the faster.

    A product in bf16 takes 2.5 s on a CPU that emulates it, so nothing is timed that the run does not need.
    UserError: fp8 is requested and the device has no such products.
    """
    cpu = f"CPU ({torch.backends.cpu.get_cpu_capability()})"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu
    if requested is Precision.FLOAT8:
        _check_float8(device, name)
    measured = [Precision.FLOAT32, Precision.BFLOAT16] if requested is Precision.AUTO else [requested]
    peaks = {precision.value: measure_matmul_rate(device, _TYPES[precision]) for precision in measured}
    if requested is Precision.AUTO:
        faster = peaks["bfloat16"] > GAIN * peaks["float32"]
        requested = Precision.BFLOAT16 if faster else Precision.FLOAT32
    return Hardware(name, torch.get_num_threads(), peaks, requested)


_TYPES = {Precision.FLOAT32: torch.float32, Precision.BFLOAT16: torch.bfloat16, Precision.FLOAT8: FORWARD}


def _check_float8(device: torch.device, name: str) -> None:
    capability = torch.cuda.get_device_capability(device) if device.type == "cuda" else (0, 0)
    if capability < FLOAT8_CAPABILITY:
        needed = ".".join(map(str, FLOAT8_CAPABILITY))
        raise UserError(
            f"loop.precision = float8 needs a GPU with fp8 matrix products (compute capability {needed} or above: Ada, "
            f"Hopper, Blackwell), and this is {name}; use bfloat16"
        )


def measure_matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a large square product, the best of the attempts that fit into SECONDS."""
    size = SIZE.get(device.type, 1024)
    # Of random numbers: an H100 multiplies ones an eighth faster than what a model holds.
    a = torch.randn(size, size, device=device, generator=torch.Generator(device).manual_seed(0)).to(dtype)
    scale = torch.ones((), device=device)

    def measure() -> float:
        _wait(device)
        start = time.perf_counter()
        if dtype is FORWARD:
            multiply(a, scale, a.t(), scale, torch.bfloat16)
        else:
            a @ a
        _wait(device)
        return time.perf_counter() - start

    measure()  # the first product loads the library: on an H100 it takes a hundred times as long
    best, begin = measure(), time.perf_counter()
    while time.perf_counter() - begin < SECONDS:
        best = min(best, measure())
    return float(2 * size**3 / best)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
