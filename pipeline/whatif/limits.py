"""The fate of every page under other settings, as far as stored measurements decide it, as one SQL expression.

A setting is a *limit* if it is compared with a measurement that the run has stored. Under a tighter limit the pages
above it are dropped. Under a looser one the pages that it had dropped go on: through the later rules of the same stage,
which has measured all of them, and then into stages that have not seen them: their fate is "unknown". So it is for all
pages that reach a stage of which another setting has changed (one that changes texts or other measurements).

One thing is not stored: the language score of pages that a stage between identify_language and deduplicate dropped. A
tighter limit of it may drop them earlier; that they are dropped does not change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.stages import filter_heuristics
from pipeline.stages.order import PAGE_STAGES, STAGES

UNKNOWN = "unknown"
REACHED = {stage: number for number, stage in enumerate(STAGES)}  # how far a page came: the stage that dropped it
_NO_EFFECT = {"prepare.unit_bytes", "prepare.max_error_share", "prepare.drop_text"}
_NEED_RUN = ("read_warc", "read_documents", "page_process", "prepare")
_SKETCH_SETTINGS = {"deduplicate.bands", "deduplicate.rows", "deduplicate.sentence_words"}


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of a stored measurement."""

    stage: str
    reason: str
    setting: str  # below the stage's table
    measurement: str  # SQL over the view `pages`
    value: float | None  # of the setting
    at_least: bool = False
    condition: str = "true"  # SQL: where the rule applies

    @property
    def broken(self) -> str:
        """SQL: whether a page breaks it. A page without the measurement does not."""
        if self.value is None:
            return "false"
        sign = "<" if self.at_least else ">"
        return f"coalesce({self.measurement} {sign} {_number(self.value)} AND {self.condition}, false)"


@dataclass(frozen=True, slots=True)
class Case:
    """Pages that meet `condition` (SQL), and no earlier case, get the fate `outcome`."""

    condition: str
    outcome: str  # "stage:reason" or UNKNOWN


def list_limits(config: Config) -> list[Limit]:
    """All limits, in the order in which the stages check them."""
    extract, language, pii = config.extract_text, config.identify_language, config.scrub_pii
    quality, domain = config.score_quality, config.tag_domain
    learned = quality.min_education
    short = "coalesce(signals.text_characters, CASE WHEN fate = 'extract_text:too_short' THEN value END)"
    few = f"signals.pii_finds > {_number(pii.few_finds)}"
    chance = f"('0x' || substr(id, 1, 8))::BIGINT >= {_number(quality.low_keep_share * 16**8)}"
    density, harm = "signals.pii_per_1000_words", "signals.harm_score"
    return [
        Limit("extract_text", "too_short", "min_characters", short, extract.min_characters, at_least=True),
        Limit("identify_language", "language_uncertain", "min_score", "language_score", language.min_score, True),
        Limit("scrub_pii", "too_much_pii", "max_finds", "signals.pii_finds", pii.max_finds),
        Limit("scrub_pii", "too_much_pii", "max_finds_per_1000_words", density, pii.max_finds_per_1000_words,
              condition=few),
        *_heuristic_limits(config),
        Limit("score_quality", "low_quality", "min_score", "quality_score", quality.min_score, True, chance),
        Limit("score_quality", "low_education", "min_education", "education_score", learned, True, chance),
        Limit("tag_domain", "harmful_text", "max_harm", harm, domain.max_harm),
    ]  # fmt: skip


def _heuristic_limits(config: Config) -> Iterator[Limit]:
    for family, rules in filter_heuristics.FAMILIES.items():
        settings = getattr(config.filter_heuristics, family)
        for rule in rules:
            value = getattr(settings, rule.setting)
            setting = f"{family}.{rule.setting}"
            yield Limit("filter_heuristics", str(rule.reason), setting, f"signals.{rule.signal}", value, rule.at_least)


# Settings that, beside those of `list_limits`, only decide over stored measurements.
_FURTHER = {
    "scrub_pii.few_finds",
    "score_quality.low_keep_share",
    "tag_domain.drop",
    "filter_heuristics.c4.drop_lorem_ipsum",
}


