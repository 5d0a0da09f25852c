"""Settings of the publish job."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from pipeline.publishing.jsonl_writer import Compression
from pipeline.publishing.weights import WeightSettings
from pipeline.settings import Settings


class PublishSettings(Settings):
    """Shard size and document weights."""

    shard_bytes: int = Field(256_000_000, ge=1, description="text in one shard, before compression (characters)")
    jsonl: Compression | None = Field(
        None,
        description="also write the rows of the shards as JSONL to jsonl/: plain, gzip or zstd; the trainer reads only"
        " the Parquet shards",
    )
    tokenizer: Path | None = Field(
        None, description="tokenizer.json by which the tokens of every document are counted (column `tokens`)"
    )
    licenses: tuple[str, ...] = Field(
        (),
        description="publish only pages under these licenses, such as CC0, CC-BY, CC-BY-SA (any version) or CC-BY-4.0;"
        " empty: all pages",
    )
    weights: WeightSettings = Field(
        WeightSettings(), description="target share of each domain and how often a document may be repeated"
    )
