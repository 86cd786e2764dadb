# SPDX-License-Identifier: Apache-2.0
"""Measures tensorflow-recommenders-addons, or TensorFlow's dense variable, in an environment of its own.

PYTHON -m benchmarks.tables.tfra_worker --directory WORKLOAD --table tfra|tfra_random|dense

throughput.py runs it with the interpreter given by --tfra_python, where
`pip install tensorflow==2.16.2 tensorflow-recommenders-addons==0.8.1` has run. Prints the versions and the measurement
as one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

from benchmarks.tables import measurement, tensorflow_tables
from benchmarks.tables import workload as workloads

import numpy as np
import tensorflow as tf


class TfraTable(measurement.Table):
  """A `dynamic_embedding` variable with its own Adagrad, in a session: how its documents train it in graphs.

  Keys and gradients are fed as arrays; the rows of a lookup stay in the session, so that they are not copied out.
  """

  def __init__(self, dim: int, keys: int, initializer: str):
    import tensorflow_recommenders_addons.dynamic_embedding as de

    first_values = tf.zeros_initializer() if initializer == "zeros" else tf.random_uniform_initializer(-0.05, 0.05)
    self._keys = tf.compat.v1.placeholder(tf.int64, [None])
    self._gradients = tf.compat.v1.placeholder(tf.float32, [None, dim])
    variable = de.get_variable(
      "embeddings", key_dtype=tf.int64, value_dtype=tf.float32, dim=dim, initializer=first_values,
      devices=["/CPU:0"], init_size=min(keys, 65536),
    )  # fmt: skip
    rows, trainable = de.embedding_lookup(variable, self._keys, return_trainable=True, name="lookup")
    self._rows = rows
    optimizer = de.DynamicEmbeddingOptimizer(
      tf.compat.v1.train.AdagradOptimizer(
        workloads.LEARNING_RATE, initial_accumulator_value=workloads.INITIAL_ACCUMULATOR
      )
    )
    self._train = optimizer.minimize(tf.reduce_sum(rows * self._gradients), var_list=[trainable])
    self._session = tf.compat.v1.Session(
      config=tf.compat.v1.ConfigProto(intra_op_parallelism_threads=2, inter_op_parallelism_threads=2)
    )
    self._session.run(tf.compat.v1.global_variables_initializer())
    run = self._session.make_callable
    self._run_lookup = run(rows.op, feed_list=[self._keys])
    self._run_rows = run(rows, feed_list=[self._keys])
    self._run_update = run(self._train, feed_list=[self._keys, self._gradients])

  def ready(self, array: np.ndarray) -> np.ndarray:
    return array

  def lookup(self, keys: np.ndarray) -> np.ndarray:
    self._run_lookup(keys)
    return keys

  def update(self, keys: np.ndarray, gradients: np.ndarray) -> None:
    self._run_update(keys, gradients)

  step = update  # its update reads the rows first in any case

  def rows(self, looked_up: np.ndarray) -> np.ndarray:
    return self._run_rows(looked_up)


def make_table(name: str, workload: workloads.Workload) -> measurement.Table:
  """Makes the table of a --table."""
  if name == "dense":
    return tensorflow_tables.DenseVariable(workload.keys, workload.dim)
  tf.compat.v1.disable_eager_execution()
  return TfraTable(workload.dim, workload.keys, "zeros" if name == "tfra" else "random")


def versions() -> str:
  """The versions of what is measured."""
  import importlib.metadata

  found = [f"tensorflow {tf.__version__}"]
  try:
    found.append("tensorflow-recommenders-addons " + importlib.metadata.version("tensorflow-recommenders-addons"))
  except importlib.metadata.PackageNotFoundError:
    found.append("no tensorflow-recommenders-addons")
  return ", ".join(found)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--directory", type=pathlib.Path, required=True, help="a workload that throughput.py made")
  parser.add_argument("--table", choices=("tfra", "tfra_random", "dense"), required=True)
  arguments = parser.parse_args()
  tensorflow_tables.use_threads(2)
  workload = workloads.load(arguments.directory)
  result: dict[str, Any] = measurement.measure(make_table(arguments.table, workload), workload)
  print(json.dumps({**result, "versions": versions()}))


if __name__ == "__main__":
  main()
