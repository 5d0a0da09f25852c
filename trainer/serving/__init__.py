"""`gristmill train serve`: runs as an OpenAI-compatible endpoint and as web pages on this machine.

server         addresses, who may ask, and the server itself
requests       bodies of requests in OpenAI's shape, checked
completions    answers in OpenAI's shape, whole or as events
passages       retrieved passages before a question, and their sources
served_model   a run that is served, one request at a time
battles        the blind comparison of two runs, and its votes
"""
