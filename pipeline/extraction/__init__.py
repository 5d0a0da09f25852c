"""From the bytes of a page to its main text; used by quick_look and extract_text. In order of use:

charset             bytes -> text, with web_codecs: charsets as browsers read them
repair_text         C1 controls and doubly encoded UTF-8 in the text
self_closed_code    tags like <script/>, which the parser would take for empty elements
(classifiers/extraction/parse_html: text -> tree)
parsed_page         both, with title and counts: what the two stages share
protected_addresses e-mail addresses that Cloudflare hides, before anything else reads the tree
engines             the three engines: learned (its model is in classifiers/extraction), and library_engines
prepare_tree        changes to the tree before an extraction engine runs, made by
                    code_blocks, formulas, layout_tables, link_boxes, loose_text; dom and marks help them
rendering           trafilatura's result tree -> text
render_nodes        chosen blocks of a tree (classifiers/extraction/blocks) -> structures -> text or Markdown, with
                    inline_text, node_rules, units, table_grid, structures, write_text, write_markdown
training_pages      pages as the classifiers are trained on them
code_text, latex, latex_symbols, mathml, superscripts, final_text help both renderings
"""
