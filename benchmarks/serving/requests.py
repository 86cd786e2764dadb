# SPDX-License-Identifier: Apache-2.0
"""Nodes of an exported model's graph, and the time of one request, by the way in which it looks embeddings up.

    python -m benchmarks.serving.requests [--features 40] [--num_ps 0 2] [--rows 1 64] [--rounds 300]

One checkpoint of a model of many features is exported three times: embeddings fid by fid, by one op that combines, and
by layouts of records whose fids are never parsed. Each export is loaded into a session of its own with TensorFlow's
default graph optimizers, and takes serialized Examples. Rounds go around the exports, so that what else the machine
does meets all of them alike. The checksum is the sum of the predictions: the same for all three.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from benchmarks import report
from idl.matrix.proto import example_pb2
from monolith.native_training import entry, estimator, native_model, tf_estimator
from monolith.native_training.data import parsers
from monolith.native_training.model_export.export_context import ExportMode

import numpy as np
import tensorflow as tf

WARM_UP, TRAIN_STEPS, TRAIN_ROWS, VOCABULARY, DIM = 30, 20, 64, 1000, 16
EXPORTS = {"fid by fid": (False, False), "combined": (True, False), "layouts": (True, True)}
"""{name: (fuse_lookups, enable_fused_layout)}."""


def records(num_features: int, rows: int, seed: int) -> list[bytes]:
  """Serialized Examples with up to 3 fids a feature."""
  random = np.random.default_rng(seed)
  serialized = []
  for _ in range(rows):
    example = example_pb2.Example(label=[float(random.integers(0, 2))])
    for number in range(num_features):
      column = example.named_feature.add(name=f"f{number}")
      column.feature.fid_v2_list.value.extend(random.integers(0, VOCABULARY, random.integers(1, 4)).tolist())
    serialized.append(example.SerializeToString())
  return serialized


class Wide(native_model.MonolithModel):
  """A bias and a vector of each feature, and two dense layers."""

  @classmethod
  def params(cls):
    p = super().params()
    p.define("num_features", 40, "Sparse features.")
    return p

  def _parse(self, serialized: tf.Tensor) -> dict[str, Any]:
    found = parsers.parse_examples(serialized, [f"f{number}" for number in range(self.num_features)], ["label"])
    return {**found, "label": tf.reshape(found["label"], [-1])}

  def input_fn(self, mode):
    data = records(self.num_features, TRAIN_ROWS * TRAIN_STEPS, seed=0)
    return tf.data.Dataset.from_tensor_slices(data).batch(TRAIN_ROWS).map(self._parse)

  def serving_input_receiver_fn(self):
    serialized = tf.compat.v1.placeholder(tf.string, [None], "examples")
    return tf_estimator.export.ServingInputReceiver(self._parse(serialized), {"examples": serialized})

  def model_fn(self, features, mode):
    names = [f"f{number}" for number in range(self.num_features)]
    arguments = (entry.RandomUniformInitializer(-0.1, 0.1), entry.AdagradOptimizer(0.1), entry.Fp32Compressor())
    bias = self.lookup_embedding_slice(names, "bias", 1, *arguments, out_type="concat")
    deep = self.lookup_embedding_slice(names, "deep", DIM, *arguments, out_type="concat")
    hidden = tf.keras.layers.Dense(64, activation="relu", kernel_initializer=_uniform(1))(deep)
    logits = tf.keras.layers.Dense(1, kernel_initializer=_uniform(2))(hidden)[:, 0] + tf.reduce_sum(bias, 1)
    return native_model.EstimatorSpec(
      label=features["label"],
      pred=tf.sigmoid(logits),
      loss=tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(features["label"], logits)),
      optimizer=tf.compat.v1.train.AdagradOptimizer(0.1),
    )


def _uniform(seed: int) -> Any:
  return tf.keras.initializers.RandomUniform(-0.1, 0.1, seed=seed)


class Export(NamedTuple):
  """A loaded export: nodes of its graph, those that one request runs, and a function from records to predictions."""

  nodes: int
  run_nodes: int
  predict: Callable[[Sequence[bytes]], np.ndarray]


def exports(num_features: int, num_ps: int, directory: str) -> dict[str, Export]:
  """Trains the model, exports it in every way, and loads what was exported."""
  params = Wide.params()
  params.num_features = num_features
  params.train.per_replica_batch_size = TRAIN_ROWS
  params.serving.export_mode = ExportMode.STANDALONE
  result = {}
  for name, (fuse, by_layout) in EXPORTS.items():
    config = estimator.RunnerConfig(
      is_local=True, model_dir=directory, num_ps=num_ps, log_step_count_steps=0, fuse_lookups=fuse
    )
    trainer = estimator.Estimator(params, config)
    if trainer.latest_checkpoint() is None:
      trainer.train(max_steps=TRAIN_STEPS)
    result[name] = load(trainer.export_saved_model(enable_fused_layout=by_layout).decode())
  return result


def load(path: str) -> Export:
  """Loads an export for requests."""
  with tf.Graph().as_default() as graph:
    session = tf.compat.v1.Session()
    signature = tf.compat.v1.saved_model.load(session, ["serve"], path).signature_def["serving_default"]
    output, feed = (info.name for info in (signature.outputs["output"], signature.inputs["examples"]))
    run = tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), [output.split(":")[0]])
    return Export(len(graph.get_operations()), len(run.node), session.make_callable(output, [feed]))


def measure(found: dict[str, Export], request: Sequence[bytes], rounds: int) -> dict[str, list[float]]:
  """Milliseconds of each round, by export."""
  for export in found.values():
    for _ in range(WARM_UP):
      export.predict(request)
  times: dict[str, list[float]] = {name: [] for name in found}
  for _ in range(rounds):
    for name, export in found.items():
      started = time.perf_counter()
      export.predict(request)
      times[name].append(1000 * (time.perf_counter() - started))
  return times


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--features", type=int, default=40)
  parser.add_argument("--num_ps", type=int, nargs="+", default=[0, 2])
  parser.add_argument("--rows", type=int, nargs="+", default=[1, 64])
  parser.add_argument("--rounds", type=int, default=300)
  arguments = parser.parse_args()
  report.header("benchmarks.serving.requests")
  for num_ps in arguments.num_ps:
    with tempfile.TemporaryDirectory() as directory:
      found = exports(arguments.features, num_ps, directory)
      for name, export in found.items():
        print(f"num_ps {num_ps}  {name:10}  {export.nodes:5} nodes, of which a request runs {export.run_nodes}")
      for rows in arguments.rows:
        request = records(arguments.features, rows, seed=1)
        for name, times in measure(found, request, arguments.rounds).items():
          p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
          checksum = float(np.sum(found[name].predict(request)))
          print(
            f"num_ps {num_ps}  {name:10}  {rows:4} rows  p50 {p50:7.3f} ms  p99 {p99:7.3f} ms  checksum {checksum:.5f}",
            flush=True,
          )


if __name__ == "__main__":
  main()
