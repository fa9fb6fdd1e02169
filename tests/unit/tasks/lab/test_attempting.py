from __future__ import annotations

import pytest

from tasks.ids import new_id
from tasks.lab.asking import AskRequest
from tasks.lab.attempting import Tried, judge
from tasks.lab.model import Candidate, Endpoint
from tasks.lab.protocols.speech import Heard

CANDIDATE = Candidate(Endpoint(new_id(), "one", "openai", "http://127.0.0.1:1", "small"), "m")


@pytest.mark.parametrize(
    ("finish_reason", "message"),
    [
        ("stop", """the answer is not JSON: '{"a": '"""),
        ("length", """cut off at the limit of tokens: the answer is not JSON: '{"a": '"""),
    ],
)
def test_an_answer_that_was_cut_off_says_so(finish_reason: str, message: str) -> None:
    tried = Tried(CANDIDATE, text='{"a": ', heard=Heard(finish_reason=finish_reason))
    judge(tried, AskRequest("hi", json=True), lambda *_: "")
    assert tried.failure is not None
    assert (tried.failure.error_type, tried.failure.message) == ("invalid_json", message)
