"""Notifications: one JSON object for a command or a web address; a failure of them changes nothing."""

from __future__ import annotations

import json
import shlex
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipeline.curate import describe_command
from pipeline.errors import RunFailedError, UserError
from pipeline.notify import Notify, notify_of_end
from tests.conftest import MINICRAWL, Command, run_gristmill


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


def test_an_answer_that_is_none_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection = server.accept()[0]
            connection.recv(1 << 16)
            connection.sendall(b"who are you?\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with notify_of_end(Notify(f"http://127.0.0.1:{server.getsockname()[1]}/", None, "out")):
            pass
        thread.join()
    with notify_of_end(Notify("http://127.0.0.1/ü", None, "out")):
        pass
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


def curate_and_tell(tmp_path: Path, *arguments: object) -> tuple[int, list[dict[str, Any]]]:
    """The exit code of `gristmill curate`, and what it told."""
    path = tmp_path / "told"
    path.mkdir(exist_ok=True)
    code = 'import sys, time; open(f"{sys.argv[1]}/{time.time()}", "w").write(sys.stdin.read())'
    command = shlex.join([sys.executable, "-c", code, str(path)])
    done = run_gristmill("curate", *arguments, "--notify-command", command, check=False)
    return done.returncode, [json.loads(file.read_text()) for file in sorted(path.iterdir())]


def test_a_run_that_is_refused_tells_why(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    lease = {"host": "there", "pid": 1, "token": "t", "expires": time.time() + 999}
    (output / "run.lock").write_text(json.dumps(lease))
    code, (told,) = curate_and_tell(tmp_path, MINICRAWL, "--output", output)
    assert (code, told["event"], told["exit_code"], told["output"]) == (5, "failed", 5, str(output))
    assert "held by there (process 1)" in told["message"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["IN", "--output", "IN/out"], "is inside the input"),
        (["IN", "--output", "OUT", "--set", "publish.nothing=1"], "publish.nothing"),
        (["--snapshot", "newest", "--mirror", "IN", "--output", "OUT"], "name a crawl with --snapshot"),
        (["IN/nothing.warc.gz", "--output", "OUT"], "nothing.warc.gz"),
    ],
)
def test_a_run_that_cannot_begin_tells_why(tmp_path: Path, arguments: list[str], says: str) -> None:
    (tmp_path / "in").mkdir()
    named = (text.replace("IN", str(tmp_path / "in")).replace("OUT", str(tmp_path / "out")) for text in arguments)
    code, (told,) = curate_and_tell(tmp_path, *named)
    assert (code, told["event"], told["exit_code"]) == (2, "failed", 2)
    assert says in told["message"]


def test_a_run_tells_its_alarms_and_then_its_end(tmp_path: Path) -> None:
    (tmp_path / "my_rules.py").write_text("def broken(document):\n    return 1 / (len(document.text) % 7)\n")
    rule = ("--set", f"custom_rules.folder={tmp_path}", "--set", 'custom_rules.scorers=["my_rules:broken"]')
    output = tmp_path / "out"
    code, told = curate_and_tell(tmp_path, MINICRAWL, "--output", output, *rule, "--set", "prepare.max_error_share=0.9")
    assert [(one["event"], one["exit_code"]) for one in told] == [("alarm", 0), ("complete", 0)]
    assert "because a stage failed on them" in told[0]["message"]
    assert (code, told[1]["message"]) == (0, f"{output} is complete")


def test_the_output_does_not_hold_the_secrets_of_the_command(tmp_path: Path, gristmill: Command) -> None:
    output = tmp_path / "out"
    gristmill(
        "curate", next(MINICRAWL.glob("*.warc.gz")), "--output", output, "--notify-url", "http://127.0.0.1:9/hook/S3CRET",
        "--notify-command=true --token S3CRET", "--metrics-file", tmp_path / "S3CRET.prom",
    )  # fmt: skip
    assert 'gristmill_state{state="complete"} 1' in (tmp_path / "S3CRET.prom").read_text()
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
