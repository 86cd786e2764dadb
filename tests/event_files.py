# SPDX-License-Identifier: Apache-2.0
"""What a training run wrote for TensorBoard."""

from __future__ import annotations

import os
import pathlib
import struct
from collections.abc import Iterator
from typing import Any

import tensorflow as tf


def events(path: str | os.PathLike[str]) -> Iterator[Any]:
  """The Event messages of a file, which are TFRecords: length, checksum of it, message, checksum of that."""
  data, at = pathlib.Path(path).read_bytes(), 0
  while at < len(data):
    (length,) = struct.unpack_from("<Q", data, at)
    yield tf.compat.v1.Event.FromString(data[at + 12 : at + 12 + length])
    at += 16 + length


def losses(model_dir: str | os.PathLike[str]) -> list[float]:
  """The losses of a run, in the order of its steps; a step that was written twice counts once."""
  found = {}
  for path in sorted(tf.io.gfile.glob(os.path.join(model_dir, "events*"))):
    for event in events(path):
      for value in event.summary.value:
        if value.tag == "loss":
          found[event.step] = value.simple_value
  return [found[step] for step in sorted(found)]
