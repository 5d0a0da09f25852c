"""Notifications: one JSON object for a command or a web address; a failure of them changes nothing."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pipeline.errors import RunFailedError, UserError
from pipeline.notify import Notify, notify_of_end


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
