"""Curation: WARC files in, weighted Parquet shards out, and a ledger in which every page has exactly one fate.

    cli.py           gristmill curate | plan | explain | report | audit | status | settings
    run_commands.py  gristmill sample | sql | compare | whatif | rerun | explore | scrub
    release_commands.py  gristmill remove | release | rehydrate | push
    curate.py        one run: the four Beam jobs below, in order
    ├─ prepare.py        1 prepare      WARC units -> staged documents, drops, tallies        map only
    │   reading/             find the input files, cut them into units, read their records
    │   page_process/        the stages in a row, in a child process with limits on time and memory
    │   stages/              one module a page stage, in the order of stages/order.py
    │   extraction/          charset, parsing, and the text of an HTML page      (used by extract_text)
    │   rights/              opt-outs and licenses of a page                     (used by extract_text, check_rights)
    │   heuristics/          one module a family of filter rules                 (used by filter_heuristics)
    │   pii/                 one module a family of personal data                (used by scrub_pii)
    │   lists/               block lists and word lists                          (used by block_urls, heuristics)
    ├─ deduplicate.py    2 deduplicate  keys and sketches -> verdicts                         text is never shuffled
    │   deduplication/       exact, near and paragraph duplicates as functions over numpy records
    ├─ publish.py        3 count words  words by domain and quality -> weights                map only
    │                    4 publish      staged documents, verdicts, weights -> shards, drops  map only
    │   publishing/          schema, weights, manifest, dataset card, snapshots
    └─ reports/          report.json, report.html, and what the terminal shows

    release/         what happens to a finished output: remove pages
    inspection/      commands about a run: explain, audit, plan, status, sample, sql, compare
    whatif/          what other settings would change in a finished run
    rerun.py         a finished run again with other settings;  reuse.py: what of it is taken over, unit by unit
    scrub.py         files of conversations without personal data
    explore/         a finished run as a web page on this machine
    engines/         how Beam runs: on this machine, on Spark, Flink or Dataflow
    storage/         files on local disks, https, s3 and gs; where each file of an output lies
    config.py        every setting of a run; each is declared beside the code that it controls
    presets/         settings files by name
    documents.py     the records that pass through the stages
    ledger.py        fates, counts and their balance
    text.py          what a word and a token are;  markdown_signs.py: what Markdown adds, and no measurement reads
    effects.py       every call of the operating system: files, requests, processes, time
    settings.py errors.py    the bases of all settings classes and of errors that a user can mend
    stop.py                  stop at once on a signal, children included
    notify.py                tell a web address or a command that a run has ended

Imports point down this list. Models come from the package `classifiers`; nothing here imports `trainer`.
"""
