"""The command line, `gristmill`. Each subcommand imports what it needs when it is called, so that help is fast.

pipeline/errors.py lists the exit codes. GRISTMILL_TRACEBACK=1 shows the traceback of every error.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline import release_commands, run_commands
from pipeline.engines.failures import find_failure
from pipeline.engines.options import engine_options
from pipeline.errors import INTERNAL_ERROR, STOPPED, RunFailedError, UserError
from pipeline.stop import stop_on_signals, wait_if_stopping

if TYPE_CHECKING:
    from classifiers.data.page_text import PageExtractor
    from pipeline.config import Config
    from pipeline.notify import Notify


class _LazyGroup(click.Group):
    """Adds other packages' command groups without importing them: `gristmill --help` needs neither Beam nor torch."""

    other_groups = {  # noqa: RUF012  never changed
        "classify": ("classifiers.cli", "classify", "Train, measure and apply page classifiers."),
        "train": ("trainer.cli", "train", "Train language models on curated shards."),
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *self.other_groups]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.other_groups:
            return super().get_command(ctx, name)
        module, attribute, _ = self.other_groups[name]
        try:
            return getattr(importlib.import_module(module), attribute)  # type: ignore[no-any-return]
        except ModuleNotFoundError as error:
            extra = "trainer" if name == "train" else "pipeline"
            raise UserError(
                f"`gristmill {name}` needs the package {error.name}; install it with: pip install 'gristmill[{extra}]'"
            ) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, command.get_short_help_str()) for name, command in self.commands.items()]
        rows += [(name, text) for name, (_, _, text) in self.other_groups.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="gristmill")
@click.pass_context
def gristmill(context: click.Context) -> None:
    """Turn web pages into training shards, with one ledger row for every page, and train language models on them."""
    context.obj = _load_extractor  # `classify` trains on the text that a run extracts


def _load_extractor() -> PageExtractor:
    from pipeline.extraction.training_pages import TrainingPageExtractor

    return TrainingPageExtractor()


_input_options = [
    click.argument("inputs", nargs=-1),
    click.option("--prefix", help="Prepended to the paths of a listing, e.g. https://data.commoncrawl.org/"),
    click.option("--limit", type=click.IntRange(1), help="Only the first N files of the input."),
    click.option("--preset", help="Settings by name: english, fineweb-like, c4-like or dclm-like."),
    click.option("--config", type=click.Path(path_type=Path), help="TOML file; see `gristmill settings`."),
    click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="One setting; may be repeated."),
]


_workers_option = click.option(
    "--workers",
    type=click.IntRange(1),
    default=os.cpu_count() or 1,
    show_default="one per core",
    help="Page processes on this machine.",
)


def _with_input_options(command: Any) -> Any:
    for option in reversed(_input_options):
        command = option(command)
    return command


@gristmill.command()
@_with_input_options
@click.option("--output", required=True, help="Folder or s3://, gs:// address for shards, ledger and report.")
@_workers_option
@click.option("--overwrite", is_flag=True, help="Replace an output of other settings (valid units are kept).")
@click.option(
    "--keep-work/--no-keep-work",
    default=None,
    help="Keep in OUTPUT/work what `rerun` and further input start from, texts with personal data included "
    "(default: kept, but not with --snapshot).",
)
@click.option("--snapshot", metavar="CC-MAIN-YYYY-WW", help="A whole crawl by name (or `newest`), to OUTPUT/NAME.")
@click.option("--mirror", default="https://data.commoncrawl.org/", show_default=True, help="Source of --snapshot.")
@click.option("--metrics-file", metavar="FILE", help="Progress in Prometheus' text format, renewed every 30 s.")
@click.option("--notify-url", metavar="URL", help="Gets a POST of JSON when the run ends or raises an alarm.")
@click.option("--notify-command", metavar="COMMAND", help="Gets the same JSON on its input; started without a shell.")
@engine_options
def curate(
    inputs: tuple[str, ...],
    preset: str | None,
    config: Path | None,
    overrides: tuple[str, ...],
    output: str,
    snapshot: str | None,
    mirror: str,
    notify_url: str | None,
    notify_command: str | None,
    **options: Any,
) -> None:
    """Turn web pages into weighted Parquet shards.

    The output holds a ledger of every page, and a report. INPUTS are WARC, JSONL, Parquet or HTML files, folders or
    globs of them, listings (warc.paths.gz) or index Parquet files, on disk, https://, s3:// or gs://. Run the same
    command again after a crash: finished units are not repeated. With more INPUTS, only their units are added.
    """
    from pipeline.config import load_config
    from pipeline.engines.options import SubmittedError
    from pipeline.notify import Notify, notify_of_end

    if bool(inputs) == bool(snapshot):
        raise click.UsageError("name either INPUTS or --snapshot")
    notify = Notify(notify_url, notify_command, output)
    try:
        with notify_of_end(notify):
            settings = load_config(config, overrides, preset)
            if snapshot:
                _curate_snapshot(snapshot, mirror, settings, output, notify, **options)
            else:
                _curate_inputs(inputs, settings, output, notify, **options)
    except SubmittedError as submitted:
        click.echo(submitted.message)


