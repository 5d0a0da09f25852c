"""Estimate of a training run: FLOP, device hours, dollars, carbon, and the compute-optimal size for the same FLOP.

A token takes 6 FLOP for each weight in training (2 forward, 4 backward; Kaplan et al. 2020) and 2 in inference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import Field
from scipy.optimize import minimize_scalar

from trainer.errors import UserError
from trainer.settings import Settings
from trainer.studies.scaling_laws import Law

# Refit of the runs of Hoffmann et al. (Besiroglu et al. 2024): 18 to 25 tokens per parameter at today's budgets.
CHINCHILLA = Law(e=1.8172, a=482.01, b=2085.43, alpha=0.3478, beta=0.3658)


@dataclass(frozen=True, slots=True)
class Device:
    """An accelerator, from its data sheet."""

    peak: float  # FLOP/s, bf16 with fp32 accumulation, without sparsity
    watts: float  # board power


DEVICES = {
    "a100": Device(312e12, 400),  # NVIDIA A100 80 GB SXM
    "h100": Device(989.4e12, 700),  # NVIDIA H100 SXM
    "h200": Device(989.4e12, 700),  # NVIDIA H200 SXM
    "b200": Device(2250e12, 1000),  # NVIDIA B200
}


class CostSettings(Settings):
    """A planned run. Prices and carbon intensity differ by contract and place: set your own."""

    parameters: float = Field(
        default=7e9, gt=0, description="number of weights; of a sparse model those used for one token"
    )
    tokens: float = Field(default=140e9, gt=0, description="number of training tokens")
    device: str = Field(default="h100", description=f"accelerator: {', '.join(DEVICES)}")
    mfu: float = Field(default=0.4, gt=0, le=1, description="share of peak FLOP/s; Llama 3 405B reached 0.38 to 0.43")
    devices: int = Field(default=1024, ge=1, description="number of accelerators")
    goodput: float = Field(
        default=1.0, gt=0, le=1, description="share of the wall time spent training; Llama 3: above 0.9"
    )
    price: float = Field(default=2.5, ge=0, description="dollars per device hour")
    overhead: float = Field(default=1.1, ge=1, description="power usage effectiveness (PUE) of the data center")
    grid: float = Field(default=0.4, ge=0, description="kg of CO2 equivalent per kWh")
    attention: float = Field(default=0.0, ge=0, description="FLOP of attention per token, in addition to 6 per weight")
    inference_tokens: float = Field(
        default=0.0, ge=0, description="tokens that the model will read and generate in use"
    )


@dataclass(frozen=True, slots=True)
class Cost:
    """The estimate."""

    flop: float
    device_hours: float
    days: float
    dollars: float
    megawatt_hours: float
    tonnes: float  # of CO2 equivalent
    loss: float  # nats per token by the scaling law; its constants differ by data and tokenizer
    tokens_per_parameter: float
    optimal_parameters: float  # for the same FLOP
    optimal_tokens: float
    optimal_loss: float
    served_parameters: float  # for the same loss at the lowest FLOP of training and inference together
    served_tokens: float
    served_saving: float  # share of that total saved against the planned size


def estimate_cost(settings: CostSettings, law: Law = CHINCHILLA) -> Cost:
    """Cost, carbon and compute-optimal size of a planned run."""
    if settings.device not in DEVICES:
        raise UserError(f"device = {settings.device}: unknown; use one of {', '.join(DEVICES)}")
    device = DEVICES[settings.device]
    flop = (6 * settings.parameters + settings.attention) * settings.tokens
    hours = flop / (device.peak * settings.mfu) / 3600 / settings.goodput
    energy = hours * device.watts * settings.overhead / 1e6  # MWh
    best = law.optimum(6 * settings.parameters * settings.tokens)
    loss = law.loss(settings.parameters, settings.tokens)
    served_parameters, served_tokens = serving_optimum(loss, settings.inference_tokens, law)
    planned = _lifetime(settings.parameters, settings.tokens, settings.inference_tokens)
    return Cost(
        flop=flop,
        device_hours=hours,
        days=hours / settings.devices / 24,
        dollars=hours * settings.price,
        megawatt_hours=energy,
        tonnes=energy * settings.grid,
        loss=loss,
        tokens_per_parameter=settings.tokens / settings.parameters,
        optimal_parameters=best.parameters,
        optimal_tokens=best.tokens,
        optimal_loss=best.loss,
        served_parameters=served_parameters,
        served_tokens=served_tokens,
        served_saving=1 - _lifetime(served_parameters, served_tokens, settings.inference_tokens) / planned,
    )


def serving_optimum(loss: float, inference_tokens: float, law: Law = CHINCHILLA) -> tuple[float, float]:
    """(parameters, training tokens) that reach a loss with the fewest FLOP of training and inference together.

    Sardana et al. 2023 ("Beyond Chinchilla-Optimal"): minimize 6 N D + 2 N D' subject to L(N, D) = loss. With many
    tokens to serve, a smaller model that is trained for longer is cheaper in all.
    """
    if loss <= law.e:
        raise ValueError(f"a loss of {loss:.3f} is not above the law's minimum of {law.e:.3f}: no size reaches it")
    smallest = math.log((law.a / (loss - law.e)) ** (1 / law.alpha))  # with infinite data

    def tokens(log_size: float) -> float:
        return float((law.b / (loss - law.e - law.a * math.exp(-law.alpha * log_size))) ** (1 / law.beta))

    def cost(log_size: float) -> float:
        return math.log(_lifetime(math.exp(log_size), tokens(log_size), inference_tokens))

    found = minimize_scalar(cost, bounds=(smallest + 1e-6, smallest + 12), method="bounded", options={"xatol": 1e-10})
    return math.exp(found.x), tokens(found.x)


def _lifetime(parameters: float, tokens: float, inference_tokens: float) -> float:
    return 6 * parameters * tokens + 2 * parameters * inference_tokens


def format_cost(settings: CostSettings, cost: Cost) -> str:
    """The estimate for a terminal."""
    served = settings.inference_tokens > 0
    lines = [
        f"training     {cost.flop:.3g} FLOP for {settings.parameters:.4g} parameters and {settings.tokens:.4g} tokens "
        f"({cost.tokens_per_parameter:.3g} tokens per parameter)",
        f"time         {cost.device_hours:,.0f} {settings.device} hours at {settings.mfu:.0%} MFU; "
        f"{cost.days:,.1f} days on {settings.devices:,}",
        f"money        ${cost.dollars:,.0f} at ${settings.price:g} per device hour",
        f"carbon       {cost.tonnes:,.1f} t CO2e ({cost.megawatt_hours:,.1f} MWh at {settings.grid:g} kg/kWh)",
        f"loss         {cost.loss:.3f} by the law of Hoffmann et al.; at the same FLOP {cost.optimal_loss:.3f} with "
        f"{cost.optimal_parameters:.3g} parameters and {cost.optimal_tokens:.3g} tokens "
        f"({cost.optimal_tokens / cost.optimal_parameters:.3g} per parameter)",
    ]
    if served:
        lines.append(
            f"inference    {settings.inference_tokens:.3g} tokens: the same loss costs {cost.served_saving:.1%} less "
            f"in all with {cost.served_parameters:.3g} parameters and {cost.served_tokens:.3g} tokens "
            f"({cost.served_tokens / cost.served_parameters:.3g} per parameter)"
        )
    return "\n".join(lines)
