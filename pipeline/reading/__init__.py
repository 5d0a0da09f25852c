"""Read the input, in this order:

inputs              INPUTS of the command line -> files with stable names and sizes
listings            which files a listing or an index names; a server's listing names only its own
formats             refuse files that are plainly not what their names say
first_bytes         what a file is by its first bytes
file_formats        the name of a file -> WARC, JSONL, Parquet or HTML
units               files -> units of work: byte ranges
ranges              byte ranges that lie close together, for one request
warc                a unit -> WARC records, in spite of damage
jsonl               a unit -> lines
parquet_rows        a unit -> rows
html_files          a unit -> files
compressed_members  gzip members and zstd frames with their byte offsets      (used by warc)
http_message        a response record -> status, headers, decoded body
content_type        whether the body is HTML
"""
