"""Block lists and word lists that ship with the package; blocklists.py looks up hosts, URLs and words in them.

README.md names the source and the license of each list.
"""
