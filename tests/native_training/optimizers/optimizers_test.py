# SPDX-License-Identifier: Apache-2.0
"""Adamom and RMSprop: published steps, NumPy twins, the ops' checks."""

import threading

import numpy as np
import pytest

from monolith.native_training.optimizers.adamom import AdamomOptimizer
from monolith.native_training.optimizers.rmsprop import RmspropOptimizer
from monolith.native_training.runtime.ops import gen_monolith_ops

import tensorflow as tf  # isort: skip

_MODES = ("eager", "graph")


def _adamom(**kwargs):
  return AdamomOptimizer(0.1, 0.99, 0.9, 1e-6, 0.01, **kwargs)


def _rmsprop(**kwargs):
  return RmspropOptimizer(0.1, 0.9, 0.9, 0.1, 1.0, **kwargs)


def _train(mode, make, value, gradients, slots):
  """Weight and slots after each step."""
  if mode == "eager":
    weight, optimizer, found = tf.Variable(value), make(), []
    for gradient in gradients:
      optimizer.apply_gradients([(tf.constant(gradient), weight)])
      found.append([weight.numpy(), *(optimizer.get_slot(weight, slot).numpy() for slot in slots)])
    return found
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    weight = tf.compat.v1.get_variable("w", initializer=value, use_resource=True)
    gradient, optimizer = tf.compat.v1.placeholder(tf.float32, np.shape(value)), make()
    step = optimizer.apply_gradients([(gradient, weight)])
    session.run(tf.compat.v1.global_variables_initializer())
    found = []
    for value in gradients:
      session.run(step, {gradient: value})
      found.append(session.run([weight, *(optimizer.get_slot(weight, slot) for slot in slots)]))
    return found


@pytest.mark.parametrize("mode", _MODES)
@pytest.mark.parametrize(
  "make, slots, expected",
  [
    (
      _adamom,
      "mvc",
      [
        (0.090000341, 0.0121, 0.014641, 1),
        (0.071001366, 0.022980, 0.029111401, 1.99),
        (0.043904381, 0.032753002, 0.043391194, 2.9701),
      ],
    ),
    (lambda: _adamom(use_v2=True), "", [(0.090000083,), (0.071000615,)]),
    (
      _rmsprop,
      "mv",
      [
        (0.032054738, 0.067945262, 0.00484),
        (-0.075652757, 0.107707496, 0.006668064),
        (-0.186197952, 0.110545194, 0.006197926),
      ],
    ),
    (
      lambda: _rmsprop(use_v2=True),
      "mv",
      [
        (0.031250, 0.068750, 0.0484),
        (-0.072902783, 0.104152783, 0.066436563),
        (-0.180134412, 0.107231629, 0.062011054),
      ],
    ),
  ],
  ids=["adamom", "adamom v2", "rmsprop", "rmsprop v2"],
)
def test_published_steps(mode, make, slots, expected):
  found = _train(mode, make, np.float32(0.1), [np.float32(0.12)] * len(expected), slots)
  np.testing.assert_allclose(found, expected, atol=2e-7)


def _adamom_twin(w, g, s, lr=0.1, ada=0.99, mom=0.9, eps=1e-6, decay=0.01, v2=False):
  g = g + decay * w
  s["m"] = mom * s.get("m", 0) + (1 - mom) * g
  s["v"] = ada * s.get("v", 0) + g * g
  s["c"] = ada * s.get("c", 0) + 1
  mean = s["v"] / s["c"]
  return w - lr * s["m"] / (np.sqrt(mean) + eps if v2 else np.sqrt(mean + eps))


def _rmsprop_twin(w, g, s, lr=0.1, beta1=0.9, beta2=0.9, eps=0.1, decay=1.0, v2=False):
  g = g + decay * w
  s["v"] = beta2 * s.get("v", 0) + (1 if v2 else 1 - beta2) * g * g
  s["m"] = beta1 * s.get("m", 0) + lr * g / (np.sqrt(s["v"]) + eps if v2 else np.sqrt(s["v"] + eps))
  return w - s["m"]


