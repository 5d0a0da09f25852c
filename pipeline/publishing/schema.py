"""Parquet schemas of the work files of a unit (staged, extracted), of shards/ and of drops/."""

from __future__ import annotations

from collections.abc import Sequence

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
    pa.field("warc_length", pa.int64()),  # null: no WARC record, or one that shares a compressed member with others
]
# What the page says about its use; of a page that was dropped before its text was extracted, null.
_RIGHTS = [
    pa.field("opt_outs", pa.list_(pa.string())),  # place:signal, such as meta:noai
    pa.field("license", pa.string()),  # SPDX's name; empty: the page names none
    pa.field("license_place", pa.string()),
    pa.field("license_disagrees", pa.bool_()),
]

_TEXT = [
    pa.field("title", pa.string()),
    pa.field("text", pa.string()),
    pa.field("language", pa.string()),
    pa.field("language_score", pa.float64()),
    pa.field("quality_score", pa.float64()),
    pa.field("education_score", pa.float64()),
    pa.field("domain", pa.string()),
    pa.field("domain_score", pa.float64()),
    pa.field("kind", pa.string()),
    pa.field("kind_score", pa.float64()),
    pa.field("words", pa.int64()),
    pa.field("characters", pa.int64()),
]


def add_signals(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    """The schema with further fields in the column `signals`."""
    if not names:
        return schema
    signals = pa.struct([*SIGNALS, *(pa.field(name, pa.float64()) for name in names)])
    return schema.set(schema.names.index("signals"), pa.field("signals", signals))


# Documents of one finished unit, before deduplication.
STAGED = pa.schema([*_IDENTITY, *_TEXT, *_RIGHTS, pa.field("signals", SIGNALS), *SKETCH_FIELDS])

# Every page of one unit in the order of reading, as extract_text left it, with its personal data: for reruns with other
# filters or models. Of a page without a document only `drop`.
EXTRACTED = pa.schema(
    [
        pa.field("drop", pa.int64()),  # number of its row in the unit's drops; null: it has the next staged row
        *(pa.field(field.name, field.type) for field in _IDENTITY),
        *_RIGHTS,
        pa.field("title", pa.string()),
        pa.field("text", pa.string()),  # null where that of the staged row is the same
        pa.field("signals", SIGNALS),
    ]
)

# Rows of shards/.
SHARD = pa.schema(
    [
        *_IDENTITY,
        *_TEXT,
        *_RIGHTS,
        pa.field("tokens", pa.int64()),  # null unless publish.tokenizer names a tokenizer
        pa.field("duplicates", pa.int64()),  # pages that were dropped as duplicates of this document
        pa.field("removed_lines", pa.list_(pa.int32())),  # numbers of the extracted text's lines that are not in `text`
        pa.field("weight", pa.float64()),  # repetitions in one pass over the weighted dataset
        pa.field("signals", SIGNALS),
    ]
)

# Rows of duplicates/: the members of every group of duplicates, the kept one included.
DUPLICATE = pa.schema(
    [
        pa.field("survivor", pa.string()),  # id of the kept document; null with deduplicate.keep = "none"
        pa.field("id", pa.string(), nullable=False),
        pa.field("url", pa.string()),  # null for a document of an earlier output
        pa.field("kept", pa.bool_(), nullable=False),
        pa.field("reason", pa.string()),  # as in drops/; null for the kept document
        pa.field("similarity", pa.float64()),  # to the survivor: estimated Jaccard index; 1 for equal texts
        pa.field("snapshot", pa.string()),  # name of the earlier output that published the document; null: this one
    ]
)

# Rows of drops/: one for each page that is not in a shard.
DROP = pa.schema(
    [
        *_IDENTITY,
        *_RIGHTS,
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("value", pa.float64()),  # the measurement ...
        pa.field("threshold", pa.float64()),  # ... and the limit that it failed
        pa.field("detail", pa.string()),
        pa.field("duplicate_of", pa.string()),  # id of the kept document
        pa.field("language", pa.string()),
        pa.field("excerpt", pa.string()),  # beginning of the text, personal data replaced
        pa.field("text", pa.string()),  # null unless prepare.drop_text, and for pages dropped before extraction
        pa.field("signals", SIGNALS),
    ]
)
