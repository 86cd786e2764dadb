# SPDX-License-Identifier: Apache-2.0
"""The search for embedding widths: draws, masks, gradients, the teacher, summaries."""

from monolith.core import keras_versions, mixed_emb_op_comb_nws
from monolith.core.mixed_emb_op_comb_nws import MixedEmbedOpComb, TeacherEmbeddingTransform, sample_choices

import collections
import doctests
import numpy as np
import pytest
import tensorflow as tf

SIZES = [[2, 3], [0, 1, 2], [4]]  # 12 columns, 6 choices


def _softmax(x):
  e = np.exp(x - np.max(x))
  return e / e.sum()


@pytest.fixture(autouse=True)
def _own_global_step():
  """Eager layers share one global step; every test has its own."""
  tf.compat.v1.get_default_graph().get_collection_ref(tf.compat.v1.GraphKeys.GLOBAL_STEP).clear()
  tf.random.set_seed(3)


def _set_step(step):
  tf.compat.v1.train.get_or_create_global_step().assign(step)


def _layer(**kwargs):
  arguments = {"slot_names": ["a", "b", "c"], "embedding_size_choices_list": SIZES, "warmup_steps": 5,
               "pretraining_steps": 10, **kwargs}  # fmt: skip
  return MixedEmbedOpComb(**arguments)


def _draws(layer, count=2000):
  """How often each mask was drawn, as tuples of 0 and 1."""
  call = tf.function(layer)
  ones = tf.ones([1, 12])
  return collections.Counter(tuple(int(v) for v in call(ones).numpy()[0]) for _ in range(count))


def _mask(*choices):
  mask = []
  for sizes, choice in zip(SIZES, choices, strict=True):
    mask += [int(i == choice) for i, size in enumerate(sizes) for _ in range(size)]
  return tuple(mask)


# Draws.


def test_choices_divide_the_unit_interval():
  p = tf.constant([[0.2, 0.3, 0.5]] * 6)
  u = tf.constant([0.0, 0.19, 0.21, 0.49, 0.51, 0.999])
  np.testing.assert_array_equal(sample_choices(p, u), [0, 0, 1, 1, 2, 2])


def test_choices_without_probability_are_never_drawn():
  p = tf.constant([[0.0, 2.0, 0.0, 2.0, 0.0]] * 4)
  np.testing.assert_array_equal(sample_choices(p, tf.constant([0.0, 0.49, 0.5, np.nextafter(1, 0)])), [1, 1, 3, 3])
  np.testing.assert_array_equal(sample_choices(tf.zeros([1, 2]), tf.constant([0.5])), [0])


def test_pretraining_draws_every_real_choice_alike():
  layer = _layer()
  _set_step(9)
  layer(tf.ones([1, 12]))
  layer.set_weights([np.array([9, 0, 0, 9, 0, 0], np.float32)])
  draws = _draws(layer)
  assert set(draws) == {_mask(i, j, 0) for i in range(2) for j in range(3)}
  for count in draws.values():
    assert count / 2000 == pytest.approx(1 / 6, abs=0.03)


def test_later_draws_follow_the_softmax():
  logits = np.array([0.5, -0.5, 0.3, 1.0, -1.0, 2.0], np.float32)
  layer = _layer()
  _set_step(10)
  layer(tf.ones([1, 12]))
  layer.set_weights([logits])
  draws = _draws(layer)
  for i, p_a in enumerate(_softmax(logits[:2])):
    for j, p_b in enumerate(_softmax(logits[2:5])):
      assert draws[_mask(i, j, 0)] / 2000 == pytest.approx(p_a * p_b, abs=0.03)


def test_a_slot_keeps_its_embedding_until_the_warmup_is_over():
  layer = _layer(pretraining_steps=0)
  _set_step(5)
  layer(tf.ones([1, 12]))
  assert {draw[5:8] for draw in _draws(layer, 300)} == {(1, 0, 0), (0, 1, 1)}
  _set_step(6)
  assert {draw[5:8] for draw in _draws(layer, 300)} == {(0, 0, 0), (1, 0, 0), (0, 1, 1)}


def test_one_draw_is_for_the_whole_batch_and_every_call_draws():
  layer = _layer()
  found = [layer(tf.ones([50, 12])).numpy() for _ in range(20)]
  assert all((rows == rows[0]).all() for rows in found)
  assert len({rows[0].tobytes() for rows in found}) > 1


# Masks and gradients.


