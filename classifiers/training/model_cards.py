"""Text of the model cards; `artifacts.save_manifest` appends the measured figures."""

from __future__ import annotations

QUALITY = """# Quality: does a page read like what Wikipedia cites?

A calibrated probability. fastText (words and word pairs, quantized) and a dozen statistics of the text (share
of function words, of sentence-like lines, of capitals, ...) meet in a logistic layer; two numbers calibrate
it on unseen domains. A score of 0.7 means: of pages that score 0.7, seven in ten are on a host that Wikipedia
cites, where half of all are.

Good at: telling articles, references and explanations from menus, listings, contact pages, teasers and shops,
at any length (of pages of about a length, training has at most two of one class for one of the other).

Bad at: what reads well and is wrong; languages outside the seventeen of its function words (they score lower
for the language alone); Wikipedia's taste (news and reference works above blogs, forums, recipes and
fiction). The pages it learned from are a collection of other projects' test pages, no sample of the crawl,
and most positives are weak: they are on a cited host, and not cited themselves. Train your own on your crawl
with `gristmill classify sample` and `gristmill classify train quality --sample`.
"""

DOMAIN = """# Domain: what a page is about, and what kind of source it is

Two linear models on tf-idf: 24 topics after WebOrganizer, 14 kinds of source. Title and text only; hosts and
URLs helped to label, so they are no input. Answers whose calibrated probability is below the threshold are
`unknown`, which the weights treat as a domain of its own.

Labels: about 2,000 pages in a dozen languages that one reader (a language model at work on this project)
labeled from host, title and the beginning and middle of the text; a list of words that speak for each topic,
written by the same reader after the reading; Wikipedia articles by category; three public tables of web
sites; unread pages by witnesses (their collection, UT1 category, URL and markup) that the read pages vouch
for (`calibration.witnesses` in the manifest says how far). The word list was written when the test pages had
been read: the figures below may flatter it a little.

Good at: food, health, sports, crime, politics, transport; recipes, news, shops. Bad at: art, history,
literature, social life and everything rare in the collection; German, English, Spanish, French, Polish,
Russian, Chinese and Greek are seen in training, others hardly. `adult` has three read pages: use the harm
model and the host lists for that. The kinds books_and_literature, code_and_documentation and legal are known almost
only from a list of words (`kind_words.txt`) and are not tested: 2, 5 and 7 pages of them were read.
"""

HARM = """# Harm: is a text harmful, or for adults?

A calibrated probability from one linear model on tf-idf, for what lists of hosts and of words miss.

It learned harm from the questions of red-teaming dialogues (HH-RLHF), and adult content from made-up teasers
of listed words: no real adult page was in the data. So it knows requests for harm and the vocabulary of adult
sites, and little else: not propaganda, not fraud, not graphic description without that vocabulary. The
vocabulary file holds slurs and obscene words.

Short questions are its weak side: one in six harmless Open-Assistant questions passes the threshold. On whole
pages about health, law and politics and on news, false positives are what the table says.
"""

LANGUAGE = """# Language: fastText lid.176

The compressed language identification model of fastText (`lid.176.ftz`), unchanged, by Facebook (Joulin,
Grave, Bojanowski, Mikolov: "Bag of Tricks for Efficient Text Classification"; Joulin et al.: "FastText.zip"),
from <https://fasttext.cc/docs/en/language-identification.html>, under the Creative Commons
Attribution-ShareAlike 3.0 license (<https://creativecommons.org/licenses/by-sa/3.0/>), which keeps applying
to this file.

176 languages, ISO 639 codes. It reads the whole text on one line. Weak on texts under about 50 characters, on
mixed pages, on code, and between close languages (Serbian, Croatian and Bosnian; Indonesian and Malay).
"""

EXTRACTION = """# Extraction: which text blocks of a page are its main content?

A forest of oblivious trees scores every block of a page from counts: its size, links and place, what its elements are
called, how often elements like it repeat, what stands beside it. No word of the text is read. The blocks that make the
expected F1 of the page largest are chosen. A second, small forest names the page's type (article, collection,
documentation, forum, listing, product, service).

It learned from WCXB v1.0, development part (M. Foley 2026, CC BY 4.0: <https://creativecommons.org/licenses/by/4.0/>),
from pages in 23 languages whose text pieces language-model readers of this project marked by reading
(`classifiers/data/extraction_gold.jsonl.gz`: ids and numbers of pieces, no text), and from gold texts of the
newspaper project's tests. Names of elements have integer weights, leaves are integers, ratios are
one division: every machine chooses the same blocks.

Good at: pages of every type in the languages of the web, threads and lists of items among them. Bad at: pages whose
markup says nothing and whose main content is a small part of what they offer (shops); WCXB is English, its gold texts
seem to start from drafts of one extractor, and some are arguable. Readers' comments below articles are left out,
reviews of products mostly kept. Pages on registered domains of the measuring sets are in no training data.
"""
