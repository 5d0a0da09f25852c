"""Sampling: splits by registered domain, matched lengths, limits per domain."""

import random
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.data.cited_urls import Cited, Match
from classifiers.data.page_text import TextRow
from classifiers.data.sampling import (
    HashSample,
    Split,
    at_most_per_domain,
    match_lengths,
    sample_order,
    split_of,
    unit_hash,
)
from classifiers.data.tables import write_jsonl
from classifiers.errors import UserError
from classifiers.estimators.metrics import auc
from classifiers.training.recipe_quality import split_and_match, split_by_citation
from classifiers.training.sample_files import read_examples, sample_examples, to_rows


def page(number: int, site: str, length: int = 500) -> TextRow:
    return TextRow(f"{site}-{number}", f"https://www.{site}/{number}", "test", "", "wort " * (length // 5))


def pages(seed: int, sites: int = 300) -> list[TextRow]:
    chance = random.Random(seed)
    return [
        page(n, f"site{s}.info", chance.randint(200, 9_000)) for s in range(sites) for n in range(chance.randint(1, 4))
    ]


def test_no_registered_domain_is_in_two_splits() -> None:
    examples = split_and_match(pages(1), pages(2, 250), [page(1, "wikipedia.org")] * 3, pages(3, 280))
    sides: dict[str, set[Split]] = {}
    for example in examples:
        sides.setdefault(example.row.registered_domain, set()).add(example.split)
    assert all(len(found) == 1 for found in sides.values())
    assert {split for found in sides.values() for split in found} == set(Split)


def test_sub_domains_share_their_split() -> None:
    rows = [
        TextRow(str(i), f"https://{name}.bbc.co.uk/{i}", "t", "", "x") for i, name in enumerate(["news", "www", "m"])
    ]
    assert {row.registered_domain for row in rows} == {"bbc.co.uk"}
    assert len({split_of(row.registered_domain) for row in rows}) == 1


def test_splits_have_their_shares() -> None:
    found = Counter(split_of(f"site{i}.info") for i in range(4_000))
    assert found[Split.TEST] == pytest.approx(4_000 / 3, abs=100)
    assert found[Split.VALIDATION] == pytest.approx(600, abs=100)


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 30_000), min_size=1, max_size=60), st.lists(st.integers(1, 30_000), min_size=1, max_size=60)
)
def test_matched_classes_have_one_histogram(left: list[int], right: list[int]) -> None:
    from classifiers.data.sampling import length_bin

    rows = [[page(i, f"{name}.info", n) for i, n in enumerate(side)] for name, side in (("a", left), ("b", right))]
    chosen = match_lengths(*rows)
    histograms = [Counter(length_bin(row.text) for row in side) for side in chosen]
    assert histograms[0] == histograms[1]
    every = [Counter(length_bin(row.text) for row in side) for side in rows]
    assert sum(histograms[0].values()) == sum((every[0] & every[1]).values())  # the largest that can be had


def test_length_does_not_predict_the_class_after_matching() -> None:
    chance = random.Random(7)
    long = [page(i, f"a{i}.info", int(chance.lognormvariate(8, 0.8))) for i in range(2_000)]
    short = [page(i, f"b{i}.info", int(chance.lognormvariate(7, 0.8))) for i in range(2_000)]
    before = auc([1] * 2_000 + [0] * 2_000, [len(r.text) for r in (*long, *short)])
    one, other = match_lengths(long, short)
    after = auc([1] * len(one) + [0] * len(other), [len(r.text) for r in (*one, *other)])
    assert before > 0.75
    assert abs(after - 0.5) < 0.03


