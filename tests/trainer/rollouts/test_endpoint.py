"""A real server that is busy, silent, dead, wrong or hostile: answers in order, one line, or a counted reply."""

from __future__ import annotations

import json

import pytest

from tests.trainer.rollouts.model_server import KEY, dead_url, play_model
from trainer.chat.conversation import Message
from trainer.errors import UserError
from trainer.rollouts.endpoint import Endpoint, EndpointError, EndpointSettings
from trainer.rollouts.generator import MAX_BAD_IN_A_ROW, BadReply, ChatRequest, Reply, Usage

FAST = EndpointSettings(backoff=0.01, timeout=5.0, retries=2)


def ask(text: str, **more: object) -> ChatRequest:
    return ChatRequest((Message("user", text),), **more)  # type: ignore[arg-type]


def repeat(body: dict) -> str:
    return f"you said {body['messages'][-1]['content']}"


def test_replies_come_in_order_with_the_request_as_it_was_made():
    with play_model(repeat) as model:
        generator = Endpoint(model.url + "/", FAST)
        assert generator.name == "played"
        found = generator.replies([ask(str(n), seed=n, max_tokens=7, temperature=0.5) for n in range(20)])
    assert found == [Reply(f"you said {n}", True, 10, 3) for n in range(20)]
    sent = sorted(model.requests, key=lambda body: body["seed"])
    assert [body["messages"][0]["content"] for body in sent] == [str(n) for n in range(20)]
    assert {(body["model"], body["max_tokens"], body["temperature"]) for body in sent} == {("played", 7, 0.5)}


@pytest.mark.parametrize("failure", [429, 500, 503, "reset"])
def test_a_busy_endpoint_is_asked_again(failure):
    with play_model(repeat) as model:
        model.failures = [failure, failure]
        generator = Endpoint(model.url, FAST.model_copy(update={"model": "m", "concurrency": 1}))
        assert generator.replies([ask("a")]) == [Reply("you said a", True, 10, 3)]
    assert len(model.requests) == 3


def test_the_wait_is_the_one_that_the_endpoint_asks_for():
    with play_model(repeat) as model:
        model.failures, model.retry_after = [429], "1"
        Endpoint(model.url, FAST).replies([ask("a")])
    assert model.times[1] - model.times[0] >= 1


@pytest.mark.parametrize(
    ("failures", "message"),
    [
        ([503] * 3, r"does not answer \(status 503\), asked 3 times"),
        (["reset"] * 3, r"does not answer \(the connection was closed\), asked 3 times"),
        ([401], "wants a key"),
        ([404], "not an OpenAI-compatible endpoint, or another model"),
        ([302], "not an OpenAI-compatible endpoint"),
    ],
)
def test_an_endpoint_that_cannot_be_used_is_one_line(failures, message):
    with play_model(repeat) as model:
        model.failures = failures
        with pytest.raises(EndpointError, match=message) as found:
            Endpoint(model.url, FAST.model_copy(update={"concurrency": 1})).replies([ask("a"), ask("b")])
    assert "\n" not in found.value.message
    assert found.value.message.isprintable()


def test_after_an_error_nothing_is_asked_again():
    with play_model(repeat) as model:
        model.failures, model.retry_after = [503, 401], "60"
        with pytest.raises(EndpointError, match="wants a key"):
            Endpoint(model.url, FAST.model_copy(update={"concurrency": 2})).replies([ask("a"), ask("b")])
        assert len(model.requests) == 2


def test_a_dead_endpoint_is_one_line():
    with pytest.raises(EndpointError, match=r"does not answer \(Connection refused\), asked 3 times"):
        Endpoint(dead_url(), FAST)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"<html>no", "not JSON"),
        (b"[" * 15_000, "not JSON"),
        (b"[]", "no text in the answer"),
        (b'{"choices": [{"message": {"content": null}}]}', "no text in the answer"),
        (b'{"choices": [{"message": {"content": "\\ud83d"}}]}', "half a surrogate pair in the answer"),
        (b'{"choices": "x"}', "no text in the answer"),
        (b"x" * 30_000, "answer too long or too slow"),
    ],
)
def test_nonsense_is_a_counted_reply(answer, reason):
    with play_model(lambda _: answer) as model:
        (found,) = Endpoint(model.url, FAST.model_copy(update={"max_bytes": 20_000})).replies([ask("a")])
    assert isinstance(found, BadReply)
    assert found.reason == reason


