"""Search the shares of domains: many small models on sampled mixtures, a regression, and a comparison over seeds.

After RegMix (Liu et al. 2024). Mixtures are drawn around the data's own shares; each trains a proxy, which is evaluated
on half of the target texts. To the losses is fitted

    loss = c - sum over domains b ln(share),   b >= 0

in which each domain teaches less the more there is of it, and hurts only by what it displaces. Its minimum inside the
bounds of repetition is the proposal. Models trained on the proposal, on the data's own shares and on those of its
weights are then compared on the other half of the texts, with seeds that no proxy had.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import tomlkit
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import nnls
from scipy.stats import spearmanr

from trainer.data.batches import BatchSource
from trainer.data.corpus import Corpus
from trainer.errors import UserError
from trainer.files import write_atomically
from trainer.settings import Settings
from trainer.studies.ablation import Difference, Documents, read_texts, train_and_evaluate
from trainer.tasks.pretrain_inputs import PretrainInputs
from trainer.tasks.pretrain_settings import change_settings

Array = NDArray[np.float64]
OTHERS = "others"  # the group of all small domains
FIRST_SEED = 1000  # of the comparison


class MixtureSearchSettings(Settings):
    """How many proxies, and how far mixtures may lie from the data's own shares."""

    proxies: int = Field(default=24, ge=4, description="number of small models, each on a mixture of its own")
    proxy_steps: int = Field(
        default=100, ge=1, description="optimizer steps of a proxy; loop.steps are the comparison's"
    )
    domains: int = Field(default=6, ge=2, description="largest domains with a share of their own; the rest has one")
    concentration: float = Field(
        default=10.0, gt=0, description="of the Dirichlet distribution of mixtures; higher stays nearer to the data's"
    )
    max_repetition: float = Field(default=4.0, gt=1, description="largest share, in multiples of the data's own share")
    min_repetition: float = Field(default=0.1, gt=0, lt=1, description="smallest share, likewise")
    seeds: int = Field(default=3, ge=2, description="models of each mixture in the comparison")


@dataclass(frozen=True)
class Groups:
    """The domains that have a share, and each document's."""

    names: tuple[str, ...]
    domains: dict[str, float]  # share of the tokens of every domain, without weights
    members: NDArray[np.int64]  # index into `names` of each document
    natural: Array  # share of the tokens, without weights
    weighted: Array  # share by the documents' weights


@dataclass(frozen=True)
class Regression:
    """loss = intercept - sum(gains * ln(shares))."""

    intercept: float
    gains: Array
    rank_correlation: float  # of losses and predictions, each from the other runs

    def predict(self, shares: Array) -> Array:
        """The loss of mixtures, [..., domains] -> [...]."""
        losses: Array = self.intercept - np.log(shares) @ self.gains
        return losses


def group_domains(corpus: Corpus, count: int) -> Groups:
    """The domains with the most tokens, and all others as one group."""
    tokens = np.bincount(corpus.domain, weights=corpus.length, minlength=len(corpus.domains))
    present = int((tokens > 0).sum())
    if present < 2:
        raise UserError("the data has one domain; there is no mixture to search")
    largest = np.argsort(-tokens, kind="stable")[: min(count, present)]
    names = [corpus.domains[index] for index in largest]
    group_of = np.full(len(tokens), len(names))
    group_of[largest] = np.arange(len(names))
    members = group_of[corpus.domain]
    if present > len(names):
        names.append(OTHERS)
    natural = np.bincount(members, weights=corpus.length, minlength=len(names))
    weighted = np.bincount(members, weights=corpus.length * corpus.weight, minlength=len(names))
    domains = dict(zip(corpus.domains, (tokens / tokens.sum()).tolist(), strict=True))
    return Groups(tuple(names), domains, members, natural / natural.sum(), weighted / weighted.sum())


