"""Text of the model cards; `artifacts.save_manifest` appends the measured figures."""

from __future__ import annotations

QUALITY = """# Quality: would a careful reader keep the page?

A score from 0 to 1: the mean of what readers would say, where 0 is "leave it out", 0.5 "usable" and 1 "keep it"
(`classifiers/data/RUBRIC.md`). Views of the page are joined by a logistic layer: a linear model on words that
tells pages on hosts that Wikipedia cites from other pages of a crawl, their boilerplate, keyword text, lists
and teasers; another that learned from pages labeled by reading; a dozen statistics of words, lines and
characters; the length; and, where the learned engine extracted the page, what the extraction says of it: the
page's type, its expected F1, the share of the page that was kept, its lists, tables and code. For text alone,
which a run scores by default, another layer reads in their place the shape of the text (cut and short lines, repeated
phrases, code) and a guess of its kind of source, and is additive: each column counts by a weight and by eight steps.
Threshold, figures and calibration are given for both.

Chosen by cross-validation over the registered domains of the training labels; a third of the labels, by registered
domain, only measures, and so do the 281 human judgments of DCLM's set. Nested cross-validation over the training
domains, every choice inside: text alone keep .906, usable .929, with signals .915 and .938.

Good at: telling articles, references, explanations and whole threads from menus, listings, contact pages, teasers and
shops, at any length. Bad at: what reads well and is wrong; shuffled or machine-written text with good vocabulary;
advertisement filled into templates; recipes and guides that are half lists, which text alone scores too low;
languages that the labels hardly have (English, German, Spanish, Chinese, French, Polish, Russian and Greek are there).
The readers were language models. Train your own on your crawl with `gristmill classify sample` and
`gristmill classify train quality --sample`.
"""

OWN_QUALITY = """# Quality: is a page more like the positives of a sample than like its other pages?

Trained by `gristmill classify train quality --sample`: a linear model on words and a dozen statistics of the
text meet in a logistic layer, which is trained on domains that the linear model had not seen.
"""

EDUCATION = """# Education value: what could a teacher use?

A score from 0 (nothing to learn) to 5 (made to teach): the mean of what readers would say
(`classifiers/data/RUBRIC.md`). A linear model on words, statistics of the text, its length and, where the
learned engine extracted the page, what the extraction says of it meet in a logistic layer; another reads text
alone, as a run does by default, with its shape and a guess of its kind of source, and is additive. A third of the
labels, by registered domain, only measures.

Bad at: telling 4 from 5 (few pages are labeled so, and the score seldom exceeds 3.5: compare scores, or use
percentiles); what is well explained and wrong; languages that the labels hardly have. The readers were language
models.
"""

DOMAIN = """# Domain: what a page is about, and what kind of source it is

Two linear models on tf-idf: 24 topics after WebOrganizer, 14 kinds of source. They read title and text; the
kind also reads the words of the URL and the page's type and expected F1, where the learned engine extracted it.
Answers whose calibrated probability is below the threshold are `unknown`, which the weights treat as a domain
of its own. The threshold is where 90 of 100 words of unseen training domains get a topic, and 92 a kind. The 90 were
92 until the test pages had been measured: that is chosen on them, and nothing else is. The aim, .80 of the answers
for 90 of 100 words, is reached counted by pages and not weighted by words (`word_precision`). Of test pages whose
topic readers left empty half are `unknown`.

Labels: pages that language models at work on this project labeled from host, title and pieces of the text
(`classifiers/data/RUBRIC.md`), each twice and independently; where the two differ, a third settled the label, and
the topics that the others named train with the rest of its weight. Articles of Wikipedia and front pages of sites,
labeled in the same way once; lists of words that speak for each topic and for 2,976 subtopics in fourteen languages,
written from memory by language models that saw no page; unread pages by witnesses (their collection, UT1
category, URL and markup) that the read pages vouch for (`calibration.witnesses` in the manifest says how far). Two
readers agree on .86 of the topics and .87 of the kinds, so an accuracy above that cannot be expected of these
labels.

Bad at: adult, history, religion and literature, of which few pages were labeled (Wikipedia's articles stand in for the
last three; those on languages and philosophy count as literature), and what lies between two topics
(software and electronics, politics and crime); languages other than English, German, Spanish, French, Polish,
Russian, Chinese and Greek. `adult` has a handful of read pages: use the harm model and the host lists for that.
The kinds books_and_literature, legal and encyclopedia are known from a list of words (`kind_words.txt`) and
articles of Wikipedia more than from read pages.
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
