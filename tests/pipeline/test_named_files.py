"""A file that the settings name and that cannot be read: one line with role and name, and the code of its cause."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import load_config
from pipeline.effects import Effect, simulate
from pipeline.engines.failures import find_failure
from pipeline.heuristics import harmful_words
from pipeline.lists.annotations import Annotation, read_annotation
from pipeline.lists.blocklists import read_hosts, read_ut1
from pipeline.lists.evaluation_sets import read_items
from pipeline.lists.suppressions import read_suppressions
from pipeline.publishing.token_counts import load_token_counter
from pipeline.settings import ListFile

READERS: dict[str, Callable[[Path], Any]] = {
    "suppression list": lambda path: read_suppressions([str(path)]),
    "configuration": load_config,
    "list": lambda path: list(read_hosts(ListFile(path=path))),
    "list of UT1": lambda path: list(read_ut1(ListFile(path=path), ["adult"], "domains")),
    "list of annotations": lambda path: list(read_annotation(Annotation(path=str(path)))),
    "evaluation set": lambda path: list(read_items(path)),
    "publish.tokenizer:": load_token_counter,
    "word list": harmful_words.read_list,
}
CODES = {errno.EIO: 4, errno.ENOSPC: 6, errno.EDQUOT: 6, errno.EACCES: 7, errno.EPERM: 7, errno.EROFS: 7}


class Broken:
    """A world in which every call of one kind that concerns `subject` raises `error`; nobody waits."""

    def __init__(self, effect: Effect, subject: str, error: Exception) -> None:
        self.effect, self.subject, self.error = effect, subject, error

    def perform(self, effect: Effect, subject: str, action: Callable[[], Any], torn: object = None) -> Any:
        if effect is self.effect and self.subject in subject:
            raise self.error
        return None if effect is Effect.SLEEP else action()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "named.parquet"  # only annotations look at the content
    pq.write_table(pa.table({"host": ["a.example"], "spam": [True]}), path)
    return path


@pytest.mark.parametrize("number", CODES, ids=errno.errorcode.get)
@pytest.mark.parametrize("role", READERS)
def test_a_failing_disk_gives_the_code_of_its_error(role: str, number: int, file: Path) -> None:
    error = OSError(number, os.strerror(number), str(file))
    with simulate(Broken(Effect.OPEN, str(file), error)), pytest.raises(Exception) as caught:  # noqa: PT011
        READERS[role](file)
    failure = find_failure(caught.value)
    assert failure.exit_code == CODES[number]
    assert failure.message.startswith(f"{role.partition(' of ')[0]} {file}: ")


@pytest.mark.parametrize("role", READERS)
def test_a_missing_file_is_wrong_input(role: str, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"missing\.txt: no such file") as caught:
        READERS[role](tmp_path / "missing.txt")
    assert find_failure(caught.value).exit_code == 2


def test_a_list_on_a_busy_server_may_be_read_later() -> None:
    import aiohttp
    from yarl import URL

    url = "https://lists.example/spam.parquet"
    request = aiohttp.RequestInfo(URL(url), "GET", {}, URL(url))  # type: ignore[arg-type]
    for status, code in ((503, 4), (403, 7), (404, 2)):
        error = aiohttp.ClientResponseError(request, (), status=status, message="no")
        with simulate(Broken(Effect.FIND, url, error)), pytest.raises(Exception, match=f"^list {url}: ") as caught:
            list(read_annotation(Annotation(path=url)))
        assert find_failure(caught.value).exit_code == code, status
