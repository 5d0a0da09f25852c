"""Training data: Wikipedia's citations, text of pages, sampling by hash of the id, tables read and written."""
