"""The grammar of topics, against CONTRACT.md, section 2."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.onex.topics import (
    CLASSES,
    Topic,
    class_of,
    cloud_event_type,
    dead_letter_topic,
    parse_topic,
    topic_for,
)
from tasks.errors import ValidationFailed
from tasks.settings import ENVIRONMENTS

words = st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,8}){0,4}", fullmatch=True)


@pytest.mark.parametrize(
    ("event_type", "topic"),
    [
        ("hook-received", "dev.omninode_bridge.onex.evt.hook-received.v1"),
        ("service-health-check", "dev.omninode_bridge.onex.evt.service-health-check.v1"),
        ("performance", "dev.omninode_bridge.onex.met.performance.v1"),
        ("security", "dev.omninode_bridge.onex.aud.security.v1"),
        ("task-state-changed", "dev.omninode_bridge.onex.evt.task-state-changed.v1"),
    ],
)
def test_events_have_their_topic(event_type: str, topic: str):
    assert topic_for(event_type, "dev") == topic
    assert cloud_event_type(event_type) == topic.removeprefix("dev.")


def test_commands_and_answers_name_their_class():
    assert topic_for("workflow-execute", "prod", topic_class="cmd") == (
        "prod.omninode_bridge.onex.cmd.workflow-execute.v1"
    )
    assert topic_for("workflow-execute", "prod", topic_class="rsp", version=2).endswith(".rsp.workflow-execute.v2")


def test_dead_letters_stand_beside_their_topic():
    topic = topic_for("tool-call", "test")
    assert dead_letter_topic(topic) == topic + ".dlq"
    assert parse_topic(dead_letter_topic(topic)) == Topic("test", "evt", "tool-call", 1, True)


@given(st.sampled_from(ENVIRONMENTS), st.sampled_from(CLASSES), words, st.integers(1, 999))
def test_what_is_made_is_parsed_back(environment: str, topic_class: str, event_type: str, version: int):
    topic = topic_for(event_type, environment, topic_class=topic_class, version=version)
    assert parse_topic(topic) == Topic(environment, topic_class, event_type, version, False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dev",
        "DEV.omninode_bridge.onex.evt.a.v1",
        "qa.omninode_bridge.onex.evt.a.v1",
        "dev.other.onex.evt.a.v1",
        "dev.omninode_bridge.onex.log.a.v1",
        "dev.omninode_bridge.onex.evt.a_b.v1",
        "dev.omninode_bridge.onex.evt.a--b.v1",
        "dev.omninode_bridge.onex.evt.-a.v1",
        "dev.omninode_bridge.onex.evt.a.v0",
        "dev.omninode_bridge.onex.evt.a.v01",
        "dev.omninode_bridge.onex.evt.a.v1.dlq.dlq",
        "dev.omninode_bridge.onex.evt.a.v1\n",
        "devXomninode_bridgeXonexXevtXaXv1",
    ],
)
def test_other_names_are_refused(text: str):
    with pytest.raises(ValidationFailed):
        parse_topic(text)


def test_misfits_say_what_is_wrong():
    with pytest.raises(ValidationFailed) as caught:
        topic_for("Hook_Received", "dev")
    assert caught.value.errors[0].pointer == "/event_type"
    for wrong in ({"environment": "qa"}, {"topic_class": "log"}, {"version": 0}):
        with pytest.raises(ValidationFailed):
            topic_for("a", **{"environment": "dev", **wrong})  # type: ignore[arg-type]


def test_event_types_are_kebab_and_not_too_long():
    assert class_of("anything-else") == "evt"
    assert len(dead_letter_topic(topic_for("a" * 180, "staging"))) <= 249
