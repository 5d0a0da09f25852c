"""Imports point one way, extras suffice for what they promise, and every docstring's example is true."""

from __future__ import annotations

import ast
import doctest
import graphlib
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture import PACKAGES, module_names
from tests.conftest import ROOT

FORBIDDEN = {
    "classifiers": {"apache_beam", "pipeline", "trainer", "torch"},
    "trainer": {"apache_beam", "pipeline", "classifiers"},
    "pipeline": {"trainer", "torch"},
}


def imports_of(path: Path) -> set[str]:
    """Top-level packages that the file imports, anywhere in it."""
    return {name.split(".")[0] for name in modules_of(path)}


def modules_of(path: Path) -> set[str]:
    """Modules that the file imports, anywhere in it; for `from a import b` both a and a.b."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_no_import_points_the_wrong_way(package):
    wrong = {
        str(path.relative_to(ROOT)): sorted(imports_of(path) & FORBIDDEN[package])
        for path in (ROOT / package).rglob("*.py")
        if imports_of(path) & FORBIDDEN[package]
    }
    assert wrong == {}


def imports_inside(package: str) -> dict[str, set[str]]:
    """The modules of the package that each of its modules imports."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (ROOT / package).rglob("*.py")
    }
    return {name: modules_of(path) & modules.keys() - {name} for name, path in modules.items()}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_two_modules_need_each_other(package):
    graphlib.TopologicalSorter(imports_inside(package)).prepare()  # raises CycleError, which names the circle


# The rooms of each package, from top to bottom: a room imports only rooms below it. A room is a folder or a module at
# the package's root; the `settings` modules of all folders count as the room `settings`.
ROOMS = {
    "pipeline": [
        "cli", "run_commands", "release_commands", "notify", "explore", "whatif", "rerun", "scrub", "curate", "reuse",
        "prepare", "deduplicate",
        "publish", "release", "inspection", "reports", "page_process", "publishing", "config", "presets",
        "deduplication", "engines", "stages", "extraction", "rights", "heuristics", "lists", "pii", "reading",
        "storage", "ledger", "documents", "markdown_signs", "text", "settings", "stop", "errors", "effects",
    ],
    "classifiers": [
        "cli", "score_columns", "evaluation", "training", "domain", "harm", "language", "quality", "education",
        "extraction", "data", "estimators", "artifacts", "outputs", "close_languages", "language_codes",
        "domain_labels", "urls", "public_suffixes", "errors",
    ],
    "trainer": [
        "cli", "commands", "serving", "studies", "tasks", "evaluation", "rollouts", "reports", "retrieval", "training",
        "contamination", "chat", "model", "losses", "data", "config", "files", "settings", "errors",
    ],
}  # fmt: skip
# A page stage is a function of one record: it knows neither who calls it nor where files are.
STRANGERS = {"stages": {"engines", "storage", "ledger", "deduplication", "publishing"}}


def room_of(module: str) -> str:
    """`pipeline.stages.scrub_pii` -> "stages"; "" for the package itself."""
    _, *parts = module.split(".")
    is_settings = len(parts) == 2 and parts[1] == "settings" and parts[0] != "commands"
    return "settings" if is_settings else (parts[0] if parts else "")


def imports_between_rooms(package: str) -> dict[tuple[str, str], set[str]]:
    """Pairs of rooms, the first importing the second, with the modules of the first that do."""
    found: dict[tuple[str, str], set[str]] = {}
    needs = imports_inside(package)
    for module, imported in needs.items():
        folder = module.rpartition(".")[0]
        for other in imported:
            pair = room_of(module), room_of(other)
            if pair[0] != pair[1] and "" not in pair and folder != other.rpartition(".")[0]:
                found.setdefault(pair, set()).add(f"{module} -> {other}")
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_no_room_imports_a_room_above_it(package):
    order = ROOMS[package]
    up = {
        pair: names
        for pair, names in imports_between_rooms(package).items()
        if order.index(pair[0]) > order.index(pair[1])
    }
    assert up == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_room_is_in_the_order(package):
    rooms = {room_of(name) for name in module_names(package)} - {""}
    assert rooms == set(ROOMS[package])


@pytest.mark.parametrize("room", STRANGERS)
def test_some_rooms_do_not_know_each_other(room):
    assert {
        pair for pair in imports_between_rooms("pipeline") if pair[0] == room and pair[1] in STRANGERS[room]
    } == set()


NO_STAGES = ("order", "protocol")
STAGES = [path for path in sorted((ROOT / "pipeline" / "stages").glob("[a-z]*.py")) if path.stem not in NO_STAGES]


