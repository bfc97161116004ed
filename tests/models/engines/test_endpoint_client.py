"""The client of an endpoint against a real HTTP server: what is sent, what comes back, and every way it fails."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any

import pytest
from fake_server import Answer, Server, error, said, serving
from hypothesis import given, strategies as st
from pydantic import ValidationError

from harness.arms.toy import ToyTokenizer
from harness.config import EndpointSpec
from harness.errors import ArmFailed
from harness.models import Continuation
from harness.models.engines.endpoint import Client, EndpointModel
from harness.records import Message


def spec(url: str, **changes: Any) -> EndpointSpec:
    return EndpointSpec(**{"method": "endpoint", "url": url, "model": "m", "retries": 0, **changes})


def model(server: Server, **changes: Any) -> EndpointModel:
    return EndpointModel(Client(spec(server.url, **changes), sleep=lambda seconds: None), ToyTokenizer(), 100)


def failure(url: str, **changes: Any) -> str:
    with pytest.raises(ArmFailed) as caught:
        Client(spec(url, **changes), sleep=lambda seconds: None).ask("p", 4, ())
    text = str(caught.value)
    assert "\n" not in text and caught.value.hint
    return text


def test_a_completion_is_asked_greedily_and_comes_back_as_it_was() -> None:
    with serving(lambda body: said(" héllo\n", "length")) as server:
        asked = model(server)
        [answer] = asked.generate([asked.ids("Say:\n ü", ())], 9, ["STOP"])
    assert server.paths == ["/v1/completions"]
    assert server.bodies == [{"model": "m", "prompt": "Say:\n ü", "max_tokens": 9, "temperature": 0, "stop": ["STOP"]}]
    assert (answer.text, answer.finish, answer.counted) == (" héllo\n", "length", (7, 3))


def test_a_chat_gets_the_turns_and_the_template_arguments() -> None:
    with serving(lambda body: said("yes", chat=True)) as server:
        client = Client(spec(server.url, api="chat"), {"chat_template_kwargs": {"enable_thinking": False}})
        asked = EndpointModel(client, ToyTokenizer(), 100)
        turns = [Message("system", "Be brief."), Message("user", 'a "b"')]
        [answer] = asked.generate([asked.ids("unused", turns)], 4, [])
    assert server.paths == ["/v1/chat/completions"]
    assert server.bodies[0]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": 'a "b"'},
    ]
    assert server.bodies[0]["chat_template_kwargs"] == {"enable_thinking": False}
    assert "stop" not in server.bodies[0]
    assert answer.text == "yes"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_ids_of_a_prompt_give_the_prompt_back(text: str) -> None:
    asked = EndpointModel(Client(spec("http://127.0.0.1:1/v1")), ToyTokenizer(), 100)
    assert "".join(map(chr, asked.ids(text, ()))) == text
    chat = EndpointModel(Client(spec("http://127.0.0.1:1/v1", api="chat")), ToyTokenizer(), 100)
    assert json.loads("".join(map(chr, chat.ids("", [Message("user", text)]))))[0]["content"] == text


def test_stop_strings_are_cut_here_too_and_missing_counts_are_made_up_for() -> None:
    with serving(lambda body: said("one END two", "length", usage=False)) as server:
        asked = model(server)
        [answer] = asked.generate([asked.ids("abcd", ())], 9, ["END"])
    assert (answer.text, answer.finish, answer.counted) == ("one ", "stop", (4, 4))


def test_requests_run_side_by_side_and_answers_keep_their_order() -> None:
    together = threading.Barrier(3, timeout=20)

    def answer(body: dict[str, Any]) -> Answer:
        together.wait()  # breaks, and fails the test, unless three are under way at once
        return said(body["prompt"][::-1])

    with serving(answer) as server:
        asked = model(server, concurrency=3)
        texts = [f"prompt {number}" for number in range(9)]
        answers = asked.generate([asked.ids(text, ()) for text in texts], 9, [])
    assert [one.text for one in answers] == [text[::-1] for text in texts]
    assert server.most == 3


def test_what_may_pass_is_tried_again_waiting_longer_each_time() -> None:
    left = [error(503), error(429, Retry_After="7"), error(500)]
    slept: list[float] = []
    with serving(lambda body: left.pop(0) if left else said("at last")) as server:
        reply = Client(spec(server.url, retries=3), sleep=slept.append).ask("p", 4, ())
    assert reply.text == "at last"
    assert slept == [0.5, 7.0, 2.0]


def test_tries_end() -> None:
    with serving(lambda body: error(503, "overloaded")) as server:
        text = failure(server.url, retries=2)
        assert len(server.bodies) == 3
    assert "answered 503 (overloaded) (3 tries)" in text


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (error(401, "bad key"), ["answered 401 (bad key)", "key_env"]),
        (error(404, "no model m"), ["answered 404 (no model m)", "ends in /v1"]),
        (error(400, "prompt too long"), ["answered 400 (prompt too long)", "length of the prompts"]),
        ((307, b"", {"Location": "http://127.0.0.1:1/"}), ["answered 307", "Redirects are not followed"]),
        ((200, b"<html>hello</html>", {}), ["malformed reply: <html>hello", "OpenAI-compatible"]),
        ((200, b'{"choices": []}', {}), ["malformed reply", "choices"]),
        ((200, b'{"choices": [{"text": 5}]}', {}), ["malformed reply"]),
        ((200, b"", {}), ["malformed reply: nothing"]),
    ],
)
def test_what_will_not_pass_ends_at_once_in_one_line(answer: Answer, words: list[str]) -> None:
    with serving(lambda body: answer) as server:
        text = failure(server.url, retries=3)
        assert len(server.bodies) == 1
    assert all(word in text for word in words), text


def test_no_server_and_no_answer() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert "cannot be reached" in failure(f"http://127.0.0.1:{port}/v1")
    done = threading.Event()

    def slow(body: dict[str, Any]) -> Answer:
        done.wait(20)
        return said("late")

    with serving(slow) as server:
        assert "no answer within 0.2 s" in failure(server.url, timeout=0.2)
        done.set()


def test_the_key_is_sent_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "sk-secret")
    with serving(lambda body: error(401, "incorrect key sk-secret")) as server:
        text = failure(server.url, key_env="SOME_KEY")
        assert server.keys == ["Bearer sk-secret"]
    assert "sk-secret" not in text and "[key]" in text
    monkeypatch.delenv("SOME_KEY")
    assert "SOME_KEY (key_env) is not set" in failure("http://127.0.0.1:1/v1", key_env="SOME_KEY")


@pytest.mark.parametrize(
    "url",
    ["http://user:pass@host/v1", "http://host/v1?key=1", "ftp://host/v1", "host:8000", "http://host/v1/completions"],
)
def test_urls_that_hold_secrets_or_lead_nowhere_are_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="give "):
        spec(url)


def test_log_probabilities_are_refused() -> None:
    with pytest.raises(ArmFailed, match="no log-probabilities"):
        EndpointModel(Client(spec("http://127.0.0.1:1/v1")), ToyTokenizer(), 9).logprobs([Continuation((1,), (2,))])


def test_a_failing_batch_stops_asking() -> None:
    def answer(body: dict[str, Any]) -> Answer:
        if body["prompt"] == "0":
            return error(404)
        time.sleep(0.2)
        return said("x")

    with serving(answer) as server:
        asked = model(server, concurrency=2)
        with pytest.raises(ArmFailed):
            asked.generate([asked.ids(str(number), ()) for number in range(50)], 4, [])
        time.sleep(0.5)
        assert len(server.bodies) < 10