def _curate_snapshot(name: str, mirror: str, settings: Config, base: str, notify: Notify, **options: Any) -> None:
    """Curates one crawl unless it is complete, and points latest.json at it."""
    from pipeline.curate import remove_finished_work
    from pipeline.publishing.manifest import check_kept
    from pipeline.publishing.snapshot import (
        NEWEST,
        Snapshot,
        add_previous_sketches,
        find_newest_crawl,
        honor_suppressions,
        update_latest,
    )
    from pipeline.reports.console_summary import funnel
    from pipeline.storage.layout import Layout

    crawl = Snapshot(find_newest_crawl(mirror) if name == NEWEST else name, base, mirror)
    notify.output = crawl.output
    if crawl.is_complete() and not options["overwrite"]:
        if not options["keep_work"]:  # a crawl's work files are terabytes, each month
            remove_finished_work(Layout(crawl.output))
        click.echo(f"{crawl.output} is complete already; --overwrite curates it again")
        click.echo(funnel(Layout(crawl.output)))
        check_kept(crawl.output)
        update_latest(crawl.base)
    else:
        settings = honor_suppressions(add_previous_sketches(crawl, settings), base)
        options = {**options, "prefix": mirror, "keep_work": bool(options["keep_work"])}
        _curate_inputs((crawl.listing,), settings, crawl.output, notify, **options)
        update_latest(crawl.base)


def _curate_inputs(
    inputs: Sequence[str],
    settings: Config,
    output: str,
    notify: Notify,
    *,
    prefix: str | None,
    limit: int | None,
    workers: int,
    overwrite: bool,
    keep_work: bool | None,
    metrics_file: str | None,
    **engine_flags: Any,
) -> None:
    from pipeline.curate import describe_command, plan_run, run_curation
    from pipeline.engines.launch import open_engine
    from pipeline.engines.options import EngineOptions
    from pipeline.inspection.metrics_file import write_metrics
    from pipeline.publishing.manifest import check_kept
    from pipeline.publishing.snapshot import honor_suppressions
    from pipeline.reading.inputs import resolve_inputs
    from pipeline.reports.console_summary import funnel
    from pipeline.storage.layout import Layout, read_report
    from pipeline.storage.lease import check_lease
    from pipeline.storage.own_files import check_apart
    from pipeline.storage.pace import log_refusals

    settings = honor_suppressions(settings, output)
    check_apart(output, inputs)
    layout = Layout(output)
    check_lease(layout.lease)  # reading the listing of a crawl takes minutes
    with write_metrics(metrics_file, output), log_refusals():
        files = resolve_inputs(inputs, prefix=prefix, limit=limit)
        with open_engine(EngineOptions(**engine_flags), workers, sum(file.size for file in files)) as engine:
            how = {"workers": engine.concurrency, "options": engine.options, "command": describe_command(sys.argv[1:])}
            run = plan_run(files, settings, output, keep_work=keep_work is not False, **how)
            run_curation(run, overwrite=overwrite)
        click.echo(funnel(layout))
        warnings = read_report(layout)["warnings"]
        if warnings:
            notify.send("alarm", "; ".join(warnings), 0)
        check_kept(output)


@gristmill.command()
@_with_input_options
@click.option(
    "--sample-pages",
    type=click.IntRange(1),
    default=300,
    show_default=True,
    help="Pages to run through all stages.",
)
@_workers_option
@click.option("--engine", type=click.Choice(["local", "dataflow"]), default="local", show_default=True)
@click.option(
    "--price",
    "prices",
    multiple=True,
    metavar="NAME=DOLLARS",
    help="A unit price for --engine dataflow.",
)
def plan(
    inputs: tuple[str, ...],
    prefix: str | None,
    limit: int | None,
    preset: str | None,
    config: Path | None,
    overrides: tuple[str, ...],
    sample_pages: int,
    workers: int,
    engine: str,
    prices: tuple[str, ...],
) -> None:
    """Predict a run's time, memory, disk and yield.

    The figures are extrapolated from a small sample of INPUTS. With --engine dataflow, also the price.
    """
    from pipeline.config import load_config
    from pipeline.inspection.dataflow_plan import DataflowPlan, Prices
    from pipeline.inspection.plan import make_plan
    from pipeline.reading.inputs import resolve_inputs

    if not inputs:
        raise click.UsageError("name the INPUTS to plan for")
    settings = load_config(config, overrides, preset)
    files = resolve_inputs(inputs, prefix=prefix, limit=limit)
    cost = Prices.parse(prices)
    forecast = make_plan(files, settings, sample_pages, workers)
    click.echo(forecast.describe())
    if engine == "dataflow":
        click.echo("\n" + DataflowPlan(forecast, settings.deduplicate, cost).describe())


