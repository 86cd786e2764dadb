# SPDX-License-Identifier: Apache-2.0
"""The benchmark's model as a user would write it, trained through `local_train_internal`."""

from __future__ import annotations

import pathlib
import struct
import tempfile
import time
from typing import Any

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
from benchmarks.training import network, workload
from idl.matrix.proto import example_pb2
from monolith.native_training import cpu_training, entry, native_model
from monolith.native_training.data import PBDataset, PbType, parse_example_batch

import numpy as np
import tensorflow as tf


class Clock(tf.compat.v1.train.SessionRunHook):
  """Times the steps after a warm-up, keeps their losses, and notes the graph's size and when the first step ended."""

  def __init__(self, warm_up: int):
    self._warm_up = warm_up
    self._step = 0
    self.started = self.ended = self.first = 0.0
    self.num_ops = 0
    self.losses: list[float] = []

  def begin(self) -> None:
    self.num_ops = len(tf.compat.v1.get_default_graph().get_operations())

  def before_run(self, run_context: Any) -> Any:
    return tf.compat.v1.train.SessionRunArgs(run_context.session.graph.get_tensor_by_name("benchmark_loss:0"))

  def after_run(self, run_context: Any, run_values: Any) -> None:
    self._step += 1
    self.ended = time.perf_counter()
    self.first = self.first or self.ended
    if self._step == self._warm_up:
      self.started = self.ended
    elif self._step > self._warm_up:
      self.losses.append(float(run_values.results))


class Model(native_model.MonolithModel):
  """DeepFM over 26 features."""

  clicks: workload.Clicks
  directory: pathlib.Path | None = None  # of ExampleBatch files; None: from memory

  def input_fn(self, mode: str) -> tf.data.Dataset:
    if self.directory is not None:
      return self._from_files()
    splits = tf.range(workload.BATCH + 1, dtype=tf.int64)

    def features(fids: tf.Tensor, labels: tf.Tensor) -> dict[str, Any]:
      found: dict[str, Any] = {
        name: tf.RaggedTensor.from_row_splits(values, splits, validate=False)
        for name, values in zip(workload.NAMES, tf.unstack(fids), strict=True)
      }
      return {**found, "label": labels}

    return network.batches(self.clicks.fids, self.clicks.labels).map(features)

  def _from_files(self) -> tf.data.Dataset:
    path = str(self.directory / "clicks.pb")
    records = PBDataset(path, input_pb_type=PbType.EXAMPLEBATCH, output_pb_type=PbType.EXAMPLEBATCH)
    parsed = records.map(
      lambda record: parse_example_batch(record, workload.NAMES, ["label"], [1]), num_parallel_calls=tf.data.AUTOTUNE
    )
    return parsed.map(lambda found: {**found, "label": tf.reshape(found["label"], [-1])}).repeat()

  def serving_input_receiver_fn(self) -> Any:
    raise NotImplementedError("the benchmark exports nothing")

  def model_fn(self, features: Any, mode: str) -> native_model.EstimatorSpec:
    arguments = (
      entry.ZerosInitializer(),
      entry.AdagradOptimizer(workload.LEARNING_RATE, workload.INITIAL_ACCUMULATOR),
      entry.Fp32Compressor(),
      workload.LEARNING_RATE,
    )
    deep = self.lookup_embedding_slice(workload.NAMES, "deep", workload.DIM, *arguments, out_type="concat")
    bias = self.lookup_embedding_slice(workload.NAMES, "bias", 1, *arguments, out_type="concat")
    loss, pred = network.Network().loss_and_pred(deep, bias, features["label"])
    loss = tf.identity(loss, name="benchmark_loss")
    return native_model.EstimatorSpec(label=features["label"], pred=pred, loss=loss, optimizer=network.adagrad())


class Ceiling(Model):
  """The same network on two fixed matrices in place of the embeddings, gradients with respect to both included."""

  def model_fn(self, features: Any, mode: str) -> native_model.EstimatorSpec:
    random = np.random.default_rng(9)
    deep, bias = (
      tf.identity(tf.constant(random.normal(size=[workload.BATCH, width], scale=0.01).astype(np.float32)))
      for width in (workload.FIELDS * workload.DIM, workload.FIELDS)
    )
    loss, pred = network.Network().loss_and_pred(deep, bias, features["label"])
    with tf.control_dependencies(tf.gradients(loss, [deep, bias])):
      loss = tf.identity(loss, name="benchmark_loss")
    return native_model.EstimatorSpec(label=features["label"], pred=pred, loss=loss, optimizer=network.adagrad())


def write_files(clicks: workload.Clicks, directory: pathlib.Path) -> None:
  """Writes the pool as one file of framed ExampleBatch records."""
  with (directory / "clicks.pb").open("wb") as file:
    for fids, labels in zip(clicks.fids, clicks.labels, strict=True):
      batch = example_pb2.ExampleBatch(batch_size=workload.BATCH)
      for field, name in enumerate(workload.NAMES):
        column = batch.named_feature_list.add(name=name, id=field + 1)
        for fid in fids[field].tolist():
          column.feature.add().fid_v2_list.value.append(fid)
      column = batch.named_feature_list.add(name="label")
      for label in labels.tolist():
        column.feature.add().float_list.value.append(label)
      content = batch.SerializeToString()
      file.write(struct.pack("<QQ", 0, len(content)) + content)


def read(clicks: workload.Clicks, steps: int) -> float:
  """Samples a second of reading and parsing the file alone."""
  with tempfile.TemporaryDirectory() as name:
    Model.directory = pathlib.Path(name)
    write_files(clicks, Model.directory)
    dataset = Model.params().instantiate().input_fn("train").prefetch(tf.data.AUTOTUNE)
    batches = iter(dataset)
    for _ in range(workload.POOL):
      next(batches)
    started = time.perf_counter()
    for _ in range(steps):
      next(batches)
    return steps * workload.BATCH / (time.perf_counter() - started)


def train(clicks: workload.Clicks, peer: str, warm_up: int, steps: int, settings: dict[str, Any]) -> dict[str, Any]:
  """Trains; returns samples a second, losses of the timed steps, ops of the graph, seconds to the first step."""
  called = time.perf_counter()
  model_class = Ceiling if peer == "ceiling" else Model
  with tempfile.TemporaryDirectory() as name:
    directory = pathlib.Path(name)
    model = model_class.params().instantiate()
    model.metrics.enable_throughput_hook = False
    model.train.per_replica_batch_size = workload.BATCH
    model_class.clicks = clicks
    if peer.startswith(("files", "parsed")):
      write_files(clicks, directory)
      model_class.directory = directory
    clock = Clock(warm_up)
    config = cpu_training.CpuTrainingConfig(
      save_checkpoints_steps=10**8, save_summary_steps=0, log_step_count_steps=0, **settings
    )
    model_dir = str(directory / "model")
    cpu_training.local_train_internal(model, config, model_dir, steps=warm_up + steps, user_hooks=[clock])
  return {
    "rate": steps * workload.BATCH / (clock.ended - clock.started),
    "losses": clock.losses,
    "ops": clock.num_ops,
    "start": clock.first - called,
  }
