"""A model behind an OpenAI-compatible endpoint, asked over HTTP.

The endpoint is trusted with the prompts and nothing else: its bodies are cut at a size, its answers at a time, and what
it says is text. A key comes from an environment variable, goes to https or to this machine only, and is in no message.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any
from urllib.parse import urlsplit

import urllib3
from pydantic import Field
from urllib3.exceptions import HTTPError

from trainer.errors import FILE_ERROR, UserError
from trainer.rollouts.generator import BadReply, ChatRequest, Reply
from trainer.settings import Settings

_BUSY = (408, 429, 500, 502, 503, 504)  # asked again
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_MAX_WAIT = 120  # seconds, of what Retry-After may ask for


class EndpointSettings(Settings):
    """How an endpoint is asked."""

    model: str | None = Field(default=None, description="the model's name; the endpoint's only one where left out")
    api_key_variable: str | None = Field(default=None, description="name of the environment variable with the API key")
    timeout: float = Field(default=120.0, gt=0, description="most seconds for one answer")
    retries: int = Field(default=5, ge=0, description="times a request is repeated when the endpoint is busy or silent")
    backoff: float = Field(default=0.5, ge=0, description="seconds before the second repetition, doubled for each more")
    concurrency: int = Field(default=4, ge=1, le=256, description="requests at the same time")
    max_bytes: int = Field(default=4 << 20, ge=1024, description="most bytes of one answer")
    prompt_price: float = Field(default=0.0, ge=0, description="price of a million prompt tokens, for the cost report")
    answer_price: float = Field(default=0.0, ge=0, description="price of a million answer tokens, for the cost report")

    @property
    def prices(self) -> tuple[float, float]:
        """Of a million prompt tokens and answer tokens."""
        return self.prompt_price, self.answer_price


class EndpointError(UserError):
    """An endpoint that cannot be used: its address, why, and what to do."""


class SilentEndpointError(EndpointError):
    """An endpoint that does not answer; it may later."""

    own_exit_code = FILE_ERROR


class Endpoint:
    """A generator over HTTP; `url` ends where `/chat/completions` begins: https://host/v1."""

    def __init__(self, url: str, settings: EndpointSettings) -> None:
        self.url, self.settings = url.rstrip("/"), settings
        self._stopped = threading.Event()
        self._headers = {"Content-Type": "application/json", "User-Agent": "gristmill", **self._authorization()}
        timeout = urllib3.Timeout(connect=min(10.0, settings.timeout), read=settings.timeout)
        self._pool = urllib3.PoolManager(maxsize=settings.concurrency, retries=False, timeout=timeout)
        self.name = settings.model or self._only_model()

    def replies(self, requests: Sequence[ChatRequest]) -> list[Reply | BadReply]:
        """Several requests at a time; the first error ends them all."""
        self._stopped.clear()
        with ThreadPoolExecutor(self.settings.concurrency) as executor:
            futures = [executor.submit(self._reply, request) for request in requests]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
                return [future.result() for future in futures]
            except BaseException:  # Ctrl-C as well: nothing is asked again
                self._stopped.set()
                executor.shutdown(wait=False, cancel_futures=True)
                raise

    def _reply(self, request: ChatRequest) -> Reply | BadReply:
        body = {
            "model": self.name,
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
        }
        found = self._call("POST", "/chat/completions", json.dumps(body))
        return found if isinstance(found, BadReply) else _read_reply(found)

    def _only_model(self) -> str:
        found = self._call("GET", "/models")
        rows = found.get("data") if isinstance(found, Mapping) else None
        names = [name for row in rows if (name := _text(row, "id"))] if isinstance(rows, list) else []
        if len(names) != 1:
            shown = ", ".join(map(_printable, names[:10])) or "none"
            raise EndpointError(f"{self.url}: name a model with --set endpoint.model=...; it lists {shown}")
        return names[0]

    def _call(self, method: str, path: str, body: str | None = None) -> Any:
        """The JSON value of an answer, or a BadReply. Raises EndpointError where asking again would not help."""
        problem, pause = "", 0.0
        for attempt in range(self.settings.retries + 1):
            if self._stopped.wait(pause):
                break
            pause = min(self.settings.backoff * 2**attempt, _MAX_WAIT)
            try:
                response = self._pool.request(
                    method,
                    self.url + path,
                    body=body,
                    headers=self._headers,
                    redirect=False,
                    preload_content=False,
                    decode_content=False,
                )
                try:
                    content = self._read(response)
                finally:
                    response.close()
            except HTTPError as error:
                problem = _describe(error)
                continue
            if response.status not in _BUSY:
                return self._check(response.status, content)
            problem = f"status {response.status}"
            pause = max(pause, _retry_after(response.headers.get("Retry-After")))
        tries = f"{self.settings.retries + 1} times" if self.settings.retries else "once"
        raise SilentEndpointError(f"{self.url}: does not answer ({problem}), asked {tries}; is it running there?")

    def _read(self, response: urllib3.BaseHTTPResponse) -> bytes | None:
        """The body; None where it is too long or takes too long."""
        content, deadline = b"", time.monotonic() + self.settings.timeout
        for piece in response.stream(65_536, decode_content=False):
            content += piece
            if len(content) > self.settings.max_bytes or time.monotonic() > deadline:
                return None
        return content

    def _check(self, status: int, content: bytes | None) -> Any:
        detail = "" if content is None else _error_message(content)
        if status in (401, 403):
            variable = self.settings.api_key_variable
            asked = f"refuses the key in {variable}" if variable else "wants a key (endpoint.api_key_variable)"
            raise EndpointError(f"{self.url}: {asked} (status {status})")
        if status in (404, 405) or 300 <= status < 400:
            said = f": {detail}" if detail else ""
            raise EndpointError(
                f"{self.url}: not an OpenAI-compatible endpoint, or another model (status {status}{said}); "
                "an address ends in /v1"
            )
        if content is None:
            return BadReply("answer too long or too slow")
        if status != 200:
            return BadReply(f"refused with status {status}", detail)
        return _parse(content)

    def _authorization(self) -> dict[str, str]:
        parts = _split(self.url)
        name = self.settings.api_key_variable
        if name is None:
            return {}
        key = os.environ.get(name)
        if not key:
            raise EndpointError(f"{self.url}: the environment variable {name} with its API key is not set")
        if not key.isascii() or not key.isprintable() or key != key.strip():
            raise EndpointError(f"{self.url}: the value of {name} is not an API key: only printable ASCII can be one")
        if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
            raise EndpointError(f"{self.url}: a key is sent over https only, or to this machine")
        return {"Authorization": f"Bearer {key}"}


