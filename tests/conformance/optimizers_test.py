# SPDX-License-Identifier: Apache-2.0
"""What holds for every dense optimizer of the register."""

from conformance import cases
from conformance import register  # noqa: F401  fills the lists of `cases`
import numpy as np
import pytest

from monolith.native_training import learning_rate_functions

import tensorflow as tf  # isort: skip

pytestmark = pytest.mark.parametrize("case", cases.OPTIMIZERS, ids=lambda c: c.id)

_SHAPES = {"scalar": (), "vector": (5,), "matrix": (3, 4), "cube": (2, 3, 2), "empty": (0, 3)}
_STEPS = 5


def _values(seed, steps=None):
  generator = np.random.default_rng(seed)
  lead = () if steps is None else (steps,)
  return {name: generator.normal(size=(*lead, *shape)).astype(np.float32) for name, shape in _SHAPES.items()}


def _state(optimizer, variables):
  """All slots, by variable and name."""
  return {
    (name, slot): variable
    for name, weight in variables.items()
    for slot in optimizer.get_slot_names()
    if (variable := optimizer.get_slot(weight, slot)) is not None
  }


class _Eager:
  """Variables under an optimizer; gradients are functions of the step alone."""

  def __init__(self, case, rate=0.05, gradients=None):
    self.variables = {name: tf.Variable(value, name=name) for name, value in _values(1).items()}
    self.step = tf.Variable(0, dtype=tf.int64)
    self.optimizer = case.build(rate)
    self.gradients = {n: tf.constant(g) for n, g in (gradients or _values(2, 20)).items()}

  def run(self, steps):
    for _ in range(steps):
      self.apply()
    return self

  def apply(self):
    pairs = [(self.gradients[name][self.step], variable) for name, variable in self.variables.items()]
    self.optimizer.apply_gradients(pairs, global_step=self.step)

  def numbers(self):
    return {n: v.numpy() for n, v in {**self.variables, **_state(self.optimizer, self.variables)}.items()}


def _graph(case):
  """Variables by name, optimizer and update op of what `_Eager` does, in a TF1 graph."""
  gradients = _values(2, 20)
  variables = {n: tf.compat.v1.get_variable(n, initializer=v, use_resource=True) for n, v in _values(1).items()}
  step, optimizer = tf.compat.v1.train.get_or_create_global_step(), case.build(0.05)
  pairs = [(tf.gather(gradients[n], step), v) for n, v in variables.items()]
  return variables, optimizer, optimizer.apply_gradients(pairs, global_step=step)


def _assert_equal(found, wanted, rtol=1e-5, atol=1e-6):
  assert set(found) == set(wanted)
  for name, value in wanted.items():
    np.testing.assert_allclose(found[name], value, rtol, atol, err_msg=str(name))


def test_graph_function_and_eager_agree(case):
  wanted = _Eager(case).run(_STEPS).numbers()
  assert all(np.isfinite(v).all() for v in wanted.values())
  other = _Eager(case).run(1)  # makes the slots
  function = tf.function(other.apply)
  for _ in range(_STEPS - 1):
    function()
  _assert_equal(other.numbers(), wanted)
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    variables, optimizer, apply = _graph(case)
    session.run(tf.compat.v1.global_variables_initializer())
    for _ in range(_STEPS):
      session.run(apply)
    state = _state(optimizer, variables)
    _assert_equal(session.run({**variables, **state}), wanted)
    for (name, slot), variable in state.items():
      assert variable.op.name == f"{name}/{optimizer.get_name()}/{slot}"


def test_continues_from_a_checkpoint(case, tmp_path):
  wanted = _Eager(case).run(7).numbers()
  half = _Eager(case).run(4)
  path = tf.train.Checkpoint(o=half.optimizer, step=half.step, **half.variables).write(str(tmp_path / "c"))
  rest = _Eager(case)
  for variable in rest.variables.values():
    variable.assign(variable * 0 + 9)
  status = tf.train.Checkpoint(o=rest.optimizer, step=rest.step, **rest.variables).read(path)
  rest.run(3)
  status.assert_consumed()
  _assert_equal(rest.numbers(), wanted)


def test_continues_from_a_checkpoint_of_a_graph(case, tmp_path):
  def run(steps, restore=False):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
      _, _, apply = _graph(case)
      step, saver = tf.compat.v1.train.get_global_step(), tf.compat.v1.train.Saver()
      session.run(tf.compat.v1.global_variables_initializer())
      if restore:
        saver.restore(session, str(tmp_path / "m-4"))
      for _ in range(steps):
        session.run(apply)
        if session.run(step) == 4:
          saver.save(session, str(tmp_path / "m"), global_step=step, write_meta_graph=False)
      return session.run({v.op.name: v for v in tf.compat.v1.global_variables()})

  wanted = run(7)
  _assert_equal(run(3, restore=True), wanted, rtol=0, atol=0)


