"""Commands about studies: scaling ladder, fit and compare; task-scaling; cost; ablate; mixture-search."""

from __future__ import annotations

import json
from pathlib import Path

import click

from trainer.commands.group import (
    EXISTING_FILE,
    EXISTING_RUN,
    FOLDER,
    key_option,
    pick_device,
    run_options,
    table_option,
    train,
)


@train.group("scaling", short_help="Scaling laws: ladder, fit, compare.")
def scaling_group() -> None:
    """Scaling laws: train a ladder of sizes, fit, predict, compare."""


@scaling_group.command("ladder", short_help="Train one configuration at several sizes.")
@run_options
@click.option("--output", type=FOLDER, required=True, help="Folder of the runs and of points.csv.")
@click.option(
    "--rungs",
    "rung_changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Setting of the ladder; may be repeated: hidden_sizes=[64, 96], ...",
)
def ladder_command(
    config: str,
    data: str | None,
    tokenizer: Path | None,
    changes: tuple[str, ...],
    output: Path,
    rung_changes: tuple[str, ...],
) -> None:
    """Train CONFIG at several model sizes, and predict the loss of the largest from the others."""
    from trainer.config import read_config
    from trainer.files import check_output, find_runs
    from trainer.studies.ladder import LadderSettings, describe_points, is_table, train_ladder
    from trainer.tasks.pretrain_inputs import open_pretrain_inputs
    from trainer.tasks.pretrain_settings import read_pretrain_settings

    settings = read_config(LadderSettings, None, rung_changes)
    check_output(output, find_runs(output, "hidden-*"), is_ours=is_table(output / "points.csv"))
    opened = open_pretrain_inputs(read_pretrain_settings(config, changes, data, tokenizer))
    click.echo(describe_points(train_ladder(opened, settings, output, click.echo)))


@scaling_group.command("dial", short_help="Fit the rules of pretrain --depth.")
@run_options
@click.option("--output", type=FOLDER, required=True, help="Folder of the runs, points.csv and sweep.csv.")
@click.option("--rule", "rules", multiple=True, metavar="KEY=VALUE", help="Rule to begin with; may be repeated.")
@click.option(
    "--dial", "dial_changes", multiple=True, metavar="KEY=VALUE", help="depths=[2, 3, 4, 5], fitted=[2, 3], ..."
)
def dial_command(
    config: str,
    data: str | None,
    tokenizer: Path | None,
    changes: tuple[str, ...],
    output: Path,
    rules: tuple[str, ...],
    dial_changes: tuple[str, ...],
) -> None:
    """Fit the constants by which a depth sets rate and batch, and predict the loss of a deeper run."""
    from trainer.config import read_config
    from trainer.files import check_output, find_runs
    from trainer.studies.dial import SWEEP_COLUMNS, DialSettings, describe_dial, turn_dial
    from trainer.studies.ladder import is_table
    from trainer.tasks.depth import DepthSettings
    from trainer.tasks.pretrain_inputs import open_pretrain_inputs
    from trainer.tasks.pretrain_settings import read_pretrain_settings

    begin, settings = read_config(DepthSettings, None, rules), read_config(DialSettings, None, dial_changes)
    sweep = ["sweep.csv"] if is_table(output / "sweep.csv", SWEEP_COLUMNS) else []  # is there before points.csv
    check_output(output, [*find_runs(output, "depth-*"), *sweep], is_ours=is_table(output / "points.csv"))
    opened = open_pretrain_inputs(read_pretrain_settings(config, changes, data, tokenizer))
    _, points = turn_dial(opened, begin, settings, output, click.echo)
    click.echo(describe_dial(points))


@scaling_group.command("fit", short_help="Fit scaling laws to finished runs.")
@click.argument("points", type=EXISTING_FILE)
@click.option("--drop-highest", type=click.IntRange(0), default=0, help="Leave out the N runs of highest loss.")
@click.option("--predict", nargs=2, type=float, metavar="PARAMETERS TOKENS", help="Predict the loss of another run.")
def fit_command(points: Path, drop_highest: int, predict: tuple[float, float] | None) -> None:
    """Fit the runs of a CSV file (parameters, tokens or flop, loss): power law, isoFLOP minima, L(N, D)."""
    from trainer.studies.ladder import describe_points
    from trainer.studies.scaling_laws import drop_highest_losses, predict_loss, read_points

    runs = drop_highest_losses(read_points(points), drop_highest)
    click.echo(describe_points(runs))
    if predict:
        found = predict_loss(runs, *predict)
        click.echo(f"predicted loss {found.loss:.4f} ({found.low:.4f} to {found.high:.4f}, {found.confidence:.0%})")


