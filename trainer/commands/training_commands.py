"""Commands about training: pretrain, report, anneal, export, generate."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trainer.commands.group import (
    EXISTING_FILE,
    EXISTING_RUN,
    FOLDER,
    check_run_folder,
    data_options,
    escape_controls,
    is_main,
    key_option,
    pick_device,
    train,
)

if TYPE_CHECKING:
    from trainer.data.batches import BatchSource
    from trainer.tasks.pretrain_settings import PretrainSettings


@train.command("pretrain", short_help="Train a model.")
@click.argument("config", required=False)
@data_options
@click.option("--depth", type=click.IntRange(1), help="Let the depth decide shape, rate, batch and steps.")
@click.option(
    "--rule", "rules", multiple=True, metavar="KEY=VALUE", help="Rule of --depth: tokens_per_parameter=20, ..."
)
@click.option("--output", type=FOLDER, required=True, help="Run directory; resumes if it holds a checkpoint.")
@click.option("--start", type=EXISTING_RUN, help="Run or checkpoint to take the first weights from.")
@click.option("--allow-changes", is_flag=True, help="Resume though settings or data differ from the checkpoint's.")
def pretrain_command(
    config: str | None,
    data: str | None,
    tokenizer: Path | None,
    changes: tuple[str, ...],
    depth: int | None,
    rules: tuple[str, ...],
    output: Path,
    start: Path | None,
    allow_changes: bool,
) -> None:
    """Train a model. CONFIG is a TOML file, a preset's name, or the folder of another run.

    --depth 12 needs no CONFIG: width, heads, rate, batch, steps and data follow from it and from the size of the
    vocabulary (`gristmill train settings --of depth`). A CONFIG then gives all other settings; --set changes any.

    Run the same command again after a crash: it resumes from the last checkpoint. On several devices:
    torchrun --nproc-per-node N $(which gristmill) train pretrain ...
    """
    from trainer.tasks.pretrain import pretrain
    from trainer.tasks.pretrain_inputs import open_pretrain_inputs

    check_run_folder(output)
    run = open_pretrain_inputs(_read_settings(config, changes, data, tokenizer, depth, rules))
    _echo_mixture(run.source, run.settings.loop.steps)
    result = pretrain(
        run.settings,
        run.source,
        output,
        tokenizer=run.tokenizer,
        validation=run.validation,
        neighbors=run.neighbors,
        start=start,
        allow_changes=allow_changes,
    )
    if is_main():
        click.echo(f"{result.checkpoint}: step {result.steps:,}, {result.tokens:,} tokens, loss {result.loss:.4f}")


def _read_settings(
    config: str | None,
    changes: tuple[str, ...],
    data: str | None,
    tokenizer: Path | None,
    depth: int | None,
    rules: tuple[str, ...],
) -> PretrainSettings:
    from trainer.config import read_config
    from trainer.data.tokenizer import load_tokenizer
    from trainer.tasks.depth import DepthSettings
    from trainer.tasks.pretrain_settings import apply_depth, change_settings, read_pretrain_settings

    if depth is None:
        if config is None or rules:
            raise click.UsageError("name a CONFIG, or give --depth; --rule belongs to --depth")
        return read_pretrain_settings(config, changes, data, tokenizer)
    before = read_pretrain_settings(config, (), data, tokenizer)
    vocab_size = load_tokenizer(before.tokenizer).vocab_size
    return change_settings(apply_depth(before, depth, vocab_size, read_config(DepthSettings, None, rules)), changes)


def _echo_mixture(source: BatchSource, steps: int) -> None:
    from trainer.data.mixture import format_shares
    from trainer.data.packing import format_waste

    table = format_shares(source.shares(steps))  # on every rank: it refuses more steps than there is data for
    if is_main():
        click.echo(table, err=True)
        click.echo(format_waste(source.settings.packing, source.waste()), err=True)


@train.command("report", short_help="Write the HTML report of a run.")
@click.argument("run", type=EXISTING_RUN)
def report_command(run: Path) -> None:
    """Write RUN/report.html: loss, domains, learning rate, speed, experts. Also while the run trains."""
    from trainer.reports.run_report import write_run_report

    click.echo(write_run_report(run))


@train.command("anneal", short_help="Decay the learning rate on better data.")
@click.argument("run", type=EXISTING_RUN)
@click.option("--output", type=FOLDER, required=True, help="Folder of the annealed run.")
@click.option("--config", type=EXISTING_FILE, help="TOML file; see `gristmill train settings --of anneal`.")
@click.option(
    "--control", is_flag=True, help="Anneal on the run's own mixture, from where it stopped, to compare with."
)
@key_option("steps=200, min_quality=0.5, ...")
def anneal_command(run: Path, output: Path, config: Path | None, control: bool, changes: tuple[str, ...]) -> None:
    """Decay the learning rate of RUN (or of any checkpoint) to 0 on better data, or extend its context.

    Validated on the documents held out of RUN's own data, with --control and without, so the two can be compared.
    """
    from trainer.config import read_config
    from trainer.errors import UserError
    from trainer.tasks.anneal import AnnealSettings, anneal, build_run_settings
    from trainer.tasks.pretrain_inputs import open_pretrain_inputs
    from trainer.tasks.pretrain_settings import read_run_state

    check_run_folder(output)
    if run.resolve().is_relative_to(output.resolve()):
        raise UserError(f"{output}: is the run to anneal; choose a new folder")
    source = None if config is None else str(config)
    stage = read_config(AnnealSettings, source, [*changes, *(["control=true"] if control else [])])
    state = read_run_state(run)
    opened = open_pretrain_inputs(build_run_settings(stage, state))
    control_stage = stage.model_copy(update={"control": True})
    control_run = opened if stage.control else open_pretrain_inputs(build_run_settings(control_stage, state))
    _echo_mixture(opened.source, stage.steps)
    result = anneal(
        opened.settings,
        run,
        opened.source,
        output,
        tokenizer=opened.tokenizer,
        validation=control_run.validation,
        neighbors=opened.neighbors,
    )
    if is_main():
        click.echo(f"{result.checkpoint}: {result.steps:,} steps, loss {result.loss:.4f}")


@train.command("import", short_help="Make a run of a Hugging Face model folder.")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--output", type=FOLDER, required=True, help="Run directory, with the model as its checkpoint of step 0.")
def import_command(folder: Path, output: Path) -> None:
    """Read the weights and tokenizer of FOLDER (Llama's or Mixtral's layout, safetensors) as a run.

    To continue it: gristmill train pretrain RUN --start RUN --data DATASET --output NEW.
    """
    from trainer.files import check_output
    from trainer.tasks.import_model import import_hugging_face

    check_output(output)  # new or empty: a run is never replaced
    click.echo(import_hugging_face(folder, output))


@train.command("export", short_help="Write a Hugging Face model folder.")
@click.argument("run", type=EXISTING_RUN)
@click.option("--output", type=FOLDER, required=True, help="Folder for the model, its configuration and tokenizer.")
@click.option("--adapters", type=FOLDER, help="Folder for the adapters, apart from the model, in PEFT's layout.")
@click.option("--overwrite", is_flag=True, help="Replace the model, and the adapters, in folders that hold such.")
@click.option("--bfloat16", is_flag=True, help="Half the size, rounded; the default keeps float32.")
def export_command(run: Path, output: Path, adapters: Path | None, overwrite: bool, bfloat16: bool) -> None:
    """Write RUN's model as a Hugging Face folder (Llama's layout, or Mixtral's for sparse models).

    Adapters are merged, or written to a folder of their own beside the model that they were trained on. A reward model
    becomes a sequence classification model. A model that was fine-tuned on conversations gets its chat template, and
    stops at the end of an answer.
    """
    from trainer.chat.chat_template import ChatTemplate
    from trainer.data.tokenizer import load_tokenizer
    from trainer.files import holds_keys, write_atomically
    from trainer.model.hugging_face import IMPORTED_FILES, ExportType, export_to_hugging_face
    from trainer.model.lora import is_adapter
    from trainer.model.peft_adapters import write_adapters
    from trainer.tasks.assistant_export import is_assistant, write_chat_files
    from trainer.tasks.pretrain_settings import read_pretrain_settings
    from trainer.training.checkpoint import find_checkpoint, read_texts
    from trainer.training.saved_model import SavedModel, read_saved_model

    _check_export(output, "a model", holds_keys(output / "config.json", "model_type", "architectures"), overwrite)
    if adapters is not None:
        _check_export(adapters, "adapters", holds_keys(adapters / "adapter_config.json", "peft_type"), overwrite)
        write_adapters(*read_saved_model(run, merged=False), adapters, base=str(output))
    path = read_pretrain_settings(str(run)).tokenizer
    tokenizer = load_tokenizer(path)
    saved, dtype = read_saved_model(run), ExportType.BFLOAT16 if bfloat16 else ExportType.FLOAT32
    if adapters is not None:
        settings, weights = read_saved_model(run, merged=False)
        saved = SavedModel(settings, (pair for pair in weights if not is_adapter(pair[0])))
    separator, pad = tokenizer.separator, tokenizer.pad
    export_to_hugging_face(*saved, output, tokenizer=path, separator=separator, pad=pad, dtype=dtype)
    for name, text in read_texts(find_checkpoint(run), IMPORTED_FILES).items():  # of an imported model, as they were
        write_atomically(output / name, text)
    if is_assistant(run):
        write_chat_files(output, ChatTemplate(tokenizer))
    click.echo(output)


def _check_export(folder: Path, what: str, holds_it: bool, overwrite: bool) -> None:
    """Refuse a folder with files of others, and without `overwrite` one that holds what is exported."""
    from trainer.errors import UserError
    from trainer.files import check_output

    if holds_it and not overwrite:
        raise UserError(f"{folder}: holds {what}; choose a new folder, or --overwrite to replace")
    check_output(folder, is_ours=holds_it)


@train.command("generate", short_help="Generate text with a model.")
@click.argument("run", type=EXISTING_RUN)
@click.argument("prompts", nargs=-1)
@click.option("--no-neighbors", is_flag=True, help="Let a model that reads retrieved neighbors read none.")
@key_option("max_new_tokens=200, temperature=0.8, seed=1, ...")
def generate_command(run: Path, prompts: tuple[str, ...], no_neighbors: bool, changes: tuple[str, ...]) -> None:
    """Continue PROMPTS with RUN's model; without a prompt, generate from an empty text.

    A model trained by denoising (tiny-t5) fills in sentinels: "The river <|sentinel_0|> to the sea".
    """
    from trainer.config import read_config
    from trainer.data.tokenizer import load_tokenizer
    from trainer.retrieval.neighbors import open_finder
    from trainer.rollouts.generate import GenerateSettings, generate_text
    from trainer.tasks.pretrain_settings import read_pretrain_settings
    from trainer.training.saved_model import load_model

    settings, run_settings = read_config(GenerateSettings, None, changes), read_pretrain_settings(str(run))
    model, tokenizer = load_model(run, pick_device()), load_tokenizer(run_settings.tokenizer)
    denoises = bool(run_settings.objective.denoisers)
    log, retro = partial(click.echo, err=True), run_settings.model.retro
    finder = None
    if retro is not None and not no_neighbors:
        finder = open_finder(run_settings.retrieval, retro, tokenizer.sha256).find_for_prompts
    for text in generate_text(
        model, tokenizer, prompts or ("",), settings, denoises=denoises, neighbors=finder, log=log
    ):
        click.echo(escape_controls(text))
