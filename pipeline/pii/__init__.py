"""Find personal data and secrets; used by the stage scrub_pii. One module per family, each a function of the text.

spans               what a finder yields, and the placeholders
addresses           e-mail and IP addresses
phones              phone numbers, by phone_words: labels and verbs beside them
accounts            bank accounts, payment cards, social security numbers
secrets             keys and tokens
names               people's names, by an optional library
"""
