# SPDX-License-Identifier: Apache-2.0
"""HashEmbeddingGroup: many features by one op, in models that are fitted, saved and loaded."""

from monolith.keras import HashEmbedding, HashEmbeddingGroup, HashFeature, HashSlice
from monolith.native_training import entry

import numpy as np
import pytest
import tensorflow as tf

keras = tf.keras


def _slices(dim=4):
  ftrl = entry.FtrlOptimizer(initial_accumulator_value=0.1, beta=1.0)
  return [HashSlice(dim, "deep"), HashSlice(1, "bias", ftrl, 0.2, entry.ZerosInitializer())]


def _features():
  return {
    "user": HashFeature(_slices()),
    "movie": HashFeature(_slices(), table="movies"),
    "liked": HashFeature(_slices(), "mean", table="movies"),
    "history": HashFeature(HashSlice(3), "first_n", 2),
  }


def _data(count=100):
  random = np.random.default_rng(0)
  user, movie = random.integers(0, 30, count), random.integers(0, 50, count)
  lengths = random.integers(0, 4, count)
  liked = tf.RaggedTensor.from_row_lengths(random.integers(0, 50, lengths.sum()), lengths)
  inputs = {"user": tf.constant(user), "movie": tf.constant(movie), "liked": liked, "history": liked + 1000}
  return inputs, ((user + movie) % 2).astype(np.float32)


def _model(**compile_options):
  inputs = {name: keras.Input((), dtype=tf.int64, name=name) for name in ("user", "movie")}
  inputs.update({n: keras.Input((None,), dtype=tf.int64, ragged=True, name=n) for n in ("liked", "history")})
  outputs = HashEmbeddingGroup(_features(), name="group")(inputs)
  assert {name: value.shape.as_list() for name, value in outputs.items()} == {
    "deep": [None, 12], "bias": [None, 3], "history": [None, 2, 3],
  }  # fmt: skip
  flat = keras.layers.Concatenate()([outputs["deep"], keras.layers.Flatten()(outputs["history"])])
  logits = keras.layers.Dense(1)(keras.layers.Dense(8, "relu")(flat))
  logits = keras.layers.Add()([logits, keras.layers.Dense(1, use_bias=False)(outputs["bias"])])
  model = keras.Model(inputs, logits)
  model.compile(keras.optimizers.Adam(0.02), keras.losses.BinaryCrossentropy(from_logits=True), **compile_options)
  return model


def _fit(model, epochs=3):
  inputs, labels = _data()
  dataset = tf.data.Dataset.from_tensor_slices((inputs, labels)).batch(32)
  return model.fit(dataset, epochs=epochs, verbose=0).history["loss"]


def test_fit_lowers_the_loss_and_fills_the_tables():
  keras.utils.set_random_seed(1)
  model = _model()
  losses = _fit(model, 8)
  assert losses[-1] < 0.97 * losses[0]
  group, (inputs, _) = model.get_layer("group"), _data()
  assert group.step == 8 * 4
  sizes = {name: len(np.unique(value)) for name, value in (
    ("history", inputs["history"].values), ("user", inputs["user"]),
    ("movies", np.concatenate([inputs["movie"], inputs["liked"].values])),
  )}  # fmt: skip
  assert group.table_sizes() == sizes


@pytest.mark.parametrize("form", ["m.keras", "m.weights.h5", "checkpoint"])
def test_saved_and_loaded(tmp_path, form):
  model, (inputs, _) = _model(), _data()
  _fit(model)
  path = str(tmp_path / form)
  if form == "m.keras":
    model.save(path)
    again = keras.models.load_model(path)
  else:
    model.save_weights(path)
    again = _model()
    loaded = again.load_weights(path)
    if loaded is not None:
      loaded.expect_partial()  # the optimizer has not been built
  np.testing.assert_array_equal(model.predict(inputs, verbose=0), again.predict(inputs, verbose=0))
  group, loaded = model.get_layer("group"), again.get_layer("group")
  assert loaded.get_config() == group.get_config() and loaded.step == group.step
  assert loaded.table_sizes() == group.table_sizes()
  assert sorted(loaded._tables.table.export_entries()[2].numpy()) == sorted(
    group._tables.table.export_entries()[2].numpy()
  )


def test_equals_layers_of_single_features():
  inputs, _ = _data()
  one = HashEmbedding(4, combiner="mean", initializer=entry.ConstantsInitializer(0.5))
  group = HashEmbeddingGroup({"liked": HashFeature(HashSlice(4, initializer=entry.ConstantsInitializer(0.5)), "mean")})
  for _ in range(3):
    for call in (lambda: one(inputs["liked"]), lambda: group({"liked": inputs["liked"]})["liked"]):
      with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.sin(call() + 1))
      layer = one if tape.watched_variables()[0] is one._anchor else group
      tape.gradient(loss, layer.trainable_weights)
  np.testing.assert_array_equal(one(inputs["liked"]), group({"liked": inputs["liked"]})["liked"])
  assert one.step == group.step == 3


def test_wrong_features_and_inputs_are_refused():
  with pytest.raises(ValueError, match="layer 'g': feature 'b' has other slices than an earlier feature of table 't'"):
    HashEmbeddingGroup({"a": HashFeature(HashSlice(1), table="t"), "b": HashFeature(HashSlice(2), table="t")}, name="g")
  with pytest.raises(ValueError, match="feature 'b' has max_seq_length 2, but output 'o' has 0"):
    HashEmbeddingGroup({"a": HashFeature(HashSlice(1, "o")), "b": HashFeature(HashSlice(1, "o"), "first_n", 2)})
  group = HashEmbeddingGroup({"a": HashFeature(HashSlice(1))}, name="g")
  ids = tf.constant([1], tf.int64)
  with pytest.raises(ValueError, match="layer 'g': inputs are .*; pass a dict with ids of a"):
    group(ids)
  with pytest.raises(KeyError, match="ids of 'b', but the features are a; leave them out"):
    group({"a": ids, "b": ids})
