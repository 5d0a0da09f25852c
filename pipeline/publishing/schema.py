"""Parquet schemas: what the trainer and every other reader may rely on."""

from __future__ import annotations

import pyarrow as pa

from pipeline.deduplication.sketch import SKETCH_FIELDS
from pipeline.stages.order import signal_names

SIGNALS = pa.struct([pa.field(name, pa.float64()) for name in signal_names()])

_IDENTITY = [
    pa.field("id", pa.string(), nullable=False),
    pa.field("url", pa.string(), nullable=False),
    pa.field("host", pa.string()),
    pa.field("registered_domain", pa.string()),
    pa.field("fetched_at", pa.string()),
    pa.field("warc_file", pa.string()),
    pa.field("warc_offset", pa.int64()),
]

_TEXT = [
    pa.field("title", pa.string()),
    pa.field("text", pa.string()),
    pa.field("language", pa.string()),
    pa.field("language_score", pa.float64()),
    pa.field("quality_score", pa.float64()),
    pa.field("domain", pa.string()),
    pa.field("domain_score", pa.float64()),
    pa.field("kind", pa.string()),
    pa.field("kind_score", pa.float64()),
    pa.field("words", pa.int64()),
    pa.field("characters", pa.int64()),
]

# Documents of one finished unit, before deduplication.
STAGED = pa.schema([*_IDENTITY, *_TEXT, pa.field("signals", SIGNALS), *SKETCH_FIELDS])

# What `gristmill curate` publishes.
SHARD = pa.schema(
    [
        *_IDENTITY,
        *_TEXT,
        pa.field("duplicates", pa.int64()),  # how many dropped pages this document stands for
        pa.field("weight", pa.float64()),  # expected repetitions in one pass over the mixture
        pa.field("signals", SIGNALS),
    ]
)

# One row for every page that is not in a shard.
DROP = pa.schema(
    [
        *_IDENTITY,
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("value", pa.float64()),  # the measurement ...
        pa.field("threshold", pa.float64()),  # ... and the limit that it broke
        pa.field("detail", pa.string()),
        pa.field("duplicate_of", pa.string()),  # id of the survivor
        pa.field("language", pa.string()),
        pa.field("excerpt", pa.string()),  # the first characters of its text, personal data replaced
        pa.field("signals", SIGNALS),
    ]
)
