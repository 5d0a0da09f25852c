"""The model that a command names: a run's folder, or the address of an endpoint."""

from __future__ import annotations

from pathlib import Path

from trainer.chat.chat_template import ChatTemplate
from trainer.errors import UserError
from trainer.rollouts.endpoint import Endpoint, EndpointSettings
from trainer.rollouts.generator import Generator, LocalGenerator
from trainer.tasks.start_model import open_start
from trainer.training.saved_model import load_decoder


def open_generator(source: str, settings: EndpointSettings, device: str) -> Generator:
    """Raises UserError where there is neither."""
    if "://" in source:
        return Endpoint(source, settings)
    if not Path(source).is_dir():
        raise UserError(f"{source}: neither a run nor an address such as http://127.0.0.1:8322/v1")
    run = Path(source)
    return LocalGenerator(run.resolve().name, load_decoder(run, device), ChatTemplate(open_start(run).tokenizer))
