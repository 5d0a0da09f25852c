"""From a curated dataset to batches, in this order:

curated_dataset    manifest and shards of `gristmill curate`, checked
tokenizer          byte-level BPE (text_samples draws what it is trained on, tokenizer_report measures it)
tokenize_dataset   shards to token files, in parallel, once
token_files        the format of token files: writer and reader
token_exports      one pass for another trainer; token_formats has the layouts
mapped_arrays      arrays stored once and mapped by every rank (verified_files: a file is hashed once on each machine)
corpus             documents as arrays; all modules below read them
sources            [data] settings: select documents, join sources, hold out documents
mixture            which documents each pass reads, and in which order
packing            how documents become sequences: cut, or packed whole by best fit
batches            the sequences of a step
trace              from a step back to the pages
sightings          from a document to the steps and checkpoints that saw it
removal            take documents out of token files

questions          benchmark files as prompts, for evaluation
"""
