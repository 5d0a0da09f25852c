"""Provenance of a dataset: settings, lists and models, code and library versions, on which its rows depend.

Stored in run.json and manifest.json. Two runs with equal provenance and equal input publish equal rows.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import classifiers
import pipeline
from pipeline import effects, storage
from pipeline.lists.annotations import Annotation
from pipeline.settings import Settings
from pipeline.stages.custom_rules import source_roots
from pipeline.stages.order import PAGE_STAGES
from pipeline.storage.digests import sha256_of_file

if TYPE_CHECKING:
    from pipeline.config import Config

_PACKAGES = {package.__name__: Path(str(package.__file__)).parent for package in (pipeline, classifiers)}

# Libraries whose version can change a byte of the output.
_LIBRARIES = (
    "brotli", "charset-normalizer", "fasttext-community", "fastwarc", "idna", "lxml", "numpy", "phonenumbers",
    "protego", "pyarrow", "python-stdnum", "resiliparse", "tldextract", "trafilatura", "warcio", "xxhash",
    "zstandard",
)  # fmt: skip


def settings_as_json(config: Config) -> dict[str, Any]:
    """The whole configuration as JSON values; paths shortened, so that every machine gives the same values."""
    values: dict[str, Any] = {name: _as_json(getattr(config, name)) for name in type(config).model_fields}
    # These are text, because they may be addresses of a store, or the name of a package.
    lists = [short_name(path) for path in config.suppress.lists]
    sketches = [short_name(path) for path in config.deduplicate.previous_sketches]
    return {
        **values,
        "suppress": {**values["suppress"], "lists": lists},
        "scrub_pii": {**values["scrub_pii"], "names_model": short_name(config.scrub_pii.names_model)},
        "deduplicate": {**values["deduplicate"], "previous_sketches": sketches},
    }


def _as_json(value: object) -> object:
    if isinstance(value, Annotation):  # its path is text, because it may be an address
        return {**value.model_dump(mode="json"), "path": short_name(value.path)}
    if isinstance(value, Settings):
        return {name: _as_json(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(str(item) for item in value)
    if isinstance(value, (list, tuple)):
        return [_as_json(item) for item in value]
    if isinstance(value, Path):
        return short_name(value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def file_digests(config: Config) -> dict[str, str]:
    """SHA-256 of every list and model that the page stages read, by "stage:name". A missing file is a StorageError."""
    digests = {
        f"{stage}:{short_name(path)}": sha256_of_file(str(path))
        for stage, module in PAGE_STAGES.items()
        for path in module.files(getattr(config, stage))
    }
    tokenizer = config.publish.tokenizer
    if tokenizer:
        digests[f"publish:{short_name(tokenizer)}"] = sha256_of_file(str(tokenizer))
    return dict(sorted({**digests, **_rule_digests(config)}.items()))


def _rule_digests(config: Config) -> dict[str, str]:
    """SHA-256 over the sources of the user's own filters and scorers, by "custom_rules:module:function"."""
    digests = {path: hashlib.sha256() for path, _, _ in source_roots(config.custom_rules)}
    for path, root, is_folder in source_roots(config.custom_rules):
        for file in _python_files(root) if is_folder else [root]:
            name = file.relative_to(root).as_posix() if is_folder else file.name
            digests[path].update(f"{name}\0{sha256_of_file(str(file))}\0".encode())
    return {f"custom_rules:{path}": digest.hexdigest() for path, digest in digests.items()}


def _python_files(root: Path) -> list[Path]:
    """All below a folder; sorted as paths, whose order is part of stored digests."""
    return sorted(Path(path) for path in storage.list_files(str(root)) if path.endswith(".py"))


def short_name(path: Path | str) -> str:
    """The path below this project's packages; elsewhere the last folder and the name.

    >>> short_name("https://me:secret@a.example/list.json?key=1")
    'a.example/list.json'
    """
    path = without_secrets(str(path))
    for name, root in _PACKAGES.items():
        if Path(path).is_relative_to(root):
            return f"{name}/{Path(path).relative_to(root).as_posix()}"
    return "/".join(Path(path).parts[-2:])


def without_secrets(text: str) -> str:
    """Addresses in the text without user name and password; from a query or fragment on, such as a signature, nothing.

    >>> without_secrets("https://me:secret@a.example/x?key=1")
    'https://a.example/x'
    """
    without_users = re.sub(r"(\w+://)[^/?#]*@", r"\1", text)
    return re.sub(r"(\w+://[^?#]*)[?#].*", r"\1", without_users, flags=re.DOTALL)


@cache
def versions() -> dict[str, str]:
    """The version of gristmill, 16 hex digits over its source files, and the version of every library above."""
    digest = hashlib.sha256()
    for name, content in _sources():
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    libraries = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {"gristmill": importlib.metadata.version("gristmill"), "code": digest.hexdigest()[:16], **libraries}


def _sources() -> Iterator[tuple[str, bytes]]:
    for name, root in _PACKAGES.items():
        for path in _python_files(root):
            yield f"{name}/{path.relative_to(root).as_posix()}", effects.read_file(str(path))
