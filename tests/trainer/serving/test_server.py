"""The endpoint answers as OpenAI's does, its numbers are the model's, and it answers nobody else."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
import urllib3

from tests.trainer.serving.models import CONTEXT, decoder, passage_reader, serve, served, tokenizer, two_models
from trainer.chat.conversation import Message
from trainer.evaluation.likelihood import Scorer
from trainer.retrieval.chunk_database import DatabaseError, open_database
from trainer.rollouts.endpoint import Endpoint, EndpointSettings
from trainer.rollouts.generator import ChatRequest, LocalGenerator, Reply
from trainer.serving.passages import PassageReader
from trainer.serving.server import ServeSettings, Serving, create_app

HOST = "127.0.0.1:8322"
ASK = {"model": "first", "messages": [{"role": "user", "content": "The river"}], "max_tokens": 12, "seed": 5}
COMPLETE = {"model": "first", "prompt": "The river", "max_tokens": 12, "seed": 5}


class Client:
    """Requests to the application of two models."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.serving = two_models(folder, **settings)
        self.application = create_app(self.serving, frozenset({HOST})).test_client()

    def get(self, address: str, status: int = 200, **headers: str) -> Any:
        answer = self.application.get(address, headers={"Host": HOST, **headers})
        assert answer.status_code == status, answer.get_data(as_text=True)
        return answer

    def post(self, address: str, body: Any, status: int = 200, **headers: str) -> Any:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Host": HOST, "Content-Type": "application/json", **headers}
        answer = self.application.post(address, data=content, headers=given)
        assert answer.status_code == status, answer.get_data(as_text=True)
        return answer

    def events(self, address: str, body: dict[str, Any]) -> list[Any]:
        text = self.post(address, body).get_data(as_text=True)
        lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
        return [line if line == "[DONE]" else json.loads(line) for line in lines]


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


