# SPDX-License-Identifier: Apache-2.0
"""HashEmbedding: numbers against Keras' own Embedding, shapes, configs, saving, and refusals by name."""

from monolith.keras import HashEmbedding, HashEmbeddingGroup, HashFeature, HashSlice
from monolith.native_training import entry

import numpy as np
import pytest
import tensorflow as tf

keras = tf.keras
_VOCABULARY = 20
_DIM = 4


def _sgd(rate=1.0, **arguments):
  """A layer whose arithmetic Keras' Embedding with plain gradient descent shares."""
  options = {"optimizer": entry.SgdOptimizer(), "learning_rate": rate, "initializer": entry.ZerosInitializer()}
  return HashEmbedding(_DIM, **{**options, **arguments})


def _weights():
  return np.random.default_rng(0).standard_normal((_VOCABULARY, _DIM)).astype(np.float32)


def _filled(**arguments):
  """A built layer in which id i has row i of `_weights`."""
  layer = _sgd(**arguments)
  layer.build(None)
  layer._tables.table.assign({"embedding": (tf.range(_VOCABULARY, dtype=tf.int64), tf.constant(_weights()))})
  return layer


def _rows(layer):
  return layer._tables.table.lookup({"embedding": tf.range(_VOCABULARY, dtype=tf.int64)})["embedding"].numpy()


def _regression(layer, **compile_options):
  model = keras.Sequential([layer, keras.layers.Dense(1, kernel_initializer="ones")])
  model.compile(keras.optimizers.SGD(0.1), "mse", **compile_options)
  return model


def _data(count=64):
  random = np.random.default_rng(1)
  return random.integers(0, _VOCABULARY, count), random.standard_normal((count, 1)).astype(np.float32)


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_fit_computes_what_a_keras_embedding_does(run_eagerly):
  ids, labels = _data()
  ours = _regression(_filled(rate=0.1), run_eagerly=run_eagerly)
  embedding = keras.layers.Embedding(_VOCABULARY, _DIM)
  theirs = _regression(embedding, run_eagerly=run_eagerly)
  theirs(tf.constant(ids))
  embedding.set_weights([_weights()])
  losses = [
    m.fit(ids, labels, batch_size=16, epochs=3, shuffle=False, verbose=0).history["loss"] for m in (ours, theirs)
  ]
  np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
  np.testing.assert_allclose(_rows(ours.layers[0]), embedding.get_weights()[0], rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(ours.predict(ids, verbose=0), theirs.predict(ids, verbose=0), rtol=1e-5, atol=1e-6)
  assert ours.evaluate(ids, labels, verbose=0) == pytest.approx(theirs.evaluate(ids, labels, verbose=0), rel=1e-5)
  assert ours.layers[0].step == 12


@pytest.mark.parametrize("combiner", ["sum", "mean", "first_n"])
def test_ragged_dense_and_masked_ids(combiner):
  layer = _filled(combiner=combiner, max_seq_length=2 if combiner == "first_n" else 0, mask_value=-1)
  ragged = tf.ragged.constant([[3, 4, 5], [], [7]], tf.int64)
  rows = [_weights()[list(row)] for row in ragged.to_list()]
  if combiner == "first_n":
    expected = np.stack([np.concatenate([row, np.zeros((2, _DIM))])[:2] for row in rows])
  else:
    expected = np.stack([row.sum(0) / (max(len(row), 1) if combiner == "mean" else 1) for row in rows])
  found = layer(ragged)
  np.testing.assert_allclose(found, expected, rtol=1e-6)
  np.testing.assert_array_equal(layer(ragged.to_tensor(-1)), found)
  np.testing.assert_array_equal(layer(tf.cast(ragged.to_tensor(-1), tf.int32)), found)
  if combiner == "first_n":
    assert layer.compute_mask(ragged).numpy().tolist() == [[True, True], [False, False], [True, False]]
    assert _sgd(combiner="first_n", max_seq_length=2).compute_mask(tf.zeros([1, 2], tf.int64)) is None
  else:
    assert layer.compute_mask(ragged) is None


def test_mask_reaches_the_next_layer():
  inputs = keras.Input((None,), dtype=tf.int64, ragged=True)
  embedded = HashEmbedding(_DIM, combiner="first_n", max_seq_length=3)(inputs)
  assert embedded.shape.as_list() == [None, 3, _DIM]
  model = keras.Model(inputs, keras.layers.LSTM(2)(embedded))
  ids = tf.ragged.constant([[1, 2], [1, 2, 3]], tf.int64)
  model.compile("sgd", "mse")
  model.fit(tf.data.Dataset.from_tensors((ids, tf.ones([2, 2]))), verbose=0)
  assert model.layers[1].step == 1 and model.predict(ids, verbose=0).shape == (2, 2)


def test_shapes_with_unknown_batch_and_summary(capsys):
  for shape in ((), (1,), (5,)):
    inputs = keras.Input(shape, dtype=tf.int64)
    assert HashEmbedding(_DIM)(inputs).shape.as_list() == [None, _DIM]
  model = keras.Model(inputs, HashEmbedding(_DIM, name="ids")(inputs))
  model.summary()
  assert "ids (HashEmbedding)" in capsys.readouterr().out


def test_gradients_of_a_tape_and_freezing():
  layer = _filled()
  ids = tf.constant([3, 3], tf.int64)

  def step():
    with tf.GradientTape() as tape:
      loss = tf.reduce_sum(layer(ids))
    return tape.gradient(loss, layer.trainable_weights)

  (zero,) = step()
  assert zero.numpy() == 0 and layer.step == 1
  np.testing.assert_allclose(_rows(layer)[3], _weights()[3] - 2, rtol=1e-6)
  layer.trainable = False
  assert step() == [] and layer.step == 1
  np.testing.assert_allclose(_rows(layer)[3], _weights()[3] - 2, rtol=1e-6)


def test_subclassed_model_whose_layer_is_first_called_in_fit():
  class Model(keras.Model):
    def __init__(self):
      super().__init__()
      self.embedding = HashEmbedding(_DIM)
      self.dense = keras.layers.Dense(1)

    def call(self, ids):
      return self.dense(self.embedding(ids))

  model = Model()
  model.compile("adam", "mse")
  ids, labels = _data()
  history = model.fit(ids, labels, epochs=5, verbose=0).history["loss"]
  assert history[-1] < history[0]
  assert model.embedding.table_sizes() == {"embedding": len(np.unique(ids))}


def test_schedule_follows_the_layers_step():
  schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.5, 0.25])
  layer = _filled(rate=schedule)
  before = _rows(layer)[3, 0]
  for rate in (0.5, 0.25, 0.25):
    with tf.GradientTape() as tape:
      loss = tf.reduce_sum(layer(tf.constant([3], tf.int64)))
    tape.gradient(loss, layer.trainable_weights)
    assert before - _rows(layer)[3, 0] == pytest.approx(rate, rel=1e-5)
    before = _rows(layer)[3, 0]


