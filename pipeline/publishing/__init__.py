"""The published dataset: schemas, weights, Parquet parts, manifest and dataset card.

schema              the columns of shards, drops and sketches
candidates          keys and lines of what reached deduplication, to repeat it without texts
weights             words by domain and quality -> the weight of each document
part_writer         one Parquet file, with its hash and its content digest
jsonl_writer        the same rows as JSONL, by option
token_counts        the column `tokens`, by option
content_hash        equal rows give an equal hash, however they are spread over files
statistics          counts of the published rows, for manifest and report
provenance          settings, lists, models, code and library versions on which the output depends
manifest            run.json (written first) and manifest.json (written last)
dataset_card        OUT/README.md
croissant           OUT/croissant.json: the same for machines
snapshot            the output of one crawl, given by its name, beside the outputs of earlier crawls
settings            the table [publish]
"""
