"""Commands about finished runs: list, filter and compare them; repeat one on another model or other data."""

from __future__ import annotations

import contextlib
import json
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from trainer.commands.group import EXISTING_RUN, FOLDER, check_run_folder, escape_controls, table_option, train


@train.command("runs", short_help="List, filter and compare runs.")
@click.argument("folders", nargs=-1, type=EXISTING_RUN, metavar="[FOLDERS]...")
@click.option("--where", "conditions", multiple=True, metavar="KEY=VALUE", help="A setting or result; also < > != ~.")
@click.option("--compare", is_flag=True, help="Show what differs between the runs, and their outcomes.")
@click.option("--verdict", help="Put a line of yours in place of the derived verdict of the one run; '' undoes it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def runs_command(
    folders: tuple[Path, ...], conditions: tuple[str, ...], compare: bool, verdict: str | None, as_json: bool
) -> None:
    """List the runs in and below FOLDERS (the current one if none is named), each with a verdict of one line.

    --where loss<3 --where task=sft --where loop.steps>=100 --where verdict~worse ... may be repeated; all must hold.
    """
    from trainer.errors import UserError
    from trainer.reports.run_record import write_verdict
    from trainer.studies.experiments import (
        compare_runs,
        find_experiments,
        format_comparison,
        format_runs,
        parse_condition,
        read_experiment,
        select_runs,
    )

    wanted = [parse_condition(text) for text in conditions]
    runs = select_runs(find_experiments(folders or (Path(),)), wanted)
    if not runs and not as_json:
        raise UserError("no such run here; name the folder of a run, or one above it")
    if verdict is not None:
        if len(runs) != 1:
            raise UserError(f"--verdict is about one run, and {len(runs):,} are named")
        write_verdict(runs[0].folder, verdict)
        runs = [read_experiment(runs[0].folder)]
    if compare:
        if len(runs) < 2:
            raise UserError("--compare needs two runs or more")
        differences = compare_runs(runs)
        table = {"runs": [str(run.folder) for run in runs], "differences": [part._asdict() for part in differences]}
        click.echo(json.dumps(table) if as_json else escape_controls(format_comparison(runs, differences)))
    else:
        listed = [run.to_json() for run in runs]
        click.echo(json.dumps(listed, indent=1) if as_json else escape_controls(format_runs(runs)))


@train.command("rerun", short_help="Repeat a run on another model.")
@click.argument("run", type=EXISTING_RUN)
@click.option("--output", type=FOLDER, required=True, help="Run directory of the repetition; resumes a begun one.")
@click.option("--model", type=EXISTING_RUN, help="Run or checkpoint to begin with in place of RUN's own.")
@click.option("--reward", type=EXISTING_RUN, help="Reward model in place of RUN's own.")
@click.option("--data", multiple=True, metavar="DATA", help="Dataset or file in place of RUN's own; may be repeated.")
@table_option
def rerun_command(
    run: Path,
    output: Path,
    model: Path | None,
    reward: Path | None,
    data: tuple[str, ...],
    changes: tuple[str, ...],
) -> None:
    """Repeat RUN with what is given, and say what changed in settings, inputs and outcome.

    Any run of pretrain, anneal, sft, reward, dpo, kto, ppo, grpo ...: its command is called again, with its arguments
    and its settings file as they were then.
    """
    from trainer.errors import UserError
    from trainer.files import EXPERIMENT_FILE
    from trainer.reports.run_record import REPEATS, read_json_object
    from trainer.studies.experiments import compare_runs, format_comparison, read_experiment

    record = read_json_object(run / EXPERIMENT_FILE)
    command = train.commands.get(str(record.get("command")))
    if command is None:
        raise UserError(
            f"{run}: its folder does not name the command that made it (an older run, a run of a study, or an import)"
        )
    if output.resolve() == run.resolve():
        raise UserError(f"{output}: is the run to repeat; choose a new folder")
    check_run_folder(output)
    arguments = dict(record["arguments"])
    _replace_models(arguments, record, model, reward)
    _replace_data(arguments, data)
    repeated = run.absolute()  # before the working folder changes
    _replace_lost_tokenizer(arguments, repeated)
    arguments["output"] = str(output.absolute())
    arguments["changes"] = [*arguments.get("changes", []), *changes]
    with _config_file(arguments, record), _working_folder(record["folder"]):
        words = build_words(command, arguments)
        click.echo(f"{record['command']} {shlex.join(words)}", err=True)
        with command.make_context(record["command"], words, parent=click.get_current_context()) as context:
            context.meta[REPEATS] = str(repeated)
            command.invoke(context)
    pair = [read_experiment(run), read_experiment(output)]
    click.echo(escape_controls(format_comparison(pair, compare_runs(pair))))


def _replace_models(arguments: dict[str, Any], record: dict[str, Any], model: Path | None, reward: Path | None) -> None:
    """The given models in place of the run's own, which are the very checkpoints if they are still there."""
    from trainer.errors import UserError

    for name, known in record["models"].items():
        if Path(known["checkpoint"]).is_dir():
            arguments[name] = known["checkpoint"]
    for option, value, names in (("--model", model, ("run", "start")), ("--reward", reward, ("reward",))):
        if value is None:
            continue
        place = next((name for name in names if name in arguments), None)
        if place is None:
            raise UserError(f"{option}: `gristmill train {record['command']}` takes no such model")
        arguments[place] = str(value.absolute())


def _replace_data(arguments: dict[str, Any], data: tuple[str, ...]) -> None:
    from trainer.errors import UserError

    if not data:
        return
    paths = [str(Path(path).absolute()) if Path(path).exists() else path for path in data]
    if "files" in arguments:
        arguments["files"] = paths
    elif "data" in arguments and len(paths) == 1:
        arguments["data"] = paths[0]
    else:
        raise UserError("--data: this command takes one dataset, or names its sources in its settings; use --set")


def _replace_lost_tokenizer(arguments: dict[str, Any], run: Path) -> None:
    """The run's own copy in place of a tokenizer that is gone."""
    from trainer.data.tokenizer import TOKENIZER_FILE

    given, own = arguments.get("tokenizer"), run / TOKENIZER_FILE
    if given is not None and not Path(given).exists() and own.is_file():
        arguments["tokenizer"] = str(own)


@contextlib.contextmanager
def _config_file(arguments: dict[str, Any], record: dict[str, Any]) -> Iterator[None]:
    """The settings file as it was then, in a file of its own."""
    if record["config"] is None:
        yield
        return
    from trainer.files import write_atomically

    with tempfile.TemporaryDirectory(prefix="gristmill-") as folder:
        path = Path(folder) / Path(arguments["config"]).name
        write_atomically(path, record["config"])
        arguments["config"] = str(path)
        yield


@contextlib.contextmanager
def _working_folder(folder: str) -> Iterator[None]:
    """The folder that relative paths among the settings began in, if it is still there."""
    with contextlib.chdir(folder) if Path(folder).is_dir() else contextlib.nullcontext():
        yield


def build_words(command: click.Command, arguments: dict[str, Any]) -> list[str]:
    """The command line of a command's arguments by name."""
    words, positional = [], []
    for parameter in command.params:
        value = arguments.get(str(parameter.name))
        values = value if isinstance(value, list) else [value]
        if isinstance(parameter, click.Argument):
            positional += [str(part) for part in values if part is not None]
        elif isinstance(parameter, click.Option) and parameter.is_flag:
            words += [parameter.opts[0]] if value else []
        else:
            words += [f"{parameter.opts[0]}={part}" for part in values if part is not None]
    return [*words, "--", *positional]
