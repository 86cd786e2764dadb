# SPDX-License-Identifier: Apache-2.0
"""AutoInt, iRazor and SeNet: published numbers, NumPy twins with their gradients, losses, and what they refuse."""

from monolith.core import base_layer
from monolith.native_training import layers
from monolith.native_training.layers import _auto_int, _irazor, _senet, feature_trans
from monolith.native_training.layers.feature_trans import AutoInt, SeNet, iRazor

import doctests
import numpy as np
import pytest
import tensorflow as tf


def wave(shape, s):
  """W(shape, s), row-major, element i = (((7i + s) mod 11) - 5) / 10."""
  return ((((7 * np.arange(int(np.prod(shape))) + s) % 11) - 5) / 10).reshape(shape).astype(np.float32)


# NumPy twins: arrays in the order inputs, weights.


def softmax(x):
  e = np.exp(x - x.max(-1, keepdims=True))
  return e / e.sum(-1, keepdims=True)


def auto_int_twin(layer_num):
  def twin(x):
    for _ in range(layer_num):
      x = softmax(x @ x.transpose(0, 2, 1)) @ x
    return x.reshape(len(x), -1)

  return twin


def irazor_masks(nas_weight, space, t):
  rigid = np.zeros((len(space), space[-1]))
  for i in range(1, len(space)):
    rigid[i, space[i - 1] : space[i]] = 1
  return softmax(nas_weight / t) @ rigid


def irazor_twin(space, t):
  return lambda x, nas_weight: (x * irazor_masks(nas_weight, space, t)).reshape(len(x), -1)


def senet_twin(num_inputs):
  def twin(*arrays):
    features, weights = arrays[:num_inputs], arrays[num_inputs:]
    features = list(features[0].transpose(1, 0, 2)) if features[0].ndim == 3 else features
    gates = np.stack([f.mean(1) for f in features], 1)
    for i in range(0, len(weights), 3):
      kernel, norms, bias = weights[i : i + 3]
      gates = gates @ (kernel / np.sqrt(np.maximum((kernel**2).sum(0), 1e-6)) * norms) + bias
      gates = np.maximum(gates, 0) if i == 0 else 1 / (1 + np.exp(-gates))
    return np.concatenate([f * gates[:, i : i + 1] for i, f in enumerate(features)], 1)

  return twin


# What every layer is put through: how it is made, inputs, weights, its twin, and published outputs if there are any.

E = wave((1, 3, 2), 4)
_RAGGED = [wave((1, 2), 4), wave((1, 3), 1), wave((1, 1), 6)]
_TOWER = [np.array(w, np.float32) for w in (
  wave((3, 2), 0), [1, 0.5], wave((2,), 3), wave((2, 3), 1), [1, 0.5, 1.5], wave((3,), 6)
)]  # fmt: skip

CASES = {
  "auto_int": (
    AutoInt, 5 * E, [], auto_int_twin(1), [[-0.483155, -2.483155, 1, -1, 2.483155, 0.483155]]
  ),
  "auto_int_twice": (
    lambda: AutoInt(2), 5 * E, [], auto_int_twin(2), [[-0.464719, -2.464719, 1, -1, 2.464719, 0.464719]]
  ),
  "irazor": (
    lambda: iRazor([0, 1, 2], t=0.5, feature_weight=[1, 2, 3]), E, [wave((3, 3), 1)], irazor_twin([0, 1, 2], 0.5),
    [[-0.058965, -0.132473, 0.117930, -0.052989, 0.136059, 0.012227]],
  ),
  "irazor_of_groups": (
    lambda: iRazor([0, 2, 5], t=0.8), wave((2, 3, 5), 1), [wave((3, 3), 1)], irazor_twin([0, 2, 5], 0.8), None
  ),
  "senet": (
    lambda: SeNet(3, 2), E, _TOWER, senet_twin(1), [[-0.043149, -0.215744, 0.092934, -0.092934, 0.225841, 0.045168]]
  ),
  "senet_list": (
    lambda: SeNet(3, 2), _RAGGED, _TOWER, senet_twin(3),
    [[-0.042921, -0.214605, -0.185961, 0.139471, -0.046490, 0.044652]],
  ),
  "senet_list_on_gpu": (
    lambda: SeNet(3, 2, on_gpu=True), _RAGGED, _TOWER, senet_twin(3),
    [[-0.042921, -0.214605, -0.185961, 0.139471, -0.046490, 0.044652]],
  ),
  "senet_without_tower": (lambda: SeNet(3, None), wave((2, 3, 4), 1), [], senet_twin(1), None),
}  # fmt: skip


def _loss(outputs):
  return (outputs.ravel() * np.arange(1, outputs.size + 1)).sum()


