"""`gristmill push`: publish a finished output to a dataset repository of Hugging Face, or to a folder, s3 or gs.

    data/LANGUAGE/TOPIC/part-N.parquet    the rows of the shards: load_dataset(name, "en") reads one language,
                                          load_dataset(name, "health") one topic, `default` everything
    README.md, croissant.json             card and description, with these configurations
    push.json                             content hash of the output, and the SHA-256 of every other file

Files are made again from the shards part by part, always with the same bytes. What the target has with the same hash is
not sent again, so the same command resumes; at the end the hashes of all files are compared with those of the target.
Rows of an earlier push that the output does not have any more, such as those of removed pages, are deleted. Before the
first change push.json is emptied, and it is written last: a target that is not whole does not look so.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.errors import RunFailedError, UserError
from pipeline.publishing.croissant import format_croissant
from pipeline.publishing.dataset_card import format_card
from pipeline.publishing.manifest import check_parts
from pipeline.storage.digests import sha256_of_file
from pipeline.storage.layout import Layout, read_manifest, read_report
from pipeline.storage.lease import hold_lease
from pipeline.storage.own_files import check_apart, check_free, find_leftovers
from pipeline.storage.retries import retry

HUB = "hf://datasets/"
PUSH = "push.json"
_NAME = re.compile(r"[^a-z0-9_-]+")
_ROWS = re.compile(r"data/[a-z0-9_-]+/[a-z0-9_-]+/part-\d{5,}\.parquet")
_OF_REPOSITORIES = (".gitattributes",)  # in a new dataset repository of the hub
_BEGUN = b'{"files": {}}\n'  # push.json of a target that is not whole
Files = Mapping[str, bytes]  # path in the target -> content


class Target(Protocol):
    """Where files are published."""

    def hold(self) -> AbstractContextManager[None]:
        """Keeps others from changing the target in the block. Raises UserError for one with files of others."""

    def hashes(self, paths: Sequence[str]) -> dict[str, str]:
        """The SHA-256 of those of the files that the target has."""

    def list_rows(self) -> set[str]:
        """The Parquet files of the target."""

    def send(self, files: Files, message: str, stale: Sequence[str] = ()) -> None:
        """Deletes stale files and sends others, in their order; all of them or, where the target can, none."""


def push(output: str, address: str, *, endpoint: str | None = None, token: str | None = None) -> dict[str, Any]:
    """Publishes an output; returns the content of push.json.

    Raises RunFailedError if the target has other bytes, or if the run has kept nothing.
    """
    layout = Layout(output)
    if not storage.exists(layout.manifest):
        raise UserError(f"{output}: no manifest.json; give the --output of a finished `gristmill curate`")
    check_parts(layout, ("shards",))
    target = open_target(address, output, endpoint, token)
    manifest = read_manifest(layout)
    if not (manifest["kept"] or manifest.get("removed")):  # what was published before would be deleted as stale
        raise RunFailedError(f"{output}: nothing was kept, so there is nothing to publish")
    with target.hold():
        return _Push(target, address).publish(layout)


class _Push:
    """One push: what has been compared with the target, and whether anything was sent."""

    def __init__(self, target: Target, address: str) -> None:
        self.target, self.address = target, address
        self.hashes: dict[str, str] = {}
        self.has_begun = False

    def publish(self, layout: Layout) -> dict[str, Any]:
        manifest, report = read_manifest(layout), read_report(layout)
        rows: Counter[tuple[str, str]] = Counter()
        for entry in manifest["shards"]:
            self.send(dict(split_shard(layout, entry["path"], rows)), f"Add {entry['path']}")
        described = {"README.md": make_card(report, rows), "croissant.json": _describe_for_machines(report)}
        stale = sorted(self.target.list_rows() - self.hashes.keys())
        message = f"Publish {manifest['content_hash'][:12]}"
        self.send({path: text.encode() for path, text in described.items()}, message, stale)
        self.check(list(self.hashes))
        known = {"content_hash": manifest["content_hash"], "documents": manifest["kept"]}
        published = {**known, "files": dict(sorted(self.hashes.items()))}
        self.has_begun = True  # push.json itself is all that may be missing
        self.send({PUSH: (json.dumps(published, indent=1) + "\n").encode()}, message)
        self.check([PUSH])
        return published

    def send(self, files: Files, message: str, stale: Sequence[str] = ()) -> None:
        """Sends what the target does not have."""
        digests = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
        present = self.target.hashes(sorted(digests))
        missing = {path: content for path, content in files.items() if present.get(path) != digests[path]}
        if (missing or stale) and not self.has_begun:
            self.has_begun = True
            self.send({PUSH: _BEGUN}, "Begin")
            del self.hashes[PUSH]
        if missing or stale:
            self.target.send(missing, message, stale)
        self.hashes.update(digests)

    def check(self, paths: Sequence[str]) -> None:
        """Raises RunFailedError where the target has other bytes than were sent."""
        found = self.target.hashes(sorted(paths))
        wrong = sorted(path for path in paths if found.get(path) != self.hashes[path])
        if wrong:
            count = f"{len(wrong):,} files have other bytes than were sent"
            raise RunFailedError(f"{self.address}: {count} ({wrong[0]}); push again")


# --- what is published ---


def split_shard(layout: Layout, path: str, rows: Counter[tuple[str, str]]) -> Iterator[tuple[str, bytes]]:
    """(path, content) of one file for each language and topic of a shard; counts their rows."""
    with storage.read_parquet(storage.join(layout.root, path)) as parquet:
        table = parquet.read()
    languages = [_config_name(name) for name in table["language"].to_pylist()]
    topics = [_config_name(name) for name in table["domain"].to_pylist()]
    for language, topic in sorted(set(zip(languages, topics, strict=True))):
        chosen = [pair == (language, topic) for pair in zip(languages, topics, strict=True)]
        part = table.filter(pa.array(chosen))
        rows[language, topic] += part.num_rows
        content = io.BytesIO()
        pq.write_table(part, content, compression="zstd", compression_level=3, row_group_size=1024)
        yield f"data/{language}/{topic}/{path.rsplit('/', 1)[-1]}", content.getvalue()


def _config_name(name: str | None) -> str:
    """A language or topic as the name of a folder and of a configuration.

    >>> _config_name("en"), _config_name("Science & Math"), _config_name("")
    ('en', 'science_math', 'unknown')
    """
    return _NAME.sub("_", (name or "").lower()).strip("_") or "unknown"


def make_card(report: Mapping[str, Any], rows: Mapping[tuple[str, str], int]) -> str:
    """The dataset card with a configuration for everything, for each language and for each topic."""
    languages = sorted({language for language, _ in rows})
    topics = sorted({topic for _, topic in rows} - {*languages, "default"})
    patterns = {
        "default": "data/*/*/*.parquet",
        **{language: f"data/{language}/*/*.parquet" for language in languages},
        **{topic: f"data/*/{topic}/*.parquet" for topic in topics},
    }
    line = "- config_name: {}\n  data_files:\n  - split: train\n    path: {}\n"
    configs = "".join(line.format(name, pattern) for name, pattern in patterns.items())
    before, _, after = format_card(report).partition("configs:\n")
    _, _, rest = after.partition("language:\n")
    return f"{before}configs:\n{configs}language:\n{rest}".replace("shards/*.parquet", "data/*/*/*.parquet")


def _describe_for_machines(report: Mapping[str, Any]) -> str:
    values = format_croissant(report)
    values["distribution"][0]["includes"] = "data/*/*/*.parquet"
    values["distribution"][0]["description"] = f"Parquet files; {PUSH} has the SHA-256 of each."
    return json.dumps(values, indent=1) + "\n"


# --- where it goes ---


def open_target(address: str, output: str, endpoint: str | None, token: str | None) -> Target:
    """The target at an address. Raises UserError for one that is not understood."""
    if address.startswith(HUB):
        name = address.removeprefix(HUB).strip("/")
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
            raise UserError(f"{address}: expected {HUB}OWNER/NAME")
        return HubTarget(name, endpoint, token)
    check_apart(address, [output])
    return FolderTarget(address)


class FolderTarget:
    """A folder on disk or an address of s3:// or gs://."""

    def __init__(self, root: str) -> None:
        self.root = root

    @contextmanager
    def hold(self) -> Iterator[None]:
        check_free(self.root, PUSH, "files")
        with hold_lease(storage.join(self.root, "push.lock")):
            storage.remove_files(find_leftovers(self.root, "data/*/*"))
            yield

    def hashes(self, paths: Sequence[str]) -> dict[str, str]:
        places = {path: storage.join(self.root, path) for path in paths}
        return {path: sha256_of_file(place) for path, place in places.items() if storage.exists(place)}

    def list_rows(self) -> set[str]:
        places = storage.glob_files(storage.join(self.root, "data/*/*/*.parquet"))
        return {name for place in places if _ROWS.fullmatch(name := "/".join(place.split("/")[-4:]))}

    def send(self, files: Files, message: str, stale: Sequence[str] = ()) -> None:
        storage.remove_files(storage.join(self.root, path) for path in stale)
        for folder in sorted({path.rpartition("/")[0] for path in stale}):
            storage.remove_empty_folder(storage.join(self.root, folder))
            storage.remove_empty_folder(storage.join(self.root, folder.rpartition("/")[0]))
        for path, content in files.items():
            with storage.write_atomically(storage.join(self.root, path)) as file:
                file.write(content)


