"""Measure the FLOP/s of matrix products in fp32 and bf16 when a run starts, and choose the precision."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import NamedTuple

import torch

GAIN = 1.2  # bf16 is chosen if it is this many times as fast; less does not justify its rounding errors
SECONDS = 0.1  # duration of one measurement
SIZE = {"cpu": 1024, "cuda": 8192}  # rows of the square matrices: large enough for full speed


class Precision(StrEnum):
    """Type of matrix products; weights, their gradients and the optimizer are always fp32."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Hardware(NamedTuple):
    """The measurement, and the chosen precision."""

    name: str
    threads: int
    peaks: dict[str, float]  # FLOP/s of one device's matrix products, by precision
    precision: Precision  # chosen: FLOAT32 or BFLOAT16

    @property
    def bf16(self) -> bool:
        """Whether matrix products are computed in bf16."""
        return self.precision is Precision.BFLOAT16

    @property
    def peak(self) -> float:
        """FLOP/s in the chosen precision; MFU is relative to it."""
        return self.peaks[self.precision.value]


def measure_hardware(device: torch.device, requested: Precision = Precision.AUTO) -> Hardware:
    """Time square matrix products in fp32 and bf16; the faster precision is chosen if `requested` is auto."""
    peaks = {
        Precision.FLOAT32.value: measure_matmul_rate(device, torch.float32),
        Precision.BFLOAT16.value: measure_matmul_rate(device, torch.bfloat16),
    }
    faster = peaks["bfloat16"] > GAIN * peaks["float32"]
    chosen = requested if requested is not Precision.AUTO else Precision.BFLOAT16 if faster else Precision.FLOAT32
    cpu = f"CPU ({torch.backends.cpu.get_cpu_capability()})"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu
    return Hardware(name, torch.get_num_threads(), peaks, chosen)


def measure_matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a large square product, the best of the attempts that fit into SECONDS."""
    size = SIZE.get(device.type, 1024)
    a = torch.ones(size, size, device=device, dtype=dtype)
    b = torch.ones(size, size, device=device, dtype=dtype)
    best, begin = float("inf"), time.perf_counter()
    while best == float("inf") or time.perf_counter() - begin < SECONDS:
        _wait(device)
        start = time.perf_counter()
        a @ b
        _wait(device)
        best = min(best, time.perf_counter() - start)
    return float(2 * size**3 / best)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
