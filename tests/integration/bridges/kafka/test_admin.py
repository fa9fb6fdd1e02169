"""Topics on a real broker: made with the settings' partitions, recognized when they are made anew."""

from __future__ import annotations

import dataclasses

import pytest

from bridges.kafka.admin import TopicAdmin
from bridges.kafka.connection import SinkUnavailable
from tasks.settings import Settings
from webapp.stack.process import ServerProcess


def test_missing_topics_are_made_and_others_left_alone(settings: Settings, fresh_kafka: ServerProcess):
    admin = TopicAdmin(dataclasses.replace(settings, kafka_topic_partitions=5))
    first = admin.ensure(["a"])
    both = admin.ensure(["a", "b"])
    assert both["a"] == first["a"]
    assert admin.partitions(["a", "b", "c"]) == {"a": [0, 1, 2, 3, 4], "b": [0, 1, 2, 3, 4]}
    assert admin.names() == ["a", "b"]
    assert admin.ids(["c"]) == {}
    assert admin.ids([]) == {}
    admin.close()


def test_a_topic_made_anew_has_another_id(settings: Settings, fresh_kafka: ServerProcess):
    admin = TopicAdmin(settings)
    before = admin.ensure(["a"])
    admin.close()
    fresh_kafka.kill()
    fresh_kafka.restart()
    admin = TopicAdmin(settings)
    assert admin.ids(["a"]) == {}
    assert admin.ensure(["a"]) != before
    admin.close()


def test_a_broker_that_went_away_is_an_error_of_ours(settings: Settings, fresh_kafka: ServerProcess):
    admin = TopicAdmin(settings)
    fresh_kafka.kill()
    with pytest.raises(SinkUnavailable):
        admin.ids(["a"])
    admin.close()
