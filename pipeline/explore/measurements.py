"""Histograms of measurements, kept pages against dropped ones, and what another limit would change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.config import Config, load_config
from pipeline.inspection.database import query, query_rows
from pipeline.inspection.stored_run import StoredRun
from pipeline.whatif.limits import Limit, list_limits

if TYPE_CHECKING:
    import duckdb

# Pages with the columns that limits are compared with. The scores of pages that a later stage dropped are not needed.
_KEPT = "(SELECT *, 'kept' AS fate, NULL::DOUBLE AS value FROM kept)"
_DROPPED = (
    "(SELECT *, stage || ':' || reason AS fate, "
    "CASE WHEN stage = 'identify_language' THEN value END AS language_score, "
    "CASE WHEN reason = 'low_quality' THEN value END AS quality_score, "
    "CASE WHEN reason = 'low_education' THEN value END AS education_score FROM dropped)"
)
BINS = 40
_EDGE = 0.15  # least part of the histogram on the left of a limit
_SAMPLE = 8


@dataclass(frozen=True, slots=True)
class Histogram:
    """Pages by value, between `low` and `high`; pages beyond are in the first and last bin."""

    low: float
    high: float
    kept: list[int]
    dropped: list[int]

    @property
    def edges(self) -> list[float]:
        """Lower edges of the bins."""
        return [self.low + (self.high - self.low) * number / len(self.kept) for number in range(len(self.kept))]


def find_limits(config: Config) -> dict[str, Limit]:
    """Limits by "stage.setting"; without those that follow from a switch."""
    found = {f"{limit.stage}.{limit.setting}": limit for limit in list_limits(config)}
    return {name: limit for name, limit in found.items() if name != "filter_heuristics.c4.max_lorem_ipsum"}


def measure_pages(connection: duckdb.DuckDBPyConnection, measurement: str, limit: float | None) -> Histogram | None:
    """The histogram of an SQL expression over pages; None where no page has the measurement."""
    sides = (
        f"SELECT true AS kept, {measurement} AS m FROM {_KEPT} UNION ALL SELECT false, {measurement} FROM {_DROPPED}"  # noqa: S608
    )
    ends = "quantile_cont(m, 0.005), quantile_cont(m, 0.995)"
    low, high = query(connection, f"SELECT {ends} FROM ({sides})")[1][0]  # noqa: S608
    if low is None:
        return None
    if limit is not None:  # visible, with room to move it
        if low < limit < low + _EDGE * (high - low):  # a long tail would leave the limit no room
            high = low + (limit - low) / _EDGE
        margin = 0.15 * max(high - low, abs(limit), 1e-6)
        low = min(low, max(limit - margin, 0.0) if low >= 0 else limit - margin)
        high = max(high, limit + margin)
    high = high if high > low else low + 1
    width = (high - low) / BINS
    bin_of = f"least(greatest(floor((m - ?) / ?), 0), {BINS - 1})::INT"
    sql = f"SELECT kept, {bin_of} AS bin, count(*) FROM ({sides}) WHERE m IS NOT NULL GROUP BY ALL"  # noqa: S608
    rows = query(connection, sql, [low, width])[1]
    counts = {(kept, number): count for kept, number, count in rows}
    kept, dropped = ([counts.get((side, number), 0) for number in range(BINS)] for side in (True, False))
    return Histogram(low, high, kept, dropped)


def move_limit(connection: duckdb.DuckDBPyConnection, run: StoredRun, setting: str, value: float) -> dict[str, Any]:
    """What the limit at `value` changes: pages and words that leave, pages that pass the stage, and some of each.

    Before deduplication and the replay of later stages, which `gristmill whatif` counts. Raises UserError for a value
    that the settings refuse.
    """
    kind = _plain(value, run.config, setting)
    config = load_config(None, [f"{setting}={kind}"], base=run.settings)
    limit, stage = find_limits(config)[setting], setting.partition(".")[0]
    rules = [rule for rule in list_limits(config) if rule.stage == stage]
    reasons = ", ".join(f"'{reason}'" for reason in sorted({rule.reason for rule in rules}))
    passes = " AND ".join(["reason IN (" + reasons + ")", *(f"NOT {rule.broken}" for rule in rules)])
    sides = {"lost": (_KEPT, limit.broken), "passed": (f"(FROM dropped_by_limits WHERE stage = '{stage}')", passes)}
    sums: dict[str, Any] = {"setting": setting, "value": value, "toml": to_toml_lines({setting: kind})}
    for side, (source, condition) in sides.items():
        words = "coalesce(sum(words), 0)::BIGINT" if side == "lost" else "0"
        sums[f"{side}_pages"], sums[f"{side}_words"] = query(
            connection,
            f"SELECT count(*), {words} FROM {source} WHERE {condition}",  # noqa: S608
        )[1][0]
        columns = f"part, row, id, url, {limit.measurement} AS value"
        sql = f"SELECT {columns} FROM {source} WHERE {condition} ORDER BY id LIMIT {_SAMPLE}"  # noqa: S608
        sums[side] = query_rows(connection, sql)
    return sums


def prepare_limits(connection: duckdb.DuckDBPyConnection, config: Config) -> None:
    """Makes a table of the pages that stages with limits dropped, on which all rules of a stage are checked."""
    stages = ", ".join(f"'{stage}'" for stage in sorted({limit.stage for limit in list_limits(config)}))
    columns = "part, row, id, url, stage, reason, fate, value, signals, language_score, quality_score, education_score"
    rows = f"SELECT {columns} FROM {_DROPPED} WHERE stage IN ({stages})"  # noqa: S608
    query(connection, f"CREATE TABLE dropped_by_limits AS {rows}")


def _plain(value: float, config: Config, setting: str) -> str:
    """The value as the setting has it: a whole number where it is one."""
    node: Any = config
    for name in setting.split("."):
        node = getattr(node, name, None)
    return str(round(value)) if isinstance(node, int) and not isinstance(node, bool) else f"{value:.6g}"


def to_toml_lines(settings: dict[str, str]) -> str:
    """Settings as TOML tables, to take home.

    >>> print(to_toml_lines({"filter_heuristics.gopher.min_words": "80"}))
    [filter_heuristics.gopher]
    min_words = 80
    """
    tables: dict[str, list[str]] = {}
    for name, value in settings.items():
        table, _, key = name.rpartition(".")
        tables.setdefault(table, []).append(f"{key} = {value}")
    return "\n".join(line for table, lines in tables.items() for line in (f"[{table}]", *lines))


def signal_names(connection: duckdb.DuckDBPyConnection) -> Sequence[str]:
    """Every measurement that the run has stored."""
    rows = query(connection, "SELECT unnest(struct_keys(any_value(signals))) FROM (SELECT signals FROM kept LIMIT 1)")
    return [name for (name,) in rows[1]] or _declared()


def _declared() -> Sequence[str]:
    from pipeline.stages import order

    return order.signal_names()