def build_cases(old: Config, new: Config, changed: Iterable[str]) -> list[Case]:
    """The cases in which a fate changes, in flow order; `changed` are the settings that differ, by their paths.

    Raises UserError for a setting whose effect needs a run: what is read, and the sketches.
    """
    by_stage = _group_by_stage(changed)
    limits = list_limits(new)
    known = {f"{limit.stage}.{limit.setting}" for limit in limits} | _FURTHER
    cases: list[Case] = []
    for stage in PAGE_STAGES:
        settings = by_stage.get(stage, [])
        if not settings:
            continue
        if stage == "quick_look" and (freed := _freed_by_quick_look(old, new, settings)) is not None:
            cases += freed
        elif set(settings) <= known:
            cases += _limit_cases(stage, [limit for limit in limits if limit.stage == stage], new)
        else:
            cases.append(Case(f"reached >= {REACHED[stage]}", UNKNOWN))
    return cases


def _group_by_stage(changed: Iterable[str]) -> dict[str, list[str]]:
    by_stage: dict[str, list[str]] = {}
    for name in changed:
        stage = name.partition(".")[0]
        if name in _SKETCH_SETTINGS or (stage in _NEED_RUN and name not in _NO_EFFECT):
            raise UserError(f"{name}: what it changes needs a run; use `gristmill rerun`")
        by_stage.setdefault(stage, []).append(name)
    return by_stage


def _limit_cases(stage: str, limits: Sequence[Limit], new: Config) -> Iterator[Case]:
    reached = f"reached >= {REACHED[stage]}"
    here = f"reached = {REACHED[stage]}"
    if stage == "tag_domain" and new.tag_domain.drop:
        labels = ", ".join(f"'{label}'" for label in sorted(new.tag_domain.drop))
        yield Case(f"{reached} AND coalesce(domain IN ({labels}), false)", f"{stage}:domain_not_wanted")
    for limit in limits:
        yield Case(f"{reached} AND {limit.broken}", f"{stage}:{limit.reason}")
    decided = {limit.reason for limit in limits} | ({"domain_not_wanted"} if stage == "tag_domain" else set())
    reasons = ", ".join(f"'{reason}'" for reason in sorted(decided))
    yield Case(f"{here} AND reason IN ({reasons})", UNKNOWN)


def _freed_by_quick_look(old: Config, new: Config, settings: Sequence[str]) -> list[Case] | None:
    """The pages that quick_look no longer drops; None where it may drop others, which nothing stored decides."""
    before, after = old.quick_look, new.quick_look
    here = f"reached = {REACHED['quick_look']}"
    if before.enabled and not after.enabled:
        return [Case(here, UNKNOWN)]
    names = {name.partition(".")[2] for name in settings}
    if not names <= {"min_words", "min_sentences", "min_characters"}:
        return None
    if any(getattr(after, name) > getattr(before, name) for name in names):
        return None
    sentences = f"reason = 'would_lack_sentences' AND value >= {_number(after.min_sentences)}"
    # The limit that is stored tells a count of words from one of characters.
    words = f"reason = 'would_be_too_short' AND threshold = {_number(before.min_words)}"
    characters = f"reason = 'would_be_too_short' AND threshold = {_number(before.min_characters)}"
    return [
        Case(f"{here} AND {sentences}", UNKNOWN),
        Case(f"{here} AND {words} AND value >= {_number(after.min_words)}", UNKNOWN),
        Case(f"{here} AND {characters} AND value >= {_number(after.min_characters)}", UNKNOWN),
    ]


def fate_expression(cases: Sequence[Case]) -> str:
    """SQL: the fate of a row of `pages` under the new settings."""
    whens = " ".join(f"WHEN {case.condition} THEN '{case.outcome}'" for case in cases)
    return f"CASE {whens} ELSE fate END" if cases else "fate"


def _number(value: float) -> str:
    return f"'{float(value)!r}'::DOUBLE"  # a plain literal would be a decimal number


def deciding_values(limits: Sequence[Limit]) -> dict[str, list[Limit]]:
    """Limits by "stage:reason" of the pages that break them; several of one reason in their order."""
    found: dict[str, list[Limit]] = {}
    for limit in limits:
        found.setdefault(f"{limit.stage}:{limit.reason}", []).append(limit)
    return found