@gristmill.command()
@click.argument("page")
@click.option("--run", "output", required=True, help="Output of `gristmill curate`.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(page: str, output: str, as_json: bool) -> None:
    """Show why a page was kept or dropped.

    PAGE is a URL or document id. It is processed again with the run's own settings: text after each stage, measurements
    and their distance to each threshold, and its fate in the ledger.
    """
    from pipeline.inspection.explain import explain_page
    from pipeline.inspection.explain_text import describe

    found = explain_page(page, output)
    if as_json:
        click.echo(json.dumps([asdict(capture) for capture in found], indent=1, ensure_ascii=False))
    else:
        click.echo(describe(found))


@gristmill.command()
@click.argument("output")
def report(output: str) -> None:
    """Rebuild report.html of a finished output.

    It is made from OUTPUT/report.json and samples of the kept and dropped rows.
    """
    from pipeline.reports.html_report import rebuild_report

    click.echo(rebuild_report(output))


@gristmill.command()
@click.argument("output")
def audit(output: str) -> None:
    """Check a finished output.

    Hashes, ledger, schema, personal data, duplicates and weights; exit code 3 when a check fails.
    """
    from pipeline.inspection.audit import audit_output

    checks = audit_output(output)
    for check in checks:
        click.echo(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.detail}")
    if not all(check.ok for check in checks):
        sys.exit(RunFailedError.exit_code)


@gristmill.command()
@click.argument("output")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(output: str, as_json: bool) -> None:
    """Show how far a run is, and if it is alive.

    It reads the files of OUTPUT, so it works from any machine that can read them, and with every engine. The state is
    complete, running, slow (alive, but no page was finished for a while), dead or stopped.
    """
    from pipeline.inspection.status import read_status

    found = read_status(output)
    click.echo(json.dumps(found.to_json(), indent=1) if as_json else found.describe())


@gristmill.command()
@click.option("--preset", help="A preset to print: english, fineweb-like, c4-like or dclm-like.")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file to check and complete.")
@click.option("--set", "overrides", multiple=True, metavar="TABLE.KEY=VALUE", help="One setting; may be repeated.")
def settings(preset: str | None, config: Path | None, overrides: tuple[str, ...]) -> None:
    """Print every setting with its description.

    The text is TOML that --config reads. A preset begins with its sources, and with what cannot be the same.
    """
    from pipeline.config import load_config, to_toml
    from pipeline.presets import read_comment

    if preset:
        click.echo(read_comment(preset))
    click.echo(to_toml(load_config(config, overrides, preset)), nl=False)


for _command in (*run_commands.COMMANDS, *release_commands.COMMANDS):
    gristmill.add_command(_command)


def main() -> None:
    """Entry point. A user's error ends with one line and an exit code, an internal error with a traceback."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # it logs exceptions that are shown in one line below
    command = sys.argv[1] if sys.argv[1:] else ""
    stop_on_signals(
        "; resume with the same command" if command == "curate" else "",
        # The trainer catches Ctrl-C itself, and in its loop all of them: it writes a checkpoint before it stops.
        STOPPED.keys() - ({signal.SIGINT} if command == "train" else set()),
    )
    if command == "curate":
        from pipeline.storage.parquet import WithoutPandas

        sys.meta_path.insert(0, WithoutPandas())
    try:
        gristmill.main(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        _stop("gristmill: interrupted; resume with the same command", STOPPED[signal.SIGINT])
    except click.UsageError as error:
        error.show()
        _stop("", error.exit_code)
    except Exception as error:
        wait_if_stopping()
        failure = find_failure(error)
        if failure.exit_code == INTERNAL_ERROR or os.environ.get("GRISTMILL_TRACEBACK"):
            raise
        _stop(f"gristmill: {failure.message}", failure.exit_code)


def _stop(message: str, code: int) -> None:
    """Ends the process without waiting for worker threads; files are written atomically, so none is left incomplete."""
    with contextlib.suppress(OSError):  # after SIGHUP the terminal is gone
        if message:
            click.echo(message, err=True)
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