def test_occurrence_threshold_keeps_new_ids_out():
  layer = _sgd(occurrence_threshold=2)
  sizes = []
  for _ in range(3):
    with tf.GradientTape() as tape:
      loss = tf.reduce_sum(layer(tf.constant([3, 3], tf.int64)))
    tape.gradient(loss, layer.trainable_weights)
    sizes.append(layer.table_sizes()["embedding"])
  assert sizes == [0, 0, 1]


def test_mixed_bfloat16_casts_outputs():
  layer = _filled(dtype="mixed_bfloat16")
  assert layer(tf.constant([1], tf.int64)).dtype == tf.bfloat16


# Configs.

_CONFIGS = [
  {},
  {"optimizer": entry.AdamOptimizer(beta1=0.8), "initializer": entry.ConstantsInitializer(0.5), "learning_rate": 0.25},
  {"optimizer": entry.StochasticRoundingFloat16OptimizerWrapper(entry.FtrlOptimizer(beta=1.0))},
  {"learning_rate": keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5), "initializer": entry.ZerosInitializer()},
  {"combiner": "first_n", "max_seq_length": 3, "mask_value": 0, "occurrence_threshold": 2, "filter_capacity": 400},
]


@pytest.mark.parametrize("arguments", _CONFIGS)
def test_config_round_trip(arguments):
  layer = HashEmbedding(_DIM, name="x", **arguments)
  config = layer.get_config()
  again = HashEmbedding.from_config(config)
  assert again.get_config() == config and again.name == "x"
  assert isinstance(config["optimizer"], dict) == ("optimizer" in arguments)


