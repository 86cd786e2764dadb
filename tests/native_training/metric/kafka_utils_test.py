# SPDX-License-Identifier: Apache-2.0
"""The Kafka producer, with a stand-in for the package kafka-python."""

from __future__ import annotations

import queue
import sys
import threading
import types

import pytest

from monolith.native_training.metric import kafka_utils


class _Sent:
  def __init__(self, message, log):
    self.message, self.log = message, log

  def add_callback(self, callback):
    if b"bad" not in self.message:
      callback("metadata")

  def add_errback(self, errback):
    if b"bad" in self.message:
      self.log.errbacks.append(errback)
    self.log.sent.put(self.message)


class _Kafka:
  """Stands for KafkaProducer: acknowledges a message unless it has `bad` in it."""

  def __init__(self, bootstrap_servers):
    self.brokers = bootstrap_servers
    self.sent, self.errbacks, self.closed = queue.Queue(), [], []
    self.seen = []

  def send(self, topic, message):
    if message == b"refused":
      raise TypeError("refused at once")
    self.seen.append((topic, message))
    return _Sent(message, self)

  def flush(self, timeout):
    for errback in self.errbacks:
      errback(RuntimeError("no broker"))
    self.errbacks = []

  def close(self, timeout):
    self.closed.append(timeout)


@pytest.fixture
def kafka(monkeypatch):
  monkeypatch.setitem(sys.modules, "kafka", types.SimpleNamespace(KafkaProducer=_Kafka))


def test_without_the_package_it_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, "kafka", None)
  with pytest.raises(
    ImportError, match="needs the package kafka-python, which is not installed; pip install kafka-pyth"
  ):
    kafka_utils.KProducer("host:1", "topic")


def test_messages_go_to_the_topic_in_their_order(kafka):
  producer = kafka_utils.KProducer(["a:1", "b:2"], "topic")
  assert producer._producer.brokers == ["a:1", "b:2"]
  producer.send(None)
  producer.send([])
  producer.send([None, b"", ""])
  producer.send(b"1")
  producer.send([b"2", None, b"", b"3"])
  producer.send(iter([b"4"]))
  producer.close()
  assert producer._producer.seen == [("topic", message) for message in (b"1", b"2", b"3", b"4")]
  assert (producer.total(), producer.success(), producer.failed()) == (4, 4, 0)
  assert producer._producer.closed == [1.0]


def test_failures_are_counted_and_the_next_message_goes_on(kafka):
  producer = kafka_utils.KProducer("a:1", "topic")
  producer._stopping.set()  # no pauses
  producer.send([b"1", b"refused", b"bad 2", b"3", b"bad 4"])
  producer.close()
  assert (producer.total(), producer.success(), producer.failed()) == (5, 2, 3)


def test_the_pause_is_the_threads_and_not_of_kafkas(kafka, monkeypatch):
  producer = kafka_utils.KProducer("a:1", "topic")
  paused, waited = threading.Event(), []

  def wait(seconds):
    waited.append((seconds, threading.current_thread()))
    paused.set()

  monkeypatch.setattr(producer._stopping, "wait", wait)
  producer.send([b"bad 1", b"bad 2"])
  assert [producer._producer.sent.get(timeout=60) for _ in range(2)] == [b"bad 1", b"bad 2"]
  # Kafka reports both on a thread of its own, this one, and is not kept waiting.
  with producer._lock:
    producer._producer.flush(1)
  assert paused.wait(60)
  producer.close()
  assert {thread for _, thread in waited} == {producer._thread}
  assert [seconds for seconds, _ in waited] == [2.0] * len(waited)
  assert producer.failed() == 2


def test_close_does_not_wait_for_a_pause(kafka):
  producer = kafka_utils.KProducer("a:1", "topic")
  producer.send(b"refused")  # a pause of two seconds, which close ends
  producer.send(b"1")
  producer.close()
  producer.close()
  assert (producer.success(), producer.failed()) == (1, 1)
  with pytest.raises(RuntimeError, match="KProducer of topic 'topic' is closed; make a new one"):
    producer.send(b"2")


