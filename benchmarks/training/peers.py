# SPDX-License-Identifier: Apache-2.0
"""Other libraries' embeddings under the benchmark's network. Imports no Monolith: runs in other environments too."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.training import network, workload

import numpy as np
import tensorflow as tf


def _dense_variables(num_ids: int) -> Any:
  """Makes `lookup(ids) -> (deep, bias)` and `train(loss) -> op` over dense variables, one a field and slice."""
  tables = [
    tf.compat.v1.Variable(tf.zeros([num_ids, dim]), use_resource=True)
    for dim in (workload.DIM, 1)
    for _ in workload.NAMES
  ]

  def lookup(ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    fields = tf.unstack(ids, workload.FIELDS)
    rows = [tf.nn.embedding_lookup(v, i) for v, i in zip(tables, fields + fields, strict=True)]
    return tf.concat(rows[: workload.FIELDS], 1), tf.concat(rows[workload.FIELDS :], 1)

  def train(loss: tf.Tensor, dense: list[Any]) -> tf.Operation:
    return network.adagrad().minimize(loss, var_list=[*tables, *dense])

  return lookup, train


def _tfra(num_ids: int) -> Any:
  import tensorflow_recommenders_addons.dynamic_embedding as de

  tables = [
    de.get_variable(
      f"f{i}_{dim}", key_dtype=tf.int64, value_dtype=tf.float32, dim=dim, initializer=tf.zeros_initializer(),
      devices=["/CPU:0"], init_size=min(num_ids, 65536),
    )
    for dim in (workload.DIM, 1) for i in range(workload.FIELDS)
  ]  # fmt: skip
  trainable: list[Any] = []

  def lookup(ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    fields = tf.unstack(ids, workload.FIELDS)
    found = [
      de.embedding_lookup_unique(v, i, return_trainable=True, name=f"lookup{n}")
      for n, (v, i) in enumerate(zip(tables, fields + fields, strict=True))
    ]
    trainable.extend(wrapper for _, wrapper in found)
    rows = [row for row, _ in found]
    return tf.concat(rows[: workload.FIELDS], 1), tf.concat(rows[workload.FIELDS :], 1)

  def train(loss: tf.Tensor, dense: list[Any]) -> tf.Operation:
    return de.DynamicEmbeddingOptimizer(network.adagrad()).minimize(loss, var_list=[*trainable, *dense])

  return lookup, train


def train_in_session(
  peer: str, clicks: workload.Clicks, num_ids: int, warm_up: int, steps: int
) -> tuple[float, list[float]]:
  """Trains a TF1 graph in a plain session; returns samples a second and the losses of the timed steps."""
  tf.compat.v1.disable_eager_execution()
  ids = clicks.ranks if peer == "dense" else clicks.fids
  ids_in, labels_in = (tf.compat.v1.placeholder(a.dtype, a.shape) for a in (ids, clicks.labels))
  iterator = tf.compat.v1.data.make_initializable_iterator(
    network.batches(ids_in, labels_in).prefetch(tf.data.AUTOTUNE)
  )
  batch, labels = iterator.get_next()
  lookup, train = _dense_variables(num_ids) if peer == "dense" else _tfra(num_ids)
  deep, bias = lookup(batch)
  made = network.Network()
  loss, _ = made.loss_and_pred(deep, bias, labels)
  with tf.control_dependencies([train(loss, made.variables)]):
    loss = tf.identity(loss)
  with tf.compat.v1.Session() as session:
    session.run(tf.compat.v1.global_variables_initializer())
    session.run(iterator.initializer, {ids_in: ids, labels_in: clicks.labels})
    step = session.make_callable(loss)
    for _ in range(warm_up):
      step()
    started = time.perf_counter()
    losses = [float(step()) for _ in range(steps)]
    return steps * workload.BATCH / (time.perf_counter() - started), losses


def _keras_model(keras: Any, num_ids: int) -> Any:
  """The network as a functional model over `Embedding` layers."""
  inputs = keras.Input([workload.FIELDS], dtype="int64")
  fields = [inputs[:, field] for field in range(workload.FIELDS)]
  vectors = [keras.layers.Embedding(num_ids, workload.DIM, embeddings_initializer="zeros")(ids) for ids in fields]
  biases = [keras.layers.Embedding(num_ids, 1, embeddings_initializer="zeros")(ids) for ids in fields]
  deep = keras.layers.Concatenate()(vectors)
  hidden = deep
  dense = []
  for width in workload.HIDDEN:
    dense.append(keras.layers.Dense(width, activation="relu"))
    hidden = dense[-1](hidden)
  dense.append(keras.layers.Dense(1))
  output = dense[-1](hidden)
  total = keras.layers.Add()(vectors)
  squares = keras.layers.Add()([keras.layers.Multiply()([v, v]) for v in vectors])
  square = keras.layers.Multiply()([total, total])
  summing = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones", trainable=False)
  pairs = summing(keras.layers.Subtract()([square, squares]))
  pairs = keras.layers.Rescaling(0.5)(pairs)
  model = keras.Model(inputs, keras.layers.Add()([output, pairs, *biases]))
  for layer, pair in zip(dense, workload.first_weights(), strict=True):
    layer.set_weights(pair)
  return model


def train_by_fit(
  keras_name: str, clicks: workload.Clicks, num_ids: int, warm_up: int, steps: int
) -> tuple[float, list[float]]:
  """Trains by Keras' `fit`; returns samples a second and the losses of the timed steps (one mean)."""
  import importlib

  keras = importlib.import_module(keras_name)
  model = _keras_model(keras, num_ids)
  model.compile(
    keras.optimizers.Adagrad(
      workload.LEARNING_RATE, initial_accumulator_value=workload.INITIAL_ACCUMULATOR, epsilon=0.0
    ),
    keras.losses.BinaryCrossentropy(from_logits=True),
  )
  ids = np.ascontiguousarray(clicks.ranks.transpose(0, 2, 1))
  data = iter(network.batches(ids, clicks.labels[..., np.newaxis]).prefetch(tf.data.AUTOTUNE))

  def run(count: int) -> float:
    taken = tf.data.Dataset.from_generator(
      lambda: (next(data) for _ in range(count)), output_signature=data.element_spec
    )
    return float(model.fit(taken, epochs=1, steps_per_epoch=count, verbose=0).history["loss"][0])

  run(warm_up)
  started = time.perf_counter()
  loss = run(steps)
  return steps * workload.BATCH / (time.perf_counter() - started), [loss]
