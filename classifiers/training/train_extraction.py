"""Train the extraction model: weights of names, the forest over blocks, and the page types.

The forests are CatBoost's oblivious trees with their leaves rounded to integers; CatBoost is needed here only. The
features that the forests learn from are out of fold: the weights of names come from other registered domains.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from classifiers.artifacts import Manifest, TrainingData, digest_of, load_artifact, save_manifest
from classifiers.extraction.blocks import PageBlocks
from classifiers.extraction.choose import ONE
from classifiers.extraction.features import FEATURE_VERSION, FEATURES, PAGE_FEATURES, block_features
from classifiers.extraction.forest import Forest
from classifiers.extraction.model import NAME, PAGE_TYPES, ExtractionModel
from classifiers.extraction.names import NameWeights, name_tokens
from classifiers.training.recipe_extraction import FOLDS, Sample

TREES, DEPTH = 300, 6
PAGE_TREES, PAGE_DEPTH = 120, 4
SCALE = 1000  # units of a leaf in a log-odd of 1
TABLE_STEP = 16  # units of score in an entry of the table of probabilities
TABLE_LENGTH = 1024
NAME_SCALE = 256  # units of a name's weight in a log-odd of 1
NAME_DOMAINS = 6  # fewest registered domains on which a name is used
NAME_PENALTY = 20.0  # on the squared weights of names
NAME_STEPS = 60
# Half of the blocks are enough, and blocks of a few words are drawn more rarely and count for more.
DENSITY = 0.5
LIGHT = 0.004  # weight of a block that is certainly drawn, but for DENSITY
_BLOCK_SETTINGS = {
    "loss_function": "CrossEntropy", "iterations": TREES, "depth": DEPTH, "learning_rate": 0.1, "rsm": 0.3,
}  # fmt: skip
_PAGE_SETTINGS = {
    "loss_function": "MultiClass", "iterations": PAGE_TREES, "depth": PAGE_DEPTH, "learning_rate": 0.1, "rsm": 0.5,
}  # fmt: skip
_SETTINGS = {
    "l2_leaf_reg": 5, "border_count": 63, "bootstrap_type": "Bernoulli", "subsample": 0.8, "thread_count": 1,
    "random_seed": 1, "verbose": 0, "allow_writing_files": False,
}  # fmt: skip

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class NameTable:
    """Which known names stand around each block of each sample; blocks with the same names share a row."""

    matrix: csr_matrix  # rows x names
    names: tuple[str, ...]
    row: NDArray[np.int64]  # of each block
    page: NDArray[np.int64]  # sample of each block


def train_extraction(samples: Sequence[Sample], folder: Path, card: str, command: str) -> ExtractionModel:
    """Train on all samples and write the model."""
    folder.mkdir(parents=True, exist_ok=True)
    table = find_names(samples)
    everything = np.ones(len(samples), dtype=bool)
    columns, pages = out_of_fold_features(samples, table)
    names = fit_names(samples, table, everything)
    files = {
        "names.json": _json_bytes(dict(sorted(names.items()))),
        "features.json": _json_bytes({"blocks": FEATURES, "page": PAGE_FEATURES}),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    _save(folder / "blocks.npz", {**fit_blocks(samples, columns).arrays(), "probabilities": probability_table()})
    _save(folder / "page_types.npz", fit_page_types(samples, pages).arrays())
    written = (*files, "blocks.npz", "page_types.npz")
    manifest = Manifest(
        name=NAME,
        version=sha256("".join(digest_of(folder / file) for file in written).encode()).hexdigest()[:12],
        feature_version=FEATURE_VERSION,
        files={file: digest_of(folder / file) for file in written},
        labels={"page_type": PAGE_TYPES},
        threshold={},
        calibration={"step": TABLE_STEP, "scale": SCALE},
        training_data=list_training_data(samples),
        metrics={},
        license="Apache-2.0 (weights); made from the data below",
        command=command,
    )
    save_manifest(folder, manifest, card)
    return ExtractionModel(load_artifact(folder, NAME, FEATURE_VERSION))


def _save(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    np.savez_compressed(path, allow_pickle=False, **arrays)


def list_training_data(samples: Sequence[Sample]) -> tuple[TrainingData, ...]:
    groups: dict[str, list[str]] = defaultdict(list)
    for sample in samples:
        groups[sample.source].append(sample.id)
    licenses = {"wcxb": "CC BY 4.0 (M. Foley 2026)", "own": "Apache-2.0 (labels)"}
    pages = "pages belong to their publishers and are not shipped"
    return tuple(
        TrainingData(
            name=source,
            role="main content",
            rows=len(ids),
            sha256=sha256("\n".join(ids).encode()).hexdigest(),
            license=f"{licenses.get(source, 'MIT or Apache-2.0')}; {pages}",
        )
        for source, ids in sorted(groups.items())
    )


def find_names(samples: Sequence[Sample]) -> NameTable:
    """Names that at least NAME_DOMAINS registered domains use, and the blocks that they stand around."""
    domains: dict[str, set[str]] = defaultdict(set)
    around = [_names_around(sample.blocks) for sample in samples]
    for sample, blocks in zip(samples, around, strict=True):
        for name in {name for names in blocks for name in names}:
            domains[name].add(sample.registered_domain)
    names = sorted(name for name, found in domains.items() if len(found) >= NAME_DOMAINS)
    place = {name: number for number, name in enumerate(names)}
    rows: dict[tuple[int, ...], int] = {}
    row = [
        rows.setdefault(tuple(sorted(place[name] for name in found if name in place)), len(rows))
        for blocks in around
        for found in blocks
    ]
    columns = np.array([column for known in rows for column in known], dtype=np.int64)
    of_row = np.repeat(np.arange(len(rows)), list(map(len, rows)))
    matrix = csr_matrix((np.ones(len(columns)), (of_row, columns)), shape=(len(rows), len(names)))
    page = np.repeat(np.arange(len(samples)), [len(sample.shares) for sample in samples])
    return NameTable(matrix, tuple(names), np.array(row), page)


def _names_around(blocks: PageBlocks) -> list[list[str]]:
    chains: list[list[str]] = []
    for parent, name in zip(blocks.parents, blocks.names, strict=True):
        chains.append((chains[parent] if parent >= 0 else []) + name_tokens(name))
    return [
        chains[element] + name_tokens(name) for element, name in zip(blocks.elements, blocks.inline_names, strict=True)
    ]


def fit_names(samples: Sequence[Sample], table: NameTable, use: NDArray[np.bool_]) -> dict[str, int]:
    """The weight of each name in a penalized logistic regression on the blocks of the samples in `use`."""
    weights = np.concatenate([sample.weights for sample in samples]).astype(np.float64)
    used = use[table.page] & (weights > 0)
    weights = weights * used * used.sum() / weights[used].sum()
    is_main = np.concatenate([sample.shares for sample in samples]) >= 0.5
    size = table.matrix.shape[0]
    main, other = (np.bincount(table.row, weights * part, minlength=size) for part in (is_main, ~is_main))
    rows = np.flatnonzero(main + other)
    main, other, matrix = main[rows], other[rows], table.matrix[rows]
    transposed = matrix.T.tocsr()

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = matrix @ parameters[:-1] + parameters[-1]
        likely = 1 / (1 + np.exp(-np.clip(margin, -500, 500)))
        slope = other * likely - main * (1 - likely)
        losses = main * np.logaddexp(0, -margin) + other * np.logaddexp(0, margin)
        value = losses.sum() + NAME_PENALTY / 2 * (parameters[:-1] ** 2).sum()
        return float(value), np.append(transposed @ slope + NAME_PENALTY * parameters[:-1], slope.sum())

    start = np.zeros(len(table.names) + 1)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": NAME_STEPS})
    rounded = np.rint(found.x[:-1] * NAME_SCALE).astype(int).tolist()
    return {name: weight for name, weight in zip(table.names, rounded, strict=True) if weight}


def out_of_fold_features(samples: Sequence[Sample], table: NameTable) -> tuple[list[Matrix], Matrix]:
    """Features of each sample (features x blocks) and of its page, by names' weights from other domains."""
    folds = np.array([sample.fold for sample in samples])
    columns: list[Matrix] = [np.empty((0, 0), dtype=np.float32)] * len(samples)
    pages = np.zeros((len(samples), len(PAGE_FEATURES)), dtype=np.float32)
    for fold in range(FOLDS):
        names = NameWeights(fit_names(samples, table, folds != fold))
        for place in np.flatnonzero(folds == fold).tolist():
            sample = samples[place]
            columns[place], pages[place], _ = block_features(sample.blocks, sample.url, names)
    return columns, pages


