"""Block lists and word lists that ship with the package; blocklists.py looks up hosts, URLs and words in them.

README.md says where each list comes from and under which license.
"""