def mix(corpus: Corpus, groups: Groups, shares: Array) -> Corpus:
    """The corpus with weights that give each group its share of the tokens."""
    fingerprint = sha256(corpus.fingerprint.encode() + shares.tobytes()).hexdigest()
    return replace(corpus, weight=(shares / groups.natural)[groups.members], fingerprint=fingerprint)


def sample_mixtures(natural: Array, settings: MixtureSearchSettings, seed: int = 0) -> Array:
    """Shares of each proxy, [proxies, domains], inside the bounds of repetition."""
    generator = np.random.default_rng(seed)
    drawn = generator.dirichlet(settings.concentration * natural, settings.proxies)
    return np.stack([fit_bounds(shares, natural, settings) for shares in drawn])


def fit_bounds(amounts: Array, natural: Array, settings: MixtureSearchSettings) -> Array:
    """Shares in proportion to amounts, cut at the bounds of repetition: clip(scale * amounts), the sum 1.

    For gains as amounts this is the minimum of the regression inside the bounds.
    """
    low, high = settings.min_repetition * natural, settings.max_repetition * natural
    if not amounts.sum() > 0:
        return natural
    below, above = 0.0, 1.0
    while np.clip(above * amounts, low, high).sum() < 1 and above < 1e30:
        above *= 2
    for _ in range(200):
        scale = (below + above) / 2
        below, above = (scale, above) if np.clip(scale * amounts, low, high).sum() < 1 else (below, scale)
    shares = np.clip(above * amounts, low, high)
    return np.asarray(shares / shares.sum())  # where all that has a gain is at its bound, the sum is below 1


def fit_regression(shares: Array, losses: Array) -> Regression:
    """The regression of losses [runs] on shares [runs, domains]."""
    intercept, gains = _solve(shares, losses)
    others = [np.arange(len(losses)) != run for run in range(len(losses))]
    left_out = [Regression(*_solve(shares[rest], losses[rest]), 0.0) for rest in others]
    predicted = [float(fitted.predict(row)) for fitted, row in zip(left_out, shares, strict=True)]
    flat = len(set(predicted)) == 1 or len(set(losses.tolist())) == 1
    return Regression(intercept, gains, 0.0 if flat else float(spearmanr(predicted, losses).statistic))


def _solve(shares: Array, losses: Array) -> tuple[float, Array]:
    logs = -np.log(shares)
    center, mean = logs.mean(axis=0), float(losses.mean())
    gains, _ = nnls(logs - center, losses - mean)
    return mean - float(center @ gains), gains


@dataclass(frozen=True)
class MixtureReport:
    """The proposal, and how it compares."""

    groups: Groups
    regression: Regression
    proposal: Array
    differences: dict[str, list[Difference]]  # of the proposal against each other mixture, by texts


def search_mixture(
    opened: PretrainInputs,
    settings: MixtureSearchSettings,
    texts: Mapping[str, Path],
    out: Path,
    log: Callable[[str], None] = print,
) -> MixtureReport:
    """Train the proxies, propose shares, and compare; writes mixture.json and shares.toml.

    texts: JSONL files of `text`; even rows for the search, odd rows for the comparison.
    """
    if not texts:
        raise UserError("there is no text to evaluate on: give --texts")
    corpus = opened.source.corpus
    groups = group_domains(corpus, settings.domains)
    documents = {name: list(read_texts(path, opened.tokenizer)) for name, path in texts.items()}
    searched = {name: rows[0::2] for name, rows in documents.items()}
    compared = {name: rows[1::2] for name, rows in documents.items()}
    if not all(compared.values()):
        raise UserError("a file of texts has fewer than two rows: one half searches, the other compares")

    def measure(shares: Array, seed: int, steps: int, name: str, evaluated: Mapping[str, Documents]) -> list[float]:
        changes = [f"loop.steps={steps}", f"loop.seed={seed}", f"data.seed={seed}"]
        changes += [f"schedule.warmup_steps={min(opened.settings.schedule.warmup_steps, steps // 10)}"]
        changed = change_settings(opened.settings, changes)
        source = BatchSource(mix(corpus, groups, shares), changed.data)
        found = train_and_evaluate(changed, source, opened.tokenizer, out / name, evaluated)
        log(f"{name}: " + ", ".join(f"{text} {value:.4f}" for text, value in found.items()) + " bits per byte")
        return list(found.values())

    mixtures = sample_mixtures(groups.natural, settings)
    losses = [
        float(np.mean(measure(shares, number, settings.proxy_steps, f"proxy-{number}", searched)))
        for number, shares in enumerate(mixtures)
    ]
    regression = fit_regression(mixtures, np.array(losses))
    proposal = fit_bounds(regression.gains, groups.natural, settings)
    arms = {"natural": groups.natural, "weights": groups.weighted, "proposal": proposal}
    steps, scores = opened.settings.loop.steps, {}
    for name, shares in arms.items():
        seeds = range(FIRST_SEED, FIRST_SEED + settings.seeds)
        scores[name] = [measure(shares, seed, steps, f"{name}-{seed}", compared) for seed in seeds]
    differences = {name: _compare(scores[name], scores["proposal"], list(compared)) for name in ("natural", "weights")}
    report = MixtureReport(groups, regression, proposal, differences)
    _write_report(report, mixtures, losses, out)
    return report


