# SPDX-License-Identifier: Apache-2.0
"""What holds for every layer of the register."""

import copy
import inspect
import json

from conformance import cases
from conformance import register  # noqa: F401  fills the lists of `cases`
from conformance import runs
import numpy as np
import pytest

import tensorflow as tf  # isort: skip


def pytest_generate_tests(metafunc):
  test = metafunc.function.__name__.removeprefix("test_")
  if "case" in metafunc.fixturenames:
    marks = lambda c: [pytest.mark.slow] if c.slow else []  # noqa: E731
    fitting = [pytest.param(c, marks=marks(c), id=c.id) for c in cases.LAYERS if test not in c.skip]
    metafunc.parametrize("case", fitting)


def _close(found, wanted, rtol=1e-5, atol=1e-5):
  found, wanted = runs.to_arrays(found), runs.to_arrays(wanted)
  assert len(found) == len(wanted)
  for a, b in zip(found, wanted, strict=True):
    assert a.shape == b.shape
    np.testing.assert_allclose(np.asarray(a, np.float64), np.asarray(b, np.float64), rtol, atol)


def _inputs(case, batch=None):
  return runs.to_tensors(cases.draw(case.inputs, batch))


def _outputs(case, layer, batch=None):
  return case.call(layer, _inputs(case, batch))


def _is_finite(values):
  return all(np.isfinite(np.asarray(a, np.float64)).all() for a in runs.to_arrays(values))


_TRACES = {}


def _traced(case):
  """A layer, its weights, and outputs and gradients as a function of a batch of any size, which is traced once for all
  tests; they set the weights before they call it.
  """
  if case.id not in _TRACES:
    layer = runs.build(case)
    signature = [cases.specs(case.inputs)]
    function = tf.function(lambda inputs: runs.differentiate(case, layer, inputs), input_signature=signature)
    _TRACES[case.id] = layer, layer.get_weights(), function
  return _TRACES[case.id]


_EAGER = {}


def _eager(case):
  """Outputs, input gradients and weight gradients of the layer of `_traced`, computed once for all tests."""
  if case.id not in _EAGER:
    layer, weights, _ = _traced(case)
    layer.set_weights(weights)
    _EAGER[case.id] = runs.differentiate(case, layer, _inputs(case))
  return _EAGER[case.id]


def _present(*gradients):
  return [tf.convert_to_tensor(g) for some in gradients for g in some if g is not None]


# An unknown batch asks more of a layer, so the quick run leaves out the known one.
@pytest.mark.parametrize(
  "unknown_batch", [pytest.param(False, marks=pytest.mark.slow, id="known"), pytest.param(True, id="unknown")]
)
def test_graph_function_and_eager_agree(case, unknown_batch):
  """In outputs and gradients; and weights have the same names in a graph as eagerly, each its own."""
  layer, weights, function = _traced(case)
  eager, *eager_gradients = _eager(case)
  layer.set_weights(weights)
  if not unknown_batch:
    function = tf.function(lambda inputs: runs.differentiate(case, layer, inputs))
  traced = function(_inputs(case))
  outputs, gradients, names = runs.in_graph(case, weights, unknown_batch)
  assert len(set(names)) == len(names)
  if not case.free_names:
    assert names == [w.name for w in layer.weights]
  if case.random:
    assert [a.shape for a in runs.to_arrays(eager)] == [a.shape for a in outputs]
    return
  _close(traced[0], eager)
  _close(outputs, eager)
  _close(gradients, _present(*eager_gradients), atol=1e-4)
  _close(_present(*traced[1:]), _present(*eager_gradients), atol=1e-4)


def test_batch_of_no_rows(case):
  full = tf.nest.flatten(_eager(case)[0])
  layer, layer_weights, function = _traced(case)
  layer.set_weights(layer_weights)
  outputs, inputs, weights = runs.differentiate(case, layer, _inputs(case, 0))
  for empty, some in zip(tf.nest.flatten(outputs), full, strict=True):
    assert empty.shape.rank == some.shape.rank
    if some.shape.rank and some.shape[0] == tf.nest.flatten(_inputs(case))[0].shape[0]:
      assert empty.shape == (0, *some.shape[1:])
  assert _is_finite([g for g in weights if g is not None]) and _is_finite(layer.get_weights())
  assert _is_finite(layer.losses)
  # Graphs are optimized, and fused ops have their own mind about empty tensors.
  traced, _, _ = function(_inputs(case, 0))
  assert [t.shape for t in tf.nest.flatten(traced)] == [t.shape for t in tf.nest.flatten(outputs)]


