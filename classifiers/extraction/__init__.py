"""The learned extractor: which text blocks of a page are its main content.

    parse_html.py    decoded source -> tree, within caps
    blocks.py        tree -> text blocks in columns, in one pass
    features.py      blocks -> counts and ratios; characters, names, page_hints, page_sums, repetition and containers
                     help it
    forest.py        features -> integer scores, by oblivious trees
    choose.py        scores -> the blocks that make the expected F1 largest
    model.py         all of it, from the shipped model files

Nothing here renders: `pipeline/extraction` writes the chosen blocks as text.
"""