def test_same_gradients_same_numbers(case):
  _assert_equal(_Eager(case).run(_STEPS).numbers(), _Eager(case).run(_STEPS).numbers(), rtol=0, atol=0)


def test_gradients_of_zero_move_nothing_at_first_and_stay_finite(case):
  zeros = {name: value * 0 for name, value in _values(2, 20).items()}
  run = _Eager(case, gradients=zeros).run(_STEPS)
  assert all(np.isfinite(v).all() for v in run.numbers().values())
  for name, value in _values(1).items():
    np.testing.assert_allclose(run.variables[name], value, atol=0.05 * _STEPS)  # weight decay alone may move them


def test_finds_a_minimum(case):
  weights, target = tf.Variable([[3.0, -2.0], [0.5, 4.0]]), tf.constant([[1.0, 1.0], [-1.0, 2.0]])
  optimizer, step = case.build(0.05), tf.Variable(0, dtype=tf.int64)
  scale = tf.constant([[1.0, 3.0], [0.5, 2.0]])

  def loss():
    return tf.reduce_sum(scale * tf.square(weights - target))

  @tf.function
  def apply():
    gradient = 2 * scale * (weights - target)
    optimizer.apply_gradients([(gradient, weights)], global_step=step)

  optimizer.apply_gradients([(2 * scale * (weights - target), weights)], global_step=step)
  before = loss()
  for _ in range(600):
    apply()
  assert loss() < 0.1 * before


def test_learning_rate_may_be_a_function(case):
  rate = tf.Variable(0.05)
  called = _Eager(case, rate=lambda: rate).run(2)
  _assert_equal(called.numbers(), _Eager(case).run(2).numbers())
  rate.assign(0.0)
  before = {n: v.numpy() for n, v in called.variables.items()}
  called.run(1)
  if not case.id.startswith("Rmsprop"):  # its momentum holds the rates of the steps before
    _assert_equal({n: v.numpy() for n, v in called.variables.items()}, before)


def test_learning_rate_function_of_the_global_step(case):
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    step = tf.compat.v1.train.get_or_create_global_step()
    weight = tf.compat.v1.get_variable("w", initializer=[1.0, 1.0], use_resource=True)
    decay = learning_rate_functions.PolynomialDecay(0.0, 10, 1.0)
    apply = case.build(decay).apply_gradients([(tf.constant([0.5, -0.5]), weight)], global_step=step)
    session.run(tf.compat.v1.global_variables_initializer())
    session.run(apply)
    np.testing.assert_array_equal(session.run(weight), [1, 1])
    session.run(apply)
    assert np.all(session.run(weight) != 1)


def test_sparse_gradient_is_a_dense_one_with_zeros(case):
  def run(make_gradient):
    weight, step, optimizer = tf.Variable(tf.ones([4, 2])), tf.Variable(0, dtype=tf.int64), case.build(0.05)
    for _ in range(3):
      optimizer.apply_gradients([(make_gradient(), weight)], global_step=step)
    return weight.numpy()

  rows = tf.constant([[1.0, -2.0], [0.5, 1.0], [1.0, 1.0]])
  sparse = run(lambda: tf.IndexedSlices(rows, tf.constant([2, 0, 2]), tf.constant([4, 2])))
  dense = run(lambda: tf.constant([[0.5, 1.0], [0, 0], [2.0, -1.0], [0, 0]]))
  np.testing.assert_allclose(sparse, dense, rtol=1e-6)


def test_what_cannot_be_optimized_is_refused(case):
  with pytest.raises(ValueError, match="is float64; it takes float32 variables"):
    weight = tf.Variable(1.0, dtype=tf.float64)
    case.build(0.1).apply_gradients([(tf.constant(1.0, tf.float64), weight)], global_step=tf.Variable(0))
  with tf.Graph().as_default():
    step = tf.compat.v1.train.get_or_create_global_step()
    reference = tf.compat.v1.get_variable("w", initializer=1.0, use_resource=False)
    with pytest.raises(NotImplementedError, match="w:0 is a reference variable; create it with use_resource=True"):
      case.build(0.1).apply_gradients([(tf.constant(1.0), reference)], global_step=step)
