"""The page stages, one module each; order.py lists them in the order in which a page passes them.

read_warc -> suppress -> block_urls -> quick_look -> extract_text -> check_rights -> identify_language -> scrub_pii
-> filter_heuristics -> decontaminate -> score_quality -> tag_domain -> custom_rules

read_input chooses read_warc or read_documents (JSONL, Parquet, HTML files) by the format of a file.

A stage is a plain function of one record (protocol.py), independent of Beam, of output files and of processes.
"""
