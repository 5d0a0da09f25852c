"""W3C PROV of a dataset, as PROV-JSON: from which files, by which settings, lists and models, with which code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline import storage
from pipeline.storage.digests import fingerprint
from pipeline.storage.layout import Layout, read_manifest, write_json

PROV_FILE = "prov.json"


def write_provenance(output: str, target: str) -> dict[str, Any]:
    """Writes prov.json for a finished output into a folder of open_new_folder; returns its values."""
    values = describe_provenance(read_manifest(Layout(output)))
    write_json(storage.join(target, PROV_FILE), values)
    return values


def describe_provenance(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The document: every input, list and model is an entity that the run used, every shard one that it generated."""
    run, code = "gm:run", "gm:code"
    inputs = {f"gm:input-{number}": entry for number, entry in enumerate(manifest["inputs"])}
    files = {f"gm:file-{number}": item for number, item in enumerate(sorted(manifest["files"].items()))}
    shards = {f"gm:shard-{number}": entry for number, entry in enumerate(manifest["shards"])}
    dataset = "gm:dataset"
    entities: dict[str, Any] = {
        dataset: {"prov:type": "prov:Collection", "gm:contentHash": manifest["content_hash"]},
        "gm:settings": {"gm:fingerprint": fingerprint(manifest["config"])},
        **{key: {"gm:name": entry["name"], "gm:bytes": entry["bytes"]} for key, entry in inputs.items()},
        **{key: {"gm:name": name, "gm:sha256": digest} for key, (name, digest) in files.items()},
        **{key: {"gm:path": entry["path"], "gm:sha256": entry["sha256"]} for key, entry in shards.items()},
    }
    used = [*inputs, *files, "gm:settings"]
    return {
        "prefix": {"gm": f"urn:gristmill:{manifest['fingerprint']}:", "prov": "http://www.w3.org/ns/prov#"},
        "entity": entities,
        "activity": {run: {"prov:type": "gristmill curate", "gm:fingerprint": manifest["fingerprint"]}},
        "agent": {
            code: {
                "prov:type": "prov:SoftwareAgent",
                **{f"gm:{name}": version for name, version in manifest["versions"].items()},
            }
        },
        "used": {f"_:u{number}": _link(run, "entity", key) for number, key in enumerate(used)},
        "wasGeneratedBy": {
            f"_:g{number}": {"prov:entity": key, "prov:activity": run} for number, key in enumerate([dataset, *shards])
        },
        "hadMember": {
            f"_:m{number}": {"prov:collection": dataset, "prov:entity": key} for number, key in enumerate(shards)
        },
        "wasAssociatedWith": {"_:a0": {"prov:activity": run, "prov:agent": code}},
    }


def _link(activity: str, role: str, key: str) -> dict[str, str]:
    return {"prov:activity": activity, f"prov:{role}": key}
