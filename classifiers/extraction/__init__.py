"""The learned extractor: which text blocks of a page are its main content.

    parse_html.py    decoded source -> tree, within caps
    blocks.py        tree -> text blocks in columns, in one pass

Nothing here renders: `pipeline/extraction` writes the chosen blocks as text.
"""
