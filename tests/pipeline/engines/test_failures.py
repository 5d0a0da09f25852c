"""The message and exit code of a failed command, from an exception or from the text of an engine's exception."""

from __future__ import annotations

import pytest

from classifiers.errors import UserError as ClassifierError
from pipeline.engines.failures import Failure, find_failure
from pipeline.errors import LockedError, RunFailedError, UserError
from pipeline.ledger import LedgerError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("why"), 2),
        (FileNotFoundError("why"), 2),
        (LedgerError("why"), 3),
        (RunFailedError("why"), 3),
        (PermissionError("why"), 7),
        (LockedError("why"), 5),
        (ClassifierError("why"), 2),
        (ZeroDivisionError("why"), 1),
    ],
)
def test_an_errors_class_decides_the_exit_code(error: Exception, code: int) -> None:
    assert find_failure(error) == Failure("why", code)


@pytest.mark.parametrize(
    ("last_line", "failure"),
    [
        (
            "pipeline.errors.FileError: /x: disk full [while running 'Prepare']",
            ("/x: disk full", 4),
        ),
        ("pipeline.ledger.LedgerError: 3 pages read, 2 dropped", ("3 pages read, 2 dropped", 3)),
        ("classifiers.errors.UserError: model.bin: damaged", ("model.bin: damaged", 2)),
        ("OSError: [Errno 28] No space left on device", ("[Errno 28] No space left on device", 6)),
        ("PermissionError: [Errno 13] Permission denied: '/x'", ("[Errno 13] Permission denied: '/x'", 7)),
    ],
)
def test_the_cause_inside_an_engines_error_is_found(last_line: str, failure: tuple[str, int]) -> None:
    assert find_failure(RuntimeError(f"Traceback:\n  File x\n{last_line}\n\n  at java.lang.Thread")) == failure


@pytest.mark.parametrize(
    "last_line",
    [
        "ZeroDivisionError: division by zero",
        "ConnectionResetError: [Errno 104] Connection reset by peer",
        "grpc._channel._InactiveRpcError: x",
        "pipeline.no_such_module.SomeError: x",
    ],
)
def test_every_other_cause_is_an_internal_error(last_line: str) -> None:
    assert find_failure(RuntimeError(f"Traceback\n{last_line}")).exit_code == 1
