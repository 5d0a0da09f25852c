"""Notifications: one JSON object for a command or a web address; a failure of them changes nothing."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pipeline.curate import describe_command
from pipeline.errors import RunFailedError, UserError
from pipeline.notify import Notify, notify_of_end
from tests.conftest import MINICRAWL, Command


def writer(path: Path) -> str:
    """A command that stores what it gets."""
    return f'{sys.executable} -c \'import sys; open(sys.argv[1], "ab").write(sys.stdin.buffer.read())\' "{path}"'


def test_a_command_gets_the_end_of_a_run_without_a_shell(tmp_path: Path) -> None:
    path = tmp_path / "a b; $(touch x).json"
    notify = Notify(None, writer(path), "out")
    with notify_of_end(notify):
        pass
    assert json.loads(path.read_text()) == {
        "event": "complete", "output": "out", "message": "out is complete", "exit_code": 0,
    }  # fmt: skip
    path.unlink()
    with pytest.raises(RunFailedError), notify_of_end(notify):
        raise RunFailedError("no page")
    assert json.loads(path.read_text()) == {"event": "failed", "output": "out", "message": "no page", "exit_code": 3}
    assert list(tmp_path.iterdir()) == [path]


def test_an_address_gets_a_post(tmp_path: Path) -> None:
    bodies = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append((self.headers["Content-Type"], self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    with notify_of_end(Notify(f"http://127.0.0.1:{server.server_port}/hook", None, "out")):
        pass
    server.shutdown()
    server.server_close()
    ((kind, body),) = bodies
    assert kind == "application/json"
    assert json.loads(body)["event"] == "complete"


def test_a_failing_notification_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    for notify in (
        Notify("http://127.0.0.1:9/", None, "out"),
        Notify(None, "/nowhere/command", "out"),
        Notify(None, f"{sys.executable} -c 'raise SystemExit(7)'", "out"),
    ):
        caplog.clear()
        with notify_of_end(notify):
            pass
        assert len(caplog.records) == 1


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "http://", "x", "http://a b/"])
def test_only_web_addresses_are_accepted(url: str) -> None:
    with pytest.raises(UserError, match="expected an http"):
        Notify(url, None, "out")


@pytest.mark.parametrize("command", ["", "  ", "a 'b"])
def test_a_command_that_is_none_is_refused(command: str) -> None:
    with pytest.raises(UserError, match="--notify-command"):
        Notify(None, command, "out")


def test_the_output_does_not_hold_the_secrets_of_the_command(tmp_path: Path, gristmill: Command) -> None:
    output = tmp_path / "out"
    gristmill(
        "curate", next(MINICRAWL.glob("*.warc.gz")), "--output", output, "--notify-url", "http://127.0.0.1:9/hook/S3CRET",
        "--notify-command=true --token S3CRET", "--metrics-file", tmp_path / "S3CRET.prom",
    )  # fmt: skip
    files = [path for path in output.rglob("*") if path.is_file()]
    assert output / "report.html" in files
    assert [path for path in files if b"S3CRET" in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["a", "--notify-url", "http://a/hook/S3CRET", "--limit", "1"], "a --limit 1"),
        (["--notify-command", "notify --token S3CRET", "a"], "a"),
        (["--notify-command=notify --token S3CRET", "--metrics-file=/S3CRET", "a"], "a"),
        (["https://me:S3CRET@a/x", "https://a/x?key=S3CRET"], "https://a/x https://a/x"),
        (["https://me:a@S3CRET@a/x"], "https://a/x"),
        (['["https://a/x", "https://me:S3CRET@b/y"]'], """'["https://a/x", "https://b/y"]'"""),
        (["https://a/x?key=1&back=https://b/S3CRET\nS3CRET"], "https://a/x"),
        (["s3://bucket/a@b", "a@b?", "--set", "x.y=#1"], "s3://bucket/a@b 'a@b?' --set 'x.y=#1'"),
    ],
)
def test_the_shown_command_has_no_secrets(given: list[str], shown: str) -> None:
    assert describe_command(["curate", *given]) == f"gristmill curate {shown}"