def test_batch_of_one_row(case):
  full = tf.nest.flatten(_eager(case)[0])
  layer, weights, _ = _traced(case)
  layer.set_weights(weights)
  one = tf.nest.flatten(_outputs(case, layer, 1))
  batch = tf.nest.flatten(_inputs(case))[0].shape[0]
  assert _is_finite(one) and _is_finite(layer.get_weights())
  for row, some in zip(one, full, strict=True):
    if some.shape.rank and some.shape[0] == batch:
      assert row.shape == (1, *some.shape[1:])
      if not case.mixes_rows and not case.random:
        _close(row, some[:1])


@pytest.mark.parametrize("policy, tolerance", [("mixed_bfloat16", 0.1), ("mixed_float16", 0.02), ("float64", 1e-4)])
def test_dtype_policies(case, policy, tolerance):
  """Variables stay in float32 under a mixed policy, outputs have its compute dtype and are near those of float32."""
  weights = _traced(case)[1]
  with runs.policy(policy):
    layer = case.build()
    inputs = tf.nest.map_structure(
      lambda t: tf.cast(t, layer.compute_dtype) if t.dtype.is_floating else t, _inputs(case)
    )
    case.call(layer, inputs)
  layer.set_weights(weights)
  outputs, _, gradients = runs.differentiate(case, layer, inputs)
  kept = "float64" if policy == "float64" else "float32"
  assert {w.dtype.name for w in layer.weights if w.dtype.is_floating} <= {kept}
  assert {t.dtype.name for t in tf.nest.flatten(outputs) if t.dtype.is_floating} == {layer.compute_dtype}
  assert _is_finite([g for g in gradients if g is not None])
  if not case.random:
    wanted = tf.nest.map_structure(lambda t: tf.cast(t, tf.float64), _eager(case)[0])
    _close(tf.nest.map_structure(lambda t: tf.cast(t, tf.float64), outputs), wanted, tolerance, tolerance)


def test_config_round_trip(case):
  layer = runs.build(case)
  config = layer.get_config()
  # Keras' own ReLU keeps its settings as arrays.
  own = type(layer).__module__.startswith("monolith.")
  dump = lambda c: json.dumps(c, sort_keys=True, default=None if own else np.ndarray.item)  # noqa: E731
  text = dump(config)
  before = copy.deepcopy(config)
  again = type(layer).from_config(config)
  assert config == before, "from_config changed the caller's config"
  assert again.get_config() == config
  assert dump(type(layer).from_config(json.loads(text)).get_config()) == text
  weights = layer.get_weights()
  wanted = _outputs(case, layer)
  _outputs(case, again)
  again.set_weights(weights)
  found = _outputs(case, again)
  if not case.random:
    _close(found, wanted)


def test_config_holds_every_argument(case):
  """A setting that the config left out would come back as its default, and both configs would lack it alike."""
  layer = runs.build(case)
  if not type(layer).__module__.startswith("monolith."):
    pytest.skip("a layer of Keras' own")
  of_keras = inspect.signature(tf.keras.layers.Layer.__init__).parameters
  own = {n: p for n, p in inspect.signature(type(layer).__init__).parameters.items() if n not in of_keras}
  # What a gate takes from its tower stands there.
  inherited = {n for n in own if n.startswith("lhuc_") and own[n].default is None}
  assert sorted(set(own) - {"args", "kwargs"} - inherited - set(layer.get_config())) == []


def test_params_round_trip(case):
  """What the config says, given as params, makes the same layer."""
  layer = runs.build(case)
  weights = layer.get_weights()
  p = type(layer).params()
  assert p.cls is type(layer)
  for key, value in layer.get_config().items():
    if key not in ("trainable", "dtype", "name", "batch_input_shape"):
      p[key] = value
  again = p.instantiate()
  assert type(again) is type(layer) and again.name == p.name == type(layer).__name__
  assert {**again.get_config(), "name": ""} == {**layer.get_config(), "name": ""}
  wanted = _outputs(case, layer)
  _outputs(case, again)
  again.set_weights(weights)
  if not case.random:
    _close(_outputs(case, again), wanted)


def test_checkpoint_round_trip(case, tmp_path):
  layer = runs.build(case)
  weights = layer.get_weights()
  path = tf.train.Checkpoint(layer=layer).write(str(tmp_path / "c"))
  other = runs.build(case, seed=8)
  tf.train.Checkpoint(layer=other).read(path).assert_consumed()
  for a, b in zip(other.get_weights(), weights, strict=True):
    np.testing.assert_array_equal(a, b)


