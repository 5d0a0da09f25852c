"""Several ways to ask the same question, for tables of questions with answers and reasons (after FLAN and T0).

One wording of a task teaches the wording; several teach the task (Wei et al. 2022; Sanh et al. 2022). A row of a table
becomes one conversation with a wording chosen by its hash, so that data does not depend on the order of rows. Rows with
reasons are asked for the answer alone, for the answer and then reasons, or for reasons first (Chung et al. 2022).
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from trainer.chat.conversation import Conversation, make_conversation, make_message


class Template(NamedTuple):
    """A prompt and an answer with {question}, {answer} and {reason}."""

    prompt: str
    answer: str


ANSWER_ONLY = (
    Template("{question}", "{answer}"),
    Template("{question}\n\nGive the answer only.", "{answer}"),
    Template("Q: {question}\nA:", "{answer}"),
    Template("Answer this question in as few words as you can.\n\n{question}", "{answer}"),
    Template("Here is a question from a quiz.\n\n{question}\n\nWhat is the right answer?", "{answer}"),
    Template("Please tell me: {question}", "{answer}"),
)
WITH_REASON = (
    Template("{question}\n\nExplain your answer.", "{answer}. {reason}"),
    Template("{question}\n\nWhat is the answer, and why?", "{answer}. {reason}"),
    Template("Give the answer first and then the reason.\n\n{question}", "{answer}\n\n{reason}"),
    Template("{question}\n\nThink step by step before you answer.", "{reason} So the answer is {answer}."),
    Template("Reason about this question, then answer it.\n\n{question}", "{reason}\n\nAnswer: {answer}"),
    Template("Q: {question}\nLet us think it through.\nA:", "{reason} The answer is {answer}."),
)


def ask(question: str, answer: str, reason: str = "", source: str = "") -> Conversation:
    """A row of a table as a conversation. Raises ConversationError for an empty question or answer."""
    templates = (*ANSWER_ONLY, *WITH_REASON) if reason.strip() else ANSWER_ONLY
    digest = hashlib.blake2b(f"{question}\0{answer}".encode(), digest_size=8).digest()
    template = templates[int.from_bytes(digest, "big") % len(templates)]
    make_message("user", question)  # an empty one would leave the template's own words
    make_message("assistant", answer)
    parts = {"question": question.strip(), "answer": answer.strip(), "reason": reason.strip()}
    messages = (
        make_message("user", template.prompt.format_map(parts)),
        make_message("assistant", template.answer.format_map(parts), train=True),
    )
    return make_conversation(messages, source)
