"""`gristmill plan --engine dataflow`: machines, disk, workers and cost on Dataflow, estimated from the sample.

The default prices are unverified list prices of batch Dataflow in us-central1; `--price NAME=DOLLARS` replaces them.
Every assumption is printed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from pipeline.deduplication.messages import partition_count
from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.errors import UserError
from pipeline.inspection.plan import Plan
from pipeline.settings import did_you_mean

CRAWL_FILE_BYTES = 1_000_000_000  # a WARC file of Common Crawl, compressed
WORKER_MEMORY = 450_000_000  # the Python worker that Beam keeps beside the page process, with Beam's imports
MACHINES = {"n2-standard": 4.0, "n2-highmem": 8.0, "n2-highcpu": 1.0}  # GB of memory for each virtual core
CORES = 4  # of one machine: when a small machine is preempted little work is lost
SYSTEM_DISK_GB = 30  # operating system, container image
WANTED_HOURS = 8.0


@dataclass(frozen=True, slots=True)
class Prices:
    """Unit prices in dollars."""

    core_hour: float = 0.056
    memory_gb_hour: float = 0.003557
    disk_gb_hour: float = 0.000054
    shuffle_gb: float = 0.011

    @classmethod
    def parse(cls, pairs: Sequence[str]) -> Prices:
        """The defaults, with NAME=DOLLARS replaced. Raises UserError for an unknown name or price."""
        prices = cls()
        names = [field.name for field in fields(cls)]
        for pair in pairs:
            name, _, value = pair.partition("=")
            try:
                prices = replace(prices, **{name: float(value)})
            except (TypeError, ValueError):
                near = did_you_mean(name, names) if name not in names else ""
                raise UserError(f"--price {pair}: expected NAME=DOLLARS with one of {', '.join(names)}{near}") from None
        return prices


@dataclass(frozen=True, slots=True)
class DataflowPlan:
    """One run on Dataflow."""

    plan: Plan
    deduplicate: DeduplicateSettings
    prices: Prices = Prices()

    @property
    def memory_per_core(self) -> float:
        """Bytes: a Python worker and its page process, and a third more for pages larger than those of the sample."""
        return (WORKER_MEMORY + self.plan.sample.peak_memory) * 4 / 3

    @property
    def machine(self) -> str:
        """The cheapest machine type with enough memory."""
        for family, gigabytes in sorted(MACHINES.items(), key=lambda item: item[1]):
            if gigabytes * 1e9 >= self.memory_per_core:
                return f"{family}-{CORES}"
        raise UserError(
            f"a worker needs {self.memory_per_core / 1e9:.0f} GB for each core; no machine type has that much"
        )

    @property
    def core_hours(self) -> float:
        """Core hours of the whole run, if a virtual core is as fast as a core of this machine."""
        return self.plan.sample.cpu_seconds * self.plan.scale / 3600

    @property
    def max_workers(self) -> int:
        """Machines that finish the run in about `WANTED_HOURS`, at most one core per unit."""
        wanted = math.ceil(self.core_hours / WANTED_HOURS / CORES)
        return max(1, min(wanted, math.ceil(self.plan.units / CORES)))

    @property
    def disk_gb(self) -> int:
        """The system, and per core one unit that is downloaded and staged, at most twice its size."""
        return SYSTEM_DISK_GB + math.ceil(CORES * 2 * self.plan.bytes / max(self.plan.units, 1) / 1e9)

    @property
    def shuffle_gb(self) -> float:
        """Keys and sketches of the documents that survive the page stages."""
        return self.plan.sample.kept * self.plan.scale * self.plan.shuffle_bytes / 1e9

    @property
    def partitions(self) -> int:
        """Partitions of each shuffle; a worker holds the keys of one partition at a time."""
        return partition_count(round(self.plan.sample.kept * self.plan.scale), self.deduplicate)

    @property
    def cost(self) -> float:
        """Dollars of the whole run."""
        prices = self.prices
        memory = MACHINES[self.machine.rpartition("-")[0]]
        per_core_hour = prices.core_hour + memory * prices.memory_gb_hour + self.disk_gb / CORES * prices.disk_gb_hour
        return self.core_hours * per_core_hour + self.shuffle_gb * prices.shuffle_gb

    def describe(self) -> str:
        """A table for the terminal, the assumptions last."""
        per_thousand = self.cost * 1000 * CRAWL_FILE_BYTES / max(self.plan.bytes, 1)
        hours = self.core_hours / (self.max_workers * CORES)
        rows = [
            ("machine", f"{self.machine}, one Python worker for each core ({self.memory_per_core / 1e9:.1f} GB)"),
            ("disk", f"disk_size_gb={self.disk_gb}"),
            (
                "workers",
                f"max_num_workers={self.max_workers}: about {hours:.1f} of {WANTED_HOURS:.0f} hours",
            ),
            (
                "shuffle",
                f"{self.shuffle_gb:,.1f} GB of keys in {self.partitions:,} shards "
                f"(of {self.deduplicate.partition_bytes / 1e6:,.0f} MB), by the shuffle service",
            ),
            ("cost", f"${self.cost:,.2f}, ${per_thousand:,.0f} for 1,000 WARC files of 1 GB"),
            ("prices", ", ".join(f"{f.name}=${getattr(self.prices, f.name)}" for f in fields(self.prices))),
            (
                "assumed",
                "a virtual core is worth one core of this machine; the sample is like the rest; deduplication and "
                "publishing cost little beside extraction; workers are never idle; input is read in its own region; "
                "prices are unverified list prices (us-central1): check them",
            ),
        ]
        return "\n".join(f"{name:<8}{text}" for name, text in rows)
