"""Exit codes of the trainer: those of the table in README.md, whatever the error is that names a failure's file."""

from __future__ import annotations

import errno
import json
import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import safetensors
import safetensors.torch
import torch
from yarl import URL

from pipeline.engines.failures import find_failure
from pipeline.errors import STOPPED
from tests.conftest import ROOT, restore_signals
from tests.trainer.curated import pages, write_dataset
from trainer import config, errors
from trainer.chat.read_conversations import read_conversations
from trainer.data.curated_dataset import DatasetError, Shard, fetch_shard, open_dataset
from trainer.data.token_files import read_summary
from trainer.data.tokenize_dataset import tokenize_dataset
from trainer.data.tokenizer import TokenizerSettings, train_tokenizer
from trainer.errors import TrainingStoppedError, UserError
from trainer.evaluation.win_rate import read_annotations
from trainer.files import save_tensors

CODES = {errno.EIO: 4, errno.EFBIG: 4, errno.ENOSPC: 6, errno.EDQUOT: 6, errno.EACCES: 7, errno.EROFS: 7}


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number), "file")


def raised(error: UserError, cause: BaseException) -> UserError:
    """`error` as `raise error from cause` leaves it."""
    with pytest.raises(UserError) as caught:
        raise error from cause
    return caught.value


def answer(status: int) -> FileNotFoundError:
    """What fsspec raises when a web server answers this."""
    url = URL("https://data.example/shard.parquet")
    request = aiohttp.RequestInfo(url, "GET", {}, url)  # type: ignore[arg-type]
    error = FileNotFoundError(str(url))
    error.__cause__ = aiohttp.ClientResponseError(request, (), status=status, message="no")
    return error


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        *((os_error(number), code) for number, code in CODES.items()),
        (FileNotFoundError(errno.ENOENT, "no such file"), 2),
        (ValueError("not JSON"), 2),
        (OSError("not a gzipped file"), 2),  # of a library: what the file holds
        (ConnectionResetError("closed"), 4),
        (TimeoutError(), 4),
        (aiohttp.ServerDisconnectedError(), 4),
        (answer(503), 4),
        (answer(403), 7),
        (answer(404), 2),
        (raised(DatasetError("inner"), os_error(errno.ENOSPC)), 6),
    ],
)
def test_the_cause_of_an_error_decides_its_code(cause: Exception, code: int) -> None:
    error = raised(DatasetError("why"), cause)
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert (each.exit_code, find_failure(each).exit_code, find_failure(each).message) == (code, code, "why")


def test_the_trainers_codes_are_those_of_the_readme() -> None:
    rows = dict(re.findall(r"^\| (\d+(?:, \d+)*) \| (.*) \| .*\|$", (ROOT / "README.md").read_text(), re.MULTILINE))
    classes = {kind.__name__: kind.own_exit_code for kind in (UserError, TrainingStoppedError, errors.LockedError)}
    assert classes == {"UserError": 2, "TrainingStoppedError": 3, "LockedError": 5}
    codes = {*classes.values(), errors.FILE_ERROR, errors.DISK_FULL, errors.NO_ACCESS}
    assert {str(code) for code in codes} < set(rows)
    assert "anomaly" in rows["3"]
    for number in STOPPED:
        assert errors.StoppedBySignalError("why", number).exit_code == STOPPED[number]
    assert ", ".join(map(str, STOPPED.values())) in rows


READERS: dict[str, Callable[[Path], Any]] = {
    "settings.toml": lambda path: config._read_toml(str(path)),
    "pairs.json": read_annotations,
    "chat.jsonl": lambda path: read_conversations([path]),
    "tokens.json": lambda path: read_summary(path.parent),
}