def test_a_sample_is_uniform_and_does_not_depend_on_the_order_of_rows() -> None:
    rows = pages(5)
    order = [row.id for row in sample_order(rows)]
    assert order == [row.id for row in sample_order(reversed(rows))]
    firsts = {row.id for row in rows[: len(rows) // 2]}
    assert 0.35 < sum(identity in firsts for identity in order[:100]) / 100 < 0.65


def test_rows_per_domain_are_limited() -> None:
    rows = [page(i, "big.info") for i in range(50)] + [page(0, "small.info")]
    assert Counter(row.registered_domain for row in at_most_per_domain(rows, 3)) == {"big.info": 3, "small.info": 1}


def test_pages_are_cited_exactly_by_host_or_not_used() -> None:
    cited = Cited.of(["https://www.a.info/one?utm_source=w", "http://sub.b.info/x"])
    rows = [
        TextRow("1", "http://a.info/one/", "t", "", ""),  # the page is cited
        TextRow("2", "https://a.info/two", "t", "", ""),  # only its host is cited
        TextRow("3", "https://other.b.info/", "t", "", ""),  # only its registered domain is cited: not used
        TextRow("4", "https://c.info/", "t", "", ""),
    ]
    positives, negatives = split_by_citation(rows, cited, Match.HOST)
    assert [row.id for row in positives] == ["1", "2"]
    assert [row.id for row in negatives] == ["4"]
    exact, negatives = split_by_citation(rows, cited, Match.EXACT)
    assert [row.id for row in exact] == ["1"]
    assert [row.id for row in negatives] == ["4"]
    assert cited.match("https://a.info/two") == Match.HOST


def test_sampled_rows_are_read_back_unchanged(tmp_path: Path) -> None:
    staged = tmp_path / "staged.jsonl"
    rows = pages(9)
    write_jsonl(({"id": row.id, "url": row.url, "text": row.text} for row in rows), staged)
    cited = tmp_path / "refs.txt"
    cited.write_text("".join(f"{row.url}\n" for row in rows if unit_hash("cite", row.registered_domain) < 0.4))
    instructions = tmp_path / "more.jsonl"
    write_jsonl(({"text": f"Question {i}? " + "Because. " * 50} for i in range(40)), instructions)
    examples = sample_examples([staged], cited, [instructions], Match.EXACT, None)
    write_jsonl(to_rows(examples), tmp_path / "sample.jsonl")
    assert read_examples(tmp_path / "sample.jsonl") == examples
    labels = Counter((example.split, example.label) for example in examples)
    assert all(labels[split, "cited"] > 5 and labels[split, "crawl"] > 5 for split in Split)
    assert any(example.row.source == "more.jsonl" for example in examples)
    smaller = sample_examples([staged], cited, [], Match.EXACT, 150)
    assert {example.row.id for example in smaller} < {row.id for row in rows}
    assert max(Counter(example.label for example in smaller).values()) <= 300


def test_a_bounded_sample_is_a_prefix_of_the_full_sample_order() -> None:
    rows = pages(6, sites=800)
    sample, whole = HashSample(100), HashSample(None)
    for row in (*rows, *rows[:50]):
        sample.add(row)
        whole.add(row)
    assert whole.rows() == sample_order(rows)
    assert 100 <= len(sample.rows()) <= 200
    assert sample.rows() == whole.rows()[: len(sample.rows())]


def test_a_limit_keeps_the_few_cited_documents(tmp_path: Path) -> None:
    rows = pages(9, sites=600)
    write_jsonl(({"id": row.id, "url": row.url, "text": row.text} for row in rows), tmp_path / "staged.jsonl")
    cited = {row.url for row in rows if unit_hash("cite", row.registered_domain) < 0.05}
    (tmp_path / "refs.txt").write_text("\n".join(sorted(cited)))
    examples = sample_examples([tmp_path / "staged.jsonl"], tmp_path / "refs.txt", [], Match.EXACT, 60)
    assert {example.row.url for example in examples if example.label == "cited"} <= cited
    assert sum(example.label == "cited" for example in examples) > len(cited) / 2  # the rest found no like in length


def test_cited_urls_take_eight_bytes_each() -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        Cited.of(f"https://www.a{i % 50}.info/page/{i}" for i in range(count))
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    assert (peak(15_000) - peak(5_000)) / 10_000 < 40  # the hash, twice while it is sorted; a string takes 80


def test_a_sample_without_positives_is_refused(tmp_path: Path) -> None:
    staged = tmp_path / "staged.jsonl"
    write_jsonl([{"url": "https://a.info", "text": "x" * 300}], staged)
    (tmp_path / "refs.txt").write_text("https://b.info\n")
    with pytest.raises(UserError, match="there are no positives"):
        sample_examples([staged], tmp_path / "refs.txt", [], Match.EXACT, None)
    write_jsonl([{"text": "a"}], tmp_path / "bad.jsonl")
    with pytest.raises(UserError, match="not an output of `gristmill classify sample`"):
        read_examples(tmp_path / "bad.jsonl")
