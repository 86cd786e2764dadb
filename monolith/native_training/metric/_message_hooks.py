# SPDX-License-Identifier: Apache-2.0
"""Hooks that take the messages of deep insight out of every step: to Kafka, or into files of lines."""

from __future__ import annotations

import atexit
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from monolith.native_training import native_task_context, utils
from monolith.native_training.metric import kafka_utils
from monolith.native_training.metric._message_files import (
  LinesLostError,
  WriteOnlyFileAndStat,
  default_layout_fn,
  default_parse_fn,
  vepfs_key_fn,
)

__all__ = ["FileMetricHook", "KafkaMetricHook"]

_OP = "deep_insight_op"  # the collection of the op, and the name of its result
_BROKERS_ENV, _TOPIC_ENV = "KAFKA_BROKER_LIST", "KAFKA_TOPIC_NAME"
_CLEAN_SECONDS = 600.0
_MOST_WAITING = 8192  # results of steps


def _messages(result: Any) -> list[Any]:
  """The messages in what a step returned: arrays and lists, nested or not, or a single one. Empty ones are left out."""
  if isinstance(result, np.ndarray):
    result = result.ravel().tolist()
  if isinstance(result, (list, tuple)):
    return [message for part in result for message in _messages(part)]
  return [] if result is None or (isinstance(result, (str, bytes)) and not result) else [result]


class _MessageHook(tf.compat.v1.train.SessionRunHook):
  """What both hooks share: there is one of each in a process, and it runs the op that it was made with last."""

  _instance: Any = None

  def __new__(cls, *args: Any, **kwargs: Any):
    del args, kwargs
    if cls.__dict__.get("_instance") is None:
      cls._instance = super().__new__(cls)
    return cls._instance

  def _set_op(self, deep_insight_op: Any) -> None:
    op = utils.get_collection(_OP) if deep_insight_op is None else deep_insight_op
    self._metric_tensors = {} if op is None else {_OP: op}

  def before_run(self, run_context) -> tf.compat.v1.train.SessionRunArgs | None:
    del run_context
    return tf.compat.v1.train.SessionRunArgs(self._metric_tensors) if self._metric_tensors else None

  def after_run(self, run_context, run_values) -> None:
    del run_context
    messages = _messages((run_values.results or {}).get(_OP))
    if messages:
      self._take(messages)

  def _take(self, messages: list[Any]) -> None:
    raise NotImplementedError

  def _at_exit(self) -> None:
    """What waits is handed on when the process ends: an error that ends the loop calls no `end`."""
    self.end(None)


class KafkaMetricHook(_MessageHook):
  """Sends the messages of every step to the topic $KAFKA_TOPIC_NAME of the brokers $KAFKA_BROKER_LIST, beside the loop.

  There is one in a process: making it again gives it another graph's op. After the end of a loop the next one opens
  another connection.

  Args:
    deep_insight_op: the messages, strings; by default what the collection `deep_insight_op` has, if anything.

  Raises:
    ValueError: a variable of the environment is not set.
    ImportError: kafka-python is not installed.
  """

  _producer: kafka_utils.KProducer | None = None

  def __init__(self, deep_insight_op: tf.Tensor | None = None):
    self._set_op(deep_insight_op)
    self._connect()

  def begin(self) -> None:
    self._connect()

  def end(self, session) -> None:
    del session
    if self._producer is None:
      return
    producer, self._producer = self._producer, None
    atexit.unregister(self._at_exit)
    producer.close()
    counts = producer.success(), producer.total(), producer.failed(), producer.dropped()
    logging.info("Kafka took %d of %d messages, %d failed, %d were dropped.", *counts)

  def _connect(self) -> kafka_utils.KProducer:
    if self._producer is None:
      missing = [name for name in (_BROKERS_ENV, _TOPIC_ENV) if not os.environ.get(name)]
      if missing:
        raise ValueError(f"KafkaMetricHook: {' and '.join(missing)} not set; say in the environment where messages go.")
      self._producer = kafka_utils.KProducer(os.environ[_BROKERS_ENV].split(","), os.environ[_TOPIC_ENV])
      atexit.register(self._at_exit)
    return self._producer

  def _take(self, messages: list[Any]) -> None:
    self._connect().send(messages)