@pytest.mark.parametrize("mode", _MODES)
@pytest.mark.parametrize("v2", [False, True])
@pytest.mark.parametrize("make, twin", [(_adamom, _adamom_twin), (_rmsprop, _rmsprop_twin)], ids=["adamom", "rmsprop"])
def test_hundred_steps_equal_the_twin(mode, v2, make, twin):
  generator = np.random.default_rng(3)
  value = generator.normal(size=(3, 5)).astype(np.float32)
  gradients = generator.normal(size=(100, 3, 5)).astype(np.float32)
  gradients[:, 1] *= np.float32(1e-3)
  gradients[20:60, 2] = 0
  found = _train(mode, lambda: make(use_v2=v2), value, gradients, "")
  w, state = value.astype(np.float64), {}
  for step, gradient in enumerate(gradients.astype(np.float64)):
    w = twin(w, gradient, state, v2=v2)
    np.testing.assert_allclose(found[step][0], w, rtol=1e-4, atol=2e-5, err_msg=str(step))


@pytest.mark.parametrize("optimizer", [AdamomOptimizer, RmspropOptimizer])
def test_a_large_variable_is_updated_by_all_threads(optimizer):
  weight = tf.Variable(tf.ones([100_003]))
  gradient = np.random.default_rng(1).normal(size=100_003).astype(np.float32)
  optimizer(0.1).apply_gradients([(tf.constant(gradient), weight)])
  small = tf.Variable(tf.ones([3]))
  optimizer(0.1).apply_gradients([(tf.constant(gradient[-3:]), small)])
  np.testing.assert_array_equal(weight[-3:], small)
  assert np.all(weight != 1)


def test_who_has_read_a_variable_keeps_what_was_read():
  weight, optimizer = tf.Variable([1.0, 2.0]), _adamom()
  before = weight.read_value()
  optimizer.apply_gradients([(tf.constant([1.0, 1.0]), weight)])
  slot = optimizer.get_slot(weight, "m").read_value()
  optimizer.apply_gradients([(tf.constant([1.0, 1.0]), weight)])
  np.testing.assert_array_equal(before, [1, 2])
  np.testing.assert_allclose(slot, [0.101, 0.102], rtol=1e-6)


@pytest.mark.parametrize("shared", [4, 2])
def test_concurrent_steps_are_all_taken(shared):
  """All steps share their last variables: these are locked too, not only those that come first."""
  size = 1 << 18  # large enough that steps and reads overlap
  last = [tf.Variable(tf.zeros([size])) for _ in range(shared)]
  own = [[tf.Variable(tf.zeros([size])) for _ in range(4 - shared)] for _ in range(4)]
  grad = tf.ones([size])

  def run(first):
    handles = [v.handle for v in (*first, *last)]
    for _ in range(30):
      gen_monolith_ops.resource_apply_adamom(*handles, 0.1, 1.0, 0.9, 1e-6, 0.0, grad)

  threads = [threading.Thread(target=run, args=[first]) for first in own]
  for thread in threads:
    thread.start()
  while any(thread.is_alive() for thread in threads):
    counts = last[-1].numpy()
    assert counts.min() == counts.max(), "nobody sees half a step"
  for thread in threads:
    thread.join()
  np.testing.assert_array_equal(last[-1], np.full(size, 120))


# Arguments.


@pytest.mark.parametrize(
  "make, message",
  [
    (lambda: AdamomOptimizer(ada_decay=0), r"AdamomOptimizer: ada_decay is 0; it must be in \(0, 1\]"),
    (lambda: AdamomOptimizer(mom_decay=1), r"mom_decay is 1; it must be in \[0, 1\)"),
    (lambda: AdamomOptimizer(epsilon=-1), "epsilon is -1; it must be >= 0"),
    (lambda: AdamomOptimizer(weight_decay=-1), "weight_decay is -1; it must be >= 0"),
    (lambda: RmspropOptimizer(beta1=1.5), r"RmspropOptimizer: beta1 is 1.5; it must be in \[0, 1\)"),
    (lambda: RmspropOptimizer(beta2=1), r"beta2 is 1; it must be in \[0, 1\)"),
    (lambda: RmspropOptimizer(epsilon=-1), "epsilon is -1"),
    (lambda: RmspropOptimizer(weight_decay=-1), "weight_decay is -1"),
  ],
)
def test_settings_out_of_range_are_refused(make, message):
  with pytest.raises(ValueError, match=message):
    make()


