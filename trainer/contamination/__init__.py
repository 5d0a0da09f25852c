"""Evaluation text inside training text.

ngram_index   word n-grams of evaluation sets, found in documents
scan          reports what a dataset holds, and how much of what it holds is found
leave_out     conversations, pairs and prompts without evaluation items
"""
