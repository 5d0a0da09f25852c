"""Finding personal data: one module per family, each a function of the text that yields spans."""
