"""The blind comparison of two runs: both answer a prompt, left and right by chance, and names are said after the vote.

After a vote the conversation goes on with the better answer (the left one of a tie): both models answer the next prompt
behind the same messages, sides are drawn anew, and each prompt is a battle with a vote of its own.

Battles are kept in battles.sqlite in the first run's folder. They are exported as battles for `gristmill train arena`,
and as preferences for `reward`, `dpo` and `kto`; there two answers that are both bad teach nothing and are left out.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from scipy.stats import binomtest

from trainer.chat.conversation import Message
from trainer.rollouts.generate import GenerateSettings
from trainer.serving.requests import TOO_LONG, fit_prompt
from trainer.serving.served_model import ApiError, ServedModel, TextPiece

SIDES = ("left", "right")
VOTES = {"left": "Left is better", "right": "Right is better", "tie": "Tie", "bad": "Both are bad"}
_WINNERS = {"left": "a", "right": "b", "tie": "tie", "bad": "tie"}
_TABLE = (
    "CREATE TABLE IF NOT EXISTS battles (id TEXT PRIMARY KEY, time TEXT DEFAULT CURRENT_TIMESTAMP, prompt TEXT, "
    "left_model TEXT, right_model TEXT, left_answer TEXT, right_answer TEXT, vote TEXT, history TEXT DEFAULT '[]')"
)
_ADD_HISTORY = "ALTER TABLE battles ADD COLUMN history TEXT DEFAULT '[]'"  # which the first stores lack


class ShownPair(NamedTuple):
    """A battle: a prompt and its two answers; `vote` is None until somebody votes."""

    id: str
    prompt: str
    left_model: str
    right_model: str
    left_answer: str
    right_answer: str
    vote: str | None
    history: str = "[]"  # JSON: the messages before the prompt, with role and content

    def messages(self) -> list[dict[str, str]]:
        """The conversation up to the prompt, the prompt included."""
        return [*json.loads(self.history), {"role": "user", "content": self.prompt}]

    @property
    def better(self) -> str | None:
        """The answer that a conversation goes on with; None without a vote, and where both are bad or it is empty."""
        answer = {"left": self.left_answer, "tie": self.left_answer, "right": self.right_answer}.get(self.vote or "")
        return answer if answer and answer.strip() else None


_COLUMNS = ", ".join(ShownPair._fields)


@dataclass(frozen=True)
class BattleStore:
    """The battles of a run."""

    path: Path

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=10)) as connection, connection:
                connection.execute(_TABLE)
                if not any(column[1] == "history" for column in connection.execute("PRAGMA table_info(battles)")):
                    connection.execute(_ADD_HISTORY)
                yield connection
        except sqlite3.Error as error:
            raise ApiError(f"{self.path}: votes cannot be stored ({error})", 500, kind="server_error") from None

    def add(self, pair: ShownPair) -> None:
        """Store a battle that was fought."""
        with self._open() as connection:
            places = ", ".join("?" * len(pair))
            connection.execute(f"INSERT INTO battles ({_COLUMNS}) VALUES ({places})", pair)  # noqa: S608

    def vote(self, battle: str, vote: str) -> tuple[str, str]:
        """Store a vote; the names of the models, left and right. There is one vote: names are known afterwards."""
        if vote not in VOTES:
            raise ApiError(f"vote: one of {', '.join(VOTES)}", param="vote")
        with self._open() as connection:
            changed = connection.execute(
                "UPDATE battles SET vote = ? WHERE id = ? AND vote IS NULL", (vote, battle)
            ).rowcount
            row = connection.execute("SELECT left_model, right_model FROM battles WHERE id = ?", (battle,)).fetchone()
        if row is None:
            raise ApiError("no such battle", 404, param="battle")
        if not changed:
            raise ApiError("this battle has a vote already", 409, param="battle")
        return row[0], row[1]

    def read(self) -> list[ShownPair]:
        """All battles with a vote, in the order of the votes' battles."""
        if not self.path.exists():
            return []
        with self._open() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM battles WHERE vote IS NOT NULL ORDER BY rowid")  # noqa: S608
            return [ShownPair(*row) for row in rows]

    def conversation(self, battle: str) -> list[dict[str, str]]:
        """The messages that the next prompt follows: those of a battle with its better answer."""
        with self._open() as connection:
            row = connection.execute(f"SELECT {_COLUMNS} FROM battles WHERE id = ?", (battle,)).fetchone()  # noqa: S608
        if row is None:
            raise ApiError("no such battle", 404, param="after")
        pair = ShownPair(*row)
        if pair.better is None:
            raise ApiError("this battle has no better answer to go on with", 409, param="after")
        return [*pair.messages(), {"role": "assistant", "content": pair.better}]


