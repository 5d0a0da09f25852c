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

_TEMPORARY = re.compile(r"\.tmp$|^shuffle-|^\.")


class BrokenPromiseError(AssertionError):
    """A promise does not hold."""


def content_of(output: Path) -> str:
    """The content hash in the manifest."""
    return str(json.loads((output / "manifest.json").read_text())["content_hash"])


def check_reader(output: Path) -> None:
    """Where there is a manifest, all files that it lists are there, with their bytes, and no other part."""
    manifest = output / "manifest.json"
    if not manifest.exists():
        return
    listed = json.loads(manifest.read_bytes())
    for kind in ("shards", "drops", "sketches"):
        names = {entry["path"] for entry in listed[kind]}
        for entry in listed[kind]:
            path = output / entry["path"]
            if not path.exists():
                raise BrokenPromiseError(f"the manifest lists {entry['path']}, which is missing")
            if hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
                raise BrokenPromiseError(f"{entry['path']} has other bytes than the manifest says")
        found = {f"{kind}/{path.name}" for path in (output / kind).glob("*.parquet")}
        if found != names:
            raise BrokenPromiseError(f"{sorted(found - names)} are not in the manifest")
    for name in ("report.json", "report.html", "README.md", "run.json"):
        if not (output / name).stat().st_size:
            raise BrokenPromiseError(f"{name} is empty")


def check_complete(output: Path, content: str) -> None:
    """The output has this content, passes the audit, and nothing temporary is left."""
    if content_of(output) != content:
        raise BrokenPromiseError(f"the content hash is {content_of(output)}, that of a run without faults {content}")
    check_reader(output)
    failed = [f"{check.name}: {check.detail}" for check in audit_output(str(output)) if not check.ok]
    if failed:
        raise BrokenPromiseError(f"the audit fails: {failed}")
    left = [str(path.relative_to(output)) for path in output.rglob("*") if _TEMPORARY.search(path.name)]
    if left or (output / "work").exists():
        raise BrokenPromiseError(f"left behind: {left or 'work'}")


def check_error(error: Exception, *places: str) -> None:
    """The error is one that a user can mend, in one line that names a file."""
    failure = find_failure(error)
    if failure.exit_code == INTERNAL_ERROR or not isinstance(error, click.ClickException):
        raise BrokenPromiseError(f"an internal error: {type(error).__name__}: {error}") from error
    if "\n" in failure.message or not any(place in failure.message for place in places):
        raise BrokenPromiseError(f"the error does not name a file in one line: {failure.message}") from error


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
