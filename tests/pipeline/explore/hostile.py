"""A copy of a run in which every text of the web is an attack on the page that shows it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HOSTILE = '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=1">"\'&<b>{{7*7}}'
_COLUMNS = ("title", "text", "excerpt", "detail", "host", "registered_domain", "language", "domain")


def make_hostile(run: Path, output: Path) -> Path:
    """Titles, texts, URLs, hosts, details, languages and domains of all pages."""
    shutil.copytree(run, output)
    for folder in ("shards", "drops"):
        path = next((output / folder).glob("*.parquet"))
        table = pq.read_table(path)
        for column in _COLUMNS:
            if column in table.schema.names:
                table = replace(table, column, [HOSTILE] * table.num_rows)
        urls = [("javascript:window.hacked=1", f"https://evil.example/{HOSTILE}")[n % 2] for n in range(table.num_rows)]
        pq.write_table(replace(table, "url", urls), path)
    report = json.loads((output / "report.json").read_text())
    report["dropped"] = {**report["dropped"], HOSTILE: {HOSTILE: 1}}
    (output / "report.json").write_text(json.dumps(report))
    return output


def replace(table: pa.Table, column: str, values: list[str]) -> pa.Table:
    """The table with other values of a column of texts."""
    return table.set_column(table.schema.names.index(column), table.schema.field(column), pa.array(values, pa.string()))
