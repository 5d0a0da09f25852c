"""What this machine can do: its matmul peak, and whether bf16 is worth it. Measured when a run starts."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import NamedTuple

import torch

GAIN = 1.2  # bf16 has to be this much faster: below it the rounding buys nothing
SECONDS = 0.1  # of multiplying, for one measurement
SIZE = {"cpu": 1024, "cuda": 8192}  # of the square matrices: large enough to fill the units


class Precision(StrEnum):
    """Of the matrix products; weights, their gradients and the optimizer are fp32 always."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Hardware(NamedTuple):
    """What was measured, and what follows."""

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
        """FLOP/s in the chosen precision: what MFU is measured against."""
        return self.peaks[self.precision.value]


def measure_hardware(device: torch.device, wanted: Precision = Precision.AUTO) -> Hardware:
    """Time square matrix products in fp32 and bf16, and choose unless the choice was made."""
    peaks = {
        Precision.FLOAT32.value: matmul_rate(device, torch.float32),
        Precision.BFLOAT16.value: matmul_rate(device, torch.bfloat16),
    }
    faster = peaks["bfloat16"] > GAIN * peaks["float32"]
    chosen = wanted if wanted is not Precision.AUTO else Precision.BFLOAT16 if faster else Precision.FLOAT32
    cpu = f"CPU ({torch.backends.cpu.get_cpu_capability()})"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu
    return Hardware(name, torch.get_num_threads(), peaks, chosen)


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a large square product, the best of the tries that fit into the time."""
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