def test_chosen_columns_pass_and_probabilities_get_the_gradient():
  x = np.random.default_rng(0).standard_normal((3, 12)).astype(np.float32)
  logits = np.array([0.5, -0.5, 0.3, 1.0, -1.0, 2.0], np.float32)
  layer = _layer(pretraining_steps=0)
  _set_step(100)
  layer(x)
  layer.set_weights([logits])
  with tf.GradientTape() as tape:
    inputs = tf.constant(x)
    tape.watch(inputs)
    outputs = layer(inputs)
    loss = tf.reduce_sum(outputs * tf.reshape(tf.range(36, dtype=tf.float32), [3, 12]))
  mask = (outputs.numpy()[0] != 0).astype(np.float32)
  np.testing.assert_array_equal(outputs, x * mask)
  by_input, by_logits = tape.gradient(loss, [inputs, layer.get_arch_embedding_weights()])
  scale = np.arange(36).reshape(3, 12)
  np.testing.assert_allclose(by_input, scale * mask, rtol=1e-6)
  expected, column, choice = [], 0, 0
  for sizes in SIZES:
    by_p = []
    for size in sizes:
      columns = slice(column, column + size)
      by_p.append((scale * x * mask)[:, columns].sum())
      column += size
    p = _softmax(logits[choice : choice + len(sizes)])
    expected += list(p * (by_p - (p * by_p).sum()))
    choice += len(sizes)
  np.testing.assert_allclose(by_logits, expected, rtol=1e-4, atol=1e-4)


def test_in_a_graph_the_step_decides_at_run_time():
  with keras_versions.keep_eager_layers(), tf.Graph().as_default(), tf.compat.v1.Session() as session:
    layer = _layer(pretraining_steps=0)
    x = tf.compat.v1.placeholder(tf.float32, [None, 12])
    outputs, summaries = layer(x), layer.get_summaries()
    step = tf.compat.v1.train.get_global_step()
    assert step.dtype == tf.int64 and layer.weights == [layer.get_arch_embedding_weights()]
    session.run(tf.compat.v1.global_variables_initializer())
    assert outputs.shape.as_list() == [None, 12]
    session.run(step.assign(5))
    before = {tuple(session.run(outputs, {x: np.ones((1, 12))})[0][5:8]) for _ in range(50)}
    session.run(step.assign(6))
    after = {tuple(session.run(outputs, {x: np.ones((1, 12))})[0][5:8]) for _ in range(50)}
    assert (0, 0, 0) in after and (0, 0, 0) not in before
    assert session.run(outputs, {x: np.ones((0, 12))}).shape == (0, 12)
    assert session.run(summaries["arch_entropy"]) == pytest.approx(np.log(2) + np.log(3), abs=1e-5)


# Summaries.


def test_summaries():
  logits = np.array([0.5, -0.5, 0.3, 1.0, -1.0, 2.0], np.float32)
  layer = _layer()
  _set_step(0)
  layer(tf.ones([1, 12]))
  layer.set_weights([logits])
  p = [_softmax(logits[:2]), _softmax(logits[2:5]), np.array([1.0])]
  summaries = layer.get_summaries()
  assert set(summaries) == {"arch_entropy", "expected_emb_dims", "arch_weights_after_softmax_list"}
  assert float(summaries["arch_entropy"]) == pytest.approx(-sum((q * np.log(q)).sum() for q in p), rel=1e-5)
  assert float(summaries["expected_emb_dims"]) == pytest.approx(sum(q @ s for q, s in zip(p, SIZES, strict=True)))
  pairs = summaries["arch_weights_after_softmax_list"]
  prefix = "arch_embedding_weights_after_softmax/"
  assert [name for name, _ in pairs] == [prefix + n for n in ("a_2", "a_3", "b_0", "b_1", "b_2", "c_4")]
  scaled = np.concatenate(p)
  scaled[2] = 0  # the warm-up is not over
  np.testing.assert_allclose([v for _, v in pairs], scaled, rtol=1e-5)
  _set_step(6)
  np.testing.assert_allclose(
    [v for _, v in layer.get_summaries()["arch_weights_after_softmax_list"]], np.concatenate(p), rtol=1e-5
  )


# The teacher.


def test_transform():
  layer = TeacherEmbeddingTransform([3, 1], [2, 4], name="t")
  x = np.random.default_rng(0).standard_normal((5, 6)).astype(np.float32)
  layer(x)
  assert [w.name for w in layer.weights] == [
    "t/teacher_embedding_transform_weight:0", "t/teacher_embedding_transform_bias:0"
  ]  # fmt: skip
  weight, bias = np.random.default_rng(1).standard_normal((10, 1)), np.arange(4.0)
  layer.set_weights([weight, bias])
  kernels = weight[:6].reshape(2, 3), weight[6:].reshape(4, 1)
  expected = np.concatenate([x[:, :2] @ kernels[0], x[:, 2:] @ kernels[1]], 1) + bias
  np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6)
  assert layer.compute_output_shape((None, 6)).as_list() == [None, 4]
  again = TeacherEmbeddingTransform.from_config(layer.get_config())
  assert again.get_config() == layer.get_config()


