# SPDX-License-Identifier: Apache-2.0
"""Files of lines, one a message of deep insight: what a line looks like, and which file it goes to."""

from __future__ import annotations

import datetime
import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

__all__ = [
  "LinesLostError",
  "WriteOnlyFileAndStat",
  "default_layout_fn",
  "default_parse_fn",
  "vepfs_key_fn",
  "vepfs_layout_fn",
]

_PARTITION_SIZE = 10**6
_INACTIVE_SECONDS = 24 * 60 * 60
# Digits of seconds, milliseconds and microseconds since the epoch, from 2001 on, and what makes seconds of them.
_EPOCH_UNITS = {10: 1, 13: 10**3, 16: 10**6}


def default_parse_fn(item: Any) -> Any:
  """What a message says: JSON is read, anything but str and bytes is itself.

  Raises:
    ValueError: the text is no JSON.
  """
  return json.loads(item) if isinstance(item, (str, bytes)) else item


def default_layout_fn(item: Any) -> str:
  """The line of an item: strings are lines, others become JSON, or their `repr` where JSON has no word for them."""
  if isinstance(item, str):
    return item
  try:
    return json.dumps(item)
  except (TypeError, ValueError):
    return repr(item)


def _field(item: Mapping[str, Any], names: Sequence[str], default: Any = None) -> Any:
  """The value of the first of `names` that is among the extra fields of a message, or in the message itself."""
  places = [item.get(kind) or {} for kind in ("extra_str", "extra_int", "extra_float")] + [item]
  for name in names:
    for place in places:
      if place.get(name) is not None:
        return place[name]
  return default


def _req_time(item: Mapping[str, Any]) -> str:
  value = _field(item, ("__REQ_TIME__", "req_time"))
  if value is None:
    raise KeyError(f"a message has no req_time, which says its day, but {sorted(item)}; give it one, or a key_fn.")
  return str(value)


def vepfs_layout_fn(item: Mapping[str, Any]) -> str:
  """The line `req_time;gid;uid;predict;label` of a message; the last two are JSON.

  Among the extra fields or in the message itself: `__REQ_TIME__`, else `req_time`; `__FEED_ID__`, else `feedid`, else
  `gid`, else the text gid; `__UID__`, else `userid`, else `uid`, else the text uid.

  Raises:
    KeyError: `predict`, `label` or the time is missing.
  """
  gid = _field(item, ("__FEED_ID__", "feedid", "gid"), "gid")
  uid = _field(item, ("__UID__", "userid", "uid"), "uid")
  return ";".join([_req_time(item), str(gid), str(uid), json.dumps(item["predict"]), json.dumps(item["label"])])


def _date(req_time: str) -> str:
  """The day of a request, as 20220927: of a date, with or without a time behind it, or of a time since the epoch."""
  digits = re.sub(r"[-/]", "", req_time)
  if digits.isdigit() and len(digits) in _EPOCH_UNITS and digits == req_time:
    seconds = int(digits) // _EPOCH_UNITS[len(digits)]
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y%m%d")
  if re.match(r"\d{8}($|\D|\d{6}$)", digits):
    return digits[:8]
  raise ValueError(
    f"req_time is {req_time!r}; give a date (20220927 or 2022-09-27), or seconds, milliseconds or microseconds since "
    "the epoch."
  )


def vepfs_key_fn(item: Mapping[str, Any], worker_id: int, base_name: str) -> str:
  """The directory of a message, `base_name/model_name/date/worker_<id>`; the date of a time is that in UTC.

  Raises:
    KeyError: `model_name` or the time is missing.
    ValueError: the time is none.
  """
  return os.path.join(base_name, item["model_name"], _date(_req_time(item)), f"worker_{worker_id}")


class LinesLostError(OSError):
  """Lines could not be written and are gone.

  Attributes:
    num_lines: how many.
  """

  def __init__(self, num_lines: int, key: str):
    super().__init__(f"{num_lines} lines could not be written below {key}; is it writable, and is there room?")
    self.num_lines = num_lines


class WriteOnlyFileAndStat:
  """Lines in a directory, `part_000000.txt` and so on, each of at most so many lines. For one thread.

  Parts that are there already stay; the first new one follows them.

  Args:
    key: the directory, on any file system that TensorFlow knows. It is made with the first line.
    layout_fn: makes the line of an item.
    batch_size: lines that are written at once.
    partition_size: lines of a part; 10^6 by default.
    file_ext: suffix of the parts, without its dot.
    clock: seconds.

  Raises:
    ValueError: a size is less than 1.
  """

  def __init__(
    self,
    key: str,
    layout_fn: Callable[[Any], str] | None = None,
    batch_size: int = 1024,
    partition_size: int | None = None,
    file_ext: str = "txt",
    clock: Callable[[], float] = time.time,
  ):
    partition_size = _PARTITION_SIZE if partition_size is None else partition_size
    if batch_size < 1 or partition_size < 1:
      raise ValueError(f"batch_size is {batch_size}, partition_size {partition_size}; both are lines, at least 1.")
    self._key = key
    self._layout_fn = layout_fn or default_layout_fn
    self._batch_size = batch_size
    self._partition_size = partition_size
    self._file_ext = file_ext
    self._clock = clock
    self._buffer: list[str] = []
    self._stream: Any = None
    self._lines = 0  # in the part that is open
    self._updated = clock()

  def write(self, item: Any) -> None:
    """Takes an item; what waits is written once it is a batch."""
    self._buffer.append(self._layout_fn(item))
    self._updated = self._clock()
    if len(self._buffer) >= self._batch_size:
      self.flush()

  def flush(self) -> None:
    """Writes what waits, and begins parts as they become full.

    Raises:
      LinesLostError: the file system refuses. What waited is gone, lest it pile up; the next flush tries again.
    """
    try:
      while self._buffer:
        self._append(self._buffer[: self._partition_size - self._lines])
    except (OSError, tf.errors.OpError) as error:
      num_lines = len(self._buffer)
      self._buffer, self._stream = [], None
      raise LinesLostError(num_lines, self._key) from error

  def close(self) -> None:
    """Writes what waits and closes the part. Further writes begin a new one.

    Raises:
      LinesLostError: see `flush`.
    """
    self.flush()
    self._close_part()

  def is_available(self) -> bool:
    """Whether there was an item in the last 24 hours."""
    return self._clock() - self._updated < _INACTIVE_SECONDS

  def _append(self, lines: list[str]) -> None:
    stream = self._open()
    stream.write("".join(f"{line}\n" for line in lines))
    stream.flush()
    del self._buffer[: len(lines)]
    self._lines += len(lines)
    if self._lines == self._partition_size:
      self._close_part()

  def _open(self) -> Any:
    if self._stream is None:
      tf.io.gfile.makedirs(self._key)
      path = os.path.join(self._key, f"part_{self._first_free_part():06d}.{self._file_ext}")
      self._stream = tf.io.gfile.GFile(path, "w")
      self._lines = 0
    return self._stream

  def _first_free_part(self) -> int:
    pattern = re.compile(rf"part_(\d+)\.{re.escape(self._file_ext)}")
    found = [pattern.fullmatch(name) for name in tf.io.gfile.listdir(self._key)]
    return max((int(match[1]) + 1 for match in found if match), default=0)

  def _close_part(self) -> None:
    stream, self._stream = self._stream, None
    self._lines = 0
    if stream is not None:
      stream.close()