# Saving.


def _trained(layer=None):
  ids, labels = _data()
  model = _regression(layer or HashEmbedding(_DIM, optimizer=entry.AdamOptimizer(), name="ids"))
  model.fit(ids, labels, epochs=2, verbose=0)
  return model, ids, labels


def _check_same(model, again, ids, labels):
  """Same predictions, and the same further training: optimizer state and step have come along."""
  np.testing.assert_array_equal(model.predict(ids, verbose=0), again.predict(ids, verbose=0))
  assert again.layers[0].step == model.layers[0].step == 4
  assert again.layers[0].table_sizes() == model.layers[0].table_sizes()
  for each in (model, again):
    if not getattr(each, "optimizer", None):
      each.compile(keras.optimizers.SGD(0.1), "mse")
    each.fit(ids, labels, shuffle=False, verbose=0)
  np.testing.assert_array_equal(model.predict(ids, verbose=0), again.predict(ids, verbose=0))


def test_keras_file(tmp_path):
  model, ids, labels = _trained()
  model.save(tmp_path / "m.keras")
  _check_same(model, keras.models.load_model(tmp_path / "m.keras"), ids, labels)


@pytest.mark.parametrize("name", ["m.weights.h5", "checkpoint"])
def test_weights_files(tmp_path, name):
  model, ids, labels = _trained()
  path = str(tmp_path / name)
  model.save_weights(path)
  again = keras.models.clone_model(model)
  again.compile(keras.optimizers.SGD(0.1), "mse")
  again.build((None,))
  loaded = again.load_weights(path)
  if loaded is not None:
    loaded.assert_existing_objects_matched()
  _check_same(model, again, ids, labels)


def test_an_empty_layer_comes_back_empty(tmp_path):
  model = _regression(HashEmbedding(_DIM))
  model(tf.constant([1], tf.int64))
  model.save_weights(str(tmp_path / "m.weights.h5"))
  again = _regression(_filled())
  again(tf.constant([1], tf.int64))
  assert again.layers[0].table_sizes() == {"embedding": _VOCABULARY}
  again.load_weights(str(tmp_path / "m.weights.h5"))
  assert again.layers[0].table_sizes() == {"embedding": 0} and again.layers[0].step == 0


def test_checkpoint_of_a_model_that_is_built_later(tmp_path):
  model, ids, _ = _trained()
  path = tf.train.Checkpoint(model=model).save(str(tmp_path / "c"))
  again = _regression(HashEmbedding(_DIM, optimizer=entry.AdamOptimizer()))
  status = tf.train.Checkpoint(model=again).restore(path)
  np.testing.assert_array_equal(again.predict(ids, verbose=0), model.predict(ids, verbose=0))
  status.expect_partial()


@pytest.mark.slow
def test_saved_model_with_and_without_keras(tmp_path):
  model, ids, labels = _trained()
  path = str(tmp_path / "saved")
  model.save(path, save_format="tf")
  for _ in range(2):  # two loads have tables of their own
    loaded = tf.saved_model.load(path)
    found = loaded.signatures["serving_default"](tf.constant(ids))
    np.testing.assert_allclose(next(iter(found.values())), model.predict(ids, verbose=0), rtol=1e-6)
  _check_same(model, keras.models.load_model(path), ids, labels)
  again = loaded.signatures["serving_default"](tf.constant(ids))
  np.testing.assert_array_equal(next(iter(found.values())), next(iter(again.values())))


def test_module_saved_with_tf_saved_model(tmp_path):
  layer = _filled()
  module = tf.Module()
  module.layer = layer
  module.embed = tf.function(lambda ids: layer(ids), input_signature=[tf.TensorSpec([None], tf.int64)])
  tf.saved_model.save(module, str(tmp_path / "module"))
  loaded = tf.saved_model.load(str(tmp_path / "module"))
  ids = tf.constant([3, 99, 0], tf.int64)
  expected = layer(ids).numpy()
  layer._tables.table.assign({"embedding": (tf.constant([3], tf.int64), tf.zeros([1, _DIM]))})
  np.testing.assert_array_equal(loaded.embed(ids), expected)