def _is_record(content: bytes) -> bool:
    """Whether a push.json is of a push; others have files of that name as well."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(values, dict) and "files" in values


class _RefusedError(Exception):
    """The hub's refusal, with status and headers by which `retry` knows a busy server and how long to wait."""

    def __init__(self, response: Any, message: str) -> None:
        super().__init__(message)
        self.status, self.headers = response.status_code, response.headers


class HubTarget:
    """A dataset repository of Hugging Face's hub; each call of `send` is one commit. Earlier ones keep stale files."""

    def __init__(self, name: str, endpoint: str | None, token: str | None) -> None:
        try:
            import huggingface_hub
        except ImportError:
            raise UserError("this needs the package huggingface_hub: pip install 'gristmill[hub]'") from None
        self._hub: Any = huggingface_hub
        self.name = name
        self._api = self._hub.HfApi(endpoint=endpoint, token=token, library_name="gristmill")
        self._call(lambda: self._api.create_repo(name, repo_type="dataset", exist_ok=True))

    def _call(self, request: Callable[[], Any]) -> Any:
        """The answer to a request, with the retries of all storage."""

        def attempt() -> Any:
            try:
                return request()
            except Exception as error:
                raise self._known_failure(error) or error from None

        try:
            return retry(self._api.endpoint, attempt)
        except (_RefusedError, self._hub.errors.LocalTokenNotFoundError) as error:
            raise UserError(f"{HUB}{self.name}: {' '.join(str(error).split())[:200]}") from None
        except ConnectionError as error:
            raise storage.StorageError(
                f"{HUB}{self.name}: {self._api.endpoint} cannot be reached ({error}); push again later"
            ) from None

    def _known_failure(self, error: BaseException) -> Exception | None:
        """A refusal or a broken connection behind an error: uploads of large files wrap it in another."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, self._hub.errors.HfHubHTTPError) and cause.response is not None:
                return _RefusedError(cause.response, str(cause))
            if type(cause).__module__.startswith("httpx"):  # the hub's client has had several versions of it
                return ConnectionError(" ".join(str(cause).split())[:100] or type(cause).__name__)
            cause = cause.__cause__
        return None

    def hold(self) -> AbstractContextManager[None]:
        """Nothing to hold: commits come one after the other, and the hub keeps them all."""
        names = self._list()
        foreign = sorted(name for name in names if name not in _OF_REPOSITORIES)
        if foreign and not (PUSH in names and _is_record(self._fetch(PUSH))):
            raise UserError(
                f"{HUB}{self.name}: holds files that no push of gristmill wrote ({foreign[0]}); choose a new repository"
            )
        return nullcontext()

    def _list(self) -> list[str]:
        return list(self._call(lambda: self._api.list_repo_files(self.name, repo_type="dataset")))

    def list_rows(self) -> set[str]:
        return {name for name in self._list() if _ROWS.fullmatch(name)}

    def hashes(self, paths: Sequence[str]) -> dict[str, str]:
        """Of large files as the hub stores it; small ones are in git, by another hash, and are fetched."""
        found = self._call(lambda: self._api.get_paths_info(self.name, list(paths), repo_type="dataset"))
        files = {item.path: item for item in found if isinstance(item, self._hub.hf_api.RepoFile)}
        return {path: item.lfs.sha256 if item.lfs else self._fetch_hash(path) for path, item in files.items()}

    def _fetch_hash(self, path: str) -> str:
        return hashlib.sha256(self._fetch(path)).hexdigest()

    def _fetch(self, path: str) -> bytes:
        url = self._hub.hf_hub_url(self.name, path, repo_type="dataset", endpoint=self._api.endpoint)
        headers = self._hub.utils.build_hf_headers(token=self._api.token)

        def fetch() -> bytes:
            response = self._hub.utils.get_session().get(url, headers=headers, follow_redirects=True)
            self._hub.utils.hf_raise_for_status(response)
            return bytes(response.content)

        return bytes(self._call(fetch))

    def send(self, files: Files, message: str, stale: Sequence[str] = ()) -> None:
        operations = [self._hub.CommitOperationDelete(path) for path in stale]
        operations += [self._hub.CommitOperationAdd(path, content) for path, content in files.items()]
        self._call(lambda: self._api.create_commit(self.name, operations, commit_message=message, repo_type="dataset"))
