"""A stand-in of the hub's HTTP interface for one dataset repository: preupload, LFS, commits, paths and files."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote


class Hub:
    """Its files, what was asked of it, and the failures of the next requests."""

    def __init__(self) -> None:
        self.url = ""
        self.files: dict[str, bytes] = {}
        self.large: set[str] = set()
        self.objects: dict[str, bytes] = {}
        self.commits: list[list[str]] = []
        self.uploads: Counter[str] = Counter()
        self.failures: list[int] = []


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """Runs a hub on a free port while the block runs."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _answer(self, values: Any, status: int = 200) -> None:
            content = values if isinstance(values, bytes) else json.dumps(values).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _fails(self) -> bool:
            if hub.failures:
                self._answer({"error": "busy"}, hub.failures.pop(0))
                return True
            return False

        def do_POST(self) -> None:
            body = self._body()
            if self._fails():
                return
            path = self.path.split("?")[0]
            if path == "/api/repos/create":
                self._answer({"url": f"{hub.url}/datasets/me/set", "name": "me/set", "id": "1"})
            elif path == "/api/validate-yaml":
                self._answer({"errors": [], "warnings": []})
            elif "/preupload/" in path:
                self._answer({"files": [_mode(item["path"]) for item in json.loads(body)["files"]]})
            elif path.endswith("/info/lfs/objects/batch"):
                places = [self._upload_place(item) for item in json.loads(body)["objects"]]
                self._answer({"transfer": "basic", "objects": places})
            elif "/commit/" in path:
                self._commit([json.loads(line) for line in body.splitlines()])
            elif "/paths-info/" in path:
                wanted = parse_qs(body.decode())["paths"]
                self._answer([_info(hub, name) for name in wanted if name in hub.files])
            else:
                self._answer({"error": path}, 404)

        def _upload_place(self, item: dict[str, Any]) -> dict[str, Any]:
            known = item["oid"] in hub.objects
            actions = {} if known else {"upload": {"href": f"{hub.url}/upload/{item['oid']}"}}
            return {"oid": item["oid"], "size": item["size"], **({"actions": actions} if actions else {})}

        def do_PUT(self) -> None:
            body = self._body()
            if self._fails():
                return
            digest = hashlib.sha256(body).hexdigest()
            hub.uploads[digest] += 1
            hub.objects[digest] = body
            self._answer({})

        def _commit(self, lines: list[dict[str, Any]]) -> None:
            changed = []
            for line in lines:
                value = line["value"]
                if line["key"] == "file":
                    hub.files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    hub.files[value["path"]] = hub.objects[value["oid"]]
                    hub.large.add(value["path"])
                elif line["key"] == "deletedFile":
                    del hub.files[value["path"]]
                else:
                    continue
                changed.append(value["path"])
            hub.commits.append(changed)
            place = f"{hub.url}/datasets/me/set/commit/{'0' * 40}"
            self._answer({"success": True, "commitOid": "0" * 40, "commitUrl": place})

        def do_GET(self) -> None:
            if self._fails():
                return
            name = unquote(self.path.partition("/resolve/main/")[2].split("?")[0])
            if "/tree/main" in self.path:
                self._answer([_info(hub, name) for name in hub.files])
            elif name in hub.files:
                self._answer(hub.files[name])
            else:
                self._answer({"error": self.path}, 404)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def _mode(name: str) -> dict[str, Any]:
    mode = "lfs" if name.endswith(".parquet") else "regular"
    return {"path": name, "uploadMode": mode, "shouldIgnore": False, "oid": None}


def _info(hub: Hub, name: str) -> dict[str, Any]:
    content = hub.files[name]
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    large = {"lfs": {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}}
    return {"type": "file", "path": name, "size": len(content), "oid": blob, **(large if name in hub.large else {})}