@pytest.mark.parametrize("number", CODES, ids=errno.errorcode.get)
@pytest.mark.parametrize("name", READERS)
def test_a_failing_disk_under_an_input(name: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, *_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    for method in ("open", "read_text", "read_bytes"):
        monkeypatch.setattr(Path, method, fail)
    with pytest.raises(UserError, match=re.escape(str(tmp_path / name))) as caught:
        READERS[name](tmp_path / name)
    assert caught.value.exit_code == CODES[number]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO], ids=errno.errorcode.get)
@pytest.mark.parametrize("method", ["mkdir", "open"])
def test_a_failing_disk_under_the_token_files(
    method: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pages(20)
    dataset = open_dataset(str(write_dataset(tmp_path / "set", rows)))
    tokenizer = train_tokenizer([row["text"] for row in rows], TokenizerSettings(vocab_size=640, min_count=2))
    cache, real = tmp_path / "cache", getattr(Path, method)

    def fail(path: Path, *arguments: object, **options: object) -> Any:
        if path.is_relative_to(cache):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, method, fail)
    with pytest.raises(DatasetError, match=r"name another folder by data\.cache") as caught:
        tokenize_dataset(dataset, tokenizer, cache, 1, progress=False)
    assert caught.value.exit_code == CODES[number]


def test_a_shard_that_cannot_be_downloaded() -> None:
    url = "http://127.0.0.1:9/shards/part-00000.parquet"  # nothing listens there
    shard = Shard("shards/part-00000.parquet", url, "", 1)
    with pytest.raises(DatasetError, match=f"{url}: cannot be downloaded") as caught, fetch_shard(shard):
        pass
    assert caught.value.exit_code == 4


def test_the_tensor_librarys_own_error_of_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", fail)
    with pytest.raises(OSError, match=r"No space left on device: .*x\.safetensors") as caught:
        save_tensors({"a": torch.zeros(1)}, tmp_path / "x.safetensors")
    assert find_failure(caught.value).exit_code == 6


TRAIN = """
import json, os, resource, sys
from pathlib import Path
from pipeline import cli
from tests.trainer import runs
from trainer.cli import train

given = json.loads(sys.argv[1])

@train.command("small")
def small():
    def log(line):
        if line.startswith("step 2") and given.get("signal"):
            os.kill(os.getpid(), given["signal"])

    if limit := given.get("limit"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    runs.run(Path(given["out"]), {"loop": {"log_every": 1, "steps": 6}, **given["changes"]}, log=log)

sys.argv = ["gristmill", "train", "small"]
cli.main()
"""


@pytest.mark.parametrize(
    ("given", "changes", "code", "line"),
    [
        ({"signal": signal.SIGTERM}, {}, 143, r"stopped by a signal at step [23]; the same command resumes from "),
        ({"signal": signal.SIGHUP}, {}, 129, r"stopped by a signal at step [23]; the same command resumes from "),
        ({"signal": signal.SIGINT}, {}, 130, r"stopped by a signal at step [23]; the same command resumes from "),
        ({}, {"model": {"z_loss": 1e39}, "anomalies": {"not_finite": "stop"}}, 3, "step 1: not_finite "),
        ({"limit": 10_000}, {}, 4, r".*File too large: '.*\.safetensors'"),
        ({"limit": 10_000}, {"checkpoints": {"sharded": True}}, 4, r".*rank 0 cannot write it .*File too large"),
    ],
    ids=["SIGTERM", "SIGHUP", "Ctrl-C", "anomaly", "disk", "disk, sharded"],
)
def test_a_command_that_trains_ends_with_one_line_and_its_code(
    given: dict[str, int], changes: dict[str, Any], code: int, line: str, tmp_path: Path
) -> None:
    values = json.dumps({**given, "changes": changes, "out": str(tmp_path / "run")})
    command = [sys.executable, "-c", TRAIN, values]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300, preexec_fn=restore_signals)
    assert done.returncode == code, done.stderr
    assert re.match(f"gristmill: {line}", done.stderr.splitlines()[-1])
    assert "Traceback" not in done.stderr
