# SPDX-License-Identifier: Apache-2.0
"""Files that are complete or absent for whoever looks, on any file system that TensorFlow knows."""

from __future__ import annotations

import contextlib
import uuid
from typing import Iterator, Union

import tensorflow as tf

__all__ = ["atomic_write", "replacing"]


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
  """Gives a path beside `path` to write to, and renames that into place.

  A block that fails leaves `path` as it was, and nothing beside it.
  """
  unfinished = f"{path}.tmp{uuid.uuid4().hex}"
  try:
    yield unfinished
    tf.io.gfile.rename(unfinished, path, overwrite=True)
  finally:
    if tf.io.gfile.exists(unfinished):
      tf.io.gfile.remove(unfinished)


def atomic_write(path: str, content: Union[str, bytes]) -> None:
  """Writes text, as UTF-8, or bytes to `path`, in one piece."""
  with replacing(path) as unfinished, tf.io.gfile.GFile(unfinished, "wb") as file:
    file.write(content.encode() if isinstance(content, str) else content)
