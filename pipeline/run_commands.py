"""Commands that look at finished runs and change their settings: sample, sql, compare, whatif, rerun, explore.

`cli.py` adds them to `gristmill`. Each imports what it needs when it is called.
"""

from __future__ import annotations

import json
import sys

import click

from pipeline.errors import RunFailedError, UserError


@click.command()
@click.argument("run")
@click.option("-n", "count", type=click.IntRange(1), default=5, show_default=True, help="Number of documents.")
@click.option(
    "--dropped", metavar="REASON", help="Dropped pages: a stage, a reason, STAGE:REASON, or '' for any reason."
)
@click.option("--where", metavar="SQL", help="A condition over the columns, e.g. \"language = 'de' AND words > 900\".")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed shows other documents.")
@click.option("--characters", type=click.IntRange(1), default=1500, show_default=True, help="Shown of each text.")
def sample(run: str, count: int, dropped: str | None, where: str | None, seed: int, characters: int) -> None:
    """Read documents of a finished run.

    Kept ones, chosen at random; with --dropped those that were dropped, with the deciding measurement.
    """
    from pipeline.inspection.sample import describe_pages, sample_pages

    click.echo(describe_pages(sample_pages(run, count, dropped, where, seed), characters))


@click.command()
@click.argument("run")
@click.argument("statement")
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True, help="Output."
)
def sql(run: str, statement: str, form: str) -> None:
    """Ask a finished run in SQL.

    STATEMENT is for DuckDB, with the views `kept`, `dropped`, `duplicates` and `signals` (every measurement of every
    page). Measurements of the first two are fields: signals.gopher_words.
    """
    from pipeline.inspection.sample import run_sql

    click.echo(run_sql(run, statement, form), nl=False)


@click.command()
@click.argument("run1")
@click.argument("run2")
@click.option("--budget", metavar="PERCENT", help="Exit with code 3 if more of RUN1's words differ, e.g. 0.5%.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(run1: str, run2: str, budget: str | None, as_json: bool) -> None:
    """Compare two finished runs.

    Pages that changed their fate, with examples; kept pages and words; shares of domains and languages; content hashes.
    """
    from pipeline.inspection.compare import compare_runs, describe_comparison

    limit = _read_percent(budget) if budget else None
    found = compare_runs(run1, run2)
    click.echo(json.dumps(found.to_json(), indent=1, ensure_ascii=False) if as_json else describe_comparison(found))
    if limit is not None and found.changed > limit:
        click.echo(f"gristmill: {found.changed:.3%} of the words differ, the budget is {budget}", err=True)
        sys.exit(RunFailedError.exit_code)


def _read_percent(text: str) -> float:
    """
    >>> _read_percent("0.5%")
    0.005
    """
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= 100:
        raise UserError(f"--budget {text}: expected per cent of words, such as 0.5%")
    return percent / 100


COMMANDS = (sample, sql, compare)
