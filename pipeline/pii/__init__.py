"""Find personal data and secrets: one module per kind of data, whose functions yield the spans that they find."""