def draw_rows(samples: Sequence[Sample], columns: Sequence[Matrix]) -> tuple[Matrix, Matrix, Matrix]:
    """Features, share and weight of the blocks that train."""
    generator = np.random.default_rng(1)
    rows, shares, weights = [], [], []
    for sample, features in zip(samples, columns, strict=True):
        chance = np.minimum(1, sample.weights / LIGHT) * DENSITY
        drawn = generator.random(len(chance)) < chance
        rows.append(features[:, drawn])
        shares.append(sample.shares[drawn])
        weights.append(sample.weights[drawn] / chance[drawn])
    weight = np.concatenate(weights)
    return np.concatenate(rows, axis=1).T, np.concatenate(shares), weight * len(weight) / weight.sum()


def fit_blocks(samples: Sequence[Sample], columns: Sequence[Matrix]) -> Forest:
    """The forest that scores blocks."""
    return _fit(*draw_rows(samples, columns), _BLOCK_SETTINGS)


def fit_page_types(samples: Sequence[Sample], pages: Matrix) -> Forest:
    """The forest that scores page types; types count alike, up to the square root of their pages."""
    known = [place for place, sample in enumerate(samples) if sample.page_type in PAGE_TYPES]
    kinds = [samples[place].page_type for place in known]
    count = Counter(kinds)
    target = np.array([PAGE_TYPES.index(kind) for kind in kinds])
    return _fit(pages[known], target, np.array([count[kind] ** -0.5 for kind in kinds]), _PAGE_SETTINGS)


