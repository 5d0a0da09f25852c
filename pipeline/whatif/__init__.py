"""`gristmill whatif`: what other settings would change in a finished run, without extraction.

limits           which settings are limits of stored measurements; the fate of every page under others, as SQL
run_tables       the pages and the documents of a run as tables
replay_pages     pages whose fate is not decided by what is stored, replayed from the input
estimates        numbers of all such pages from a sample, with an interval
answer           what changes: pages, words, rules, domains, languages, hosts, mixture and weights
ask              the question, from settings to answer
describe         the answer for a terminal
"""
