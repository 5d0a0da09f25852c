"""`gristmill train`: every command imports what it needs when it is called, so that help is instant."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
RUN = click.Path(exists=True, file_okay=False, path_type=Path)
READ = click.Path(exists=True, dir_okay=False, path_type=Path)


def _options(*decorators: Any) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


configured = _options(
    click.argument("config"),
    click.option("--data", metavar="DATASET", help="Output of gristmill curate, or of its snapshots: source `web`."),
    click.option("--tokenizer", type=click.Path(path_type=Path), help="tokenizer.json or its folder."),
    click.option("--set", "changes", multiple=True, metavar="SECTION.KEY=VALUE", help="One setting; may be repeated."),
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def train() -> None:
    """From curated shards to a trained model."""


@train.command()
@click.argument("dataset")
@click.option("--output", type=FOLDER, required=True, help="Folder for tokenizer.json and its report.")
@click.option("--vocab-size", type=click.IntRange(400), default=32_768, show_default=True)
@click.option("--compare", multiple=True, metavar="PEER", help="gpt2, o200k_base, ... or a tokenizer's file or folder.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="One setting; may be repeated.")
def tokenizer(dataset: str, output: Path, vocab_size: int, compare: tuple[str, ...], changes: tuple[str, ...]) -> None:
    """Train a byte-level BPE tokenizer on a weighted sample of DATASET, and report its bytes per token."""
    from trainer.config import read_config
    from trainer.data import tokenizer as tokenizers
    from trainer.data import tokenizer_report
    from trainer.data.dataset import open_dataset
    from trainer.data.text_samples import held_out_samples, training_texts

    settings = read_config(tokenizers.TokenizerSettings, None, [f"vocab_size={vocab_size}", *changes])
    peers = {name: tokenizer_report.peer(name) for name in compare}
    opened = open_dataset(dataset)
    texts = training_texts(opened, settings.sample_bytes)
    trained = tokenizers.train(texts, settings, progress=sys.stderr.isatty())
    trained.save(output / "tokenizer.json")
    report = tokenizer_report.measure(
        held_out_samples(opened, settings.sample_bytes), {"gristmill": tokenizer_report.ours(trained), **peers}
    )
    (output / "tokenizer_report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    click.echo(tokenizer_report.table(report))
    engine = "tiktoken (equal ids)" if trained.fast else "tokenizers (tiktoken's ids differ)"
    click.echo(f"{output / 'tokenizer.json'}: {trained.vocab_size:,} tokens, encoded by {engine}")


@train.command()
@click.argument("dataset")
@click.option("--tokenizer", "tokenizer_path", type=click.Path(path_type=Path), required=True)
@click.option("--cache", type=FOLDER, default=Path("tokens"), show_default=True)
@click.option("--workers", type=click.IntRange(0), default=0, help="Processes; 0 is one per core.")
def tokens(dataset: str, tokenizer_path: Path, cache: Path, workers: int) -> None:
    """Tokenize DATASET once, to memory-mapped files. Runs do this by themselves where it is not yet done."""
    from trainer.data import tokenizer as tokenizers
    from trainer.data.dataset import open_dataset
    from trainer.data.token_files import tokenize

    store = tokenize(open_dataset(dataset), tokenizers.load(tokenizer_path), cache, workers)
    facts = json.loads((store / "tokens.json").read_text())
    click.echo(
        f"{store}: {facts['documents']:,} documents, {facts['tokens']:,} tokens, "
        f"{facts['bytes'] / max(facts['tokens'], 1):.2f} bytes per token"
    )


@train.command()
@configured
@click.option("--output", "--out", type=FOLDER, required=True, help="Folder of the run; a run there goes on.")
@click.option("--start", type=RUN, help="Run or checkpoint to take the first weights from.")
@click.option("--allow-changes", is_flag=True, help="Go on though settings or data differ from the checkpoint's.")
def pretrain(
    config: str,
    data: str | None,
    tokenizer: Path | None,
    changes: tuple[str, ...],
    output: Path,
    start: Path | None,
    allow_changes: bool,
) -> None:
    """Train a model. CONFIG is a TOML file, a preset's name, or the folder of another run.

    Run the same command again after a crash: it goes on from the last checkpoint. On several devices:
    torchrun --nproc-per-node N $(which gristmill) train pretrain ...
    """
    from trainer.tasks.pretrain import pretrain as train_model
    from trainer.tasks.pretrain_inputs import open_pretrain_inputs
    from trainer.tasks.pretrain_settings import read_pretrain_settings

    run = open_pretrain_inputs(read_pretrain_settings(config, changes, data, tokenizer))
    _echo_mixture(run.source, run.settings.loop.steps)
    result = train_model(
        run.settings, run.source, output, validation=run.validation, start=start, allow_changes=allow_changes
    )
    if _is_main():
        click.echo(f"{result.checkpoint}: step {result.steps:,}, {result.tokens:,} tokens, loss {result.loss:.4f}")


def _is_main() -> bool:
    """Of the processes that torchrun starts one talks."""
    return os.environ.get("RANK", "0") == "0"


def _echo_mixture(source: Any, steps: int) -> None:
    from trainer.data.trace import mixture_table

    table = mixture_table(source.shares(steps))  # on every rank: it refuses more steps than there is data for
    if _is_main():
        click.echo(table, err=True)


@train.command()
@configured
@click.option("--steps", type=click.IntRange(1), help="Of the run; the configuration's own where left out.")
def mixture(config: str, data: str | None, tokenizer: Path | None, changes: tuple[str, ...], steps: int | None) -> None:
    """Shares asked and realized, and repetitions, of the data a run will read."""
    from trainer.data.trace import mixture_table
    from trainer.tasks.pretrain_inputs import open_pretrain_inputs
    from trainer.tasks.pretrain_settings import read_pretrain_settings

    run = open_pretrain_inputs(read_pretrain_settings(config, changes, data, tokenizer))
    click.echo(mixture_table(run.source.shares(steps or run.settings.loop.steps)))


@train.command()
@configured
@click.option("--step", "steps", type=click.IntRange(0), multiple=True, required=True, help="May be repeated.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line.")
def trace(
    config: str,
    data: str | None,
    tokenizer: Path | None,
    changes: tuple[str, ...],
    steps: tuple[int, ...],
    as_json: bool,
) -> None:
    """The documents in the batch of a step, back to URL and WARC offset. CONFIG may be a run's folder.

    Steps count from 0: the batch of step N makes the row of step N + 1 in metrics.jsonl.
    """
    from trainer.data.trace import as_lines
    from trainer.data.trace import trace as trace_steps
    from trainer.tasks.pretrain_inputs import open_pretrain_inputs
    from trainer.tasks.pretrain_settings import read_pretrain_settings
    from trainer.training import checkpoint

    run = open_pretrain_inputs(read_pretrain_settings(config, changes, data, tokenizer))
    if Path(config).is_dir() and not (changes or data or tokenizer):
        state = checkpoint.read_state(checkpoint.find(Path(config)))
        if state.data["fingerprint"] != run.source.fingerprint:
            raise ValueError(f"{config}: its data is no longer what it read; restore it, or name a copy by --data")
    for line in as_lines(trace_steps(run.source, steps), as_json=as_json):
        click.echo(line)


@train.command()
@click.argument("run", type=RUN)
def report(run: Path) -> None:
    """Write RUN/report.html: loss, domains, rates, speed, experts. Also while the run goes on."""
    from trainer.reports.run_report import write_run_report

    click.echo(write_run_report(run))


@train.command()
@click.argument("run", type=RUN)
@click.option("--output", "--out", type=FOLDER, required=True, help="Folder of the annealed run.")
@click.option("--config", type=READ, help="TOML file of the stage: steps, sources, min_quality, context_length, ...")
@click.option("--control", is_flag=True, help="The same schedule on the run's own mixture, from where it stopped.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="steps=200, min_quality=0.5, ...")
def anneal(run: Path, output: Path, config: Path | None, control: bool, changes: tuple[str, ...]) -> None:
    """Bring the learning rate of RUN (or of any checkpoint) to 0 on better data, or stretch its context.

    Validated on the documents held out of RUN's own data, with --control and without: so the two can be compared.
    """
    from trainer.config import read_config
    from trainer.tasks import anneal as annealing
    from trainer.tasks.pretrain_inputs import open_pretrain_inputs
    from trainer.training import checkpoint

    stage = read_config(
        annealing.AnnealSettings,
        None if config is None else str(config),
        [*changes, *(["control=true"] if control else [])],
    )
    state = checkpoint.read_state(checkpoint.find(run))
    opened = open_pretrain_inputs(annealing.annealed_settings(stage, state))
    usual = stage.model_copy(update={"control": True})
    judge = opened if stage.control else open_pretrain_inputs(annealing.annealed_settings(usual, state))
    _echo_mixture(opened.source, stage.steps)
    result = annealing.anneal(opened.settings, run, opened.source, output, validation=judge.validation)
    if _is_main():
        click.echo(f"{result.checkpoint}: {result.steps:,} steps, loss {result.loss:.4f}")


@train.command()
@click.argument("run", type=RUN)
@click.option("--output", "--out", type=FOLDER, required=True)
@click.option("--bfloat16", is_flag=True, help="Half the size; the default keeps every bit.")
def export(run: Path, output: Path, bfloat16: bool) -> None:
    """Write RUN's model as a Hugging Face folder (Llama's layout, or Mixtral's for sparse models)."""
    from trainer.data import tokenizer as tokenizers
    from trainer.model.hugging_face import ExportType, export_to_hugging_face
    from trainer.tasks.pretrain_settings import read_pretrain_settings
    from trainer.training.saved_model import read_saved_model

    path = read_pretrain_settings(str(run)).tokenizer
    saved, dtype = read_saved_model(run), ExportType.BFLOAT16 if bfloat16 else ExportType.FLOAT32
    separator = tokenizers.load(path).separator
    click.echo(export_to_hugging_face(*saved, output, tokenizer=path, separator=separator, dtype=dtype))


