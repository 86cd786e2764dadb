# SPDX-License-Identifier: Apache-2.0
"""What holds for every loss of the register."""

from conformance import cases
from conformance import register  # noqa: F401  fills the lists of `cases`
import loss_runs
import numpy as np
import pytest

import tensorflow as tf  # isort: skip

pytestmark = pytest.mark.parametrize("case", cases.LOSSES, ids=lambda c: c.id)


def _run(case, mode="eager", batch=None, unknown_batch=False):
  return loss_runs.run(mode, case.function, cases.draw(case.inputs, batch), case.differentiable, unknown_batch)


@pytest.mark.parametrize("unknown_batch", [False, True], ids=["known", "unknown"])
def test_graph_function_and_eager_agree(case, unknown_batch):
  value, gradients = _run(case)
  for mode in ("function", "graph"):
    found, found_gradients = _run(case, mode, unknown_batch=unknown_batch)
    np.testing.assert_allclose(found, value, rtol=1e-6)
    for a, b in zip(found_gradients, gradients, strict=True):
      np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_value_is_a_finite_scalar_and_gradients_are_not_zero(case):
  value, gradients = _run(case)
  assert value.shape == () and np.isfinite(value)
  for gradient in gradients:
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 1e-6


@pytest.mark.parametrize("mode", loss_runs.MODES)
@pytest.mark.parametrize("batch", [0, 1])
def test_batch_of_no_and_of_one_row(case, mode, batch):
  value, gradients = _run(case, mode, batch)
  assert np.isfinite(value)
  for i, gradient in zip(case.differentiable, gradients, strict=True):
    assert gradient.shape == (batch, *case.inputs[i].shape[1:]) and np.isfinite(gradient).all()


def test_order_of_rows_does_not_matter(case):
  value, gradients = _run(case)
  arrays = [array[::-1] for array in cases.draw(case.inputs)]
  reverse, reverse_gradients = loss_runs.run("eager", case.function, arrays, case.differentiable)
  np.testing.assert_allclose(reverse, value, rtol=1e-5)
  for a, b in zip(reverse_gradients, gradients, strict=True):
    np.testing.assert_allclose(a[::-1], b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype, tolerance", [("bfloat16", 0.05), ("float16", 0.01), ("float64", 1e-5)])
def test_dtypes(case, dtype, tolerance):
  """Logits of a narrow dtype are widened: the loss is float32, their gradients have their own dtype."""
  value, gradients = _run(case)
  inputs = [tf.constant(a) for a in cases.draw(case.inputs)]
  inputs = [tf.cast(x, dtype) if i in case.differentiable else x for i, x in enumerate(inputs)]
  with tf.GradientTape() as tape:
    tape.watch([inputs[i] for i in case.differentiable])
    narrow = case.function(*inputs)
  assert narrow.dtype in (tf.float32, tf.as_dtype(dtype)) and narrow.dtype.size >= 4
  np.testing.assert_allclose(narrow, value, rtol=tolerance)
  found = tape.gradient(narrow, [inputs[i] for i in case.differentiable])
  for a, b in zip(found, gradients, strict=True):
    assert a.dtype == dtype
    np.testing.assert_allclose(tf.cast(a, tf.float32), b, atol=tolerance * max(1.0, np.abs(b).max()))
