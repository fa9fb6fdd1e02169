"""Both protocols against a server that speaks them well and badly, over real sockets."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from tasks.lab.errors import AttemptFailed
from tasks.lab.protocols import ollama, openai
from tasks.lab.protocols.speech import Heard, Prompt, Server, text_within
from tasks.lab.protocols.wire import Clock
from tests.lab_server import Behaviour, LabServer

PROTOCOLS = {"ollama": ollama, "openai": openai}


@pytest.fixture(params=["ollama", "openai"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ask(
    kind: str, url: str, *, whole_s: float = 20.0, patience_s: float = 10.0, limit: int = 100_000, **prompt: object
) -> tuple[str, Heard, Clock]:
    clock, heard = Clock(whole_s, patience_s), Heard()
    asked = Prompt("m", "hi", **prompt)  # type: ignore[arg-type]
    server = Server(url, key="s3cret", max_text_bytes=limit, max_wire_bytes=4 * limit)
    text = "".join(text_within(PROTOCOLS[kind].generate(server, asked, clock, heard), limit))
    return text, heard, clock


def failure(kind: str, url: str, **options: object) -> AttemptFailed:
    try:
        _, heard, _ = ask(kind, url, **options)  # type: ignore[arg-type]
    except AttemptFailed as problem:
        return problem
    assert not heard.complete
    return AttemptFailed("hung_up", "as the caller of generate sees it")


def test_an_answer_comes_with_tokens_and_the_first_tokens_time(kind: str, lab_server: LabServer) -> None:
    lab_server.behave("m", Behaviour(first_delay_s=0.05, delay_s=0.02))
    text, heard, clock = ask(kind, lab_server.url, system="be kind", temperature=0.5, max_tokens=9, json=True)
    assert text == "Hello, world"
    assert (heard.input_tokens, heard.output_tokens) == (7, 3)
    assert (heard.finish_reason, heard.complete) == ("stop", True)
    first = clock.first_token_ms()
    assert first is not None
    assert 50 <= first < clock.ms_since_start()
    [body] = lab_server.seen
    assert body["stream"] is True
    if kind == "ollama":
        assert (body["system"], body["format"]) == ("be kind", "json")
        assert body["options"] == {"temperature": 0.5, "num_predict": 9}
    else:
        assert body["messages"][0] == {"role": "system", "content": "be kind"}
        assert body["stream_options"] == {"include_usage": True}
        assert (body["temperature"], body["max_tokens"]) == (0.5, 9)
        assert body["response_format"] == {"type": "json_object"}
    assert lab_server.authorizations == ["Bearer s3cret"]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("chop", [1, 3, 7])
def test_however_it_is_chopped(kind: str, lab_server: LabServer, chop: int, newline: bytes) -> None:
    pieces = ("naïve ", "日本", "🎉", "\u2028", "x")
    lab_server.behave("m", Behaviour(pieces, ascii_only=False, chop=chop, newline=newline, comments=True, bom=True))
    text, heard, _ = ask(kind, lab_server.url)
    assert text == "".join(pieces)
    assert heard.output_tokens == len(pieces)


def test_halves_of_an_emoji_in_two_pieces(kind: str, lab_server: LabServer) -> None:
    from tasks.lab.protocols.streams import mended

    lab_server.behave("m", Behaviour(("a \ud83c", "\udf89 b", "\ud800")))
    text, _, _ = ask(kind, lab_server.url)
    assert mended(text) == "a 🎉 b\ufffd"


def test_without_usage_tokens_are_unknown(kind: str, lab_server: LabServer) -> None:
    lab_server.behave("m", Behaviour(usage=False))
    _, heard, _ = ask(kind, lab_server.url)
    assert (heard.input_tokens, heard.output_tokens, heard.complete) == (None, None, True)


def test_a_server_that_can_not_stream(lab_server: LabServer) -> None:
    lab_server.behave("m", Behaviour(stream=False))
    text, heard, _ = ask("openai", lab_server.url)
    assert (text, heard.output_tokens, heard.complete) == ("Hello, world", 3, True)


@pytest.mark.parametrize(
    ("status", "headers", "error_type", "retry_after_s"),
    [
        (429, {"Retry-After": "7"}, "rate_limited", 7.0),
        (429, {}, "rate_limited", None),
        (503, {"Retry-After": "2"}, "rate_limited", 2.0),
        (503, {}, "server_error", None),
        (500, {}, "server_error", None),
        (401, {}, "unauthorized", None),
        (403, {}, "unauthorized", None),
        (404, {}, "model_missing", None),
        (400, {}, "refused", None),
        (302, {"Location": "http://127.0.0.1:1/"}, "refused", None),
    ],
)
def test_answers_that_are_none(
    kind: str, lab_server: LabServer, status: int, headers: dict[str, str], error_type: str, retry_after_s: float
) -> None:
    lab_server.behave("m", Behaviour(status=status, headers=headers, error="the key s3cret is wrong"))
    failed = failure(kind, lab_server.url)
    assert (failed.error_type, failed.retry_after_s) == (error_type, retry_after_s)
    assert len(lab_server.seen) == 1
    if status in (401, 403):
        assert "s3cret" not in failed.message


def test_a_date_in_retry_after_counts_by_the_servers_clock(kind: str, lab_server: LabServer) -> None:
    lab_server.behave("m", Behaviour(status=429, headers={"Retry-After": "Wed, 01 Jan 2020 00:00:00 GMT"}))
    assert failure(kind, lab_server.url).retry_after_s == 0.0


@pytest.mark.parametrize(
    ("behaviour", "error_type"),
    [
        (Behaviour(hang_up_after=0), "hung_up"),
        (Behaviour(hang_up_after=2), "hung_up"),
        (Behaviour(hang_up_after=3), "hung_up"),
        (Behaviour(done=False), "hung_up"),
        (Behaviour(error_after=2), "model_error"),
        (Behaviour(raw=b"<html>oops</html>\n"), "hung_up or bad_answer"),
        (Behaviour(raw=b'data: {"choices": [\n\n'), "bad_answer"),
        (Behaviour(raw=b"data: [1]\n\n"), "bad_answer"),
        (Behaviour(pieces=("x" * 1000,) * 200), "too_large"),
        (Behaviour(raw=b"x" * 3_000_000), "too_large"),
    ],
)
def test_streams_that_go_wrong(kind: str, lab_server: LabServer, behaviour: Behaviour, error_type: str) -> None:
    lab_server.behave("m", behaviour)
    assert failure(kind, lab_server.url).error_type in error_type


def test_each_timeout(kind: str, lab_server: LabServer) -> None:
    lab_server.behave("m", Behaviour(first_delay_s=30))
    assert failure(kind, lab_server.url, patience_s=0.2).error_type == "first_token_timeout"
    lab_server.behave("m", Behaviour(delay_s=30))
    assert failure(kind, lab_server.url, patience_s=0.3).error_type in ("stalled", "first_token_timeout")
    lab_server.behave("m", Behaviour(pieces=("a",) * 100, delay_s=0.05))
    assert failure(kind, lab_server.url, whole_s=0.5, patience_s=5).error_type == "timed_out"


def test_a_server_that_dribbles_bytes_can_not_prolong_it(kind: str) -> None:
    def dribble(listener: socket.socket, ended: threading.Event) -> None:
        peer, _ = listener.accept()
        with peer:
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            for byte in head + b"0" * 10_000:
                if ended.wait(0.01):
                    return
                try:
                    peer.sendall(bytes([byte]))
                except OSError:
                    return

    ended = threading.Event()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=dribble, args=(listener, ended))
        thread.start()
        began = time.monotonic()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert failure(kind, url, whole_s=1.5, patience_s=1.5).error_type == "timed_out"
        assert time.monotonic() - began < 10
        ended.set()
        thread.join()


def test_nobody_there_and_nobody_answering(kind: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert failure(kind, f"http://127.0.0.1:{port}").error_type == "unreachable"
        taken.listen()
        silent = failure(kind, f"http://127.0.0.1:{port}", patience_s=0.3)
        assert silent.error_type == "first_token_timeout"
    assert failure(kind, "http://no-such-host.invalid").error_type == "unreachable"
    assert failure(kind, "https://127.0.0.1:1").error_type == "unreachable"


def test_models_are_listed(kind: str, lab_server: LabServer) -> None:
    lab_server.behave("m")
    lab_server.behave("n:7b")
    found = PROTOCOLS[kind].models_of(Server(lab_server.url), Clock(5, 5))
    assert [one.name for one in found] == ["m", "n:7b"]
    assert found[0].details["parameter_size" if kind == "ollama" else "owned_by"]
    for listing in (b"[]", b'{"models": 3, "data": {}}', b"oops"):
        lab_server.listing = listing
        with pytest.raises(AttemptFailed) as caught:
            PROTOCOLS[kind].models_of(Server(lab_server.url), Clock(5, 5))
        assert caught.value.error_type == "bad_answer"
