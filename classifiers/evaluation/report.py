"""Write the evaluation report: a Markdown page, the metrics as JSON, and four plots."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from classifiers.estimators.page_scorer import LAYERS
from classifiers.outputs import read_keys

PAGE, NUMBERS = "report.md", "numbers.json"
PLOTS = ("quality_auc.png", "quality_calibration.png", "domain_topic.png", "domain_kind.png")


def written_files(folder: Path) -> list[str]:
    """The files of a report in a folder, which a new one replaces; none without a report."""
    is_report = read_keys(folder / NUMBERS) >= {"quality", "domain", "harm"}
    return [PAGE, NUMBERS, *PLOTS] if is_report else []


def write_report(numbers: Mapping[str, Any], folder: Path) -> Path:
    """Write everything into `folder`; returns the path of the Markdown page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NUMBERS).write_text(json.dumps(numbers, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _plot_quality(numbers["quality"], folder)
    for head in ("topic", "kind"):
        _plot_confusion(numbers["domain"][head], folder / f"domain_{head}.png", f"{head}: rows true, columns predicted")
    page = folder / PAGE
    parts = [
        _quality_part(numbers["quality"]),
        _education_part(numbers["education"]),
        _domain_part(numbers["domain"]),
        _harm_part(numbers["harm"]),
    ]
    page.write_text("# Classifiers, measured\n\n" + "\n".join(parts), encoding="utf-8")
    return page


def _table(head: list[str], rows: list[list[Any]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(_cell(value) for value in row) + " |" for row in rows)]) + "\n"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    text = str(value).replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
    return " ".join(text.split())


def _auc_table(groups: Mapping[str, Any], name: str) -> str:
    rows = [
        [key, entry["rows"], entry["auc"], f"{entry['low']:.2f} to {entry['high']:.2f}"]
        for key, entry in groups.items()
    ]
    return _table([name, "rows", "AUC", "95% interval"], rows)


def _quality_part(q: Mapping[str, Any]) -> str:
    calibration = [[e["from"], e["rows"], e["score"], e["truth"]] for e in q["calibration"]]
    pages = "".join(
        f"### {name}\n\n" + _table(["score", "label", "url", "begins"], rows) + "\n"
        for name, rows in q["pages"].items()
    )
    return "\n".join(
        [
            "## Quality\n",
            f"Test digest `{q['test_digest'][:16]}`: pages labeled by reading, on domains unseen in training. "
            "Keep (2) against usable and not (1, 0):\n",
            _auc_table(
                {"model": q["keep"], "model, text alone": q["text_alone"]} | _baselines(q["baselines"]), "score"
            ),
            f"The model is {q['margin']:+.3f} from the better of text length and English stop words.\n",
            "Keep or usable (2, 1) against not (0):\n",
            _auc_table({"model": q["usable"]} | _baselines(q["baselines_usable"]), "score"),
            "Agreement with human judgments (DCLM's set, never trained or chosen on), text alone:\n",
            _auc_table({"model": q["human"]} | _baselines(q["human_baselines"]), "score"),
            "Cited or not, of the same lengths:\n", _auc_table(q["cited"], "score"),
            "![AUC](quality_auc.png)\n",
            "By length in characters:\n", _auc_table(q["by_length"], "length"),
            "By language:\n", _auc_table(q["by_language"], "language"),
            "By kind of source:\n", _auc_table(q["by_kind"], "kind"),
            "By collection:\n", _auc_table(q["by_source"], "collection"),
            f"Mean score by length: {', '.join(f'{k}: {v}' for k, v in q['score_by_length'].items())}.\n",
            "Calibration on the test rows:\n",
            _table(["from", "rows", "mean score", "mean label, halved"], calibration),
            "![Calibration](quality_calibration.png)\n",
            _bias_tables(q["bias"]),
            nested_part(q["nested"]) if "nested" in q else "",
            "Example pages:\n", pages,
        ]
    )  # fmt: skip


def _bias_tables(bias: Mapping[str, Any]) -> str:
    """Mean score minus mean label of groups of pages, by both layers."""
    tables = []
    for group in bias["text"]:
        text, page = (bias[layer][group] for layer in ("text", "page"))
        rows = [[name, entry["rows"], entry["bias"], page[name]["bias"]] for name, entry in text.items()]
        tables.append(_table([group, "rows", *(LAYERS[layer] for layer in ("text", "page"))], rows))
    return "Mean score minus mean label:\n\n" + "\n".join(tables)


def nested_part(nested: Mapping[str, Any]) -> str:
    """Figures of the nested cross-validation: a row for each layer, and what was chosen."""
    rows = [
        [LAYERS[layer], found["rows"], found["log_loss"]]
        + [f"{e['auc']:.3f} ({e['low']:.3f} to {e['high']:.3f})" for e in (found["keep"], found["usable"])]
        for layer, found in nested.items()
    ]
    chosen = "".join(f"- {LAYERS[layer]}: {'; '.join(found['chosen'])}\n" for layer, found in nested.items())
    head = ["layer", "rows", "log loss", "AUC of keep", "AUC of usable"]
    bias = _bias_tables({layer: {"kind": found["bias"]} for layer, found in nested.items()}) if len(nested) > 1 else ""
    return (
        "Nested cross-validation over the training domains, 95% intervals over domains:\n\n"
        f"{_table(head, rows)}\nChosen in the folds:\n\n{chosen}\n{bias}"
    )


def _baselines(rows: Mapping[str, Any]) -> dict[str, Any]:
    return {f"baseline: {name}": row for name, row in rows.items()}


def _education_part(e: Mapping[str, Any]) -> str:
    found = e["spearman"]
    rows = [["model", found["value"]], ["model, text alone", e["text_alone"]]]
    rows += [[f"baseline: {name}", value] for name, value in e["baselines"].items()]
    means = ", ".join(f"{label}: {mean}" for label, mean in e["mean_score_by_label"].items())
    return (
        f"## Education value\n\nTest digest `{e['test_digest'][:16]}`, {e['rows']} pages of unseen domains; "
        f"95% interval of the model's correlation {found['low']:.2f} to {found['high']:.2f}.\n\n"
        + _table(["score", "Spearman's correlation with the label"], rows)
        + f"\nMean score by label: {means}.\n\n"
        + _bias_tables(e["bias"])
    )


def _domain_part(d: Mapping[str, Any]) -> str:
    t = d["test"]
    rows = [
        [head, int(t[f"{head}_rows"]), d[head]["most_common_label"], t[f"{head}_accuracy"], t[f"{head}_macro_f1"],
         t[f"{head}_answered"], t[f"{head}_words_answered"], t[f"{head}_precision_of_answers"],
         t[f"{head}_word_precision"]]
        for head in ("topic", "kind")
    ]  # fmt: skip
    head = [
        "head", "pages", "most common label", "accuracy", "macro-F1", "pages answered", "words answered",
        "accuracy of answers", "by words",
    ]  # fmt: skip
    parts = [
        f"## Domain\n\nTest digest `{d['test_digest'][:16]}`: hand-labeled pages of unseen domains.\n",
        _table(head, rows),
        "Pages that readers left empty: " + "; ".join(_left_empty(name, d[name]) for name in ("topic", "kind")) + ".\n",
    ]
    for name in ("topic", "kind"):
        true = [sum(row) for row in d[name]["confusion"]]
        scored = [[label, true[i], d[name]["f1"].get(label)] for i, label in enumerate(d[name]["labels"]) if true[i]]
        parts += [_table([name, "pages", "F1"], scored), f"![{name}](domain_{name}.png)\n"]
    return "\n".join(parts)


def _left_empty(head: str, found: Mapping[str, Any]) -> str:
    empty = found["left_empty"]
    share = "" if empty["unknown"] is None else f", {empty['unknown']:.2f} of them `unknown`"
    return f"{empty['rows']} without a {head}{share}"


def _harm_part(h: Mapping[str, Any]) -> str:
    rows = [[name, entry["rows"], entry["above_threshold"]] for name, entry in h["above"].items()]
    return (
        f"## Harm\n\nTest digest `{h['test_digest'][:16]}`, {h['test']['rows']} rows, AUC {h['test']['auc']:.3f}.\n\n"
        + _table(["rows of", "rows", "share above the threshold"], rows)
    )


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure  # not pyplot: no window, no state between reports

    return Figure(figsize=(width, height), layout="constrained")


def _plot_quality(q: Mapping[str, Any], folder: Path) -> None:
    figure = _figure(8, 4.5)
    groups = {"model": (q["keep"], q["human"])}
    groups |= {name: (q["baselines"][name], q["human_baselines"][name]) for name in q["baselines"]}
    axes = figure.subplots()
    for offset, (label, color) in enumerate(
        (("keep or not, unseen domains", "#4c72b0"), ("human judgment", "#dd8452"))
    ):
        entries = [pair[offset] for pair in groups.values()]
        places = [i + 0.4 * (0.5 - offset) for i in range(len(groups))]
        values = [entry["auc"] for entry in entries]
        spread = [[e["auc"] - e["low"] for e in entries], [e["high"] - e["auc"] for e in entries]]
        axes.barh(places, values, 0.38, xerr=spread, color=color, label=label, capsize=3)
    axes.set(
        yticks=range(len(groups)), yticklabels=list(groups), xlim=(0.4, 1), xlabel="AUC (0.5 = chance), 95% interval"
    )
    axes.axvline(0.5, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    figure.savefig(folder / PLOTS[0], dpi=110)
    figure = _figure(5, 4.5)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="gray", linestyle="--", label="perfect")
    points = q["calibration"]
    axes.plot([p["score"] for p in points], [p["truth"] for p in points], marker="o", label="test rows")
    for p in points:
        axes.annotate(str(p["rows"]), (p["score"], p["truth"]), textcoords="offset points", xytext=(5, -10), fontsize=8)
    axes.set(xlabel="mean score of the bin", ylabel="mean label, halved", title="Calibration (numbers: rows)")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.legend()
    figure.savefig(folder / PLOTS[1], dpi=110)


def _plot_confusion(head: Mapping[str, Any], path: Path, title: str) -> None:
    kept = [i for i, row in enumerate(head["confusion"]) if sum(row) or sum(other[i] for other in head["confusion"])]
    rows = [i for i in kept if sum(head["confusion"][i])]
    table = [[head["confusion"][i][j] for j in kept] for i in rows]
    shares = [[value / sum(row) for value in row] for row in table]
    figure = _figure(10, 8.5)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set(xticks=range(len(kept)), yticks=range(len(rows)), title=title)
    axes.set_xticklabels([head["labels"][i] for i in kept], rotation=60, ha="right", fontsize=8)
    axes.set_yticklabels([head["labels"][i] for i in rows], fontsize=8)
    for y, row in enumerate(table):
        for x, value in enumerate(row):
            if value:
                axes.text(x, y, str(value), ha="center", va="center", fontsize=7,
                          color="white" if shares[y][x] > 0.5 else "black")  # fmt: skip
    figure.savefig(path, dpi=110)
