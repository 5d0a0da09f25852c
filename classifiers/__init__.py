"""The models that the pipeline uses: language, quality, education value, domain and kind, harm.

    language.py quality.py education.py         the models as they are applied; the shipped files are in models/
    domain.py harm.py
    close_languages.py language_codes.py        languages that share the probability of a text; one code for each
    domain_labels.py                            the labels of topics and kinds
    artifacts.py                                a model as a folder: files with hashes, manifest, model card
    outputs.py                                  where commands write: nothing of others is destroyed
    urls.py public_suffixes.py                  normal forms of URLs and hosts; registered domains
    cli.py score_columns.py                     gristmill classify ...; the columns that `score` adds to a file
    errors.py                                   errors that a user can mend
    extraction/      the learned extractor: a parsed page -> the blocks of its main content
    data/            training data: Wikipedia's citations, page text, labels, sampling by hash, tables
    training/        one recipe per model: its examples, its labels, and how it is trained
    estimators/      features, fastText, linear and logistic layers, metrics; independent of any data set
    evaluation/      metrics, report, and the gate that a new model must pass

Order of use: data -> training -> evaluation -> models/. Nothing here imports Beam, `pipeline` or `trainer`.
"""