class FileMetricHook(_MessageHook):
  """Writes the messages of every step as lines of files, on a thread of its own.

  A message is parsed, `key_fn(item, worker_id, base_name)` names its directory, and `layout_fn(item)` is its line in a
  part of it (`WriteOnlyFileAndStat`). A message that one of them fails on, or that cannot be written, is left out,
  counted and logged. Steps wait while the thread is 8192 steps behind. There is one hook in a process: making it again
  finishes what it did, and begins with other settings.

  Args:
    deep_insight_op: the messages; by default what the collection `deep_insight_op` has, if anything.
    worker_id: by default the worker's index in the task context.
    parse_fn: makes an item of a message; `default_parse_fn` by default, which reads JSON.
    key_fn: `vepfs_key_fn` by default: a directory for each model, day and worker.
    layout_fn: `default_layout_fn` by default: JSON.
    batch_size: lines of a directory that are written at once.
    partition_size: lines of a part; 10^6 by default.
    base_name: directory of all.
    file_ext: suffix of the parts.
    clock: seconds.

  Raises:
    ValueError: a size is less than 1.
  """

  _thread: threading.Thread | None = None

  def __init__(
    self,
    deep_insight_op: tf.Tensor | None = None,
    *,
    worker_id: int | None = None,
    parse_fn: Callable[[Any], Any] | None = None,
    key_fn: Callable[[Any, int, str], str] | None = None,
    layout_fn: Callable[[Any], str] | None = None,
    batch_size: int = 1024,
    partition_size: int | None = None,
    base_name: str = "/vepfs/jaguar_deepinsight_results",
    file_ext: str = "txt",
    clock: Callable[[], float] = time.time,
  ):
    self.end(None)
    self._set_op(deep_insight_op)
    self._worker_id = native_task_context.get().worker_index if worker_id is None else worker_id
    self._parse_fn = parse_fn or default_parse_fn
    self._key_fn = key_fn or vepfs_key_fn
    self._base_name = base_name
    self._clock = clock

    def make_file(key: str) -> WriteOnlyFileAndStat:
      return WriteOnlyFileAndStat(key, layout_fn or default_layout_fn, batch_size, partition_size, file_ext, clock)

    make_file("")  # refuses wrong sizes now
    self._make_file = make_file
    self._files: dict[str, WriteOnlyFileAndStat] = {}
    self._queue: queue.Queue[list[Any] | None] = queue.Queue(_MOST_WAITING)
    self._cleaned = clock()
    self.num_failed = 0  # messages that are in no file

  def end(self, session) -> None:
    """Writes all that came, and closes the files. The next step begins again."""
    del session
    if self._thread is None:
      return
    thread, self._thread = self._thread, None
    self._queue.put(None)
    thread.join()
    atexit.unregister(self._at_exit)
    if self.num_failed:
      logging.error("%d messages are in no file below %s; earlier lines say why.", self.num_failed, self._base_name)

  def _take(self, messages: list[Any]) -> None:
    if self._thread is None:
      self._thread = threading.Thread(target=self._run, name="file_metrics", daemon=True)
      self._thread.start()
      atexit.register(self._at_exit)
    self._queue.put(messages)

  def _run(self) -> None:
    while (messages := self._queue.get()) is not None:
      for message in messages:
        self._attempt(message, self._send, message)
      if self._clock() - self._cleaned >= _CLEAN_SECONDS:
        self._cleaned = self._clock()
        self._close([key for key, file in self._files.items() if not file.is_available()])
    self._close(list(self._files))

  def _send(self, message: Any) -> None:
    item = self._parse_fn(message)
    key = self._key_fn(item, self._worker_id, self._base_name)
    if key not in self._files:
      self._files[key] = self._make_file(key)
    self._files[key].write(item)

  def _close(self, keys: list[str]) -> None:
    for key in keys:
      self._attempt(key, self._files.pop(key).close)

  def _attempt(self, what: Any, action: Callable[..., None], *args: Any) -> None:
    try:
      action(*args)
    except Exception as error:  # noqa: BLE001 (the user's functions; one bad message must not stop the others)
      self.num_failed += error.num_lines if isinstance(error, LinesLostError) else 1
      logging.log_first_n(logging.ERROR, "FileMetricHook: %r could not be written: %r", 10, what, error)