def test_models_are_listed(client: Client) -> None:
    found = client.get("/v1/models").json
    assert [row["id"] for row in found["data"]] == ["first", "second"]
    assert found["object"] == "list"
    assert client.get("/v1/models/second").json == found["data"][1]
    assert client.get("/v1/models/a/b", 404).json["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("model", ["first", "second"])
def test_a_chat_answer_is_the_one_of_the_model(client: Client, model: str) -> None:
    wanted = served(model, {"first": 1, "second": 2}[model])
    assert wanted.template is not None
    messages = (Message("system", "Be short."), Message("user", "The river"))
    (expected,) = LocalGenerator(model, wanted.model, wanted.template).replies(
        [ChatRequest(messages, max_tokens=12, temperature=0)]
    )
    parts = [{"type": "text", "text": "The "}, {"type": "text", "text": "river"}]
    given = [{"role": "developer", "content": "Be short."}, {"role": "user", "content": parts}]
    found = client.post("/v1/chat/completions", {**ASK, "model": model, "messages": given, "temperature": 0}).json
    assert isinstance(expected, Reply)
    assert found["choices"][0]["message"] == {"role": "assistant", "content": expected.text}
    assert found["choices"][0]["finish_reason"] == ("stop" if expected.finished else "length")
    usage = (expected.prompt_tokens, expected.answer_tokens, expected.prompt_tokens + expected.answer_tokens)
    assert tuple(found["usage"].values()) == usage
    assert (found["object"], found["model"]) == ("chat.completion", model)


def test_samples_differ_by_seed_and_number_and_are_repeated(client: Client) -> None:
    def texts(**more: object) -> list[str]:
        found = client.post("/v1/chat/completions", {**ASK, "n": 3, **more}).json
        assert [choice["index"] for choice in found["choices"]] == [0, 1, 2]
        return [choice["message"]["content"] for choice in found["choices"]]

    assert len(set(texts())) == 3
    assert texts() == texts()
    assert texts() != texts(seed=6)
    assert texts(seed=None) != texts(seed=None)
    assert len(set(texts(temperature=0))) == 1
    assert len(set(texts(top_p=1e-6))) == 1


@pytest.mark.parametrize("stop", [None, ["e", "zz"]])
def test_a_stream_has_the_text_of_the_whole_answer(client: Client, stop: list[str] | None) -> None:
    body = {**ASK, "n": 2, "stop": stop}
    whole = client.post("/v1/chat/completions", body).json
    *events, done = client.events(
        "/v1/chat/completions", {**body, "stream": True, "stream_options": {"include_usage": True}}
    )
    assert done == "[DONE]"
    assert events[-1]["usage"] == whole["usage"]
    choices = [event["choices"][0] for event in events[:-1]]
    for number, expected in enumerate(whole["choices"]):
        mine = [choice for choice in choices if choice["index"] == number]
        assert mine[0]["delta"] == {"role": "assistant", "content": ""}
        assert "".join(choice["delta"].get("content", "") for choice in mine) == expected["message"]["content"]
        assert [choice["finish_reason"] for choice in mine if choice["finish_reason"]] == [expected["finish_reason"]]
        if stop:
            assert "e" not in expected["message"]["content"]
    assert {event["id"] for event in events} == {events[0]["id"]}
    plain = client.post("/v1/completions", {**COMPLETE, "prompt": ["The river", "A"], "stop": stop}).json
    *pieces, done = client.events(
        "/v1/completions", {**COMPLETE, "prompt": ["The river", "A"], "stop": stop, "stream": True}
    )
    for number, choice in enumerate(plain["choices"]):
        mine = [piece["choices"][0]["text"] for piece in pieces if piece["choices"][0]["index"] == number]
        assert "".join(mine) == choice["text"]


def test_a_stop_string_ends_the_answer_before_it(client: Client) -> None:
    whole = client.post("/v1/completions", {**COMPLETE, "max_tokens": 40}).json["choices"][0]["text"]
    stop = whole[8:11]
    found = client.post("/v1/completions", {**COMPLETE, "max_tokens": 40, "stop": stop}).json
    assert found["choices"][0]["text"] == whole[: whole.index(stop)]
    assert found["choices"][0]["finish_reason"] == "stop"
    assert found["usage"]["completion_tokens"] < 40


@pytest.mark.parametrize("as_tokens", [True, False])
def test_the_likelihood_of_a_prompt_is_that_of_the_scorer(client: Client, as_tokens: bool) -> None:
    model = decoder(1)
    scorer = Scorer(lambda tokens: model(tokens).logits, tokenizer(), CONTEXT)
    texts = [("The river", " is long and é cold 123"), ("One", " two")]
    pairs = [scorer.pair(*text) for text in texts]
    prompts: list[Any] = [[*pair.context, *pair.continuation] for pair in pairs]
    if not as_tokens:
        prompts = ["".join(text) for text in texts]
    body = {**COMPLETE, "prompt": prompts, "echo": True, "logprobs": 2, "max_tokens": 0}
    found = client.post("/v1/completions", body).json
    for pair, score, choice, text in zip(pairs, scorer.scores(pairs), found["choices"], texts, strict=True):
        logs = choice["logprobs"]
        begin = len(pair.context) - (0 if as_tokens else 1)
        assert sum(logs["token_logprobs"][begin:]) == pytest.approx(score.likelihood, abs=1e-4)
        assert (logs["token_logprobs"][0] is None) == as_tokens
        assert choice["text"] == ("<|endoftext|>" if as_tokens else "") + "".join(text)
        assert len(logs["tokens"]) == len(logs["top_logprobs"]) == len(logs["text_offset"])
        for value, top in zip(logs["token_logprobs"][begin:], logs["top_logprobs"][begin:], strict=True):
            assert value in top.values()
            assert list(top.values())[:2] == sorted(top.values(), reverse=True)[:2]
    assert found["usage"]["completion_tokens"] == 0


def test_log_probabilities_of_an_answer_are_those_of_the_model(client: Client) -> None:
    found = client.post("/v1/chat/completions", {**ASK, "logprobs": True, "top_logprobs": 3}).json
    wanted = served("first", 1)
    assert wanted.template is not None
    prompt = wanted.template.encode_prompt([Message("user", "The river")])
    row = list(prompt)
    for item in found["choices"][0]["logprobs"]["content"]:
        with torch.no_grad():
            logs = wanted.model(torch.tensor([row])).logits[0, -1, : tokenizer().vocab_size].log_softmax(-1)
        chosen = min(range(len(logs)), key=lambda token: abs(float(logs[token]) - item["logprob"]))
        row.append(chosen)
        assert float(logs[chosen]) == pytest.approx(item["logprob"], abs=1e-4)
        assert [top["logprob"] for top in item["top_logprobs"]] == pytest.approx(logs.topk(3).values.tolist(), abs=1e-4)
    assert len(row) - len(prompt) == found["usage"]["completion_tokens"]


LONG = "word " * 200
WRONG: list[tuple[str, Any, int, str | None]] = [
    ("/v1/chat/completions", b"{", 400, None),
    ("/v1/chat/completions", b"[" * 100_000, 400, None),
    ("/v1/chat/completions", [], 400, None),
    ("/v1/chat/completions", {**ASK, "model": "third"}, 404, "model"),
    ("/v1/chat/completions", {**ASK, "messages": []}, 400, "messages"),
    ("/v1/chat/completions", {**ASK, "messages": [{"role": "boss", "content": "a"}]}, 400, "messages"),
    ("/v1/chat/completions", {**ASK, "messages": [{"role": "user", "content": ""}]}, 400, "messages"),
    ("/v1/chat/completions", {**ASK, "messages": [{"role": "user", "content": "\ud83d"}]}, 400, "messages"),
    ("/v1/chat/completions", {**ASK, "messages": [{"role": "user", "content": LONG}]}, 400, "messages"),
    ("/v1/chat/completions", {**ASK, "temperature": -1}, 400, "temperature"),
    ("/v1/chat/completions", {**ASK, "n": 1000}, 400, "n"),
    ("/v1/chat/completions", {**ASK, "seed": "x"}, 400, "seed"),
    ("/v1/chat/completions", {**ASK, "tools": [{}]}, 400, "tools"),
    ("/v1/chat/completions", {**ASK, "stream": True, "logprobs": True}, 400, "logprobs"),
    ("/v1/completions", {**COMPLETE, "prompt": LONG}, 400, "prompt"),
    ("/v1/completions", {**COMPLETE, "prompt": [1_000_000]}, 400, "prompt"),
    ("/v1/completions", {**COMPLETE, "prompt": [-1]}, 400, "prompt"),
    ("/v1/completions", {**COMPLETE, "prompt": []}, 400, "prompt"),
    ("/v1/completions", {**COMPLETE, "prompt": "\ud83d"}, 400, "prompt"),
    ("/v1/completions", {**COMPLETE, "logprobs": 10_000}, 400, "logprobs"),
    ("/v1/completions", {**COMPLETE, "stop": ["a"] * 17}, 400, "stop"),
    ("/v1/completions", b" " * (9 << 20), 413, None),
    ("/v1/unknown", {}, 404, None),
    ("/compare/vote", {"battle": "nobody", "vote": "left"}, 404, "battle"),
    ("/compare/vote", {"battle": "nobody", "vote": "x"}, 400, "vote"),
    ("/compare/battle", {"prompt": ""}, 400, "prompt"),
    ("/compare/battle", {"prompt": LONG}, 400, "messages"),
    ("/compare/battle", [1], 400, "prompt"),
]


@pytest.mark.parametrize(("address", "body", "status", "param"), WRONG)
def test_what_is_wrong_is_named_in_the_shape_of_openai(
    client: Client, address: str, body: Any, status: int, param: str | None
) -> None:
    error = client.post(address, body, status).json["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["param"] == param
    assert error["message"]
    assert client.post("/v1/completions", COMPLETE).json["choices"]  # nobody keeps the model


def test_an_answer_never_exceeds_the_limits(tmp_path: Path) -> None:
    client = Client(tmp_path, max_new_tokens=7)
    for address, body in (("/v1/chat/completions", ASK), ("/v1/completions", COMPLETE)):
        found = client.post(address, {**body, "max_tokens": 1_000_000}).json
        assert found["usage"]["completion_tokens"] <= 7
    full = {**ASK, "messages": [{"role": "user", "content": "a b " * 10}, {"role": "assistant", "content": "c"}] * 30}
    full["messages"] = [*full["messages"], {"role": "user", "content": "last"}]  # type: ignore[misc]
    assert client.post("/v1/chat/completions", full, 400).json["error"]["code"] == "context_length_exceeded"
    assert client.post("/v1/chat/completions", {**full, "drop_oldest": True}).json["usage"]["prompt_tokens"] < CONTEXT


PLACES = {f"https://travel.example/{name}": f"hotel {name} ticket" for name in ("river", "beach", "city", "museum")}


@pytest.fixture
def reading(client: Client, tmp_path: Path) -> Client:
    """A server that reads passages before it answers."""
    client.serving.reader = passage_reader(tmp_path, PLACES)
    return client


def test_an_answer_is_that_to_the_question_behind_its_passages(reading: Client, client: Client) -> None:
    ask = {**ASK, "messages": [{"role": "user", "content": "hotel river?"}], "temperature": 0}
    found = reading.post("/v1/chat/completions", ask).json
    assert found["sources"][0]["url"] == "https://travel.example/river"
    assert [source["text"] for source in found["sources"]] == [PLACES[source["url"]] for source in found["sources"]]
    quoted = "".join(f"[{n}] {source['text']}\n" for n, source in enumerate(found["sources"], 1))
    assert quoted.count("hotel") == 3
    *events, _ = reading.events("/v1/chat/completions", {**ask, "stream": True, "n": 2})
    assert [event.get("sources") for event in events] == [found["sources"], *[None] * (len(events) - 1)]
    streamed = "".join(event["choices"][0]["delta"].get("content", "") for event in events
                       if event["choices"][0]["index"] == 0)  # fmt: skip
    reading.serving.reader = None
    told = {**ask, "messages": [{"role": "user", "content": f"{quoted}\nhotel river?"}]}
    plain = reading.post("/v1/chat/completions", told).json
    assert "sources" not in plain
    assert found["choices"] == plain["choices"]
    assert found["usage"] == plain["usage"]
    assert streamed == plain["choices"][0]["message"]["content"]


def test_passages_take_the_room_that_a_conversation_leaves(reading: Client) -> None:
    """A whole conversation is kept where it fits; the page gives up its oldest exchanges for passages."""

    def sources(exchanges: int, **more: object) -> int:
        said = [{"role": "user", "content": "beach city"}, {"role": "assistant", "content": "river museum hotel"}]
        body = {**ASK, "messages": [*said * exchanges, {"role": "user", "content": "hotel?"}], **more}
        found = reading.post("/v1/chat/completions", body).json
        assert found["usage"]["prompt_tokens"] <= CONTEXT - 12
        return len(found["sources"])

    counts = [sources(exchanges) for exchanges in range(11)]
    assert counts[0] == 3
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < 3
    assert [sources(exchanges, drop_oldest=True) for exchanges in (0, 10, 40)] == [3, 3, 3]
    full = {**ASK, "messages": [{"role": "user", "content": "hotel " * 60}], "max_tokens": 60}
    assert reading.post("/v1/chat/completions", full).json["sources"] == []


def test_a_database_of_another_embedder_is_refused_before_the_server_runs(tmp_path: Path) -> None:
    folder = passage_reader(tmp_path, PLACES).database.folder
    record = json.loads((folder / "database.json").read_text())
    (folder / "database.json").write_text(json.dumps(record | {"embedder": "another"}))
    with pytest.raises(DatabaseError, match="build the database again"):
        PassageReader(open_database(folder))


def test_only_questions_are_given_passages(reading: Client) -> None:
    told = [*ASK["messages"], {"role": "assistant", "content": "The hotel"}]  # type: ignore[misc]
    assert reading.post("/v1/chat/completions", {**ASK, "messages": told}).json["sources"] == []
    assert "sources" not in reading.post("/v1/completions", COMPLETE).json


def test_too_many_requests_are_told_to_come_back() -> None:
    serving = Serving([served("first", 1, max_waiting=0)], None, ServeSettings())
    client = create_app(serving, frozenset({HOST})).test_client()
    given = {"Host": HOST}
    with serving.models[0].turn():
        answer = client.post("/v1/chat/completions", json=ASK, headers=given)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2")
    assert client.post("/v1/chat/completions", json=ASK, headers=given).status_code == 200
    assert client.get("/compare", headers=given).status_code == 404  # there is one run


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1:8322.evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_foreign_hosts_and_origins_are_refused(client: Client, headers: dict[str, str]) -> None:
    for address in ("/", "/v1/models", "/compare/preferences.jsonl"):
        client.get(address, 403, **headers)
    client.post("/v1/chat/completions", ASK, 403, **headers)
    client.post("/compare/battle", {"prompt": "a"}, 403, **headers)


def test_a_form_cannot_ask(client: Client) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        client.post("/v1/chat/completions", ASK, 415, **{"Content-Type": kind})


def test_pages_forbid_what_they_do_not_need_and_paths_lead_nowhere(client: Client) -> None:
    for address in ("/", "/compare", "/compare/results", "/static/serve.js"):
        headers = client.get(address).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
    for address in ("/static/../server.py", "/static/%2e%2e/server.py", "/static/x"):
        client.get(address, 404)


def test_names_are_text_on_the_pages(tmp_path: Path) -> None:
    client = Client(tmp_path)
    client.serving.models[0].name = "</title><script>alert(1)</script>"
    for address in ("/", "/compare"):
        assert "<script>alert" not in client.get(address).get_data(as_text=True)


def test_a_real_server_streams_serves_our_own_client_and_is_free_when_a_reader_leaves(tmp_path: Path) -> None:
    with serve(two_models(tmp_path)) as address:
        generator = Endpoint(f"{address}v1", EndpointSettings(model="second"))
        found = generator.replies([ChatRequest((Message("user", str(n)),), max_tokens=5) for n in range(6)])
        wanted = served("second", 2)
        assert wanted.template is not None
        local = LocalGenerator("second", wanted.model, wanted.template)
        assert found == local.replies([ChatRequest((Message("user", str(n)),), max_tokens=5) for n in range(6)])
        pool = urllib3.PoolManager(retries=False)
        for _ in range(3):  # leave in the midst of an answer
            body = json.dumps({**COMPLETE, "stream": True, "max_tokens": 100, "n": 16}).encode()
            kind = {"Content-Type": "application/json"}
            answer = pool.request("POST", f"{address}v1/completions", body=body, headers=kind, preload_content=False)
            assert answer.read(20).startswith(b"data: {")
            answer.close()
        after = threading.Thread(target=generator.replies, args=([ChatRequest((Message("user", "a"),), max_tokens=2)],))
        after.start()
        after.join(30)
        assert not after.is_alive()