def test_transform_starts_small():
  layer = TeacherEmbeddingTransform([50], [100])
  layer.build((None, 100))
  weight, bias = layer.get_weights()
  assert np.abs(weight).max() <= 0.3 and weight.std() == pytest.approx(0.132, rel=0.05)
  np.testing.assert_array_equal(bias, np.zeros(50))


@pytest.mark.parametrize("distillation_mask", [False, True])
@pytest.mark.parametrize("graph", [False, True])
def test_distillation(distillation_mask, graph):
  random = np.random.default_rng(0)
  x, teacher = random.standard_normal((4, 12)).astype(np.float32), random.standard_normal((4, 6)).astype(np.float32)

  def make():
    return _layer(teacher_embedding_sizes_list=[1, 2, 3], distillation_mask=distillation_mask, name="m")

  if graph:
    with keras_versions.keep_eager_layers(), tf.Graph().as_default(), tf.compat.v1.Session() as session:
      layer = make()
      masked, loss, name = layer([tf.constant(x), tf.constant(teacher)])
      transformed = layer.teacher_embedding_transform(tf.constant(teacher))
      session.run(tf.compat.v1.global_variables_initializer())
      masked, loss, transformed = session.run([masked, loss, transformed])
  else:
    layer = make()
    with tf.GradientTape() as tape:
      masked, loss, name = layer([tf.constant(x), tf.constant(teacher)])
    transformed = layer.teacher_embedding_transform(teacher).numpy()
    assert all(g is not None for g in tape.gradient(loss, layer.trainable_weights))
    masked, loss = masked.numpy(), loss.numpy()
  mask = masked != 0
  np.testing.assert_array_equal(masked, x * mask)
  assert loss.shape == () and name == layer.teacher_embedding_transform.name == "m_teacher_embedding_transform"
  expected = (((transformed * mask if distillation_mask else transformed) - masked) ** 2).mean()
  assert loss == pytest.approx(expected, rel=1e-5)
  assert len(layer.weights) == 3, "one transform, owned by the layer"


# Arguments.


@pytest.mark.parametrize("teacher", [None, (1, 2, 3)])
def test_config_goes_round(teacher):
  layer = _layer(teacher_embedding_sizes_list=teacher, distillation_mask=True, slot_names=("a", "b", "c"))
  config = layer.get_config()
  assert config["slot_names"] == ["a", "b", "c"] and config["embedding_size_choices_list"] == SIZES
  assert (config["warmup_steps"], config["pretraining_steps"], config["distillation_mask"]) == (5, 10, True)
  assert config["teacher_embedding_sizes_list"] == (None if teacher is None else [1, 2, 3])
  assert MixedEmbedOpComb.from_config(config).get_config() == config


def test_initial_weights_are_small():
  layer = _layer()
  layer.build((None, 12))
  (weights,) = layer.get_weights()
  assert weights.shape == (6,) and 0 < np.abs(weights).max() <= 1e-3
  assert layer.weights[0].name == "arch_embedding_weights:0"


def test_saved_model(tmp_path):
  layer = _layer(embedding_size_choices_list=[[2], [1], [3]])
  model = tf.keras.Sequential([layer])
  x = np.ones((2, 6), np.float32)
  np.testing.assert_array_equal(model(x), x)
  tf.saved_model.save(model, str(tmp_path / "m"))
  np.testing.assert_array_equal(tf.saved_model.load(str(tmp_path / "m"))(x), x)


def test_wrong_arguments():
  with pytest.raises(ValueError, match="2 slot_names for 3 lists of sizes; give each slot one of each"):
    _layer(slot_names=["a", "b"])
  for sizes in ([], [0], [2, 0], [-1, 2]):
    with pytest.raises(ValueError, match=r"slot 'b' has sizes \[.*\]; give at least one above 0, and 0 only"):
      _layer(embedding_size_choices_list=[[1], sizes, [1]])
  with pytest.raises(ValueError, match="3 widths of the student and 2 of the teacher"):
    _layer(teacher_embedding_sizes_list=[1, 2])
  with pytest.raises(ValueError, match=r"of the teacher \[0\]; give at least one slot, and widths of at least 1"):
    TeacherEmbeddingTransform([2], [0])
  with pytest.raises(ValueError, match=r"the embedding is \(1, 11\); its slots have 12 columns together"):
    _layer()(tf.ones([1, 11]))
  with pytest.raises(ValueError, match=r"with a teacher, pass a pair \(embedding, teacher\)"):
    _layer(teacher_embedding_sizes_list=[1, 2, 3])(tf.ones([1, 12]))
  with pytest.raises(ValueError, match=r"the teacher's embedding is \(1, 5\); its slots have 6 columns"):
    _layer(teacher_embedding_sizes_list=[1, 2, 3])([tf.ones([1, 12]), tf.ones([1, 5])])


def test_examples():
  doctests.run_examples(mixed_emb_op_comb_nws)
