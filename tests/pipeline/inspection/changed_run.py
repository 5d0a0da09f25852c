"""A run that differs from another one in known ways."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def make_changed(source: Path, output: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A copy in which three kept pages are dropped and one has lost ten words; the three and the one."""
    shutil.copytree(source, output)
    shard, drop = (next((output / kind).glob("*.parquet")) for kind in ("shards", "drops"))
    kept, dropped = pq.read_table(shard), pq.read_table(drop)
    rows = kept.to_pylist()
    gone, shorter = [rows[1], rows[7], rows[20]], rows[30]
    left = [row for row in rows if row not in gone]
    left[left.index(shorter)] = {**shorter, "words": shorter["words"] - 10}
    new = [{**dict.fromkeys(dropped.schema.names), **{name: row[name] for name in ("id", "url", "host", "signals")},
            "stage": "score_quality", "reason": "low_quality", "value": row["quality_score"], "threshold": 0.9}
           for row in gone]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(left, kept.schema), shard)
    pq.write_table(pa.Table.from_pylist([*dropped.to_pylist(), *new], dropped.schema), drop)
    manifest = json.loads((output / "manifest.json").read_text())
    (output / "manifest.json").write_text(json.dumps({**manifest, "content_hash": "0" * 64}))
    return gone, shorter
