"""Chunks of curated documents, found by the nearness of their embeddings.

embedders   frozen embeddings of a text: hashed TF-IDF, hidden states of a run, a Hugging Face encoder
nearest     nearest neighbors: exact in blocks, or FAISS
chunk_database   chunks with their documents and embeddings, mapped from disk: build, open, search
neighbors   neighbors of the chunks of a sequence, never from its own documents
"""
