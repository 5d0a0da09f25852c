"""Read and sample training data.

wikipedia_dump wikipedia_citations  the articles of a dump, and the URLs that they cite
cited_urls wikitext                 look cited URLs up; the prose of an article
common_crawl_index                  WARC file and offset of the cited pages
source_pages page_text              pages of the training folder, as plain text
page_labels                         what readers said of them: education value, quality, topic, kind (RUBRIC.md)
extraction_gold                     pages with their main content marked, for the extraction model
sampling                            choice of the training rows, by hash of the id
tables                              JSON Lines and Parquet files, a batch at a time
"""
