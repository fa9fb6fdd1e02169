"""The ledger of filled topics notices what is gone and what is another than before."""

from __future__ import annotations

from bridges.relay.ledger import TopicLedger


def test_topics_that_are_gone_or_made_anew_are_lost():
    ledger = TopicLedger({"a": "1", "b": "2", "c": "3"})
    assert ledger.lost({"a": "1", "b": "2", "c": "3", "d": "4"}) == []
    assert ledger.lost({"a": "1", "b": "9"}) == ["b", "c"]


def test_brokers_without_ids_count_by_name():
    assert TopicLedger({"a": "", "b": "2"}).lost({"a": "1", "b": ""}) == []
    assert TopicLedger({"a": ""}).lost({}) == ["a"]


def test_topics_are_learnt_and_forgotten():
    ledger = TopicLedger({"a": "1"})
    assert ledger.unknown({"b", "a"}) == ["b"]
    ledger.learn({"b": "2", "a": "3"})
    assert ledger.unknown({"b", "a"}) == []
    assert ledger.as_detail() == {"a": "3", "b": "2"}
    assert ledger.names == ["a", "b"]
    ledger.forget_all()
    assert ledger.names == []
