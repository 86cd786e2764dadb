# SPDX-License-Identifier: Apache-2.0
"""Tests of files that ops write."""

from __future__ import annotations

import numpy as np
import pytest

from monolith.native_training import file_ops
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

import tensorflow as tf  # isort: skip


def test_appends_follow_one_another_in_a_directory_that_was_not_there(tmp_path):
  path = tmp_path / "new" / "file"
  with tf.Graph().as_default():
    file = file_ops.WritableFile(str(path))
    append = file.append(tf.constant("1234"))
    hook = file_ops.FileCloseHook([file])
    with tf.compat.v1.train.SingularMonitoredSession(hooks=[hook]) as session:
      for _ in range(1000):
        session.run(append)
    assert path.read_text() == "1234" * 1000


def test_parallel_appends_are_whole(tmp_path):
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    file = file_ops.WritableFile(str(tmp_path / "file"))
    contents = [letter * 5000 for letter in "abcdefgh"]
    session.run([file.append(content) for content in contents])
    session.run(file.close())
  written = (tmp_path / "file").read_text()
  assert sorted(written[i : i + 5000] for i in range(0, len(written), 5000)) == contents


def test_eager_files_are_apart(tmp_path):
  files = [file_ops.WritableFile(str(tmp_path / name)) for name in "ab"]
  for file in files:
    file.append(file.filename)
  for file in files:
    file.close()
    file.close()
    with open(file.filename) as opened:
      assert opened.read() == file.filename
    with pytest.raises(tf.errors.FailedPreconditionError, match="is closed; append before that"):
      file.append("more")


def test_opening_drops_what_the_file_held(tmp_path):
  (tmp_path / "file").write_text("old")
  file_ops.WritableFile(str(tmp_path / "file")).close()
  assert (tmp_path / "file").read_text() == ""


@pytest.mark.parametrize("flat", [False, True])
def test_entry_dumps(tmp_path, flat):
  path = str(tmp_path / "dump")
  file = file_ops.WritableFile(path)
  rng = np.random.default_rng(0)
  ids = np.array([5, -7], np.int64)
  bias, embedding = rng.random(2, np.float32), rng.random((2, 3), np.float32)
  for _ in range(2):
    file.append_entry_dump(ids, bias, embedding.ravel() if flat else embedding)
  file.append_entry_dump(ids[:0], bias[:0], embedding[:0])
  file.close()
  dumps = [embedding_hash_table_pb2.EntryDump.FromString(record.numpy()) for record in tf.data.TFRecordDataset(path)]
  assert [dump.id for dump in dumps] == [5, -7, 5, -7]
  for dump, b, e in zip(dumps, np.tile(bias, 2), np.tile(embedding, (2, 1))):
    np.testing.assert_array_equal(dump.num, [b, *e])
    assert not dump.HasField("opt")


@pytest.mark.parametrize(
  "bias, embedding", [([1.0], [[1.0], [2.0]]), ([1.0, 2.0], [1.0, 2.0, 3.0]), ([[1.0, 2.0]], [])]
)
def test_shapes_are_checked_eagerly_too(tmp_path, bias, embedding):
  file = file_ops.WritableFile(str(tmp_path / "dump"))
  with pytest.raises(tf.errors.InvalidArgumentError, match=r"pass \[n\], \[n\] and \[n, dim\]"):
    file.append_entry_dump(tf.constant([1, 2], tf.int64), bias, tf.constant(embedding, tf.float32))
  with pytest.raises(tf.errors.InvalidArgumentError, match="content has shape .*pass a scalar"):
    file.append(["a"])


def test_unwritable_file_is_named(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(tf.errors.OpError, match="file"):
    file_ops.WritableFile(str(tmp_path / "file" / "below")).append("x")


def test_hook_wants_files():
  with pytest.raises(ValueError, match="pass a list of WritableFile"):
    file_ops.FileCloseHook(["path"])
