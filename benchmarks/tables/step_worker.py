# SPDX-License-Identifier: Apache-2.0
"""Trains one small model on one kind of embeddings and times its steps; step.py runs it in a process of its own.

PYTHON -m benchmarks.tables.step_worker --peer PEER --ids N

The model: every field has one id an example and two slices, an embedding and a bias. The embeddings, side by side, go
through an MLP, to whose output the biases are added; the loss is logistic. Adagrad trains the slices, gradient descent
the MLP. Everything runs in a TF1 session, ids are fed. First every id is trained once; then steps are timed, and after
them those of the same model on two fixed matrices in place of the embeddings, gradients with respect to both included.
Prints one line of JSON. Imports no Monolith unless that is the peer.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

from benchmarks.tables import workload as workloads

import numpy as np

FIELDS, BATCH, DIM, HIDDEN, THREADS = 26, 2048, 16, 64, 2
DENSE_RATE = 0.01
OWN_PEERS = ("ours", "ours_separate")
PEERS = (*OWN_PEERS, "dense", "tfra")


class Embeddings:
  """The embeddings of a peer, in the default graph; `ids` is int64 `[FIELDS, B]`."""

  uses_ranks = False  # True: indexed by rank instead of fid

  def lookup(self, ids: Any) -> tuple[Any, Any]:
    """Embeddings `[B, FIELDS * DIM]` and biases `[B, FIELDS]`."""
    raise NotImplementedError

  def train(self, loss: Any) -> Any:
    """An op that takes a step on what the last `lookup` read."""
    raise NotImplementedError

  def initializers(self) -> list[Any]:
    return []


class DenseVariables(Embeddings):
  """A variable with a row for every rank, one a field and slice, and TensorFlow's Adagrad."""

  uses_ranks = True

  def __init__(self, num_ids: int):
    import tensorflow as tf

    self._variables = [
      tf.compat.v1.get_variable(f"f{i}_{dim}", [num_ids, dim], initializer=tf.zeros_initializer(), use_resource=True)
      for dim in (DIM, 1) for i in range(FIELDS)
    ]  # fmt: skip

  def lookup(self, ids: Any) -> tuple[Any, Any]:
    import tensorflow as tf

    fields = tf.unstack(ids, FIELDS)
    rows = [tf.nn.embedding_lookup(v, i) for v, i in zip(self._variables, fields + fields, strict=True)]
    return tf.concat(rows[:FIELDS], 1), tf.concat(rows[FIELDS:], 1)

  def train(self, loss: Any) -> Any:
    return adagrad().minimize(loss, var_list=self._variables)


class Tfra(Embeddings):
  """tensorflow-recommenders-addons: a `dynamic_embedding` variable a field and slice, with its own Adagrad."""

  def __init__(self, num_ids: int):
    import tensorflow as tf
    import tensorflow_recommenders_addons.dynamic_embedding as de

    self._variables = [
      de.get_variable(
        f"f{i}_{dim}", key_dtype=tf.int64, value_dtype=tf.float32, dim=dim, initializer=tf.zeros_initializer(),
        devices=["/CPU:0"], init_size=min(num_ids, 65536),
      )
      for dim in (DIM, 1) for i in range(FIELDS)
    ]  # fmt: skip
    self._trainable: list[Any] = []

  def lookup(self, ids: Any) -> tuple[Any, Any]:
    import tensorflow as tf
    import tensorflow_recommenders_addons.dynamic_embedding as de

    fields = tf.unstack(ids, FIELDS)
    # Without `unique` its optimizer loses all gradients of a repeated id but one.
    found = [
      de.embedding_lookup_unique(v, i, return_trainable=True, name=f"lookup{n}")
      for n, (v, i) in enumerate(zip(self._variables, fields + fields, strict=True))
    ]
    self._trainable = [trainable for _, trainable in found]
    rows = [row for row, _ in found]
    return tf.concat(rows[:FIELDS], 1), tf.concat(rows[FIELDS:], 1)

  def train(self, loss: Any) -> Any:
    import tensorflow_recommenders_addons.dynamic_embedding as de

    return de.DynamicEmbeddingOptimizer(adagrad()).minimize(loss, var_list=self._trainable)


def adagrad() -> Any:
  import tensorflow as tf

  return tf.compat.v1.train.AdagradOptimizer(
    workloads.LEARNING_RATE, initial_accumulator_value=workloads.INITIAL_ACCUMULATOR
  )


def make_embeddings(peer: str, num_ids: int) -> Embeddings:
  """Makes the embeddings of a peer in the default graph.

  Raises:
    ValueError: there is no such peer.
  """
  if peer in OWN_PEERS:
    from benchmarks.tables import own_step

    return own_step.OwnEmbeddings() if peer == "ours" else own_step.SeparateEmbeddings()
  if peer == "dense":
    return DenseVariables(num_ids)
  if peer == "tfra":
    return Tfra(num_ids)
  raise ValueError(f"{peer!r} is no peer; use one of {', '.join(PEERS)}.")


