"""A model as a folder: its files, `manifest.json`, and a model card.

Loading verifies the SHA-256 of every file, and that the model was trained on the text features that this code computes;
otherwise it raises an error that says what to do. Files are fastText binaries, NumPy arrays, word lists and JSON;
nothing is unpickled.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from classifiers.errors import UserError

MODELS = Path(__file__).parent / "models"  # the defaults, shipped as package data
MANIFEST = "manifest.json"
CARD = "README.md"


class ArtifactError(UserError):
    """The folder holds no model that this code can use."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TrainingData(_Record):
    """One data set that the model was trained or tested on."""

    name: str
    role: str  # positives, negatives, labels, ...
    rows: int
    sha256: str  # over the rows' ids and labels, in order
    license: str


class Manifest(_Record):
    """The content of `manifest.json`."""

    name: str  # quality, domain, language or harm
    version: str
    feature_version: int  # `classifiers.estimators.features.FEATURE_VERSION` at training
    files: dict[str, str]  # name -> SHA-256
    labels: dict[str, tuple[str, ...]]  # head -> labels; quality, harm and language have one head
    threshold: dict[str, float]  # head -> score below which a prediction is not used
    calibration: dict[str, Any]
    training_data: tuple[TrainingData, ...]
    metrics: dict[str, float]
    license: str
    command: str  # reproduces the same bytes


@dataclass(frozen=True, slots=True)
class Artifact:
    """A verified model folder."""

    folder: Path
    manifest: Manifest

    def path(self, name: str) -> Path:
        """The path of a file that the manifest lists; such files have been verified."""
        if name not in self.manifest.files:
            raise ArtifactError(f"{self.folder / MANIFEST} lists no file {name!r}: this is not a model of that kind")
        return self.folder / name

    def json(self, name: str) -> Any:
        return json.loads(self.path(name).read_text(encoding="utf-8"))


def default_folder(name: str) -> Path:
    """The folder of the shipped model of that name."""
    return MODELS / name


def model_files(folder: Path) -> list[Path]:
    """Every file in a model's folder, for a run's fingerprint."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such model folder")
    return sorted(path for path in folder.iterdir() if path.is_file())


def written_files(folder: Path, name: str) -> list[str]:
    """The files of the model of that name in a folder, which a new one of the name replaces; none without a model."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return []
    return [*manifest.files, MANIFEST, CARD] if manifest.name == name else []


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        digest = sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def load_artifact(folder: Path, name: str, feature_version: int) -> Artifact:
    """The verified model in `folder`; raises ArtifactError when files, hashes, name or features differ."""
    path = folder / MANIFEST
    if not path.is_file():
        raise ArtifactError(f"{folder} holds no {MANIFEST}: name a model folder, or leave it out for the default")
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ArtifactError(
            f"{path} is damaged at {where or 'its start'}: {first['msg']}; train the model again"
        ) from None
    if manifest.name != name:
        raise ArtifactError(f"{folder} holds a {manifest.name} model where a {name} model is needed")
    if manifest.feature_version != feature_version:
        raise ArtifactError(
            f"{folder} was trained on text features {manifest.feature_version}, this code computes {feature_version}: "
            f"train it again with `gristmill classify train {name}`"
        )
    for file, expected in manifest.files.items():
        _verify(folder, file, expected)
    return Artifact(folder, manifest)


def _verify(folder: Path, file: str, expected: str) -> None:
    path = folder / file
    if Path(file).name != file:
        raise ArtifactError(f"{folder / MANIFEST} names {file!r}, which lies outside the folder")
    if not path.is_file():
        raise ArtifactError(
            f"{path} is missing though {MANIFEST} lists it: restore the folder or train the model again"
        )
    if (found := digest_of(path)) != expected:
        raise ArtifactError(
            f"{path} has SHA-256 {found[:12]}..., {MANIFEST} says {expected[:12]}...: the file was changed or damaged; "
            "restore it or train the model again"
        )


def save_manifest(folder: Path, manifest: Manifest, prose: str) -> None:
    """Write `manifest.json` and the model card; the same content gives the same bytes."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False)
    (folder / CARD).write_text(_card(manifest, prose), encoding="utf-8")
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def _card(manifest: Manifest, prose: str) -> str:
    thresholds = ", ".join(f"{head} {value}" for head, value in manifest.threshold.items())
    lines = [prose.strip(), "", "## Facts", "", f"- Version {manifest.version}, features {manifest.feature_version}"]
    lines += [f"- Threshold: {thresholds}", f"- License: {manifest.license}", f"- Made by `{manifest.command}`", ""]
    if manifest.metrics:
        lines += ["## Measured on unseen domains by that command", "", "| measure | value |", "|---|---|"]
        lines += [f"| {name} | {value:g} |" for name, value in manifest.metrics.items()] + [""]
    lines += ["## Made from", "", "| data | role | rows | license |", "|---|---|---|---|"]
    lines += [f"| {data.name} | {data.role} | {data.rows} | {data.license} |" for data in manifest.training_data]
    return "\n".join(lines) + "\n"
