"""Provenance: settings, files and versions in the manifest."""

from __future__ import annotations

import json

from pipeline.config import Config
from pipeline.publishing.provenance import file_digests, settings_as_json, versions


def test_settings_are_plain_json_and_name_no_folder_of_this_machine():
    text = json.dumps(settings_as_json(Config()))
    assert "site-packages" not in text
    assert "/pipeline/" not in text.replace('"pipeline/', "")


def test_previous_sketches_have_the_same_names_on_every_machine():
    folders = (
        "out/CC-MAIN-2026-43/sketches",
        "/data/out/CC-MAIN-2026-43/sketches/",
        "s3://out/CC-MAIN-2026-43/sketches",
    )
    for folder in folders:
        config = Config.model_validate({"deduplicate": {"previous_sketches": [folder]}})
        assert settings_as_json(config)["deduplicate"]["previous_sketches"] == ["CC-MAIN-2026-43/sketches"]


def test_addresses_of_lists_are_without_passwords():
    address = "https://me:S3CRET@lists.example/hosts.parquet?key=S3CRET"
    lists = {"block_urls": {"annotations": [{"path": address}]}, "suppress": {"lists": [address]}}
    stored = settings_as_json(Config.model_validate(lists))
    assert stored["block_urls"]["annotations"][0]["path"] == "lists.example/hosts.parquet"
    assert stored["suppress"]["lists"] == ["lists.example/hosts.parquet"]


def test_lists_and_models_are_hashed():
    files = file_digests(Config())
    assert any(name.startswith("score_quality:classifiers/models/quality/") for name in files)
    assert all(len(digest) == 64 for digest in files.values())


def test_versions_name_the_code_and_the_extractor():
    assert {"gristmill", "code", "trafilatura", "pyarrow"} <= versions().keys()