def _split(url: str) -> Any:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        raise EndpointError(f"{url}: not an address such as http://127.0.0.1:8322/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise EndpointError("an endpoint's address has no user, password or query; see endpoint.api_key_variable")
    return parts


def _describe(error: HTTPError) -> str:
    """A few words without the request."""
    words = getattr(error.__cause__, "strerror", None) or {
        "NameResolutionError": "the host has no address",
        "ConnectTimeoutError": "no connection in time",
        "ReadTimeoutError": "no answer in time",
        "ProtocolError": "the connection was closed",
        "IncompleteRead": "the connection was closed",
    }.get(type(error).__name__, type(error).__name__)
    return str(words)


def _retry_after(value: str | None) -> float:
    """Seconds that the endpoint asks to wait, at most two minutes; 0 where it says nothing sensible."""
    try:
        return min(max(urllib3.Retry().parse_retry_after(value or "0"), 0.0), _MAX_WAIT)
    except HTTPError:
        return 0.0


def _parse(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return BadReply("not JSON", _printable(content[:80].decode("utf-8", "replace")))


def _error_message(content: bytes) -> str:
    """What OpenAI's error object says, in one line."""
    found = _parse(content)
    error = found.get("error") if isinstance(found, Mapping) else None
    return _printable(_text(error, "message") or "")


def _text(value: Any, key: str) -> str | None:
    """The text of a key, if the value is an object that has one."""
    found = value.get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, str) else None


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)[:200]


def _read_reply(found: Any) -> Reply | BadReply:
    choices = found.get("choices") if isinstance(found, Mapping) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    text = _text(choice.get("message"), "content") if isinstance(choice, Mapping) else None
    if text is None:
        return BadReply("no text in the answer")
    try:
        text.encode()
    except UnicodeEncodeError:
        return BadReply("half a surrogate pair in the answer")
    usage = found.get("usage")
    prompt, answer = (_count(usage, name) for name in ("prompt_tokens", "completion_tokens"))
    return Reply(text, _text(choice, "finish_reason") == "stop", prompt, answer)


def _count(usage: Any, name: str) -> int:
    """A number of tokens; 0 where the endpoint says nothing sensible."""
    value = usage.get(name) if isinstance(usage, Mapping) else None
    return value if isinstance(value, int) and 0 <= value < 1 << 40 else 0