class Mlp:
  """The dense part; two of them start from the same weights."""

  def __init__(self, name: str):
    import tensorflow as tf

    random = np.random.default_rng(1)
    self.weights = [
      tf.compat.v1.get_variable(
        f"{name}_{i}", initializer=(random.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)
      )
      for i, shape in enumerate([(FIELDS * DIM, HIDDEN), (HIDDEN, 1)])
    ]

  def loss(self, deep: Any, bias: Any, labels: Any) -> Any:
    """The mean logistic loss of a batch."""
    import tensorflow as tf

    hidden = tf.nn.relu(tf.matmul(deep, self.weights[0]) + 0.1)
    logits = tf.matmul(hidden, self.weights[1])[:, 0] + tf.reduce_sum(bias, 1)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits))

  def train(self, loss: Any) -> Any:
    import tensorflow as tf

    return tf.compat.v1.train.GradientDescentOptimizer(DENSE_RATE).minimize(loss, var_list=self.weights)


class Steps:
  """The two training steps, with embeddings and without, as calls of a session."""

  def __init__(self, peer: str, num_ids: int):
    import tensorflow as tf

    tf.compat.v1.disable_eager_execution()
    random = np.random.default_rng(2)
    self._ids = tf.compat.v1.placeholder(tf.int64, [FIELDS, None])
    labels = tf.constant(random.integers(0, 2, BATCH), tf.float32)
    self.embeddings = make_embeddings(peer, num_ids)
    deep, bias = self.embeddings.lookup(self._ids)
    mlp = Mlp("mlp")
    loss = mlp.loss(deep, bias, labels)
    with tf.control_dependencies([mlp.train(loss), self.embeddings.train(loss)]):
      self._loss = tf.identity(loss)
    self._none_loss = self._without_embeddings(labels, random)
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=THREADS, inter_op_parallelism_threads=THREADS)
    self._session = tf.compat.v1.Session(config=config)
    self._session.run([tf.compat.v1.global_variables_initializer(), *self.embeddings.initializers()])
    self.train = self._session.make_callable(self._loss, [self._ids])
    self.train_without = self._session.make_callable(self._none_loss, [self._ids])

  def _without_embeddings(self, labels: Any, random: np.random.Generator) -> Any:
    import tensorflow as tf

    fixed = [
      tf.compat.v1.get_variable(f"fixed_{n}", initializer=random.standard_normal((BATCH, n)).astype(np.float32))
      for n in (FIELDS * DIM, FIELDS)
    ]
    deep, bias = (tf.identity(v) for v in fixed)
    mlp = Mlp("mlp_without")
    loss = mlp.loss(deep, bias, labels)
    with tf.control_dependencies([mlp.train(loss), *tf.gradients(loss, [deep, bias]), self._ids]):
      return tf.identity(loss)


def batches(num_ids: int, count: int) -> list[np.ndarray]:
  """`count` batches of ranks, int64 `[FIELDS, BATCH]`, uniform with repetitions."""
  random = np.random.default_rng(3)
  return [random.integers(0, num_ids, (FIELDS, BATCH)) for _ in range(count)]


def cover(num_ids: int) -> list[np.ndarray]:
  """Batches of ranks that have every rank once; the last one is filled with the first ranks."""
  random = np.random.default_rng(4)
  orders = np.stack([random.permutation(num_ids) for _ in range(FIELDS)])
  count = -(-num_ids // BATCH)
  padded = np.concatenate([orders, np.resize(orders, (FIELDS, BATCH))], 1)[:, : count * BATCH]
  return np.split(padded, count, 1)


def timed(call: Any, feeds: list[np.ndarray]) -> tuple[list[float], float]:
  """Seconds of every call, and the sum of what they returned."""
  seconds, total = [], 0.0
  for feed in feeds:
    begin = time.perf_counter()
    value = call(feed)
    seconds.append(time.perf_counter() - begin)
    total += float(value)
  return seconds, total


def measure(peer: str, num_ids: int, steps: int) -> dict[str, Any]:
  """Seconds of steps with embeddings (`step`) and without (`without`), and a checksum of the losses."""
  made = Steps(peer, num_ids)
  feed = (lambda ranks: ranks) if made.embeddings.uses_ranks else workloads.fids_of
  _, covered = timed(made.train, [feed(ranks) for ranks in cover(num_ids)])
  feeds = [feed(ranks) for ranks in batches(num_ids, steps)]
  timed(made.train_without, feeds[:5])
  with_them, total = timed(made.train, feeds)
  without, _ = timed(made.train_without, feeds)
  return {"step": with_them, "without": without, "checksum": covered + total}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--peer", choices=PEERS, required=True)
  parser.add_argument("--ids", type=int, required=True, help="ids a field")
  parser.add_argument("--steps", type=int, default=100)
  arguments = parser.parse_args()
  print(json.dumps(measure(arguments.peer, arguments.ids, arguments.steps)))


if __name__ == "__main__":
  main()