def test_saved_model_round_trip(case, tmp_path):
  layer = runs.build(case)
  weights = layer.get_weights()
  module = tf.Module()
  module.layer = layer
  module.call = tf.function(
    lambda inputs: tf.nest.flatten(case.call(layer, inputs)), input_signature=[cases.specs(case.inputs)]
  )
  tf.saved_model.save(module, str(tmp_path / "m"))
  layer.set_weights(weights)
  wanted = _outputs(case, layer)
  loaded = tf.saved_model.load(str(tmp_path / "m"))
  found = loaded.call(_inputs(case))
  assert [a.shape for a in runs.to_arrays(found)] == [a.shape for a in runs.to_arrays(wanted)]
  if not case.random:
    _close(found, wanted)


def test_keras_model_round_trip(case, tmp_path):
  """A functional model is saved with its config and weights, and comes back."""
  layer = case.build()
  symbolic = tf.nest.map_structure(lambda s: tf.keras.Input(s.shape[1:], dtype=s.dtype), cases.specs(case.inputs))
  tf.keras.utils.set_random_seed(7)
  model = tf.keras.Model(symbolic, case.call(layer, symbolic))
  model.save(str(tmp_path / "m.keras"))
  custom = {type(layer).__name__: type(layer)}
  again = tf.keras.models.load_model(str(tmp_path / "m.keras"), custom_objects=custom)
  found, wanted = again(_inputs(case)), model(_inputs(case))
  for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
    assert a.shape == b.shape
  if not case.random:
    _close(found, wanted)


def test_every_weight_has_a_gradient(case):
  """Not 0, finite; and some input has one too."""
  layer, _, _ = _traced(case)
  _, inputs, weights = _eager(case)
  for weight, gradient in zip(layer.trainable_weights, weights, strict=True):
    name = weight.name.removesuffix(":0")
    if name.endswith(case.no_gradient) and case.no_gradient:
      assert gradient is None or np.abs(tf.convert_to_tensor(gradient)).max() < 1e-6, f"{name} has a gradient after all"
      continue
    assert gradient is not None, f"{name} has no gradient"
    gradient = tf.convert_to_tensor(gradient).numpy()
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 1e-7, name
  known = [g for g in inputs if g is not None]
  assert _is_finite(known)
  assert case.no_input_gradient or any(np.abs(g).max() > 1e-7 for g in runs.to_arrays(known))


def test_same_seed_same_numbers(case):
  def run(seed):
    tf.keras.utils.set_random_seed(seed)
    layer = case.build()
    return [*runs.to_arrays(_outputs(case, layer)), *layer.get_weights()]

  for a, b in zip(run(3), run(3), strict=True):
    np.testing.assert_array_equal(a, b)


def test_no_two_weights_start_with_the_same_random_values(case):
  """An unseeded initializer that two weights share would draw the same values for both."""
  tf.keras.utils.set_random_seed(5)
  layer = case.build()
  _outputs(case, layer)
  drawn = [(w.name, w.numpy()) for w in layer.trainable_weights if w.shape.num_elements() > 1]
  drawn = [(n, v) for n, v in drawn if np.ptp(v) > 0]
  for i, (name, value) in enumerate(drawn):
    for other, values in drawn[i + 1 :]:
      assert value.shape != values.shape or not np.array_equal(value, values), f"{name} and {other} start alike"


def test_deep_copy(case):
  """Copies of an unbuilt and of a built layer compute what the original does, and share no weights with it."""
  fresh = copy.deepcopy(case.build())
  layer = runs.build(case)
  weights = layer.get_weights()
  twin = copy.deepcopy(layer)
  _outputs(case, fresh)
  fresh.set_weights(weights)
  wanted = _outputs(case, layer)
  layer.set_weights([w + 1 for w in weights])
  for other in (fresh, twin):
    for a, b in zip(other.get_weights(), weights, strict=True):
      np.testing.assert_array_equal(a, b)
    if not case.random:
      _close(_outputs(case, other), wanted)


def test_output_shape_is_inferred(case):
  """What a layer infers of its output's shape, from one shape or a list of shapes, is right."""
  layer = runs.build(case)
  shapes = tf.nest.map_structure(lambda s: s.shape, cases.specs(case.inputs))
  outputs = _outputs(case, layer)
  inferred = layer.compute_output_shape(shapes)
  inferred = [tf.TensorShape(s) for s in inferred] if isinstance(inferred, list) else [tf.TensorShape(inferred)]
  for shape, output in zip(inferred, tf.nest.flatten(outputs), strict=True):
    assert shape.is_compatible_with(output.shape), f"infers {shape}, returns {output.shape}"
