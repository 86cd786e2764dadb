# SPDX-License-Identifier: Apache-2.0
"""Files that a model writes while it runs."""

from __future__ import annotations

import uuid
from typing import List, Sequence

import tensorflow as tf

from monolith.native_training.runtime.ops import gen_monolith_ops

__all__ = ["FileCloseHook", "WritableFile"]


class WritableFile:
  """A file that ops append to, in graphs and eagerly.

      file = WritableFile(path)
      file.append("one line\\n")
      file.close()

  The file is opened by the first op that runs, which makes its directory if need be and drops what the file held. What
  was appended is on disk for certain after `close`; a graph's session closes it when it is gone.

  Args:
    filename: its path, on any file system that TensorFlow knows.
  """

  def __init__(self, filename: str):
    self._filename = filename
    # Eagerly all ops of a kind have one name, so two files would be one resource.
    shared_name = f"MonolithWritableFile_{uuid.uuid4().hex}" if tf.executing_eagerly() else ""
    self._handle = gen_monolith_ops.monolith_writable_file(filename=filename, shared_name=shared_name)
    self._close_op = None if tf.executing_eagerly() else gen_monolith_ops.monolith_writable_file_close(self._handle)

  @property
  def filename(self) -> str:
    """Its path."""
    return self._filename

  def append(self, content: tf.Tensor) -> tf.Operation:
    """Appends `content`, a string scalar."""
    return gen_monolith_ops.monolith_writable_file_append(self._handle, content)

  def append_entry_dump(self, item_id: tf.Tensor, bias: tf.Tensor, embedding: tf.Tensor) -> tf.Operation:
    """Appends a TFRecord for each item: an EntryDump with the id, and bias and embedding as its `num`.

    Args:
      item_id: int64 `[items]`.
      bias: float32 `[items]`.
      embedding: float32 `[items, dim]`, or the same flat.
    """
    return gen_monolith_ops.monolith_entry_dump_file_append(self._handle, item_id, bias, embedding)

  def close(self) -> tf.Operation:
    """Writes what is buffered and closes the file. Closing it again does nothing."""
    if self._close_op is not None:
      return self._close_op
    return gen_monolith_ops.monolith_writable_file_close(self._handle)


class FileCloseHook(tf.compat.v1.train.SessionRunHook):
  """Closes files when a loop ends.

  Args:
    files: made in the loop's graph.

  Raises:
    ValueError: files is no list of `WritableFile`.
  """

  def __init__(self, files: Sequence[WritableFile]):
    if not isinstance(files, (list, tuple)) or not all(isinstance(file, WritableFile) for file in files):
      raise ValueError(f"FileCloseHook: files is {files!r}; pass a list of WritableFile.")
    self._close_ops: List[tf.Operation] = [file.close() for file in files]

  def end(self, session) -> None:
    session.run(self._close_ops)