@scaling_group.command("compare", short_help="Compare how two families scale.")
@click.argument("first", type=EXISTING_FILE)
@click.argument("second", type=EXISTING_FILE)
def compare_command(first: Path, second: Path) -> None:
    """Compare two families of runs (architectures or datasets) by slope and intercept of loss against compute."""
    from trainer.studies.scaling_laws import compare_families, read_points

    found = compare_families(read_points(first), read_points(second))
    for path, line in ((first, found.first), (second, found.second)):
        click.echo(f"{path}: loss = {line(1.0):.4g} * C^{line.slope:.4f}, R2 {line.r2:.4f}")
    click.echo("slope, second minus first: {:+.4f} to {:+.4f} (90%)".format(*found.slope_difference))
    click.echo("ln loss at equal compute:  {:+.4f} to {:+.4f} (90%)".format(*found.intercept_difference))


@train.command("cost", short_help="Estimate what a run will cost.")
@click.option("--parameters", type=float, help="Weights; 405e9 reads as 405 billion.")
@click.option("--tokens", type=float, help="Training tokens; 15.6e12 reads as 15.6 trillion.")
@click.option("--mesh", "config", metavar="CONFIG", help="Propose a mesh for this preset, TOML file or run instead.")
@click.option("--cluster", multiple=True, metavar="KEY=VALUE", help="With --mesh: gpus=64, memory=80, ...")
@key_option("device=h100, mfu=0.4, devices=1024, ...; with --mesh of the run: model.layers=40, ...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def cost_command(
    parameters: float | None,
    tokens: float | None,
    config: str | None,
    cluster: tuple[str, ...],
    changes: tuple[str, ...],
    as_json: bool,
) -> None:
    """Estimate a run: FLOP, device hours, dollars, carbon, and the compute-optimal size.

    With --mesh: the memory of a rank, the bytes that it sends for each axis, and the best mesh of a number of GPUs.
    `gristmill train settings --of cost` lists the keys of --set, `--of cluster` those of --cluster.
    """
    from dataclasses import asdict

    from trainer.config import read_config
    from trainer.studies.cost import CostSettings, estimate_cost, format_cost

    if config is not None:
        click.echo(_propose_mesh(config, changes, cluster, as_json))
        return
    if parameters is None or tokens is None:
        raise click.UsageError("give --parameters and --tokens, or --mesh CONFIG")
    settings = read_config(CostSettings, None, [f"parameters={parameters}", f"tokens={tokens}", *changes])
    cost = estimate_cost(settings)
    click.echo(json.dumps(asdict(cost), indent=1) if as_json else format_cost(settings, cost))


def _propose_mesh(config: str, changes: tuple[str, ...], cluster: tuple[str, ...], as_json: bool) -> str:
    from trainer.config import read_config
    from trainer.studies.mesh_cost import ClusterSettings, PlannedStep, format_meshes, rank_meshes
    from trainer.tasks.pretrain_settings import read_pretrain_settings

    gpus = read_config(ClusterSettings, None, cluster)
    work = PlannedStep.of(read_pretrain_settings(config, changes))
    ranked = rank_meshes(work, gpus)
    return json.dumps([cost.as_json() for cost in ranked], indent=1) if as_json else format_meshes(work, gpus, ranked)


@train.command("ablate", short_help="Compare datasets by small models.")
@click.argument("config")
@click.option("--dataset", "datasets", multiple=True, required=True, metavar="NAME=PATH", help="Give two or more.")
@click.option("--unweighted", multiple=True, metavar="NAME", help="Read this dataset's documents equally often.")
@click.option("--tokenizer", type=click.Path(path_type=Path), help="tokenizer.json or its folder, for both.")
@click.option("--texts", multiple=True, metavar="NAME=FILE", help='JSONL of {"text": ...} to evaluate on.')
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Models to train on each dataset.")
@click.option("--output", type=FOLDER, required=True, help="Folder of the runs and of ablation.json.")
@table_option
def ablate_command(
    config: str,
    datasets: tuple[str, ...],
    unweighted: tuple[str, ...],
    tokenizer: Path | None,
    texts: tuple[str, ...],
    seeds: int,
    output: Path,
    changes: tuple[str, ...],
) -> None:
    """Train the same small model on each dataset with several seeds, and compare the others with the first.

    Do the weights help? --dataset weighted=PATH --dataset plain=PATH --unweighted plain
    """
    from trainer.files import check_output, find_runs, holds_keys
    from trainer.studies.ablation import ablate, format_ablation
    from trainer.tasks.pretrain_settings import read_pretrain_settings

    paths = dict(_parse_named(item) for item in datasets)
    files = {name: Path(path) for name, path in map(_parse_named, texts)}
    own = [run for name in paths for run in find_runs(output, f"{name}-*")]
    check_output(output, own, is_ours=holds_keys(output / "ablation.json", "datasets", "settings", "bits_per_byte"))
    run_settings = read_pretrain_settings(config, changes, None, tokenizer)
    differences = ablate(run_settings, paths, output, seeds, files, unweighted=unweighted, log=click.echo)
    click.echo(format_ablation(paths, differences))


