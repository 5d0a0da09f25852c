"""Every command block of the README runs as it stands; what needs the internet meets a server on this machine."""

from __future__ import annotations

import gzip
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import boto3
import fasttext
import pyarrow.dataset as ds
import pytest
from moto.server import ThreadedMotoServer

from tests.conftest import MINICRAWL, ROOT
from tests.pipeline.servers import serve
from trainer.cli import train
from trainer.commands.settings_commands import CLASSES
from trainer.config import read_config

CRAWL = "crawl-data/CC-MAIN-2026-43"
BLOCKS = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
COMMANDS = [line.split("  #")[0].strip() for block in BLOCKS for line in block.splitlines() if line.strip()]


def test_the_tests_that_hold_the_promises_exist():
    table = (ROOT / "README.md").read_text().partition("## Promises")[2].partition("\n## ")[0]
    named = re.findall(r"`(tests/[\w/.]+)(?:::(\w+))?`", table)
    assert len(named) > 15
    for path, name in named:
        assert f"def {name or 'test_'}" in (ROOT / path).read_text(), path


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A folder as a reader has it: a WARC file, our commands on the path, Common Crawl within reach."""
    home = tmp_path_factory.mktemp("reader")
    warcs = sorted(MINICRAWL.glob("*.warc.gz"), key=lambda path: path.stat().st_size)
    with_licenses = (MINICRAWL / "minicrawl-00006.warc.gz").read_bytes()
    (home / "crawl.warc.gz").write_bytes(warcs[-1].read_bytes() + with_licenses)
    (home / "requests.txt").write_text("# asked for in May\nprefix  https://example.net/people/\n")
    mirror = home / "mirror"
    folder = mirror / CRAWL / "segments/1/warc"
    folder.mkdir(parents=True)
    shutil.copy(warcs[0], folder / "a.warc.gz")
    shutil.copy(warcs[1], folder / "b.warc.gz")
    paths = "".join(f"{CRAWL}/segments/1/warc/{name}.warc.gz\n" for name in "ab")
    (mirror / CRAWL / "warc.paths.gz").write_bytes(gzip.compress(paths.encode(), mtime=0))
    write_documents(home)
    bucket = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    bucket.start()
    host, port = bucket.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    s3 = boto3.client("s3", endpoint_url=endpoint, aws_access_key_id="test", aws_secret_access_key="test",
                      region_name="us-east-1")  # fmt: skip
    s3.create_bucket(Bucket="commoncrawl")
    s3.upload_file(str(folder / "a.warc.gz"), "commoncrawl", f"{CRAWL}/segments/1/warc/a.warc.gz")
    environment = {
        **os.environ,
        **keys,
        "AWS_ENDPOINT_URL": endpoint,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    with serve(mirror) as web:
        yield home, environment, web.url
    bucket.stop()


def write_documents(home: Path) -> None:
    """The files that the README names besides crawls: JSONL, a folder of HTML, an evaluation set, a fastText model."""
    text = (
        "The river rises in the hills behind the village and reaches the sea after forty miles. Its water drove three "
        "mills on the way, and the oldest of them still grinds flour on the first Sunday of each month.\n\n"
        "Children from the school walk up to the weir in spring to count the eels that climb it. The miller, who is "
        "eighty, tells them how the wheel was carried off by the flood of 1953 and found in a meadow a week later.\n\n"
        "In summer the water is low, so the stones are dressed and the leaking sluice is mended. A trust pays for the "
        "oak, and the visitors who buy bread and honey at the door pay for nearly everything else that is needed."
    )
    record = json.dumps({"text": text, "url": "https://river.example/", "timestamp": "2019-04-25T12:57:54Z"})
    (home / "c4-train.00000.json.gz").write_bytes(gzip.compress(record.encode()))
    (home / "site/river.example").mkdir(parents=True)
    (home / "site/river.example/index.html").write_text(f"<title>River</title><p>{text}</p>")
    (home / "gsm8k.jsonl").write_text(
        json.dumps({"question": "How many mills does the river drive on its way?"}) + "\n"
    )
    (home / "lines.txt").write_text(f"__label__hq {' '.join(text.split())}\n__label__cc buy now click here\n")
    model = fasttext.train_supervised(str(home / "lines.txt"), dim=4, epoch=1, thread=1, verbose=0)
    model.save_model(str(home / "quality.bin"))


def run(command: str, reader) -> str:
    home, environment, address = reader
    command = command.replace("https://data.commoncrawl.org/", f"{address}/")
    if "https://example.org/" in command:  # a page that the reader has; ours stands for it
        url = ds.dataset(home / "curated/shards").head(1, columns=["url"])["url"][0].as_py()
        command = re.sub(r"https://example\.org/\S+", url, command)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert "ends in its warm-up" not in done.stdout + done.stderr, command  # an example that never trains
    return done.stdout


def test_there_are_commands_to_test():
    assert len(COMMANDS) >= 10


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_command_of_the_readme_runs(reader):
    for command in COMMANDS:
        if not command.startswith("make "):
            run(command, reader)


def test_make_knows_the_targets_that_the_readme_names():
    for command in COMMANDS:
        if command.startswith("make "):
            subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_make_demo_ends_with_the_funnel_and_where_things_are(tmp_path):
    venv = Path(sys.prefix)
    done = subprocess.run(
        ["make", "demo", "--assume-old=install", f"VENV={venv}", f"DEMO={tmp_path / 'demo'}", "STEPS=20"],
        cwd=ROOT, capture_output=True, text=True, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("pages read", "kept", "shards", "report.html", "import pyarrow.dataset as ds"):
        assert part in done.stdout
    assert (tmp_path / "demo/curated/manifest.json").exists()
    assert (tmp_path / "demo/model/checkpoints/step-00000020").is_dir()


def test_the_stages_of_demo_assistant_have_settings_that_are_read(tmp_path):
    """The target takes minutes; its commands and their settings are checked without running them."""
    given = ["--assume-old=install", f"DEMO={tmp_path}", "EXAMS="]
    done = subprocess.run(
        ["make", "demo-assistant", "--dry-run", *given], cwd=ROOT, capture_output=True, text=True, check=True
    )
    lines = [shlex.split(line) for line in done.stdout.replace("\\\n", " ").splitlines() if "gristmill train" in line]
    stages = [line[2:] for line in lines if "assistant" in " ".join(line)]
    names = [name for name, *_ in stages]
    assert [names.count(name) for name in ("sft", "reward", "dpo", "grpo", "ppo")] == [3, 1, 2, 2, 4]
    assert names[-1] == "compare-assistants"
    outputs = [line[line.index("--output") + 1] for line in stages if "--output" in line]
    assert all(
        f"={path}" in " ".join(stages[-1]) or path.endswith(("jsonl", "reward", "comparison")) for path in outputs
    )
    for name, *words in stages:
        command = train.commands[name]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options
        if name != "make-tasks":
            module, settings = CLASSES[name]
            config = words[words.index("--config") + 1] if "--config" in words else None
            changes = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
            read_config(getattr(importlib.import_module(module), settings), config and str(ROOT / config), changes)
