"""The peers of `tests.benchmarks.peers`, run by the Python of their own environment (.venv-peers, `make bench-peers`).

    .venv-peers/bin/python tests/benchmarks/peer_pipelines.py datatrove|loop WARCS OUTPUT LANGUAGE_MODEL

datatrove: the published pipeline of FineWeb (examples/fineweb.py: URL filter, trafilatura, language, the rules of
Gopher, C4 and FineWeb), for all languages, with its PII formatter and its four steps of MinHash deduplication.
loop: a plain loop of trafilatura and the same filters over the records, without executor, sandbox and deduplication.
LANGUAGE_MODEL is lid.176.ftz, which datatrove would download as lid.176.bin.
"""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
    URLFilter,
)
from datatrove.pipeline.formatters import PIIFormatter
from datatrove.pipeline.readers import JsonlReader, WarcReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.lid import FT176LID
from tldextract import TLDExtract


def url_filter():
    chosen = URLFilter()
    chosen.tldextractor = TLDExtract(suffix_list_urls=())  # the list in the package: nothing is downloaded
    return chosen


def text_filters():
    return [
        LanguageFilter(language_threshold=0.65),
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
    ]


def run_datatrove(warcs: Path, output: Path) -> None:
    def run(name, steps, tasks=1):
        LocalPipelineExecutor(steps, tasks=tasks, workers=1, logging_dir=str(output / "logs" / name)).run()

    folder, config = (
        {name: str(output / name) for name in ("text", "sigs", "buckets", "remove", "kept")},
        MinhashConfig(),
    )
    extract = [WarcReader(str(warcs)), url_filter(), Trafilatura(favour_precision=True, timeout=10)]
    run("text", [*extract, *text_filters(), PIIFormatter(), JsonlWriter(folder["text"])])
    reader = JsonlReader(folder["text"])
    run("sigs", [reader, MinhashDedupSignature(folder["sigs"], config=config)])
    run("buckets", [MinhashDedupBuckets(folder["sigs"], folder["buckets"], config=config)], tasks=config.num_buckets)
    run("cluster", [MinhashDedupCluster(folder["buckets"], folder["remove"], config=config)])
    run("kept", [reader, MinhashDedupFilter(folder["remove"]), JsonlWriter(folder["kept"])])


def run_loop(warcs: Path, output: Path) -> None:
    extractor, scrub, filters = Trafilatura(favour_precision=True), PIIFormatter(), [url_filter(), *text_filters()]
    rows = []
    for found in WarcReader(str(warcs)).run():
        page = Document(extractor.extract(found.text) or "", found.id, metadata=found.metadata)
        if page.text and all(each.filter(page) is True for each in filters):
            rows.append({"url": page.metadata["url"], "text": scrub.format(page.text)})
    output.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), output / "kept.parquet", compression="zstd")


if __name__ == "__main__":
    FT176LID.MODEL_URL = sys.argv[4]
    {"datatrove": run_datatrove, "loop": run_loop}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
