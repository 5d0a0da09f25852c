"""Read and sample training data.

wikipedia_citations cited_urls      the URLs that Wikipedia cites; wikitext parses its articles
common_crawl_index                  WARC file and offset of the cited pages
source_pages page_text              pages of the training folder, as plain text
extraction_gold                     pages with their main content marked, for the extraction model
sampling                            choice of the training rows, by hash of the id
tables                              JSON Lines and Parquet files, a batch at a time
"""
