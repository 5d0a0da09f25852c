"""The labels of domains: what a page is about, and what kind of source it is."""

from __future__ import annotations

# After WebOrganizer's 24 topics (Wettig et al. 2025), as identifiers.
TOPICS = (
    "adult", "art_and_design", "crime_and_law", "education_and_jobs", "electronics_and_hardware", "entertainment",
    "fashion_and_beauty", "finance_and_business", "food_and_dining", "games", "health", "history_and_geography",
    "home_and_hobbies", "industrial", "literature", "politics", "religion", "science_and_math", "social_life",
    "software", "software_development", "sports_and_fitness", "transportation", "travel_and_tourism",
)  # fmt: skip
KINDS = (
    "academic", "blog", "books_and_literature", "code_and_documentation", "encyclopedia", "forum", "guide", "legal",
    "listing", "news", "organization", "personal", "recipe", "shop",
)  # fmt: skip
UNKNOWN = "unknown"  # of a page whose label is uncertain
