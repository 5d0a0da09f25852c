"""OUT/croissant.json: the dataset for machines, in Croissant 1.1 (MLCommons), by which its rows are loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipeline import storage
from pipeline.publishing.schema import SHARD
from pipeline.storage.layout import Layout

_CONTEXT: Mapping[str, Any] = {
    "@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/", "citeAs": "cr:citeAs", "column": "cr:column", "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"}, "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "extract": "cr:extract", "field": "cr:field", "fileProperty": "cr:fileProperty", "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet", "format": "cr:format", "includes": "cr:includes", "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath", "key": "cr:key", "md5": "cr:md5", "parentField": "cr:parentField", "path": "cr:path",
    "recordSet": "cr:recordSet", "references": "cr:references", "regex": "cr:regex", "repeated": "cr:repeated",
    "replace": "cr:replace", "separator": "cr:separator", "source": "cr:source", "subField": "cr:subField",
    "transform": "cr:transform",
}  # fmt: skip
_TYPES = {
    pa.string(): "sc:Text",
    pa.int64(): "sc:Integer",
    pa.float64(): "sc:Float",
    pa.bool_(): "sc:Boolean",
}
_DESCRIPTION = (
    "{kept:,} documents from {pages:,} web pages, curated by Gristmill {version}. The pages belong to their "
    "publishers; the column `license` holds the Creative Commons license that a page names. Personal data was replaced "
    "by placeholders as far as patterns find it."
)


def write_croissant(layout: Layout, report: Mapping[str, Any]) -> None:
    """Writes the file. It holds counts and fixed text, nothing from a web page."""
    with storage.write_atomically(layout.croissant) as file:
        file.write((json.dumps(format_croissant(report), indent=1) + "\n").encode())


def format_croissant(report: Mapping[str, Any]) -> dict[str, Any]:
    """The description, from the numbers of report.json."""
    languages = [row["language"] for row in report["languages"] if row["language"]]
    return {
        "@context": dict(_CONTEXT),
        "@type": "sc:Dataset",
        "name": f"gristmill-{report['content_hash'][:12]}",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "description": _DESCRIPTION.format(**report, version=report["versions"]["gristmill"]),
        "version": report["versions"]["gristmill"],
        "identifier": report["content_hash"],
        "keywords": ["gristmill", "web pages", "language modeling"],
        **({"inLanguage": languages} if languages else {}),
        "distribution": [
            {
                "@type": "cr:FileSet",
                "@id": "shards",
                "name": "shards",
                "description": "Parquet files; manifest.json has the SHA-256 of each.",
                "encodingFormat": "application/x-parquet",
                "includes": "shards/*.parquet",
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "documents",
                "name": "documents",
                "description": "One record for each kept document; FORMAT.md of Gristmill describes the columns.",
                "key": {"@id": "documents/id"},
                "field": [_field(field.name, _TYPES[field.type]) for field in SHARD if field.type in _TYPES],
            }
        ],
    }


def _field(name: str, kind: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"documents/{name}",
        "name": name,
        "dataType": kind,
        "source": {"fileSet": {"@id": "shards"}, "extract": {"column": name}},
    }
