"""Heuristic filters, used by the stage filter_heuristics. One module per family of rules, with settings and sources.

text_parts          a text split once into lines, paragraphs and words
rules               a rule: which measurement may not pass which limit, and the reason of the drop
refinedweb c4       corrections of lines (c4 has page rules, too)
notices             the forms of footnote marks, notices, placeholders and leaked scripts, for c4
gopher fineweb distribution harmful_words   page rules
"""