def _built(layer, inputs):
  layer(tf.nest.map_structure(tf.constant, inputs))
  return layer


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(case, run_layer, derive):
  make, inputs, weights, twin, expected = CASES[case]
  outputs, input_gradients, weight_gradients = run_layer(make, inputs, weights)
  flat = tf.nest.flatten(inputs)
  np.testing.assert_allclose(outputs, twin(*flat, *weights), atol=1e-5)
  if expected is not None:
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
  found = [*tf.nest.flatten(input_gradients), *weight_gradients]
  wanted = derive(lambda *arrays: _loss(twin(*arrays)), [*flat, *weights])
  for f, w in zip(found, wanted, strict=True):
    np.testing.assert_allclose(f, w, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("case", CASES)
def test_config_goes_round(case):
  layer, inputs = CASES[case][0](), CASES[case][1]
  again = type(layer).from_config(layer.get_config())
  assert again.get_config() == layer.get_config()
  assert [w.shape for w in _built(again, inputs).weights] == [w.shape for w in _built(layer, inputs).weights]


@pytest.mark.parametrize("case", CASES)
def test_params_make_the_layer(case):
  layer = CASES[case][0]()
  p, config = type(layer).params(), layer.get_config()
  p.set(**{name: value for name, value in config.items() if name in p and name != "dtype"})
  assert p.instantiate().get_config() == config


@pytest.mark.parametrize("case", CASES)
def test_unknown_batches_of_any_size(case, in_graph):
  make, inputs, weights, twin, _ = CASES[case]
  feeds = tf.nest.map_structure(lambda a: tf.compat.v1.placeholder(tf.float32, [None, *a.shape[1:]]), inputs)
  layer = make()
  outputs = layer(feeds)
  in_graph.run(tf.compat.v1.global_variables_initializer())
  in_graph.run([v.assign(w) for v, w in zip(layer.weights, weights, strict=True)])
  for repeats in (0, 1, 3):
    arrays = [np.concatenate([a] * repeats) if repeats else a[:0] for a in tf.nest.flatten(inputs)]
    found = in_graph.run(outputs, dict(zip(tf.nest.flatten(feeds), arrays, strict=True)))
    assert outputs.shape.as_list() == [None, *found.shape[1:]]
    inferred = layer.compute_output_shape(tf.nest.map_structure(lambda a: tf.TensorShape([None, *a.shape[1:]]), inputs))
    assert inferred.as_list() == outputs.shape.as_list()
    if repeats:
      np.testing.assert_allclose(found, twin(*arrays, *weights), atol=1e-5)


@pytest.mark.parametrize("make, inputs", [
  (lambda **kw: AutoInt(1, **kw), E), (lambda **kw: iRazor([0, 1, 2], **kw), E), (lambda **kw: SeNet(3, None, **kw), E),
  (lambda **kw: SeNet(3, None, **kw), [wave((1, 2), s) for s in range(3)]),
])  # fmt: skip
@pytest.mark.parametrize("keep_list", [False, True])
def test_out_types(make, inputs, keep_list):
  tf.random.set_seed(1)
  flat = _built(make(), inputs)
  expected = flat(inputs).numpy()
  for out_type, wanted in [("concat", expected), ("stack", expected.reshape(1, 3, 2)), (None, expected)]:
    layer = _built(make(out_type=out_type, keep_list=keep_list), inputs)
    layer.set_weights(flat.get_weights())
    found = layer(inputs)
    inferred = layer.compute_output_shape(tf.nest.map_structure(lambda a: tf.TensorShape(a.shape), inputs))
    if out_type is None:
      assert [f.shape for f in found] == inferred == [(1, 2)] * 3
      found = np.concatenate(found, 1)
    else:
      assert isinstance(found, list) == isinstance(inferred, list) == keep_list
      found = found[0] if keep_list else found
      assert (inferred[0] if keep_list else inferred) == found.shape
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("make, inputs, expected", [
  (lambda: iRazor([0, 1, 2], name="n"), E, ["n/nas_weight:0"]),
  (lambda: SeNet(3, 2, name="n"), E, [
    f"n/cmp_tower/dense_{i}/{w}:0" for i in (0, 1) for w in ("kernel", "trainable_kernel_norm", "bias")
  ]),
])  # fmt: skip
@pytest.mark.parametrize("graph", [False, True])
def test_weight_names(make, inputs, expected, graph, in_graph):
  if graph:
    found = _built(make(), inputs).weights
  else:
    with tf.init_scope():
      found = _built(make(), inputs).weights
  assert [w.name for w in found] == expected


@pytest.mark.parametrize("make, num_losses", [
  (lambda: iRazor([0, 1, 2], regularizer="l2"), 1), (lambda: SeNet(3, 2, regularizer="l2"), 2),
])  # fmt: skip
def test_regularizers_are_of_kernels(make, num_losses):
  assert len(_built(make(), E).losses) == num_losses


# AutoInt.


def test_auto_int_of_ones():
  assert float(tf.reduce_sum(AutoInt(2)(tf.ones([100, 10, 10])))) == pytest.approx(10000)


def test_auto_int_refuses():
  with pytest.raises(ValueError, match="layer_num is 0; it must be > 0"):
    AutoInt(0)
  with pytest.raises(ValueError, match="out_type is 'x'; it must be 'concat', 'stack' or None"):
    AutoInt(1, "x")
  with pytest.raises(ValueError, match=r"the input is \(2, 3\); it must be \[B, num_feature, dim\]"):
    AutoInt()(tf.ones([2, 3]))


# iRazor.


def test_irazor_masks():
  np.testing.assert_allclose(
    irazor_masks(wave((3, 3), 1), [0, 1, 2], 0.5), [[0.589648, 0.264946]] * 2 + [[0.272118, 0.122271]], atol=1e-6
  )


@pytest.mark.parametrize("weight", [[1, 2, 3], (1, 2, 3), np.array([1.0, 2.0, 3.0]), np.array([[1], [2], [3]])])
def test_irazor_loss_counts_once(weight, in_graph):
  layer = iRazor([0, 1, 2], t=0.5, feature_weight=weight, name="razor")
  layer(tf.constant(E))
  in_graph.run(tf.compat.v1.global_variables_initializer())
  in_graph.run(layer.nas_weight.assign(wave((3, 3), 1)))
  (loss,) = layer.losses
  assert in_graph.run(loss) == pytest.approx(3.746951, abs=1e-5)
  assert base_layer.get_layer_loss() == {"razor": loss}
  assert base_layer.get_layer_loss_tensors()[0] is loss
  assert layer.get_config()["feature_weight"] == [1.0, 2.0, 3.0]
  gradient = in_graph.run(tf.gradients(loss, layer.nas_weight)[0])
  assert np.abs(gradient).max() > 0.1


def test_irazor_loss_eagerly():
  base_layer.clear_layer_losses()
  layer = _built(iRazor([0, 1, 2], t=0.5, feature_weight=[1, 2, 3], name="razor"), E)
  layer.set_weights([wave((3, 3), 1)])
  layer(E)
  assert float(layer.losses[0]) == pytest.approx(3.746951, abs=1e-5)
  assert set(base_layer.get_layer_loss()) == {"razor"}
  base_layer.clear_layer_losses()
  _built(iRazor([0, 1, 2]), E)
  assert not base_layer.get_layer_loss()


def test_irazor_writes_a_histogram(in_graph):
  iRazor([0, 1, 2], name="razor")(tf.constant(E))
  (summary,) = tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.SUMMARIES)
  assert summary.name == "razor/nas_weight_1:0" and summary.op.type == "HistogramSummary"