def test_counts_of_many_threads_add_up(kafka):
  producer = kafka_utils.KProducer("a:1", "topic")
  threads = [threading.Thread(target=lambda: [producer.send(b"x") for _ in range(200)]) for _ in range(4)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  producer.close()
  assert producer.total() == producer.success() == 800


def test_errors_at_the_end_are_logged_only(kafka, monkeypatch):
  def fail(self, timeout):
    raise OSError("gone")

  monkeypatch.setattr(_Kafka, "flush", fail)
  monkeypatch.setattr(_Kafka, "close", fail)
  producer = kafka_utils.KProducer("a:1", "topic")
  producer.send(b"1")
  producer.close()
  assert producer.success() == 1


class KafkaTimeoutError(RuntimeError):
  """As kafka-python's own, which each message without a broker raises after a minute."""


def test_close_tries_one_message_without_brokers_and_counts_the_others(kafka, monkeypatch):
  tried, closing = [], threading.Event()

  def send(self, topic, message):
    tried.append(message)
    assert closing.wait(60)
    if message != b"wrong":
      raise KafkaTimeoutError("no broker")
    raise TypeError("wrong")

  monkeypatch.setattr(_Kafka, "send", send)
  producer = kafka_utils.KProducer("a:1", "topic")
  producer.send([b"wrong", b"1", b"2"])
  producer.send([b"3"])
  monkeypatch.setattr(producer._thread, "join", lambda join=producer._thread.join: (closing.set(), join()))
  producer.close()
  assert tried == [b"wrong", b"1"]
  assert (producer.total(), producer.success(), producer.failed()) == (4, 0, 4)


def test_messages_are_tried_again_once_there_is_a_broker(kafka, monkeypatch):
  real, errors = _Kafka.send, [KafkaTimeoutError("no broker")]

  def send(self, topic, message):
    if errors:
      raise errors.pop()
    return real(self, topic, message)

  monkeypatch.setattr(_Kafka, "send", send)
  producer = kafka_utils.KProducer("a:1", "topic")
  monkeypatch.setattr(producer, "_stopping", types.SimpleNamespace(is_set=lambda: False, set=int, wait=lambda _: None))
  producer.send([b"1", b"2"])
  producer.close()
  assert (producer.success(), producer.failed()) == (1, 1)


@pytest.fixture
def warnings(monkeypatch):
  said = []
  monkeypatch.setattr(kafka_utils.logging, "warning", lambda text, *args: said.append(text % args))
  return said


class _Brokers:
  """`send` of a Kafka that waits until there are brokers, and says when it began to."""

  def __init__(self, monkeypatch):
    real = _Kafka.send
    self.there, self.waiting = threading.Event(), threading.Event()

    def send(kafka, topic, message):
      self.waiting.set()
      assert self.there.wait(60)
      return real(kafka, topic, message)

    monkeypatch.setattr(_Kafka, "send", send)


def test_the_newest_messages_are_dropped_once_too_many_wait(kafka, monkeypatch, warnings):
  brokers, seconds = _Brokers(monkeypatch), [0.0]
  producer = kafka_utils.KProducer("a:1", "topic", max_waiting=3, clock=lambda: seconds[0])
  producer.send(b"in hand")
  assert brokers.waiting.wait(60)
  producer.send([b"1", b"2"])
  producer.send([b"3", b"4", b"5"])
  assert producer.dropped() == 2
  assert warnings == ["2 of 6 messages to topic 'topic' were dropped so far, as 3 waited; are the brokers a:1 there?"]
  for seconds[0] in (1.0, 59.0):
    producer.send(b"6")
  assert len(warnings) == 1
  seconds[0] = 60.0
  producer.send(b"7")
  assert [text.split(" to ")[0] for text in warnings] == ["2 of 6 messages", "5 of 9 messages"]
  brokers.there.set()
  producer.close()
  assert [message for _, message in producer._producer.seen] == [b"in hand", b"1", b"2", b"3"]
  assert (producer.total(), producer.success(), producer.failed(), producer.dropped()) == (9, 4, 0, 5)
  assert warnings[2:] == warnings[1:2]  # how many it was in the end


def test_there_is_room_again_once_messages_are_sent(kafka, warnings):
  producer = kafka_utils.KProducer("a:1", "topic", max_waiting=1)
  for message in (b"1", b"2", b"3"):
    producer.send(message)
    assert producer._producer.sent.get(timeout=60) == message
  producer.close()
  assert (producer.success(), producer.dropped(), warnings) == (3, 0, [])


def test_a_failed_message_leaves_its_room(kafka, monkeypatch):
  producer = kafka_utils.KProducer("a:1", "topic", max_waiting=2)
  producer._stopping.set()  # no pauses
  producer.send([b"refused", b"bad"])
  assert producer._producer.sent.get(timeout=60) == b"bad"
  producer.send([b"1", b"2"])
  producer.close()
  assert (producer.success(), producer.failed(), producer.dropped()) == (2, 2, 0)


def test_room_for_nothing_is_refused(kafka):
  with pytest.raises(ValueError, match="KProducer: max_waiting is 0; give the number of messages that may wait"):
    kafka_utils.KProducer("a:1", "topic", max_waiting=0)
