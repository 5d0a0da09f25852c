"""Commands that look at finished runs and change their settings: sample, sql, compare, whatif, rerun, explore.

`cli.py` adds them to `gristmill`. Each imports what it needs when it is called.
"""

from __future__ import annotations

import click


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


COMMANDS = (sample, sql)