def test_older_h5_is_refused(tmp_path):
  model, _, _ = _trained()
  with pytest.raises(
    NotImplementedError, match="layer 'ids': the older .h5 format has no place for tables; save as .k"
  ):
    model.save_weights(str(tmp_path / "m.h5"))
  with pytest.raises(NotImplementedError, match="has no place for tables"):
    with pytest.warns(UserWarning, match="saving your model as an HDF5 file"):
      model.save(tmp_path / "m.h5")


def test_file_of_another_layer_is_refused(tmp_path):
  layer = _filled()
  with pytest.raises(ValueError, match="the file has no table_names, table_counts, entry_lengths, entry_bytes; load"):
    layer.load_own_variables({"0": np.zeros([]), "1": np.zeros([])})


# Refusals.


def test_wrong_arguments_are_refused():
  for call, message in [
    (lambda: HashEmbedding(0), "HashSlice: dim is 0; it must be at least 1 float"),
    (lambda: HashEmbedding(2, optimizer="adam"), "HashSlice: optimizer is 'adam'; use one of monolith.native_training"),
    (
      lambda: HashEmbedding(2, optimizer=entry.DcOptimizer(entry.SgdOptimizer())),
      r"optimizer is DcOptimizer\(.*only what they are combined to; use the optimizer inside the DcOptimizer",
    ),
    (
      lambda: HashSlice(
        2, optimizer=entry.StochasticRoundingFloat16OptimizerWrapper(entry.DcOptimizer(entry.SgdOptimizer()))
      ),
      "use the optimizer inside the DcOptimizer",
    ),
    (lambda: HashEmbedding(2, initializer="zeros"), "HashSlice: initializer is 'zeros'; use one of"),
    (lambda: HashEmbedding(2, learning_rate="1"), "learning_rate is '1'; pass a number or a function of the step"),
    (lambda: HashEmbedding(2, combiner="max"), "combiner is 'max'; use one of sum, mean, first_n"),
    (
      lambda: HashEmbedding(2, combiner="first_n"),
      "max_seq_length is 0 with combiner 'first_n'; first_n needs at least",
    ),
    (lambda: HashEmbedding(2, max_seq_length=3), "max_seq_length is 3 with combiner 'sum'; first_n needs"),
    (
      lambda: HashEmbedding(2, occurrence_threshold=16, name="a"),
      "layer 'a': occurrence_threshold is 16; it must be 0",
    ),
    (lambda: HashFeature([]), "HashFeature: there are no slices; give at least one"),
    (lambda: HashEmbeddingGroup({}, name="a"), "layer 'a': there are no features; give at least one HashFeature"),
  ]:
    with pytest.raises(ValueError, match=message):
      call()
  with pytest.raises(ValueError, match="'Slot' is no optimizer or initializer of monolith"):
    HashSlice.from_config({"dim": 1, "output": None, "optimizer": {"entry_class": "Slot"}, "learning_rate": 1})


def test_wrong_inputs_are_refused():
  with pytest.raises(ValueError, match="feature 'embedding': ids are float32; pass int64 fids"):
    HashEmbedding(2)(tf.constant([1.0]))
  with pytest.raises(ValueError, match=r"feature 'embedding': ids are \(1, 1, 1\); pass \[B\], \[B, L\] or a Ragged"):
    HashEmbedding(2)(tf.zeros([1, 1, 1], tf.int64))
  with pytest.raises(ValueError, match=r"feature 'embedding' has mask_value 0, but ids \(1,\); pass \[B, L\]"):
    HashEmbedding(2, mask_value=0)(tf.zeros([1], tf.int64))


def test_places_where_it_does_not_work_are_refused(monkeypatch):
  class TwoReplicas:
    num_replicas_in_sync = 2

  with monkeypatch.context() as patch, pytest.raises(ValueError, match="strategies of several replicas are not suppor"):
    patch.setattr(tf.distribute, "get_strategy", TwoReplicas)
    HashEmbedding(2).build(None)
  with (
    tf.Graph().as_default(),
    pytest.raises(ValueError, match="TF1 graphs are not supported; use MultiHashTable with"),
  ):
    HashEmbedding(2).build(None)
  keras.mixed_precision.set_global_policy("mixed_float16")
  try:
    with pytest.raises(ValueError, match="mixed_float16 scales the loss, .*; use mixed_bfloat16 or float32"):
      HashEmbedding(2, dtype="float32").build(None)
  finally:
    keras.mixed_precision.set_global_policy("float32")
