"""The application of `gristmill train serve`: an OpenAI-compatible endpoint, a chat page, and the blind comparison.

Who may ask: programs of this machine. The server listens on the loopback only. A request must name it as its host,
which a page of another site cannot make a browser do by a name of its own that leads here; it must not come from
another site (Origin, Sec-Fetch-Site); and what it posts is JSON, which a form cannot send. Pages load nothing from
elsewhere and run no script but the one file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import flask
from flask.json.provider import DefaultJSONProvider
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import Field

from trainer.chat.chat_template import ChatTemplate
from trainer.errors import UserError
from trainer.rollouts.generate import GenerateSettings
from trainer.serving import battles
from trainer.serving.battles import BattleStore
from trainer.serving.completions import (
    chat_answer,
    chat_events,
    completion_answer,
    completion_events,
    model_list,
    model_row,
)
from trainer.serving.passages import PassageReader
from trainer.serving.requests import MAX_BODY, ChatBody, CompletionBody, choose_model, read_body
from trainer.serving.served_model import ApiError, ServedModel
from trainer.settings import Settings
from trainer.tasks.start_model import open_start
from trainer.training.saved_model import load_decoder

_HERE = Path(__file__).parent
_STATIC = {
    "page.css": (_HERE.parent / "reports" / "page.css", "text/css"),
    "serve.css": (_HERE / "static" / "serve.css", "text/css"),
    "serve.js": (_HERE / "static" / "serve.js", "text/javascript"),
}
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_MAX_PROMPT = 20_000  # characters, of a battle


class ServeSettings(Settings):
    """What the server allows, and how its pages sample."""

    max_new_tokens: int = Field(
        default=1024, ge=1, description="most tokens of one answer, whatever a request asks for"
    )
    max_waiting: int = Field(
        default=8, ge=0, le=100, description="requests that wait for a model; further ones are told to come back later"
    )
    temperature: float = Field(default=0.8, ge=0, le=2, description="sampling temperature of the pages")
    top_p: float = Field(default=0.95, gt=0, le=1, description="share of the probability that the pages sample from")


class _UnsortedJson(DefaultJSONProvider):
    """Keys in our order: the most likely tokens come first."""

    sort_keys = False


class Serving:
    """The runs that are served, the battles of two of them, and what finds passages for questions."""

    def __init__(
        self,
        models: Sequence[ServedModel],
        store: BattleStore | None,
        settings: ServeSettings,
        reader: PassageReader | None = None,
    ) -> None:
        self.models, self.store, self.settings, self.reader = list(models), store, settings, reader

    @property
    def sampling(self) -> GenerateSettings:
        """How the pages sample."""
        wanted = self.settings
        return GenerateSettings(
            max_new_tokens=wanted.max_new_tokens, temperature=wanted.temperature, top_p=wanted.top_p
        )


def create_app(serving: Serving, hosts: frozenset[str]) -> flask.Flask:
    """The application; `hosts` are the values of the header Host that it answers."""
    app = flask.Flask(__name__, static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=MAX_BODY, PROPAGATE_EXCEPTIONS=False)
    app.json = _UnsortedJson(app)
    _guard(app, hosts)
    for rule, view in {**_PAGES, **(_COMPARISON if serving.store else {})}.items():
        app.add_url_rule(rule, view.__name__, _bind(view, serving))
    for rule, view in {**_CALLS, **(_VOTES if serving.store else {})}.items():
        app.add_url_rule(rule, view.__name__, _bind(view, serving), methods=["POST"])
    app.register_error_handler(ApiError, lambda error: _error(error, error.status))
    app.register_error_handler(404, lambda _: _error(ApiError("no such address"), 404))
    app.register_error_handler(405, lambda _: _error(ApiError("this address has another method"), 405))
    app.register_error_handler(500, lambda _: _error(ApiError("internal error", kind="server_error"), 500))
    app.register_error_handler(413, lambda _: _error(ApiError(f"a body has at most {MAX_BODY:,} bytes"), 413))
    return app


def _bind(view: Callable[..., Any], serving: Serving) -> Callable[..., Any]:
    def bound(**values: Any) -> Any:
        return view(serving, **values)

    return bound


def _error(error: ApiError, status: int) -> flask.Response:
    response = flask.jsonify({"error": error.error})
    response.status_code = status
    if status == 429:
        response.headers["Retry-After"] = "2"
    return response


def _guard(app: flask.Flask, hosts: frozenset[str]) -> None:
    @app.before_request
    def refuse() -> Any:
        request = flask.request
        origin = request.headers.get("Origin")
        foreign = origin is not None and origin not in {f"http://{host}" for host in hosts}
        if request.host not in hosts or foreign or request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
            return _error(ApiError("this server answers its own address only"), 403)
        if request.method == "POST" and request.mimetype != "application/json":
            return _error(ApiError("a request is JSON: Content-Type: application/json"), 415)
        return None

    @app.after_request
    def add_headers(response: flask.Response) -> flask.Response:
        response.headers.update(_HEADERS)
        return response


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _render(template: str, serving: Serving, **values: Any) -> str:
    return _environment().get_template(template).render(serving=serving, **values)


# --- pages ---


def chat(serving: Serving) -> str:
    return _render("chat.html.j2", serving)


def compare(serving: Serving) -> str:
    return _render("compare.html.j2", serving, votes=battles.VOTES)


def results(serving: Serving) -> str:
    standings, kinds = battles.count_votes(_store(serving).read())
    return _render("results.html.j2", serving, standings=standings, kinds=kinds, votes=battles.VOTES)


def battle_lines(serving: Serving) -> flask.Response:
    return _download("battles.jsonl", battles.export_battles(_store(serving).read()))


def preference_lines(serving: Serving) -> flask.Response:
    return _download("preferences.jsonl", battles.export_preferences(_store(serving).read()))


def _download(name: str, lines: Iterable[str]) -> flask.Response:
    headers = {"Content-Disposition": f"attachment; filename={name}"}
    return flask.Response("".join(lines), mimetype="application/jsonl", headers=headers)


def static_file(serving: Serving, name: str) -> flask.Response:
    if name not in _STATIC:
        flask.abort(404)
    path, kind = _STATIC[name]
    return flask.Response(path.read_bytes(), mimetype=kind)


# --- OpenAI's interface ---


def list_models(serving: Serving) -> dict[str, Any]:
    return model_list(serving.models)


def show_model(serving: Serving, name: str) -> dict[str, Any]:
    return model_row(choose_model(serving.models, name))


def complete_chat(serving: Serving) -> Any:
    body = read_body(ChatBody, flask.request.get_data())
    served, limit = choose_model(serving.models, body.model), serving.settings.max_new_tokens
    if body.stream:
        if body.logprobs:
            raise ApiError("logprobs are not supported with stream", param="logprobs", code="unsupported_parameter")
        return _stream([served], chat_events(served, body, limit, serving.reader))
    with served.turn():
        return chat_answer(served, body, limit, serving.reader)


def complete(serving: Serving) -> Any:
    body = read_body(CompletionBody, flask.request.get_data())
    served, limit = choose_model(serving.models, body.model), serving.settings.max_new_tokens
    if body.stream:
        if body.logprobs is not None or body.echo or body.max_tokens == 0:
            raise ApiError("logprobs and echo are not supported with stream", code="unsupported_parameter")
        return _stream([served], completion_events(served, body, limit))
    with served.turn():
        return completion_answer(served, body, limit)


def _stream(models: Sequence[ServedModel], events: Generator[str]) -> flask.Response:
    """Events while the models are busy with them; what can be refused is refused before the first one.

    Models are taken in the order in which all requests take them. A reader that leaves ends the generation.
    """
    busy = ExitStack()
    try:
        for served in models:
            busy.enter_context(served.turn())
        first = next(events)
    except BaseException:
        busy.close()
        raise

    def chunks() -> Generator[str]:
        yield first
        yield from events

    response = flask.Response(chunks(), mimetype="text/event-stream")
    response.call_on_close(events.close)
    response.call_on_close(busy.close)
    return response


# --- the blind comparison ---


def fight(serving: Serving) -> Any:
    prompt = _field("prompt")
    if not prompt.strip() or len(prompt) > _MAX_PROMPT:
        raise ApiError(f"a prompt has 1 to {_MAX_PROMPT:,} characters", param="prompt")
    after = _field("after") if flask.request.get_json().get("after") is not None else None
    found = battles.fight(serving.models, prompt, serving.sampling, _store(serving), after)
    return _stream(serving.models, (f"data: {json.dumps(event)}\n\n" for event in found))


def vote(serving: Serving) -> dict[str, str]:
    left, right = _store(serving).vote(_field("battle"), _field("vote"))
    return {"left": left, "right": right}


def _field(name: str) -> str:
    values = flask.request.get_json(silent=True)
    value = values.get(name) if isinstance(values, dict) else None
    if not isinstance(value, str):
        raise ApiError(f"{name} is missing", param=name)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ApiError(f"{name}: half a surrogate pair", param=name) from None
    return value


def _store(serving: Serving) -> BattleStore:
    if serving.store is None:
        raise ApiError("one run is served; a comparison needs two", 404)
    return serving.store


_PAGES: dict[str, Callable[..., Any]] = {
    "/": chat,
    "/static/<name>": static_file,
    "/v1/models": list_models,
    "/v1/models/<path:name>": show_model,
}
_CALLS: dict[str, Callable[..., Any]] = {"/v1/chat/completions": complete_chat, "/v1/completions": complete}
_COMPARISON: dict[str, Callable[..., Any]] = {
    "/compare": compare,
    "/compare/results": results,
    "/compare/battles.jsonl": battle_lines,
    "/compare/preferences.jsonl": preference_lines,
}
_VOTES: dict[str, Callable[..., Any]] = {"/compare/battle": fight, "/compare/vote": vote}


# --- the server ---


def open_serving(
    runs: Sequence[Path], settings: ServeSettings, device: str, reader: PassageReader | None = None
) -> Serving:
    """The runs loaded. Their names are those of their folders, or the whole paths where these are equal."""
    names = [run.resolve().name for run in runs]
    if len({run.resolve() for run in runs}) < len(runs):
        raise UserError(f"{runs[0]}: a run cannot be compared with itself; name another one")
    if len(set(names)) < len(names):
        names = [str(run) for run in runs]
    models = [_open_model(run, name, settings, device) for run, name in zip(runs, names, strict=True)]
    return Serving(models, BattleStore(_battles_file(runs[0])) if len(runs) > 1 else None, settings, reader)


def _battles_file(run: Path) -> Path:
    """In the run's folder, also where one of its checkpoints is named."""
    folder = run.resolve()
    return (folder.parent.parent if folder.parent.name == "checkpoints" else folder) / "battles.sqlite"


def _open_model(run: Path, name: str, settings: ServeSettings, device: str) -> ServedModel:
    tokenizer = open_start(run).tokenizer
    try:
        template = ChatTemplate(tokenizer)
    except UserError:  # a model for completions only
        template = None
    return ServedModel(name, load_decoder(run, device), tokenizer, template, settings.max_waiting)


def make_server(serving: Serving, port: int = 0) -> tuple[Any, str]:
    """A server on the loopback, not yet running, and its address. Raises UserError if the port is taken."""
    import waitress

    app = flask.Flask(__name__)  # replaced below: the host names contain the port
    threads = (serving.settings.max_waiting + 1) * len(serving.models) + 4  # who waits keeps nobody from a page
    try:
        server = waitress.create_server(
            lambda *call: app(*call), host="127.0.0.1", port=port, threads=threads, ident=None,
            max_request_body_size=MAX_BODY,
        )  # fmt: skip
    except OSError as error:
        raise UserError(f"port {port}: {error.strerror or error}; choose another with --port") from None
    port = server.effective_port
    app = create_app(serving, frozenset({f"127.0.0.1:{port}", f"localhost:{port}"}))
    return server, f"http://127.0.0.1:{port}/"
