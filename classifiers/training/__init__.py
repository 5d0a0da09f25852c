"""A recipe for each shipped model (which examples, which labels) and the training that turns it into a folder."""