@train.command()
@click.argument("run", type=RUN)
@click.argument("prompts", nargs=-1)
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="max_new_tokens=200, temperature=0.8, ...")
def generate(run: Path, prompts: tuple[str, ...], changes: tuple[str, ...]) -> None:
    """Continue PROMPTS with RUN's model; without a prompt, write from nothing.

    A model that learned by denoising (tiny-t5) fills in sentinels: "The river <|sentinel_0|> to the sea".
    """
    from trainer.config import read_config
    from trainer.data import tokenizer as tokenizers
    from trainer.rollouts import generate as generating
    from trainer.tasks.pretrain_settings import read_pretrain_settings
    from trainer.training.saved_model import load_model

    settings, recipe = read_config(generating.GenerateSettings, None, changes), read_pretrain_settings(str(run))
    model, tokenizer = load_model(run, _device()), tokenizers.load(recipe.tokenizer)
    denoises = bool(recipe.objective.denoisers)
    for text in generating.respond(model, tokenizer, prompts or ("",), settings, denoises=denoises):
        click.echo(_printable(text))


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _printable(text: str) -> str:
    """What a model writes may hold anything; nothing in it moves the terminal's cursor."""
    return "".join(character if character.isprintable() or character in "\n\t" else "?" for character in text)


@train.command("eval")
@click.argument("run", type=RUN)
@click.option("--task", "tasks", type=READ, multiple=True, help="JSONL file of questions; may be repeated.")
@click.option("--output", type=FILE, help="JSON report.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="examples=5, limit=100, documents=500")
@click.option("--data", metavar="DATASET", help="Of which to take the held-out text; the run's own where left out.")
@click.option("--no-held-out", is_flag=True, help="Questions only; the run's data is not opened.")
def evaluate(
    run: Path,
    tasks: tuple[Path, ...],
    output: Path | None,
    changes: tuple[str, ...],
    data: str | None,
    no_held_out: bool,
) -> None:
    """Measure RUN's model: bits per byte of held-out text by domain, and questions by letter and by full answer.

    Bits per byte compares models of different tokenizers, since no tokenizer changes the bytes of a text; perplexity is
    a mean over tokens, so it compares models of one tokenizer only.
    """
    from trainer.config import read_config
    from trainer.data.sources import open_held_out
    from trainer.evaluation import evaluate as evaluation
    from trainer.tasks.pretrain_settings import read_pretrain_settings

    settings = read_config(evaluation.EvaluationSettings, None, changes)
    scorer = _scorer(run)
    held_out = (
        None if no_held_out else open_held_out(read_pretrain_settings(str(run), data=data).data, scorer.tokenizer)
    )
    report = evaluation.evaluate(scorer, tasks, held_out, settings)
    if output is not None:
        output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    click.echo(evaluation.table(report))


def _scorer(run: Path) -> Any:
    from trainer.data import tokenizer as tokenizers
    from trainer.evaluation.likelihood import Scorer
    from trainer.tasks.pretrain_settings import read_pretrain_settings
    from trainer.training.saved_model import load_decoder

    recipe = read_pretrain_settings(str(run))
    model = load_decoder(run, _device())
    return Scorer(
        lambda tokens: model(tokens).logits,
        tokenizers.load(recipe.tokenizer),
        recipe.model.context_length,
        device=_device(),
        progress=sys.stderr.isatty(),
    )


@train.command("order-test")
@click.argument("run", type=RUN)
@click.argument("examples", type=READ)
@click.option("--runs", default=15, show_default=True)
@click.option("--shuffles", default=10, show_default=True)
def order(run: Path, examples: Path, runs: int, shuffles: int) -> None:
    """Has RUN's model seen EXAMPLES (JSONL) in the order of the file? Prints a p-value."""
    from trainer.evaluation.contamination import texts_of
    from trainer.evaluation.order_test import order_test

    found = order_test(_scorer(run), [text for _, text in texts_of(examples)], runs, shuffles)
    click.echo(
        f"p = {found.p:.3g}: the file's order is {found.advantage:+.2f} nats likelier than {shuffles} shuffles, "
        f"mean of {runs} runs"
    )


@train.command()
@click.argument("training")
@click.option("--eval", "sets", type=READ, multiple=True, required=True, help="Evaluation file; may be repeated.")
@click.option("--output", type=FILE, help="JSONL of what was found; a source's `exclude` reads it.")
@click.option("--clean", type=FILE, help="TRAINING (JSONL) without the rows in which something was found.")
@click.option("--canaries", type=click.IntRange(0), default=200, show_default=True, help="Planted to measure recall.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="words=13, overlap=0.5, ubiquitous=100")
def contamination(
    training: str,
    sets: tuple[Path, ...],
    output: Path | None,
    clean: Path | None,
    canaries: int,
    changes: tuple[str, ...],
) -> None:
    """Find evaluation text in TRAINING: a curated dataset, or a JSONL file of instructions or preferences.

    A report, or a filter: of a dataset by a source's `exclude`, of a JSONL file by --clean.
    """
    from trainer.config import read_config
    from trainer.data.dataset import open_dataset
    from trainer.evaluation import contamination as search

    settings = read_config(search.ContaminationSettings, None, changes)
    index = search.build_index([item for path in sets for item in search.items_of(path)], settings)
    is_jsonl = training.removesuffix(".gz").endswith(".jsonl")
    if clean is not None and not is_jsonl:
        raise click.UsageError("--clean is for JSONL; a dataset's source leaves out what --output lists by `exclude`")
    if is_jsonl:
        texts = search.texts_of(Path(training))
        hits, common = search.scan_texts(index, texts)
        documents = len(texts)
    else:
        dataset = open_dataset(training)
        hits, common = search.scan_dataset(index, dataset)
        documents, texts = dataset.rows, search.some_texts(dataset, 500)
    report = search.summary(index, hits, documents, common)
    if canaries:
        report["canaries"] = search.canary_recall(index, texts, canaries)
    if output is not None:
        rows = (json.dumps(hit._asdict(), ensure_ascii=False) + "\n" for hit in hits)
        output.write_text("".join(rows), encoding="utf-8")
    if clean is not None:
        search.write_clean(Path(training), hits, clean)
    click.echo(json.dumps(report, indent=1))


@train.group()
def scaling() -> None:
    """Scaling laws: train a ladder of sizes, fit, predict, compare."""


@scaling.command()
@configured
@click.option("--output", "--out", type=FOLDER, required=True, help="Folder of the runs and of points.csv.")
@click.option("--rungs", "rung_changes", multiple=True, metavar="KEY=VALUE", help="widths=[64, 96], data=[0.5, 1, 2]")
def ladder(
    config: str,
    data: str | None,
    tokenizer: Path | None,
    changes: tuple[str, ...],
    output: Path,
    rung_changes: tuple[str, ...],
) -> None:
    """Train the same recipe at several sizes, and predict the largest from the others."""
    from trainer.config import read_config
    from trainer.studies import ladder as ladders
    from trainer.tasks.pretrain_inputs import open_pretrain_inputs
    from trainer.tasks.pretrain_settings import read_pretrain_settings

    settings = read_config(ladders.LadderSettings, None, rung_changes)
    points = ladders.climb(
        open_pretrain_inputs(read_pretrain_settings(config, changes, data, tokenizer)), settings, output, click.echo
    )
    click.echo(ladders.describe(points))


@scaling.command()
@click.argument("points", type=READ)
@click.option("--drop-highest", type=click.IntRange(0), default=0, help="Leave out so many runs of highest loss.")
@click.option("--predict", nargs=2, type=float, metavar="PARAMETERS TOKENS", help="The loss of a run not yet made.")
def fit(points: Path, drop_highest: int, predict: tuple[float, float] | None) -> None:
    """Fit the runs of a CSV file (parameters, tokens or flop, loss): power law, isoFLOP minima, L(N, D)."""
    from trainer.studies import ladder as ladders
    from trainer.studies import scaling_laws as laws

    runs = laws.without_highest(laws.read_points(points), drop_highest)
    click.echo(ladders.describe(runs))
    if predict:
        found = laws.predict(runs, *predict)
        click.echo(f"predicted loss {found.loss:.4f} ({found.low:.4f} to {found.high:.4f}, {found.confidence:.0%})")


@scaling.command()
@click.argument("first", type=READ)
@click.argument("second", type=READ)
def compare(first: Path, second: Path) -> None:
    """Compare two families of runs (architectures or datasets) by slope and intercept of loss against compute."""
    from trainer.studies import scaling_laws as laws

    found = laws.compare(laws.read_points(first), laws.read_points(second))
    for path, line in ((first, found.first), (second, found.second)):
        click.echo(f"{path}: loss = {line(1.0):.4g} * C^{line.slope:.4f}, R2 {line.r2:.4f}")
    click.echo("slope, second minus first: {:+.4f} to {:+.4f} (90%)".format(*found.slope_difference))
    click.echo("ln loss at equal compute:  {:+.4f} to {:+.4f} (90%)".format(*found.intercept_difference))


@train.command()
@click.option("--parameters", type=float, required=True, help="Weights; 405e9 reads as 405 billion.")
@click.option("--tokens", type=float, required=True)
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="device=h100, mfu=0.4, devices=1024, ...")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def cost(parameters: float, tokens: float, changes: tuple[str, ...], as_json: bool) -> None:
    """What a run will cost: FLOP, device hours, dollars, carbon, and whether its size is right.

    Keys of --set: device, mfu, devices, goodput, price, overhead, grid, attention, inference_tokens.
    """
    from dataclasses import asdict

    from trainer.config import read_config
    from trainer.studies import cost as costs

    settings = read_config(costs.CostSettings, None, [f"parameters={parameters}", f"tokens={tokens}", *changes])
    found = costs.estimate(settings)
    click.echo(json.dumps(asdict(found), indent=1) if as_json else costs.table(settings, found))


@train.command()
@click.argument("config")
@click.option("--dataset", "datasets", multiple=True, required=True, metavar="NAME=PATH", help="Two of them.")
@click.option("--tokenizer", type=click.Path(path_type=Path), help="One for both.")
@click.option("--texts", multiple=True, metavar="NAME=FILE", help='JSONL of {"text": ...} to judge on.')
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--output", "--out", type=FOLDER, required=True)
@click.option("--set", "changes", multiple=True, metavar="SECTION.KEY=VALUE", help="One setting; may be repeated.")
def ablate(
    config: str,
    datasets: tuple[str, ...],
    tokenizer: Path | None,
    texts: tuple[str, ...],
    seeds: int,
    output: Path,
    changes: tuple[str, ...],
) -> None:
    """Train the same small model on two datasets, several seeds each, and report which is better, and how surely."""
    from trainer.studies import ablation
    from trainer.tasks.pretrain_settings import read_pretrain_settings

    named = dict(_named(item) for item in datasets)
    files = {name: Path(path) for name, path in map(_named, texts)}
    recipe = read_pretrain_settings(config, changes, None, tokenizer)
    found = ablation.ablate(recipe, named, output, seeds, files, log=click.echo)
    click.echo(ablation.table(named, found))


def _named(item: str) -> tuple[str, str]:
    name, equals, path = item.partition("=")
    if not (name and equals and path):
        raise click.BadParameter(f"{item}: write it as NAME=PATH")
    return name, path
