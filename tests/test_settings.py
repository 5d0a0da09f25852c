"""Every setting has a description and a default, and both packages read settings alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import click
import pytest
from pydantic import BaseModel, Field, ValidationError

import pipeline.settings
import trainer.settings
from pipeline.config import load_config
from pipeline.config import to_toml as pipeline_toml
from tests.architecture import import_modules
from trainer.config import read_config
from trainer.config import to_toml as trainer_toml
from trainer.tasks.pretrain_settings import PretrainSettings

BASES: dict[str, type[BaseModel]] = {"pipeline": pipeline.settings.Settings, "trainer": trainer.settings.Settings}
# Settings without a default: a table or command that leaves them out is refused.
REQUIRED = {
    "pipeline.lists.annotations.Annotation.path",
    "pipeline.settings.ListFile.path",
    "pipeline.stages.block_urls.Ut1.path",
    "trainer.data.sources.SourceSettings.path",
    "trainer.retrieval.neighbors.NeighborSettings.database",
}


def find_settings(package: str) -> Iterator[type[BaseModel]]:
    """Every settings class that a module of the package defines."""
    import_modules(package)
    kinds = [BASES[package]]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        if kind.__module__.split(".")[0] == package and kind is not BASES[package]:
            yield kind


def is_explained(field: Any) -> bool:
    """By its own description; a table also by its class's docstring."""
    kind = field.annotation
    is_table = isinstance(kind, type) and issubclass(kind, BaseModel)
    return bool(field.description) or (is_table and bool(kind.__dict__.get("__doc__")))


@pytest.mark.parametrize("package", BASES)
def test_every_setting_has_a_description_and_a_default(package: str) -> None:
    fields = {
        f"{kind.__module__}.{kind.__name__}.{name}": field
        for kind in find_settings(package)
        for name, field in kind.model_fields.items()
    }
    assert len(fields) > 60
    assert [name for name, field in fields.items() if not is_explained(field)] == []
    assert {name for name, field in fields.items() if field.is_required()} == {
        name for name in REQUIRED if name.startswith(package)
    }


@pytest.mark.parametrize("package", BASES)
def test_no_two_settings_classes_have_one_name(package: str) -> None:
    names = [kind.__name__ for kind in find_settings(package)]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("settings", [pipeline.settings, trainer.settings], ids=BASES)
def test_both_packages_refuse_alike(settings: Any) -> None:
    class Limits(settings.Settings):  # type: ignore[name-defined,misc]
        min_words: int | None = 5
        max_words: int | None = 9
        strict: bool = True
        pages: int = Field(1, ge=0)

    class Table(settings.Settings):  # type: ignore[name-defined,misc]
        limits: Limits = Limits()
        named: dict[str, Limits] = Field(default_factory=dict)
        engine: Literal["local", "spark"] = "local"
        names: tuple[str, ...] = ()
        numbers: frozenset[int] | None = None

    for text in ("de,fr", "de, fr", "[de,fr]", '["de", "fr"]', ["de", "fr"]):
        assert Table.model_validate({"names": text}).names == ("de", "fr")
    assert Table.model_validate({"names": "de"}).names == ("de",)
    assert Table.model_validate({"numbers": 3}).numbers == {3}
    assert Table.model_validate({"numbers": "3,4"}).numbers == {3, 4}
    read = Limits.model_validate({"min_words": "off", "strict": "off"})
    assert (read.min_words, read.strict) == (None, False)
    for values, message in [
        ({"limits": {"min_wrods": 1}}, "limits.min_wrods: unknown key; did you mean min_words?"),
        ({"named": {"a": {"mx_words": 1}}}, "named.a.mx_words: unknown key; did you mean max_words?"),
        ({"zzz": 1}, "zzz: unknown key"),
        ({"limits": {"limit": 1}}, "limits.limit: unknown key;;"),
        ({"limts": 1}, "limts: unknown key;;"),
        ({"limts": {"pages": 1}}, "limts: unknown key; did you mean limits?"),
        ({"mx_words": 1}, "mx_words: unknown key; did you mean limits.max_words?"),
        ({"limits": {"pages": "off"}}, "limits.pages: must have a value, it cannot be off"),
        ({"limits": {"pages": -1}}, "limits.pages: must be at least 0, not -1"),
        ({"limits": {"pages": "many"}}, "limits.pages: must be a whole number, not 'many'"),
        ({"limits": 7}, "limits: must be a table of settings, not 7"),
        ({"engine": "sprk"}, "engine: must be 'local' or 'spark', not 'sprk'; did you mean spark?"),
        ({"limits": {"min_words": 10}}, "limits: min_words (10) is above max_words (9): nothing could pass"),
    ]:
        with pytest.raises(ValidationError) as caught:
            Table.model_validate(values)
        assert f"{settings.explain_refusal(Table, caught.value)};;".startswith(message)


def leaves(settings: BaseModel, above: str = "") -> Iterator[str]:
    """The path of every setting that is no table."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, f"{above}{name}.")
        else:
            yield above + name


def read_pretrain(path: Path | None, changes: Sequence[str] = ()) -> PretrainSettings:
    return read_config(PretrainSettings, path and str(path), changes)


READERS: list[Any] = [load_config, read_pretrain]


@pytest.mark.parametrize("read", READERS, ids=BASES)
@pytest.mark.parametrize("value", ["{x=1}", "[{x=1}]", "1979-05-27", "[[1]]", "nonsense_1"])
def test_a_refusal_names_the_setting_and_no_class(read: Any, value: str) -> None:
    paths = list(leaves(read(None)))
    assert len(paths) > 40
    refused = 0
    for path in paths:
        try:
            read(None, [f"{path}={value}"])
        except click.ClickException as error:
            refused += 1
            message = error.format_message()
            assert path.rpartition(".")[0] in message
            assert not re.search(
                r"Input should|Settings\b|validation error|instance of|datetime|Extra inputs|\n", message
            ), message
    assert refused > len(paths) / 3


@pytest.mark.parametrize(
    ("to_toml", "read"),
    [
        (pipeline_toml, load_config),
        (trainer_toml, read_pretrain),
    ],
    ids=BASES,
)
def test_printed_settings_read_back(to_toml: Callable[..., str], read: Callable[..., Any], tmp_path: Path) -> None:
    settings = read(None)
    (tmp_path / "all.toml").write_text(to_toml(settings))
    assert read(tmp_path / "all.toml") == settings