@pytest.mark.parametrize("status", ["200", "endless"])
def test_a_body_without_an_end_is_cut(status):
    with play_model(repeat) as model:
        model.failures, model.retry_after = ["endless"], status
        (found,) = Endpoint(model.url, FAST).replies([ask("a")])
    assert isinstance(found, BadReply if status == "200" else Reply)  # the status 503 is asked again


def test_usage_that_is_nonsense_counts_nothing():
    answer = {"choices": [{"message": {"content": "a"}}], "usage": {"prompt_tokens": -1, "completion_tokens": "x"}}
    with play_model(lambda _: json.dumps(answer).encode()) as model:
        assert Endpoint(model.url, FAST).replies([ask("a")]) == [Reply("a", False, 0, 0)]


def test_a_refused_request_keeps_what_the_endpoint_said_without_its_control_characters():
    with play_model(repeat) as model:
        model.failures = [400]
        assert Endpoint(model.url, FAST).replies([ask("a")]) == [BadReply("refused with status 400", "failed  [31m400")]


def test_a_key_comes_from_the_environment_and_is_never_shown(monkeypatch):
    settings = FAST.model_copy(update={"api_key_variable": "PLAYED_KEY", "model": "m"})
    with play_model(repeat) as model:
        model.key = KEY
        with pytest.raises(EndpointError, match="PLAYED_KEY with its API key is not set"):
            Endpoint(model.url, settings)
        monkeypatch.setenv("PLAYED_KEY", KEY)
        assert Endpoint(model.url, settings).replies([ask("a")])[0] == Reply("you said a", True, 10, 3)
        monkeypatch.setenv("PLAYED_KEY", "wrong-secret")
        with pytest.raises(EndpointError, match="refuses the key in PLAYED_KEY") as found:
            Endpoint(model.url, settings).replies([ask("a")])
        monkeypatch.setenv("PLAYED_KEY", "wrong-secret\r\nX: y")
        with pytest.raises(EndpointError, match="not an API key") as other:
            Endpoint(model.url, settings)
        assert "wrong-secret" not in found.value.message + other.value.message
    monkeypatch.setenv("PLAYED_KEY", KEY)
    with pytest.raises(EndpointError, match="over https only"):
        Endpoint("http://models.example/v1", settings)


@pytest.mark.parametrize(
    "url", ["ftp://a/v1", "http://", "nonsense", "http://a:b/v1", "http://u:p@a/v1", "http://a/v1?k=1", "http://[/v1"]
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(EndpointError, match="address"):
        Endpoint(url, FAST)


def test_of_several_models_one_must_be_named():
    with play_model(repeat) as model:
        model.models = ["a", "b"]
        with pytest.raises(EndpointError, match=r"endpoint\.model=\.\.\.; it lists a, b"):
            Endpoint(model.url, FAST)


def test_usage_counts_prices_and_gives_up_on_nonsense():
    usage = Usage()
    with play_model(repeat) as model:
        usage.ask(Endpoint(model.url, FAST), [ask("a"), ask("b")])
    assert (usage.requests, usage.prompt_tokens, usage.answer_tokens) == (2, 20, 6)
    assert usage.price(1.0, 10.0) == pytest.approx((20 + 60) / 1e6)
    assert "1,000 tasks cost 1,000 requests, 10,000 prompt tokens, 3,000 answer tokens" in usage.describe(2, "tasks")
    assert Usage.from_json(json.loads(json.dumps(usage.to_json()))) == usage
    with play_model(lambda _: b"no") as model:
        *found, last = usage.ask(Endpoint(model.url, FAST), [ask("a")] * MAX_BAD_IN_A_ROW)
    for reply in [*found, None, *found]:
        usage.note(reply)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"20 replies in a row .* not JSON"):
        usage.note(last)  # type: ignore[arg-type]
    assert usage.bad == {"not JSON": 2 * MAX_BAD_IN_A_ROW - 1}