def test_irazor_refuses():
  for space in ([], None, [0], [1, 2], [0, 2, 2], [0, 3, 2]):
    with pytest.raises(ValueError, match=r"nas_space is .*; it must start with 0 and rise"):
      iRazor(space)
  with pytest.raises(ValueError, match="t is 0; a temperature must be > 0"):
    iRazor([0, 1], t=0)
  with pytest.raises(ValueError, match="the input has dim 2, but nas_space ends with 3; it must end with 2"):
    iRazor([0, 3])(E)
  with pytest.raises(ValueError, match="2 numbers in feature_weight for 3 features; give one each"):
    iRazor([0, 2], feature_weight=[1, 2])(E)


# SeNet.


def test_senet_weights():
  features = tf.ones([1, 3, 2]) * E
  layer = _built(SeNet(3, 2, out_type="stack"), E)
  layer.set_weights(_TOWER)
  np.testing.assert_allclose(layer(features)[0, :, 0] / E[0, :, 0], [0.431487, 0.464670, 0.451682], atol=1e-5)


def test_senet_refuses():
  for arguments in ((0, 2), (3, 0)):
    with pytest.raises(ValueError, match="num_feature is . and cmp_dim .; both must be > 0"):
      SeNet(*arguments)
  with pytest.raises(ValueError, match="3 features come in, but num_feature is 4"):
    SeNet(4, 2)(E)
  with pytest.raises(ValueError, match=r"features of widths \[1, 2, 3\] cannot be stacked"):
    SeNet(3, 2, out_type="stack")(_RAGGED)
  with pytest.raises(ValueError, match=r"it must be a list of \[B, dim\]"):
    SeNet(1, 2)([tf.ones([2, 3, 4])])


# All.


@pytest.mark.parametrize("module", [_auto_int, _irazor, _senet])
def test_examples(module):
  doctests.run_examples(module)


def test_the_package_has_them():
  for name in feature_trans.__all__:
    assert getattr(layers, name) is getattr(feature_trans, name) and name in layers.__all__


@pytest.mark.parametrize("case", ["irazor", "senet"])
def test_saved_models_compute_the_same(case, tmp_path):
  make, inputs, _, _, _ = CASES[case]
  model = tf.keras.Sequential([make()])
  expected = model(inputs).numpy()
  tf.saved_model.save(model, str(tmp_path / "m"))
  np.testing.assert_allclose(tf.saved_model.load(str(tmp_path / "m"))(inputs), expected, rtol=1e-6)
