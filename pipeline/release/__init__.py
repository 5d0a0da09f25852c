"""What happens to a finished output: pages are taken out of it, it is released without text, and published.

remove       `gristmill remove`: every page that fits a request, from all files of an output and of its snapshots
selectors    what a request names, and which rows it fits
rewrite      the files of one part without the removed rows
reweigh      the weights anew, for the rows that are left
refresh      manifest, report and card of an output whose rows have changed
new_folder   the folder that `gristmill release` writes into
annotations  `gristmill release --annotations`: the dataset without its texts
text_settings        the settings on which its texts depend, without secrets and places
rehydrate    `gristmill rehydrate`: the texts again, by ranges of the crawl's files
push                 `gristmill push`: to Hugging Face, a folder, s3 or gs
training_summary     the public summary of training content (EU AI Act)
provenance_graph     W3C PROV of a dataset
receipt      what was asked and done, without anything that was removed
"""