def _compare(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]], names: list[str]) -> list[Difference]:
    """Differences by texts, and of the mean over texts."""
    columns = [(name, [row[n] for row in first], [row[n] for row in second]) for n, name in enumerate(names)]
    columns.append(("mean", [float(np.mean(row)) for row in first], [float(np.mean(row)) for row in second]))
    return [Difference(name, tuple(a), tuple(b)) for name, a, b in columns]


def _write_report(report: MixtureReport, mixtures: Array, losses: Sequence[float], out: Path) -> None:
    names = report.groups.names
    values: dict[str, Any] = {
        "domains": names,
        "natural": report.groups.natural.tolist(),
        "weights": report.groups.weighted.tolist(),
        "proposal": report.proposal.tolist(),
        "gains": report.regression.gains.tolist(),
        "rank_correlation": report.regression.rank_correlation,
        "proxies": [{"shares": shares.tolist(), "loss": loss} for shares, loss in zip(mixtures, losses, strict=True)],
        "differences": {
            against: [{"texts": d.texts, "mean": d.mean, "interval": d.interval} for d in found]
            for against, found in report.differences.items()
        },
    }
    write_atomically(out / "mixture.json", json.dumps(values, indent=1) + "\n")
    write_atomically(out / "shares.toml", format_shares(report))


def format_shares(report: MixtureReport) -> str:
    """The proposal as settings of `gristmill curate --config`, in percent; small domains divide theirs as they did."""
    factors = dict(zip(report.groups.names, report.proposal / report.groups.natural, strict=True))
    shares = {
        name: round(100 * share * float(factors.get(name, factors.get(OTHERS, 1.0))), 3)
        for name, share in report.groups.domains.items()
        if share > 0
    }
    return tomlkit.dumps({"publish": {"weights": {"shares": shares}}})


def format_search(report: MixtureReport) -> str:
    """The report for a terminal."""
    lines = [f"{'domain':<28}{'natural':>9}{'weights':>9}{'proposal':>10}"]
    columns = (report.groups.names, report.groups.natural, report.groups.weighted, report.proposal)
    lines += [f"{name:<28}{a:>9.1%}{b:>9.1%}{c:>10.1%}" for name, a, b, c in zip(*columns, strict=True)]
    lines.append(f"rank correlation of losses and predictions, each left out: {report.regression.rank_correlation:.2f}")
    for against, found in report.differences.items():
        for item in found:
            low, high = item.interval
            verdict = "the proposal is better" if high < 0 else "it is worse" if low > 0 else "no difference shown"
            lines.append(
                f"proposal minus {against}, {item.texts}: {item.mean:+.4f} bits per byte "
                f"({low:+.4f} to {high:+.4f}): {verdict}"
            )
    return "\n".join(lines)
