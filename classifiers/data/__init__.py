"""Training data, before any model.

wikipedia_citations cited_urls      the URLs that Wikipedia cites; wikitext parses its articles
common_crawl_index                  where in which WARC file the cited pages are
source_pages page_text              pages of the training folder, as plain text
sampling                            which rows a model learns from, chosen by hash of the id
tables                              JSON Lines and Parquet, a batch at a time
"""