def _fit(rows: Matrix, target: NDArray[Any], weight: NDArray[Any], settings: dict[str, Any]) -> Forest:
    from catboost import CatBoost, Pool

    model = CatBoost({**_SETTINGS, **settings})
    model.fit(Pool(rows, target, weight=weight))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        return forest_of_catboost(json.loads(path.read_text(encoding="utf-8")))


def forest_of_catboost(model: dict[str, Any]) -> Forest:
    """CatBoost's JSON with integer leaves; levels that a tree lacks never say yes."""
    places = [feature["flat_feature_index"] for feature in model["features_info"]["float_features"]]
    scale, bias = model["scale_and_bias"][0], np.atleast_1d(model["scale_and_bias"][1])
    trees = model["oblivious_trees"]
    levels = max(len(tree["splits"]) for tree in trees)
    outputs = len(bias)
    features = np.zeros((len(trees), levels), dtype=np.int16)
    thresholds = np.full((len(trees), levels), np.inf, dtype=np.float32)
    leaves = np.zeros((len(trees), 2**levels, outputs), dtype=np.int16)
    for number, tree in enumerate(trees):
        for level, split in enumerate(tree["splits"]):
            features[number, level] = places[split["float_feature_index"]]
            thresholds[number, level] = split["border"]
        values = np.rint(np.array(tree["leaf_values"]).reshape(-1, outputs) * scale * SCALE)
        leaves[number, : len(values)] = values
    return Forest(features, thresholds, leaves, np.rint(bias * SCALE).astype(np.int32))


def probability_table() -> NDArray[np.int32]:
    """Probabilities in 1/65536 of the scores around 0, TABLE_STEP apart; `choose.look_up` reads it."""
    scores = (np.arange(TABLE_LENGTH) - TABLE_LENGTH // 2 + 0.5) * TABLE_STEP / SCALE
    return np.rint(ONE / (1 + np.exp(-scores))).astype(np.int32)


def _json_bytes(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=0) + "\n").encode()
