"""The application of `gristmill explore`: every state has an address, and one request changes something, a vote.

Who may ask: programs of this machine. The server listens on the loopback only. A request must name it as its host,
which a page of another site cannot make a browser do by a name of its own that leads here; and it must not come from
another site (Origin, Sec-Fetch-Site). Pages load nothing from elsewhere and run no script but the one file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import flask
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from classifiers.urls import host_of
from pipeline import effects
from pipeline.errors import UserError
from pipeline.explore import groups, judge, measurements, mixture, pages
from pipeline.inspection.compare import Comparison, compare_opened, list_changed
from pipeline.inspection.database import connect
from pipeline.inspection.limits import Measurement
from pipeline.inspection.stored_run import read_stored_run
from pipeline.reports import charts, formatting
from pipeline.reports.advice import advice
from pipeline.reports.html_report import funnel_steps
from pipeline.storage.layout import read_manifest, read_report

_HERE = Path(__file__).parent
_STATIC = {
    "page.css": (_HERE.parent / "reports" / "page.css", "text/css"),
    "report.css": (_HERE.parent / "reports" / "report.css", "text/css"),
    "explore.css": (_HERE / "static" / "explore.css", "text/css"),
    "explore.js": (_HERE / "static" / "explore.js", "text/javascript"),
}
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # without a referrer a browser sends votes with the origin "null"
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_THREADS = 4
_PER_PAGE = 25


class Explorer:
    """What the pages show: one run, perhaps a second one beside it."""

    def __init__(self, output: str, other: str | None = None) -> None:
        self.output, self.other = output, other
        self.run = read_stored_run(output)
        self.report, self.manifest = read_report(self.run.layout), read_manifest(self.run.layout)
        self.votes = judge.VoteStore(self.run.layout)
        self._connection = connect(output, other)
        self._lock = threading.Lock()
        self._comparison: Comparison | None = None
        measurements.prepare_limits(self._connection, self.run.config)
        self.signals = list(measurements.signal_names(self._connection))
        self.cells = mixture.count_cells(self._connection)
        self.judged = judge.count_judged(self._connection)

    def cursor(self) -> Any:
        """A connection for one request."""
        with self._lock:
            return self._connection.cursor()

    def comparison(self) -> Comparison | None:
        """The two runs beside each other, computed once."""
        if self.other and self._comparison is None:
            self._comparison = compare_opened(self.cursor(), self.output, self.other)
        return self._comparison


def create_app(explorer: Explorer, hosts: frozenset[str]) -> flask.Flask:
    """The application; `hosts` are the values of the header Host that it answers."""
    app = flask.Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False
    app.config.update(MAX_CONTENT_LENGTH=10_000, PROPAGATE_EXCEPTIONS=False)
    _guard(app, hosts)
    for rule, view in _VIEWS.items():
        app.add_url_rule(rule, view.__name__, _bind(view, explorer))
    app.add_url_rule("/judge/vote", "vote", _bind(_vote, explorer), methods=["POST"])
    app.register_error_handler(
        UserError, lambda error: (_render("error.html.j2", explorer, message=error.message), 400)
    )
    app.register_error_handler(
        404, lambda _: (_render("error.html.j2", explorer, message="There is no such page."), 404)
    )
    return app


def _bind(view: Callable[..., Any], explorer: Explorer) -> Callable[..., Any]:
    def bound(**values: Any) -> Any:
        return view(explorer, **values)

    return bound


def _guard(app: flask.Flask, hosts: frozenset[str]) -> None:
    @app.before_request
    def refuse() -> Any:
        request = flask.request
        origin = request.headers.get("Origin")
        foreign = origin is not None and origin not in {f"http://{host}" for host in hosts}
        if request.host not in hosts or foreign or request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
            return flask.Response("This page answers its own address only.\n", 403, mimetype="text/plain")
        if request.method == "POST" and origin is None:
            return flask.Response("A vote comes from the page itself.\n", 403, mimetype="text/plain")
        return None

    @app.after_request
    def add_headers(response: flask.Response) -> flask.Response:
        response.headers.update(_HEADERS)
        return response


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        count=formatting.count, number_of=formatting.number_of, share=formatting.share, measure=formatting.measure,
        words=formatting.words, fate=_show_fate, link=formatting.link, host_of=host_of,
    )  # fmt: skip
    environment.globals.update(
        advice=advice, bar=charts.bar, gauge=charts.gauge, shares=charts.shares, stream=charts.stream,
        address=lambda path, values: flask.url_for(path, **values),
    )  # fmt: skip
    return environment


def _show_fate(fate: str) -> str:
    return formatting.words(fate).replace(":", ": ")


def _render(template: str, explorer: Explorer, **values: Any) -> str:
    return _environment().get_template(template).render(explorer=explorer, **values)


# --- views ---


def funnel(explorer: Explorer) -> str:
    report = explorer.report
    return _render("funnel.html.j2", explorer, report=report, steps=funnel_steps(report))


def search(explorer: Explorer) -> str:
    wanted = pages.Search.from_query(flask.request.args, explorer.signals)
    parts = explorer.manifest["shards"]
    parts_read = pages.count_parts_read(parts, wanted)
    rows, more = pages.find_pages(explorer.cursor(), wanted, parts_read)
    stages = {stage: list(reasons) for stage, reasons in explorer.report["dropped"].items()}
    values = {"rows": rows, "more": more, "stages": stages, "parts_read": parts_read, "parts": len(parts)}
    return _render("search.html.j2", explorer, search=wanted, **values)


def page(explorer: Explorer, kind: str, part: int, row: int) -> str:
    cursor = explorer.cursor()
    found = pages.read_page(cursor, kind, part, row) if kind in ("kept", "dropped") else None
    if found is None:
        flask.abort(404)
    survivor = pages.find_survivor(cursor, found["duplicate_of"]) if found.get("duplicate_of") else None
    text = found["text"] if found["text"] is not None else found["excerpt"] or ""
    replayed, problem = None, ""
    if flask.request.args.get("replay"):
        try:
            replayed = pages.replay_page(explorer.output, found["id"])
        except UserError as error:
            problem = error.message
    pieces = (pages.mark_removed(replayed) if replayed else []) or pages.mark_placeholders(text)
    values = {"found": found, "pieces": pieces, "replayed": replayed, "problem": problem, "survivor": survivor}
    return _render("page.html.j2", explorer, limits=_limits_of(explorer, found), **values)


def _limits_of(explorer: Explorer, found: dict[str, Any]) -> list[Measurement]:
    """Every measurement of a page: those with a limit first, by their distance to it."""
    bounds: dict[str, dict[str, float | None]] = {}
    for limit in measurements.find_limits(explorer.run.config).values():
        name = limit.measurement.removeprefix("signals.")
        bounds.setdefault(name, {})["low" if limit.at_least else "high"] = limit.value
    scores = {name: found.get(name) for name in ("language_score", "quality_score", "education_score")}
    signals = {**scores, **(found["signals"] or {})}
    lines = [Measurement(name, value, **bounds.get(name, {})) for name, value in signals.items() if value is not None]
    return sorted(lines, key=lambda line: (line.margin is None, _relative_margin(line)))


def _relative_margin(line: Measurement) -> float:
    limit = max(abs(line.low or 0.0), abs(line.high or 0.0))
    return (line.margin or 0.0) / limit if limit else line.margin or 0.0


def limits(explorer: Explorer) -> str:
    known = measurements.find_limits(explorer.run.config)
    setting = flask.request.args.get("setting", "filter_heuristics.gopher.min_words")
    signal = flask.request.args.get("signal", "")
    if setting not in known or (signal and signal not in explorer.signals):
        raise UserError("no such setting or measurement")
    limit = None if signal else known[setting]
    measurement = f'signals."{signal}"' if signal else known[setting].measurement
    value = _number(flask.request.args.get("value"), limit.value if limit else None)
    histogram = measurements.measure_pages(explorer.cursor(), measurement, limit.value if limit else None)
    moved = (
        measurements.move_limit(explorer.cursor(), explorer.run, setting, value)
        if limit and value is not None
        else None
    )
    values = {"known": known, "setting": setting, "signal": signal, "limit": limit, "value": value, "moved": moved}
    return _render("limits.html.j2", explorer, histogram=histogram, **values)


def move_limit(explorer: Explorer) -> flask.Response:
    setting = flask.request.args.get("setting", "")
    value = _number(flask.request.args.get("value"), None)
    if setting not in measurements.find_limits(explorer.run.config) or value is None:
        raise UserError("no such setting, or no number")
    return flask.jsonify(measurements.move_limit(explorer.cursor(), explorer.run, setting, value))


def _number(text: str | None, default: float | None) -> float | None:
    try:
        number = float(text) if text else default
    except ValueError:
        raise UserError("a number was expected") from None
    if number is not None and not abs(number) < 1e15:
        raise UserError("a number was expected")
    return number


def mix(explorer: Explorer) -> str:
    targets = _targets()
    return _render(
        "mixture.html.j2", explorer, mixed=mixture.weigh(explorer.run, explorer.cells, targets), targets=targets
    )


def weigh(explorer: Explorer) -> flask.Response:
    return flask.jsonify(mixture.weigh(explorer.run, explorer.cells, _targets()))


def _targets() -> dict[str, float]:
    return {name: _number(value, 0.0) or 0.0 for name, value in flask.request.args.items()}


def group(explorer: Explorer, by: str) -> str:
    if by == "personal":
        return _render("personal.html.j2", explorer, lines=groups.count_personal_data(explorer.cursor()))
    if by not in groups.GROUPS:
        flask.abort(404)
    return _render("groups.html.j2", explorer, by=by, lines=groups.list_groups(explorer.cursor(), by))


def clusters(explorer: Explorer) -> str:
    number = int(min(max(_number(flask.request.args.get("page"), 1) or 1, 1), 4_000))
    rows = groups.list_clusters(explorer.cursor(), number)
    return _render("clusters.html.j2", explorer, rows=rows[:_PER_PAGE], number=number, more=len(rows) > _PER_PAGE)


def cluster(explorer: Explorer, survivor: str) -> str:
    found = groups.read_cluster(explorer.cursor(), survivor)
    if found is None:
        flask.abort(404)
    return _render("cluster.html.j2", explorer, found=found)


def compare(explorer: Explorer) -> str:
    return _render("compare.html.j2", explorer, found=explorer.comparison())


def changed(explorer: Explorer) -> str:
    before, after = (flask.request.args.get(name, "") for name in ("before", "after"))
    number = int(min(max(_number(flask.request.args.get("page"), 1) or 1, 1), 4_000))
    if not explorer.comparison():
        flask.abort(404)
    rows = list_changed(explorer.cursor(), before, after, _PER_PAGE + 1, (number - 1) * _PER_PAGE)
    values = {"rows": rows[:_PER_PAGE], "number": number, "more": len(rows) > _PER_PAGE}
    return _render("changed.html.j2", explorer, before=before, after=after, **values)


def queue(explorer: Explorer) -> str:
    votes = explorer.votes.read()
    row = judge.next_page(explorer.cursor(), votes)
    return _render("judge.html.j2", explorer, row=row, votes=len(votes), kinds=judge.VOTES)


def _vote(explorer: Explorer) -> Any:
    form = flask.request.form
    wanted = form.get("id", "")
    explorer.votes.vote(wanted, judge.is_kept(explorer.cursor(), wanted), form.get("vote", ""))
    return flask.redirect(flask.url_for("queue"), 303)


def results(explorer: Explorer) -> str:
    votes = explorer.votes.read()
    return _render("results.html.j2", explorer, scores=judge.score_filters(votes, *explorer.judged), votes=len(votes))


def labels(explorer: Explorer) -> flask.Response:
    lines = "".join(judge.export_labels(explorer.cursor(), explorer.votes.read()))
    name = "attachment; filename=labels.jsonl"
    return flask.Response(lines, mimetype="application/jsonl", headers={"Content-Disposition": name})


def static_file(explorer: Explorer, name: str) -> flask.Response:
    if name not in _STATIC:
        flask.abort(404)
    path, kind = _STATIC[name]
    return flask.Response(effects.read_file(str(path)), mimetype=kind)


_VIEWS: dict[str, Callable[..., Any]] = {
    "/": funnel,
    "/pages": search,
    "/page/<kind>/<int:part>/<int:row>": page,
    "/limits": limits,
    "/api/limit": move_limit,
    "/mixture": mix,
    "/api/mixture": weigh,
    "/groups/<by>": group,
    "/clusters": clusters,
    "/cluster/<survivor>": cluster,
    "/compare": compare,
    "/compare/pages": changed,
    "/judge": queue,
    "/judge/results": results,
    "/judge/labels.jsonl": labels,
    "/static/<name>": static_file,
}


def make_server(output: str, other: str | None = None, port: int = 0) -> tuple[Any, str]:
    """A server on the loopback, not yet running, and its address. Raises UserError if the port is taken."""
    import waitress

    explorer = Explorer(output, other)
    app = flask.Flask(__name__)  # replaced below: the host names contain the port
    try:
        server = waitress.create_server(
            lambda *call: app(*call), host="127.0.0.1", port=port, threads=_THREADS, ident=None
        )
    except OSError as error:
        raise UserError(f"port {port}: {error.strerror or error}; choose another with --port") from None
    port = server.effective_port
    app = create_app(explorer, frozenset({f"127.0.0.1:{port}", f"localhost:{port}"}))
    return server, f"http://127.0.0.1:{port}/"
