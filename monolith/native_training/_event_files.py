# SPDX-License-Identifier: Apache-2.0
"""Writers of event files, which TensorBoard reads, under names that no other file has.

TensorFlow names an event file by second and host, and empties one that is there already: of two runs within a second
the first would lose its summaries. Here a name also has the process and a number.
"""

from __future__ import annotations

import itertools
import os
from typing import TypeAlias

import tensorflow as tf

__all__ = ["new_writer", "renewed_writer", "shared_writer"]

_FileWriter: TypeAlias = tf.compat.v1.summary.FileWriter
_Cache = tf.compat.v1.summary.FileWriterCache

_numbers = itertools.count()


def new_writer(logdir: str, graph: tf.Graph | None = None) -> _FileWriter:
  """A writer with a file of its own, which has `graph` if one is given."""
  return _FileWriter(logdir, graph, filename_suffix=f".{os.getpid()}.{next(_numbers):06d}")


def shared_writer(logdir: str) -> _FileWriter:
  """The writer of the directory that TensorFlow's own hooks use too, a new one if there is none."""
  with _Cache._lock:
    if logdir not in _Cache._cache:
      _Cache._cache[logdir] = new_writer(logdir)
    return _Cache._cache[logdir]


def renewed_writer(logdir: str) -> _FileWriter:
  """The shared writer of the directory, open and with a file that nothing was written to yet.

  Hooks of an earlier run that hold the writer write to the new file.
  """
  with _Cache._lock:
    fresh = new_writer(logdir)
    writer = _Cache._cache.setdefault(logdir, fresh)
  if writer is not fresh:
    writer.close()
    writer.event_writer = fresh.event_writer
    writer.reopen()
  return writer
