"""Block lists and word lists that ship with the package; blocklists.py looks up hosts, URLs and words in them.

annotations reads hosts from annotations of Common Crawl's index.
suppressions holds hashes of pages that were removed and must not come back.
evaluation_sets indexes the word n-grams of benchmark files, for decontamination.

README.md names the source and the license of each list.
"""