@train.command("mixture-search", short_help="Search the shares of domains.")
@run_options
@click.option(
    "--texts", multiple=True, required=True, metavar="NAME=FILE", help='JSONL of {"text": ...} to do well on.'
)
@click.option("--output", type=FOLDER, required=True, help="Folder of the runs, mixture.json and shares.toml.")
@click.option("--search", "search_changes", multiple=True, metavar="KEY=VALUE", help="proxies=24, proxy_steps=100, ...")
def mixture_search_command(
    config: str,
    data: str | None,
    tokenizer: Path | None,
    changes: tuple[str, ...],
    texts: tuple[str, ...],
    output: Path,
    search_changes: tuple[str, ...],
) -> None:
    """Propose shares of domains by small models on sampled mixtures, and compare them with the data's own.

    shares.toml is read by `gristmill curate --config`.
    """
    from trainer.config import read_config
    from trainer.files import check_output, find_runs, holds_keys
    from trainer.studies.mixture_search import MixtureSearchSettings, format_search, search_mixture
    from trainer.tasks.pretrain_inputs import open_pretrain_inputs
    from trainer.tasks.pretrain_settings import read_pretrain_settings

    settings = read_config(MixtureSearchSettings, None, search_changes)
    files = {name: Path(path) for name, path in map(_parse_named, texts)}
    own = [run for name in ("proxy", "natural", "weights", "proposal") for run in find_runs(output, f"{name}-*")]
    check_output(output, own, is_ours=holds_keys(output / "mixture.json", "domains", "proposal", "proxies"))
    opened = open_pretrain_inputs(read_pretrain_settings(config, changes, data, tokenizer))
    click.echo(format_search(search_mixture(opened, settings, files, output, click.echo)))


@train.command("task-scaling", short_help="Measure what more tasks are worth.")
@click.argument("run", type=EXISTING_RUN)
@click.argument("tasks", nargs=-1, required=True, type=EXISTING_FILE)
@click.option("--output", type=FOLDER, required=True, help="Folder of the runs and of task_scaling.json.")
@click.option("--tasks", "task_changes", multiple=True, metavar="KEY=VALUE", help="tokens=20000, seeds=3, ...")
@table_option
def task_scaling_command(
    run: Path,
    tasks: tuple[Path, ...],
    output: Path,
    task_changes: tuple[str, ...],
    changes: tuple[str, ...],
) -> None:
    """Fine-tune RUN's model on 1, 2, 4, ... of TASKS with equal tokens, and measure it on tasks that none has seen.

    A task is a file of conversations, in the formats of `gristmill train sft`; --set takes its settings. All
    conversations are trained on (chat.held_out is 0), and every run learns the same number of answer tokens.
    """
    from trainer.commands.assistant_commands import read_settings
    from trainer.config import read_config
    from trainer.files import check_output, find_runs, holds_keys
    from trainer.studies.task_scaling import TaskScalingSettings, describe_scaling, scale_tasks
    from trainer.tasks.sft import SftSettings
    from trainer.tasks.start_model import open_start

    settings, start = read_config(TaskScalingSettings, None, task_changes), open_start(run)
    check_output(
        output, find_runs(output, "tasks-*"), is_ours=holds_keys(output / "task_scaling.json", "tokens", "runs")
    )
    output.mkdir(parents=True, exist_ok=True)
    given = [*changes, "chat.held_out=0", "checkpoints.keep_best=false"]
    run_settings = read_settings(SftSettings, None, given, start, lora=False)
    found = scale_tasks(run_settings, start, tasks, settings, output, pick_device(), click.echo)
    click.echo(describe_scaling(found))


def _parse_named(item: str) -> tuple[str, str]:
    name, equals, path = item.partition("=")
    if not (name and equals and path):
        raise click.BadParameter(f"{item}: write it as NAME=PATH")
    return name, path
