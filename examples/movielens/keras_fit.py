# SPDX-License-Identifier: Apache-2.0
"""The movie ranker in plain Keras: HashEmbeddingGroup in a functional model, compile, fit, predict, save, load.

    python -m examples.movielens.keras_fit

The model is that of model.py. It prints the test AUC, saves the model as one .keras file, loads it and checks that it
predicts the same.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, Optional

from monolith.keras import HashEmbeddingGroup, HashFeature, HashSlice
from monolith.native_training import entry
from monolith.native_training import tf_estimator

import numpy as np
import tensorflow as tf

from examples.movielens import dataset
from examples.movielens.features import SLOTS, FeatureBuilder
from examples.movielens.model import WITH_BIAS, WITH_VECTOR, BatchSource, Settings
from examples.movielens.paths import BUNDLED_DATA
from examples.movielens.train import SMALL_USERS, auc

keras = tf.keras


@keras.utils.register_keras_serializable("movielens")
class FactorizationMachine(keras.layers.Layer):
  """The sum over pairs of vectors of their inner products: `[B, features, dim]` to `[B, 1]`."""

  def call(self, vectors: tf.Tensor) -> tf.Tensor:
    square_of_sum = tf.square(tf.reduce_sum(vectors, 1))
    sum_of_squares = tf.reduce_sum(tf.square(vectors), 1)
    return 0.5 * tf.reduce_sum(square_of_sum - sum_of_squares, 1, keepdims=True)


def make_features(settings: Settings) -> dict[str, HashFeature]:
  """A table a feature: a bias, a vector, or both, each with its own Adagrad."""

  def adagrad(decay: float) -> entry.Optimizer:
    return entry.AdagradOptimizer(
      initial_accumulator_value=settings.initial_accumulator_value, weight_decay_factor=decay
    )

  bias = HashSlice(
    1, "bias", adagrad(settings.bias_weight_decay), settings.bias_learning_rate, entry.ZerosInitializer()
  )
  vector = HashSlice(
    settings.dim, "vector", adagrad(settings.vector_weight_decay), settings.vector_learning_rate,
    entry.RandomUniformInitializer(-0.05, 0.05),
  )  # fmt: skip
  slices = {name: [s for s, names in ((bias, WITH_BIAS), (vector, WITH_VECTOR)) if name in names] for name in SLOTS}
  return {name: HashFeature(parts, "mean") for name, parts in slices.items()}


def make_model(settings: Settings) -> keras.Model:
  """The compiled model: ragged fids of every feature to a logit `[B, 1]`."""
  inputs = {name: keras.Input((None,), dtype=tf.int64, ragged=True, name=name) for name in SLOTS}
  embedded = HashEmbeddingGroup(make_features(settings), name="embeddings")(inputs)
  vectors = keras.layers.Reshape((len(WITH_VECTOR), settings.dim))(embedded["vector"])
  hidden = embedded["vector"]
  for units in settings.hidden:
    hidden = keras.layers.Dense(units, "relu")(hidden)
  biases = tf.reduce_sum(embedded["bias"], 1, keepdims=True)
  logits = keras.layers.Add()([biases, FactorizationMachine()(vectors), keras.layers.Dense(1)(hidden)])
  model = keras.Model(inputs, logits)
  model.compile(
    keras.optimizers.Adagrad(settings.dense_learning_rate), keras.losses.BinaryCrossentropy(from_logits=True)
  )
  return model


def batches(source: BatchSource, mode: str, settings: Settings) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
  """Ragged fids of every feature and the labels."""
  for batch in source.batches(mode, settings):
    labels = batch.pop("label")
    yield {name: tf.RaggedTensor.from_row_splits(*ids, validate=False) for name, ids in batch.items()}, labels


def to_dataset(source: BatchSource, mode: str, settings: Settings) -> tf.data.Dataset:
  """What `fit` and `predict` take."""
  ids = {name: tf.RaggedTensorSpec([None, None], tf.int64) for name in SLOTS}
  return tf.data.Dataset.from_generator(
    lambda: batches(source, mode, settings), output_signature=(ids, tf.TensorSpec([None], tf.float32))
  ).prefetch(4)


def train(data: dataset.MovieLens, settings: Settings, verbose: int = 2) -> tuple[keras.Model, tf.data.Dataset, float]:
  """Trains a model; returns it, the test set and the AUC on it."""
  is_test = dataset.last_fifth(data.users, data.timestamps)
  builder = FeatureBuilder(data, is_test)
  source = BatchSource(builder, data.liked, np.flatnonzero(~is_test), np.flatnonzero(is_test))
  keras.utils.set_random_seed(settings.seed)
  model = make_model(settings)
  steps = max(1, int((~is_test).sum()) // settings.batch_size)
  # One pass of the source goes through all epochs, each in an order of its own.
  model.fit(
    to_dataset(source, tf_estimator.ModeKeys.TRAIN, settings),
    epochs=settings.epochs,
    steps_per_epoch=steps,
    verbose=verbose,
  )
  test = to_dataset(source, tf_estimator.ModeKeys.EVAL, settings)
  return model, test, auc(data.liked[is_test], model.predict(test, verbose=0)[:, 0])


def main(arguments: Optional[Sequence[str]] = None) -> float:
  """Runs the whole; returns the test AUC."""
  parser = argparse.ArgumentParser(prog="python -m examples.movielens.keras_fit", description=__doc__.splitlines()[0])
  parser.add_argument("--data", default=BUNDLED_DATA, help="MovieLens folder or zip file; default: the bundled one")
  parser.add_argument("--epochs", type=int, default=Settings.epochs, help="default: %(default)s")
  parser.add_argument("--model", default=None, help="the .keras file to write; default: in a new directory")
  parser.add_argument("--small", action="store_true", help=f"only the first {SMALL_USERS} users")
  options = parser.parse_args(arguments)
  data = dataset.load(options.data)
  if options.small:
    data = data.first_users(SMALL_USERS)
  model, test, value = train(data, Settings(epochs=options.epochs))
  embeddings = model.get_layer("embeddings")
  print(f"Test AUC {value:.4f} after {embeddings.step} steps; entries: {embeddings.table_sizes()}")
  path = options.model or os.path.join(tempfile.mkdtemp(prefix="movielens-"), "ranker.keras")
  model.save(path)
  again = keras.models.load_model(path)
  same = np.array_equal(model.predict(test, verbose=0), again.predict(test, verbose=0))
  if not same:
    raise RuntimeError(f"{path} predicts something else than the model it was saved from.")
  print(f"Saved to {path} and loaded: it predicts the same.")
  return value


if __name__ == "__main__":
  main()