def fight(
    models: Sequence[ServedModel], prompt: str, settings: GenerateSettings, store: BattleStore, after: str | None = None
) -> Iterator[dict[str, Any]]:
    """Events of a battle: its id, pieces of both sides in turn, and the end. It is stored when both have ended.

    after: the battle whose conversation goes on.
    """
    order = list(models) if secrets.randbelow(2) else list(reversed(models))
    history = [] if after is None else store.conversation(after)
    before = [Message("user" if said["role"] == "user" else "assistant", said["content"]) for said in history]
    messages = [*before, Message("user", prompt)]
    settings = settings.model_copy(update={"seed": secrets.randbits(48)})
    try:
        prompts = [fit_prompt(served, messages, settings) for served in order]
    except ApiError as error:
        if history and error.error["code"] == TOO_LONG:  # says nothing of which model has the shorter context
            raise ApiError(
                "the conversation fills the context; begin a new one", param="after", code=TOO_LONG
            ) from None
        raise
    streams = [
        served.pieces(tokens, sampling, 1, (), chat=True)
        for served, (tokens, sampling) in zip(order, prompts, strict=True)
    ]
    battle = secrets.token_hex(12)
    yield {"battle": battle}
    texts = ["", ""]
    for side, piece in _take_turns(streams):
        texts[side] += piece.text
        if piece.text:
            yield {"side": SIDES[side], "text": piece.text}
    told = json.dumps(history, ensure_ascii=False)
    store.add(ShownPair(battle, prompt, order[0].name, order[1].name, texts[0], texts[1], None, told))
    yield {"done": True}


def _take_turns(streams: Sequence[Iterator[TextPiece]]) -> Iterator[tuple[int, TextPiece]]:
    """Token by token from each side that has not ended, so that speed does not tell them apart."""
    running = dict(enumerate(streams))
    while running:
        for side, stream in list(running.items()):
            piece = next(stream, None)
            if piece is None:
                del running[side]
            else:
                yield side, piece


def export_battles(pairs: Sequence[ShownPair]) -> Iterator[str]:
    """JSON lines for `gristmill train arena`; two bad answers are a tie."""
    for pair in pairs:
        item = {"a": pair.left_model, "b": pair.right_model, "winner": _WINNERS[pair.vote or "tie"], "vote": pair.vote}
        yield json.dumps(item, ensure_ascii=False) + "\n"


def export_preferences(pairs: Sequence[ShownPair]) -> Iterator[str]:
    """JSON lines for `reward`, `dpo` and `kto`; without two bad, two equal and empty answers."""
    for pair in pairs:
        answers = [(pair.left_answer, pair.left_model), (pair.right_answer, pair.right_model)]
        if pair.vote == "bad" or pair.left_answer == pair.right_answer or not all(text.strip() for text, _ in answers):
            continue
        (chosen, winner), (rejected, loser) = reversed(answers) if pair.vote == "right" else answers
        item = {"prompt": pair.messages(), "chosen": chosen, "rejected": rejected, "tie": pair.vote == "tie"}
        yield json.dumps({**item, "chosen_model": winner, "rejected_model": loser}, ensure_ascii=False) + "\n"


class Standing(NamedTuple):
    """How a model did; `share` is of battles that were no tie, with its 95% interval (Wilson)."""

    model: str
    wins: int
    share: float
    low: float
    high: float


def count_votes(pairs: Sequence[ShownPair]) -> tuple[list[Standing], Counter[str]]:
    """The models by wins, and the votes by kind."""
    kinds = Counter(pair.vote for pair in pairs if pair.vote)
    wins = Counter(pair.left_model if pair.vote == "left" else pair.right_model for pair in pairs if pair.vote in SIDES)
    names = {name for pair in pairs for name in (pair.left_model, pair.right_model)}
    rows = []
    for name in names:
        found = binomtest(wins[name], max(wins.total(), 1))
        low, high = found.proportion_ci(method="wilson")
        rows.append(Standing(name, wins[name], found.statistic, low, high))
    return sorted(rows, key=lambda row: (-row.wins, row.model)), kinds
