"""The steps of deduplication, as plain functions over numpy records; `pipeline/deduplicate.py` runs them.

settings.py, sketch.py, minhash.py   what the page process stores of each document: keys and sketches
records.py, messages.py              the records that are shuffled, and the messages that carry them
graph.py                             the steps in their order
exchange.py, spill.py                the graph on Beam; files for shuffled messages
direct.py                            the graph in this process, for few documents
exact.py, near.py                    duplicates by URL and text; near duplicates by MinHash
previous_sketches.py                 documents that previous runs have published
survivors.py                         from links between duplicates to the kept document of each
repeated_lines.py                    long paragraphs and boilerplate repeated across pages
write_verdicts.py, verdicts.py       one verdict per document, in one file per unit
in_memory.py                         the graph over one table, for `gristmill whatif`
duplicate_counts.py                  the numbers reported, and the limits they are checked against
"""
