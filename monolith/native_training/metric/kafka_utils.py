# SPDX-License-Identifier: Apache-2.0
"""Sending messages to a Kafka topic beside a training loop.

Needs the package `kafka-python`, which this library does not depend on.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from absl import logging

__all__ = ["KProducer"]

Message: TypeAlias = str | bytes

_PAUSE_SECONDS = 2.0  # after a failure, so that brokers in trouble are not flooded
_CLOSE_SECONDS = 1.0  # that Kafka's own threads get at the end
_LOG_EVERY_SECONDS = 60.0  # about messages that were dropped
_TIMEOUT = "KafkaTimeoutError"  # how kafka-python calls it that no broker was reached


def _kafka_producer(brokers: str | Sequence[str]) -> Any:
  try:
    from kafka import KafkaProducer
  except ImportError as error:
    raise ImportError(
      "KProducer: sending to Kafka needs the package kafka-python, which is not installed; pip install kafka-python."
    ) from error
  return KafkaProducer(bootstrap_servers=brokers)


class KProducer:
  """Sends messages to one topic from a thread of its own, and counts what became of them. Thread-safe.

  Kafka reports on its own threads, which must not wait: failures are handed to this object's thread, which counts and
  logs them, and pauses. Messages wait in memory while no broker can be reached. Once `max_waiting` do, new ones are
  dropped: those before them keep their places and their order, and `send` neither waits nor searches. They are counted,
  and the log says so at most once a minute and at the end.

  Args:
    brokers: `host:port`, or several.
    topic: where messages go. They are handed to Kafka as they are, and it takes bytes: a str fails, and counts so.
    max_waiting: messages that may wait.
    clock: seconds since some fixed moment.

  Raises:
    ValueError: max_waiting is less than 1.
    ImportError: kafka-python is not installed.
  """

  def __init__(
    self,
    brokers: str | Sequence[str],
    topic: str,
    max_waiting: int = 100_000,
    clock: Callable[[], float] = time.monotonic,
  ):
    if max_waiting < 1:
      raise ValueError(
        f"KProducer: max_waiting is {max_waiting}; give the number of messages that may wait, at least 1."
      )
    self.brokers = brokers
    self.topic = topic
    self._producer = _kafka_producer(brokers)
    self._lock = threading.RLock()
    self._has_stopped = False
    self._max_waiting = max_waiting
    self._clock = clock
    self._total = self._success = self._failed = self._dropped = 0
    self._waiting = 0  # messages in the queue
    self._logged_at = -math.inf  # when the log last spoke of dropped messages
    self._errors: list[BaseException] = []  # of messages, reported and not yet counted
    self._unreachable: BaseException | None = None  # why the last message found no broker
    # Messages to send; an empty list when there is an error to look at, None at the end.
    self._msg_queue: queue.Queue[list[Message] | None] = queue.Queue()
    self._stopping = threading.Event()
    self._thread = threading.Thread(target=self._poll, name="kafka_producer", daemon=True)
    self._thread.start()

  def send(self, msgs: Message | Iterable[Message | None] | None) -> None:
    """Sends a message or several; those that are None or empty are left out. Returns at once.

    Raises:
      RuntimeError: the producer is closed.
    """
    if msgs is None:
      return
    candidates = [msgs] if isinstance(msgs, (str, bytes)) else msgs
    batch = [msg for msg in candidates if msg is not None and len(msg) > 0]
    if not batch:
      return
    logging.log_first_n(logging.INFO, "Message for Kafka: %r", 10, batch[0])
    with self._lock:
      if self._has_stopped:
        raise RuntimeError(f"KProducer of topic '{self.topic}' is closed; make a new one.")
      self._total += len(batch)
      kept = batch[: self._max_waiting - self._waiting]
      self._waiting += len(kept)
      if kept:
        self._msg_queue.put(kept)
      self._drop(len(batch) - len(kept))

  def total(self) -> int:
    """Messages that were given to `send`."""
    with self._lock:
      return self._total

  def success(self) -> int:
    """Messages that Kafka has acknowledged."""
    with self._lock:
      return self._success

  def failed(self) -> int:
    """Messages that Kafka has not taken."""
    with self._lock:
      return self._failed

  def dropped(self) -> int:
    """Messages that found `max_waiting` waiting, and are gone."""
    with self._lock:
      return self._dropped

  def close(self) -> None:
    """Sends what still waits and closes the connection. Closing it again does nothing; problems are logged.

    Kafka tries for a minute to reach a broker for a message, so the first one in vain is the last one tried: those
    behind it count as failed.
    """
    with self._lock:
      if self._has_stopped:
        return
      self._has_stopped = True
      self._msg_queue.put(None)
    self._stopping.set()  # pauses end
    self._thread.join()
    try:
      self._producer.flush(timeout=_CLOSE_SECONDS)
    except Exception as error:  # noqa: BLE001 (the class of a timeout is the other library's)
      logging.warning("Messages to topic '%s' may not have arrived: %s", self.topic, error)
    try:
      self._producer.close(timeout=_CLOSE_SECONDS)
    except Exception as error:  # noqa: BLE001 (as above)
      logging.warning("The connection for topic '%s' could not be closed: %s", self.topic, error)
    self._flush()
    if self._dropped:
      self._log_dropped()

  def _drop(self, count: int) -> None:
    """Counts messages that had no room; the caller has the lock."""
    self._dropped += count
    if count and self._clock() - self._logged_at >= _LOG_EVERY_SECONDS:
      self._log_dropped()

  def _log_dropped(self) -> None:
    self._logged_at = self._clock()
    logging.warning(
      "%d of %d messages to topic '%s' were dropped so far, as %d waited; are the brokers %s there?",
      self._dropped,
      self._total,
      self.topic,
      self._max_waiting,
      self.brokers,
    )

  def _poll(self) -> None:
    """The thread: takes what comes until None does."""
    while (msgs := self._msg_queue.get()) is not None:
      self._send_all(msgs)
      self._count_errors()

  def _flush(self) -> None:
    """Takes what came after the end of the thread."""
    while not self._msg_queue.empty():
      self._send_all(self._msg_queue.get() or [])
    self._count_errors()

  def _send_all(self, msgs: list[Message]) -> None:
    for msg in msgs:
      with self._lock:
        self._waiting -= 1
      if self._unreachable is not None and self._stopping.is_set():
        self._report(self._unreachable)
        continue
      try:
        sent = self._producer.send(self.topic, msg)
        self._unreachable = None
      except Exception as error:  # noqa: BLE001 (the other library's: a message too large, no broker, a wrong type)
        self._unreachable = error if type(error).__name__ == _TIMEOUT else None
        self._report(error)
        continue
      sent.add_callback(self._send_success)
      sent.add_errback(self._report)

  def _send_success(self, *args: Any, **kwargs: Any) -> None:
    del args, kwargs
    with self._lock:
      self._success += 1

  def _report(self, error: BaseException) -> None:
    with self._lock:
      self._errors.append(error)
    self._msg_queue.put([])

  def _count_errors(self) -> None:
    with self._lock:
      errors, self._errors = self._errors, []
    if errors:
      self._send_failed(*errors)

  def _send_failed(self, *errors: BaseException) -> None:
    """Counts failures and logs the first, then pauses unless the producer is being closed."""
    with self._lock:
      self._failed += len(errors)
    logging.warning("%d messages to topic '%s' failed, the first with: %r", len(errors), self.topic, errors[0])
    self._stopping.wait(_PAUSE_SECONDS)
