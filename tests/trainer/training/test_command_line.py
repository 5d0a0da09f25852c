"""The command as run.json and the reports show it: complete, but without secrets."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.trainer import runs
from trainer.training.command_line import describe_command


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["pretrain", "tiny", "--output", "my run"], "pretrain tiny --output 'my run'"),
        (["--data", "https://me:S3CRET@a/x", "https://a/x?key=S3CRET"], "--data https://a/x https://a/x"),
        (["https://me:a@S3CRET@a/x"], "https://a/x"),
        (['endpoint.urls=["https://a/x","https://me:S3CRET@b"]'], """'endpoint.urls=["https://a/x","https://b"]'"""),
        (["https://a/x?key=1\nS3CRET"], "https://a/x"),
    ],
)
def test_the_shown_command_has_no_secrets(given: list[str], shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/gristmill", "train", *given])
    assert describe_command() == f"gristmill train {shown}"


def test_another_program_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest", "-q"])
    assert describe_command() == ""


def test_the_description_of_a_run_has_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gristmill", "train", "pretrain", "tiny", "--data", "https://me:S3CRET@a/x"])
    runs.run(tmp_path, {"loop": {"steps": 1}})
    assert json.loads((tmp_path / "run.json").read_text())["command"].endswith("--data https://a/x")