def test_defaults():
  adamom, rmsprop = AdamomOptimizer(), RmspropOptimizer()
  assert (adamom._learning_rate, adamom._ada_decay, adamom._mom_decay, adamom._epsilon) == (5e-6, 0.9999, 0.99, 1e-6)
  assert (rmsprop._learning_rate, rmsprop._beta1, rmsprop._beta2, rmsprop._epsilon) == (5e-6, 0.99, 0.999, 1e-8)
  assert (adamom.get_name(), rmsprop.get_name()) == ("Adamom", "Rmsprop")


def _call(variables, grad=(1.0, 1.0), rate=0.1, **attributes):
  op = gen_monolith_ops.resource_apply_adamom if len(variables) == 4 else gen_monolith_ops.resource_apply_rmsprop
  return op(*[v.handle for v in variables], rate, 0.9, 0.9, 1e-6, 0.0, tf.constant(grad), **attributes)


@pytest.mark.parametrize("count", [4, 3])
def test_ops_check_their_inputs(count):
  fresh = lambda: [tf.Variable([1.0, 2.0]) for _ in range(count)]  # noqa: E731
  refused = tf.errors.InvalidArgumentError
  with pytest.raises(refused, match=r"variable var is \[2\] but grad is \[3\]; their shapes must be equal"):
    _call(fresh(), grad=[1.0, 1.0, 1.0])
  with pytest.raises(refused, match=r"variable m is \[1\] but grad is \[2\]"):
    variables = fresh()
    _call([variables[0], tf.Variable([1.0]), *variables[2:]])
  with pytest.raises(refused, match=r"learning_rate has shape \[1\]; pass a scalar"):
    _call(fresh(), rate=[0.1])
  with pytest.raises(refused, match="one variable is given twice; every slot needs its own"):
    _call([fresh()[0]] * count)
  with pytest.raises(refused, match="variable v is double; it must be float"):
    variables = fresh()
    _call([*variables[:2], tf.Variable([1.0, 2.0], dtype=tf.float64), *variables[3:]])
  with tf.Graph().as_default(), pytest.raises(ValueError, match="must be rank 0"):
    _call([tf.compat.v1.get_variable(f"v{i}", [2], use_resource=True) for i in range(count)], rate=[0.1])
  with tf.Graph().as_default(), pytest.raises(ValueError, match="Dimensions must be equal|must be equal, but are"):
    _call([tf.compat.v1.get_variable(f"v{i}", [2], use_resource=True) for i in range(count)], grad=[1.0, 1.0, 1.0])


@pytest.mark.parametrize("missing, name", [(0, "var"), (2, "v")])
def test_uninitialized_variables_are_a_failed_precondition(missing, name):
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    variables = [tf.compat.v1.get_variable(f"v{i}", [2], use_resource=True) for i in range(4)]
    step = _call(variables)
    session.run([v.initializer for i, v in enumerate(variables) if i != missing])
    with pytest.raises(
      tf.errors.FailedPreconditionError, match=f"variable {name} is not initialized; run its initializer"
    ):
      session.run(step)


def test_without_slot_updates():
  weight, *slots = [tf.Variable([value]) for value in (1.0, 0.02, 0.04, 4.0)]
  _call([weight, *slots], grad=[1.0], update_slots=False)
  np.testing.assert_allclose(weight, 1 - 0.1 * 0.02 / np.sqrt(0.01 + 1e-6), rtol=1e-6)
  np.testing.assert_allclose([s[0] for s in slots], [0.02, 0.04, 4], rtol=1e-6)
  weight.assign([1.0])
  _call([weight, *slots[:2]], grad=[1.0], update_slots=False)
  np.testing.assert_array_equal(weight, [1])
