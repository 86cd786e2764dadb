# SPDX-License-Identifier: Apache-2.0
"""Tests of writing what an input pipeline yields."""

from __future__ import annotations

import signal
import struct

import numpy as np
import pytest

from idl.matrix.proto.example_pb2 import ExampleBatch
from monolith.native_training import cpu_training, native_task
from monolith.native_training.data import datasets
from monolith.native_training.hooks import feature_engineering_hooks

import tensorflow as tf  # isort: skip


class _Task(native_task.NativeTask):
  """Batches of two rows; the model must not be built."""

  num_batches = 5

  def create_input_fn(self, mode):
    def input_fn():
      batch = {
        "fids": tf.ragged.constant([[1, -2], []], dtype=tf.int64, ragged_rank=1),
        "dense": tf.constant([[1.0, 2.0], [3.0, 4.0]]),
        "name": tf.constant(["a", "b"]),
        "count": tf.constant([7, 8], tf.int32),
        "sequence": tf.ragged.constant([[[1], [2, 3]], []], dtype=tf.int64, ragged_rank=2),
      }
      return tf.data.Dataset.from_tensors((batch, tf.constant([0.0, 1.0]))).repeat(self.num_batches)

    return input_fn

  def create_model_fn(self):
    raise AssertionError("the model is built")


def _read(path):
  content, batches = path.read_bytes(), []
  while content:
    zero, size = struct.unpack("<QQ", content[:16])
    assert zero == 0
    batches.append(ExampleBatch.FromString(content[16 : 16 + size]))
    content = content[16 + size :]
  return batches


def _files(directory):
  return sorted((directory / "features").iterdir())


def _check(batch):
  assert batch.batch_size == 2
  features = {named.name: named.feature for named in batch.named_feature_list}
  assert [list(f.fid_v2_list.value) for f in features["fids"]] == [[1, 2**64 - 2], []]
  assert [list(f.float_list.value) for f in features["dense"]] == [[1, 2], [3, 4]]
  assert [list(f.bytes_list.value) for f in features["name"]] == [[b"a"], [b"b"]]
  assert [list(f.int64_list.value) for f in features["count"]] == [[7], [8]]
  assert [list(f.float_list.value) for f in features["label"]] == [[0], [1]]
  assert [[list(x.value) for x in f.fid_v2_lists.list] for f in features["sequence"]][0] == [[1], [2, 3]]


def test_every_batch_is_written(tmp_path):
  assert cpu_training.local_train(_Task.params(), model_dir=tmp_path, steps=None, only_feature_engineering=True) is None
  (path,) = _files(tmp_path)
  assert path.name.startswith("chief_") and path.suffix == ".pb"
  batches = _read(path)
  assert len(batches) == 5
  for batch in batches:
    _check(batch)


def test_records_are_what_pb_dataset_reads(tmp_path):
  cpu_training.local_feature_engineering_internal(_Task.params(), cpu_training.CpuTrainingConfig(), str(tmp_path))
  (path,) = _files(tmp_path)
  kind = datasets.PbType.EXAMPLEBATCH
  dataset = datasets.PBDataset(file_name=str(path), has_sort_id=True, input_pb_type=kind, output_pb_type=kind)
  assert len(list(dataset)) == 5


def test_files_are_capped_and_steps_count(tmp_path):
  class Many(_Task):
    num_batches = 250

  cpu_training.local_train(Many.params(), model_dir=tmp_path, steps=230, only_feature_engineering=True)
  assert [len(_read(path)) for path in _files(tmp_path)] == [100, 100, 30]


def test_stop_signal_keeps_what_was_read(tmp_path):
  class Stopped(_Task):
    num_batches = None

    def create_input_fn(self, mode):
      def stop(index):
        if index == 30:
          signal.raise_signal(signal.SIGTERM)
        return np.int64(index)

      def input_fn():
        dataset = _Task.create_input_fn(self, mode)().enumerate()
        return dataset.map(lambda i, pair: {"i": tf.reshape(tf.numpy_function(stop, [i], tf.int64), [1])})

      return input_fn

  cpu_training.local_train(Stopped.params(), model_dir=tmp_path, steps=None, only_feature_engineering=True)
  # The input may be ahead of what is written by what TensorFlow prefetches.
  (path,) = _files(tmp_path)
  assert [b.named_feature_list[0].feature[0].int64_list.value[0] for b in _read(path)] == list(range(len(_read(path))))
  assert 0 < len(_read(path)) < 100


def test_what_cannot_be_written_is_named():
  with pytest.raises(ValueError, match="feature 'c' has dtype complex64"):
    feature_engineering_hooks.to_example_batch({"c": np.zeros([1], np.complex64)})
  with pytest.raises(ValueError, match="{'a': 1, 'b': 2} rows"):
    feature_engineering_hooks.to_example_batch({"a": np.zeros([1]), "b": np.zeros([2])})
  with pytest.raises(ValueError, match="cap is 0"):
    feature_engineering_hooks.FeatureEngineeringSaveHook(cpu_training.CpuTrainingConfig(), {}, cap=0)
  with pytest.raises(ValueError, match="must be a dict"):
    feature_engineering_hooks.FeatureEngineeringSaveHook(cpu_training.CpuTrainingConfig(), [])