@pytest.mark.parametrize("stage", STAGES, ids=lambda path: path.stem)
def test_a_page_stage_knows_nothing_of_beam(stage):
    assert "apache_beam" not in imports_of(stage)


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("pipeline.curate", ["torch", "trainer"]),
        ("trainer.cli", ["apache_beam", "pipeline", "trafilatura"]),
        ("classifiers.cli", ["apache_beam", "pipeline", "torch"]),
    ],
)
def test_what_another_extra_installs_is_not_needed(module, absent):
    code = f"import sys\nfor name in {absent}: sys.modules[name] = None\nimport {module}"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)


@pytest.mark.parametrize("name", [name for package in PACKAGES for name in module_names(package)])
def test_examples_in_docstrings_are_true(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


# Effects on the world: only pipeline/effects.py calls these, so that tests can make any of them fail.
EFFECTS = {
    "": {"open"},
    "os": {"chmod", "fsync", "link", "listdir", "makedirs", "mkdir", "mkfifo", "open", "readlink", "remove", "rename",
           "renames", "replace", "rmdir", "scandir", "stat", "symlink", "system", "truncate", "umask", "unlink", "walk",
           "write"},
    "os.path": {"exists", "getmtime", "getsize", "isdir", "isfile", "islink"},
    "shutil": {"copy", "copyfile", "copyfileobj", "copytree", "disk_usage", "move", "rmtree"},
    "subprocess": {"Popen", "call", "check_call", "check_output", "run"},
    "tempfile": {"NamedTemporaryFile", "TemporaryDirectory", "TemporaryFile", "mkdtemp", "mkstemp"},
    "time": {"monotonic", "sleep", "time"},
    "glob": {"glob", "iglob"},
    "gzip": {"open"},
    "sqlite3": {"connect"},
    "tarfile": {"open"},
}  # fmt: skip
OF_PATHS = {"exists", "glob", "hardlink_to", "is_dir", "is_file", "is_symlink", "iterdir", "lstat", "mkdir",
            "read_bytes", "read_text", "readlink", "rename", "rglob", "rmdir", "stat", "symlink_to", "touch", "unlink",
            "write_bytes", "write_text"}  # fmt: skip
OTHERS = {"effects", "storage", "filesystem"}  # whose functions of these names are no methods of paths
MAY_CALL_THE_SYSTEM = {
    "effects.py",
    "stop.py",  # ends this process
    "explore/judge.py",  # the votes are a database, whose library opens its file; no run reads or writes it
    "engines/job_server.py",  # starts a server of another product; tests kill real ones
    "inspection/plan.py",  # reads /proc for its own memory
    "lists/words/build_reference.py",  # a script that writes a list of this package
}


def effects_in(source: str) -> list[str]:
    """Calls of the operating system; those of an open file, `fileobj`, are none."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and not any(keyword.arg == "fileobj" for keyword in node.keywords):
            owner, _, name = ast.unparse(node.func).rpartition(".")
            if name in EFFECTS.get(owner, ()) or (owner and name in OF_PATHS and owner not in OTHERS):
                found.append(f"{node.lineno}: {ast.unparse(node.func)}")
    return found


def test_every_effect_on_the_world_passes_one_module():
    others = [
        path for path in source_files("pipeline") if str(path.relative_to(ROOT / "pipeline")) not in MAY_CALL_THE_SYSTEM
    ]
    found = {str(path.relative_to(ROOT)): effects_in(path.read_text(encoding="utf-8")) for path in others}
    called = {path: calls for path, calls in found.items() if calls}
    assert called == {}, "call pipeline.effects (or pipeline.storage)"


@pytest.mark.parametrize(
    ("line", "is_effect"),
    [
        ("open(path)", True),
        ("os.readlink(path)", True),
        ("self.path.exists()", True),
        ("(folder / name).is_file()", True),
        ("Path(path).rglob('*')", True),
        ("tarfile.open(path)", True),
        ("sqlite3.connect(path)", True),
        ("tarfile.open(fileobj=file)", False),
        ("storage.exists(path)", False),
        ("effects.rename(old, new)", False),
        ("text.replace('a', 'b')", False),
    ],
)
def test_calls_of_the_system_are_found(line, is_effect):
    assert bool(effects_in(line)) == is_effect


def source_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py")]


def test_no_file_holds_two_ideas():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in source_files(*PACKAGES, "tests")}
    assert {str(path.relative_to(ROOT)): count for path, count in lines.items() if count > 500} == {}


def test_every_package_says_what_is_in_it():
    packages = [path for path in source_files(*PACKAGES) if path.name == "__init__.py"]
    assert [str(path) for path in packages if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))] == []


def test_no_module_or_function_has_a_name_that_importers_change():
    renamed = [
        f"{path.relative_to(ROOT)}: {alias.name} as {alias.asname}"
        for path in source_files(*PACKAGES)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES
        for alias in node.names
        if alias.asname
    ]
    assert renamed == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_two_classes_of_a_package_have_one_name(package):
    classes: dict[str, list[str]] = {}
    for path in source_files(package):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                classes.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in classes.items() if len(paths) > 1} == {}
