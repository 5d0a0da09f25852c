"""What must hold after every run, and what a reader may rely on at every moment."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import click

from pipeline.engines.failures import find_failure
from pipeline.errors import INTERNAL_ERROR
from pipeline.inspection.audit import audit_output
from pipeline.lists.suppressions import FILE as SUPPRESSIONS
from pipeline.release.annotations import ANNOTATIONS, RELEASE
from pipeline.release.push import PUSH
from pipeline.release.refresh import list_strays
from pipeline.storage.layout import Layout, read_manifest

_TEMPORARY = re.compile(r"\.tmp$|^shuffle-|^\.")


class BrokenPromiseError(AssertionError):
    """A promise does not hold."""


def content_of(output: Path) -> str:
    """The content hash in the manifest, in the list of what was pushed, or in the release."""
    names = (output / name for name in ("manifest.json", PUSH, RELEASE))
    listed = next((path for path in names if path.exists()), None)
    if listed is None:
        raise BrokenPromiseError(f"{output.name} has no manifest.json, {PUSH} or {RELEASE}")
    return str(json.loads(listed.read_text())["content_hash"])


def check_reader(output: Path) -> None:
    """Where there is a manifest, all files that it lists are there, with their bytes.

    There is no other part, unless pages are being removed: then old and new parts lie side by side for a while.
    """
    manifest = output / "manifest.json"
    if not manifest.exists():
        return
    listed = json.loads(manifest.read_bytes())
    is_rehydrated = "rehydrated_from" in listed
    for kind in ("shards", "drops", "sketches", "jsonl"):
        if kind not in listed and (is_rehydrated or kind == "jsonl"):
            continue
        names = {entry["path"] for entry in listed[kind]}
        for entry in listed[kind]:
            path = output / entry["path"]
            if not path.exists():
                raise BrokenPromiseError(f"the manifest lists {entry['path']}, which is missing")
            if hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
                raise BrokenPromiseError(f"{entry['path']} has other bytes than the manifest says")
        found = {f"{kind}/{path.name}" for path in (output / kind).glob("part-*")}
        if not found >= names or (found != names and not is_removing(output)):
            raise BrokenPromiseError(f"{sorted(found - names)} are not in the manifest")
    for name in () if is_rehydrated else ("report.json", "report.html", "README.md", "run.json"):
        if not (output / name).stat().st_size:
            raise BrokenPromiseError(f"{name} is empty")


def is_removing(output: Path) -> bool:
    """Whether pages are being removed from the output or its snapshots, or were."""
    return any((folder / SUPPRESSIONS).exists() for folder in (output, output.parent))


def check_pushed(target: Path) -> None:
    """Where there is a list of what was pushed, all its files are there, with their bytes, and no other rows."""
    listed = target / PUSH
    if not listed.exists() or not (files := json.loads(listed.read_bytes()).get("files")):
        return
    found = {str(path.relative_to(target)) for path in target.rglob("*.parquet")}
    if found != {name for name in files if name.endswith(".parquet")}:
        raise BrokenPromiseError(f"{PUSH} does not list the rows that are there: {sorted(found)}")
    for name, digest in files.items():
        if name != PUSH and hashlib.sha256((target / name).read_bytes()).hexdigest() != digest:
            raise BrokenPromiseError(f"{name} has other bytes than {PUSH} says")


def check_released(target: Path) -> None:
    """Where there is a release, all files that it lists are there, with their bytes; its descriptions are JSON."""
    for name in ("training_summary.json", "prov.json", RELEASE):
        listed = json.loads((target / name).read_bytes()) if (target / name).exists() else {}
        for entry in listed.get(ANNOTATIONS, ()):
            if hashlib.sha256((target / entry["path"]).read_bytes()).hexdigest() != entry["sha256"]:
                raise BrokenPromiseError(f"{entry['path']} has other bytes than {RELEASE} says")


def are_missing(output: Path) -> bool:
    """Whether a dataset says that it could not have all documents of its release, and which."""
    manifest = json.loads((output / "manifest.json").read_bytes()) if (output / "manifest.json").exists() else {}
    missing = manifest.get("missing", 0)
    return bool(missing) and missing == len(json.loads((output / "missing.json").read_bytes())["documents"])


def check_complete(output: Path, content: str) -> None:
    """The output has this content, passes the audit, and nothing temporary is left."""
    if content_of(output) != content:
        raise BrokenPromiseError(f"the content hash is {content_of(output)}, that of a run without faults {content}")
    check_reader(output)
    check_pushed(output)
    check_released(output)
    is_run = (output / "report.json").exists()
    if is_run and list_strays(Layout(str(output)), read_manifest(Layout(str(output)))):
        raise BrokenPromiseError("parts are left that the manifest does not list")
    audited = audit_output(str(output)) if is_run else ()
    failed = [f"{check.name}: {check.detail}" for check in audited if not check.ok]
    if failed:
        raise BrokenPromiseError(f"the audit fails: {failed}")
    left = [str(path.relative_to(output)) for path in output.rglob("*") if _TEMPORARY.search(path.name)]
    work = {path.name for path in output.glob("work/*/*")} - {"drops", "extracted", "staged", "tally"}
    if left or work or len(list(output.glob("work/*"))) > 1:
        raise BrokenPromiseError(f"left behind: {left or work or 'work files of other settings'}")


def check_error(error: Exception, *places: str) -> None:
    """The error is one that a user can mend, in one line that names its place: a file, or a process."""
    failure = find_failure(error)
    if failure.exit_code == INTERNAL_ERROR or not isinstance(error, click.ClickException):
        raise BrokenPromiseError(f"an internal error: {type(error).__name__}: {error}") from error
    if "\n" in failure.message or not any(place in failure.message for place in places):
        raise BrokenPromiseError(f"the error does not name its place in one line: {failure.message}") from error


def digest_of(folder: Path) -> str:
    """Of the names and contents below the folder, without what differs between equal runs: costs, random names."""
    digest = hashlib.sha256()
    lines = []
    for path in folder.rglob("*"):
        name = re.sub(r"\.[a-z0-9_]{8}\.tmp$", ".tmp", str(path.relative_to(folder)))
        name = re.sub(r"shuffle-[a-z0-9_]{8}(/.*)?$", "shuffle", name)
        if path.is_file() and not name.endswith("shuffle"):
            lines.append(f"{name} {_content_digest(path)}")
    digest.update("\n".join(sorted(set(lines))).encode())
    return digest.hexdigest()


def _content_digest(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix in {".json", ".html", ".md"} and path.name != "manifest.json":
        content = re.sub(rb'("(?:cpu_\w+|seconds|started)": )(\{[^}]*\}|"[^"]*"|[0-9.e-]+)', rb"\1", content)
        if path.name.startswith(("report", "README")):
            content = b"some" if content else b""
    if path.suffix == ".tmp":
        content = b"some" if content else b""
    return hashlib.sha256(content).hexdigest()
