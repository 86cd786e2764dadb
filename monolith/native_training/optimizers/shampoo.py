# SPDX-License-Identifier: Apache-2.0
"""Shampoo: a preconditioner for every axis of a variable."""

from __future__ import annotations

from typing import Any

from monolith.native_training.optimizers._dense_only import DenseOnlyOptimizer, require

import tensorflow as tf

# Added to squares and norms before they divide.
_TINY_SQUARE, _TINY_NORM = 1e-30, 1e-10


def eigen_inverse_root(
  mat: tf.Tensor, p: float, head: int, tail: int, damping: float = 1e-3
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """Returns an approximation of `mat^(-1/p)` that keeps some eigenvectors only.

  The root is about `vectors · diag(values) · vectorsᵀ + offset · I`. It keeps the `head` smallest eigenvalues above the
  damping, whose roots are the largest, and the `tail` largest; those between share their mean root, the offset, which
  is taken off the others' roots.

  Args:
    mat: float `[n, n]`, symmetric.
    p: the root; > 0.
    head: how many small eigenvalues to keep.
    tail: how many large ones; where head + tail exceeds n, all are kept.
    damping: > 0; smaller eigenvalues count as this.

  Returns:
    float `[n, k]`, `[k]` and a scalar, with `k = min(n, head + tail)`.

  Example:

  >>> _, values, offset = eigen_inverse_root(tf.linalg.diag([0.0, 0.5, 1.0, 2.0, 8.0]), p=4, head=1, tail=1)
  >>> print(values.numpy().round(3), f"{offset.numpy():.3f}")
  [ 0.269 -0.326] 0.920
  """
  n = mat.shape[0]
  eigenvalues, vectors = tf.linalg.eigh(mat)
  roots = tf.pow(tf.maximum(eigenvalues, damping), -1.0 / p)
  if head + tail >= n:
    return vectors, roots, tf.zeros([], roots.dtype)
  # The first eigenvalue above the damping; 0 where there is none. Not so late that head and tail would overlap.
  first = tf.argmax(tf.cast(eigenvalues > damping, tf.int32), output_type=tf.int32)
  first = tf.minimum(first, n - head - tail)
  kept = tf.concat([first + tf.range(head), tf.range(n - tail, n)], axis=0)
  between = roots[first + head : n - tail]
  offset = tf.math.divide_no_nan(tf.reduce_sum(between), tf.cast(tf.size(between), roots.dtype))
  return tf.gather(vectors, kept, axis=1), tf.gather(roots, kept) - offset, offset


def gram(grad: tf.Tensor, axis: int) -> tf.Tensor:
  """Returns a gradient contracted with itself over all axes but one, `[n, n]`."""
  others = [a for a in range(grad.shape.rank) if a != axis]
  return tf.tensordot(grad, grad, [others, others])


def precondition(grad: tf.Tensor, roots: list[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]) -> tf.Tensor:
  """Multiplies every axis of a gradient by its root, given as `eigen_inverse_root` returns it."""
  for vectors, values, offset in roots:
    # Each turn takes the first axis away and puts it last, so that after all turns every axis is back.
    reduced = tf.tensordot(grad, vectors, [[0], [0]]) * values
    turned = tf.transpose(grad, [*range(1, grad.shape.rank), 0])
    grad = tf.tensordot(reduced, vectors, [[-1], [1]]) + offset * turned
  return grad


class ShampooOptimizer(DenseOnlyOptimizer):
  """Shampoo (Gupta, Koren and Singer, https://arxiv.org/abs/1802.09568, algorithm 2) grafted on diagonal Adagrad.

  For a variable of rank r, the gradient is multiplied on each axis by the inverse 2r-th root of that axis' statistics,
  the sum over steps of the gradient contracted with itself over the other axes. The direction of its moving average is
  taken at the length of Adagrad's. Up to the global step `warmup` it is Adagrad alone; over as many steps more
  Shampoo takes over.

  With t the global step before the update, on every axis i:

      g_i = the gradient contracted with itself over the other axes          if t mod tau_2 = 0
      s_i += g_i, or beta_2 * s_i + (1 - beta_2) * g_i                       at every step
      root_i = eigen_inverse_root(s_i, 2r, ...)                              if t > warmup and t mod tau_1 = 0
      d += grad^2;  m = beta_1 * m + (1 - beta_1) * grad / sqrt(d)
      pm = beta_1 * pm + (1 - beta_1) * (grad times all roots)
      w = clip(t / warmup - 1, 0, 1)
      var -= learning_rate * ((1 - w) * m + w * |m| / |pm| * pm)

  An axis of n takes n^2 floats twice, and an eigendecomposition of n^3 operations every `tau_1` steps: for the kernels
  of wide layers, not for embeddings.

  Slots, zeros, are named `<variable>/Shampoo/<slot>`: `s<i>` and `g<i>` `[n, n]`, `pvec<i>` `[n, k]`, `pval<i>` `[k]`,
  `o<i>` scalar, with k = min(n, eigen_head + eigen_tail), and d, m, pm like the variable.

  Args:
    learning_rate: a number, a tensor, or a function without arguments such as a `LearningRateFunction`.
    beta_1: share of the moving averages kept a step, in [0, 1).
    beta_2: share of the statistics kept a step, in (0, 1]; 1 sums them, as the paper does.
    warmup: global steps before Shampoo starts; >= 0.
    tau_1: global steps between two roots; > 0.
    tau_2: global steps between two measurements of the statistics; > 0.
    eigen_head: eigenvectors kept of the smallest eigenvalues above the damping; see `eigen_inverse_root`.
    eigen_tail: eigenvectors kept of the largest ones.
    damping_epsilon: > 0; smaller eigenvalues count as this.
    use_locking: kept for compatibility.
    name: prefix of the slots' names.

  Raises:
    ValueError: a setting is out of range; or, when gradients are applied, there is no global step, or a variable is
      partitioned.

  Example:

  >>> weight, step = tf.Variable([[1.0, 2.0], [3.0, 4.0]]), tf.Variable(0, dtype=tf.int64)
  >>> optimizer = ShampooOptimizer(learning_rate=0.1)
  >>> _ = optimizer.apply_gradients([(tf.constant([[0.1, 0.2], [-0.3, 0.4]]), weight)], global_step=step)
  >>> print(weight.numpy().round(3), step.numpy())
  [[0.99 1.99]
   [3.01 3.99]] 1
  """

  def __init__(
    self,
    learning_rate: Any = 0.03,
    beta_1: float = 0.9,
    beta_2: float = 1.0,
    warmup: int = 5000,
    tau_1: int = 200,
    tau_2: int = 20,
    eigen_head: int = 100,
    eigen_tail: int = 100,
    damping_epsilon: float = 1e-3,
    use_locking: bool = False,
    name: str = "Shampoo",
  ):
    super().__init__(learning_rate, use_locking, name)
    require(0 <= beta_1 < 1, "ShampooOptimizer", "beta_1", beta_1, "in [0, 1)")
    require(0 < beta_2 <= 1, "ShampooOptimizer", "beta_2", beta_2, "in (0, 1]")
    require(warmup >= 0, "ShampooOptimizer", "warmup", warmup, ">= 0")
    for argument, value in (("tau_1", tau_1), ("tau_2", tau_2), ("eigen_head", eigen_head), ("eigen_tail", eigen_tail)):
      require(value > 0, "ShampooOptimizer", argument, value, "> 0")
    require(damping_epsilon > 0, "ShampooOptimizer", "damping_epsilon", damping_epsilon, "> 0")
    self._beta_1 = beta_1
    self._beta_2 = beta_2
    self._warmup = warmup
    self._tau_1 = tau_1
    self._tau_2 = tau_2
    self._eigen_head = eigen_head
    self._eigen_tail = eigen_tail
    self._damping_epsilon = damping_epsilon
    self._given_step: Any = None
    self._step: Any = None

  def apply_gradients(self, grads_and_vars: Any, global_step: Any = None, name: str | None = None) -> Any:
    """Applies gradients at a global step.

    Args:
      grads_and_vars: pairs of a gradient, or None, and a variable.
      global_step: the variable that counts steps; it is read before the update and increased after it. Default: read
        TensorFlow's global step, and leave increasing it to the caller.
      name: of the op.

    Returns:
      The op; eagerly it has run.

    Raises:
      ValueError: there is no global step.
    """
    self._given_step = global_step
    return super().apply_gradients(grads_and_vars, global_step, name)

  def _create_slots(self, var_list: Any) -> None:
    for var in var_list:
      if getattr(var, "_save_slice_info", None) is not None:
        raise ValueError(
          f"ShampooOptimizer: {var.name} is a shard of a partitioned variable, whose statistics no checkpoint could "
          "restore; create the variable without a partitioner, or give it another optimizer."
        )
      for slot in ("d", "m", "pm"):
        self._zeros(var, slot)
      for axis, n in enumerate(var.shape):
        kept = min(n, self._eigen_head + self._eigen_tail)
        shapes = {"s": [n, n], "g": [n, n], "pvec": [n, kept], "pval": [kept], "o": []}
        for slot, shape in shapes.items():
          self._get_or_make_slot_with_initializer(
            var,
            tf.compat.v1.zeros_initializer(),
            tf.TensorShape(shape),
            var.dtype.base_dtype,
            f"{slot}{axis}",
            f"{self.get_name()}/{slot}{axis}",
          )

  def _prepare(self) -> None:
    step = self._given_step if self._given_step is not None else tf.compat.v1.train.get_global_step()
    if step is None:
      raise ValueError(
        "ShampooOptimizer: there is no global step to measure warmup and intervals by; pass global_step to "
        "apply_gradients, or call tf.compat.v1.train.create_global_step() first."
      )
    self._step = tf.cast(tf.convert_to_tensor(step), tf.int64)
    super()._prepare()

  def _resource_apply_dense(self, grad: tf.Tensor, handle: Any) -> Any:
    grad = tf.ensure_shape(grad, handle.shape)
    roots = [self._update_axis(grad, handle, axis) for axis in range(grad.shape.rank)]
    squares = self.get_slot(handle, "d").assign_add(tf.square(grad), read_value=True)
    m = self._update_average(handle, "m", grad * tf.math.rsqrt(squares + _TINY_SQUARE))
    pm = self._update_average(handle, "pm", precondition(grad, roots))
    share = self._share_of_shampoo()
    grafted = tf.norm(m) / (tf.norm(pm) + _TINY_NORM) * pm
    step = self._learning_rate_tensor * ((1.0 - share) * m + share * grafted)
    return handle.assign_sub(step, read_value=False)

  def _share_of_shampoo(self) -> tf.Tensor:
    step = tf.cast(self._step, tf.float32)
    if self._warmup == 0:
      return tf.cast(step > 0, tf.float32)
    return tf.clip_by_value(step / self._warmup - 1.0, 0.0, 1.0)

  def _update_average(self, var: Any, slot: str, value: tf.Tensor) -> tf.Tensor:
    average = self.get_slot(var, slot)
    return average.assign(self._beta_1 * average + (1.0 - self._beta_1) * value, read_value=True)

  def _update_axis(self, grad: tf.Tensor, var: Any, axis: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Updates the statistics of an axis, and its root when it is due; returns the root."""
    g, s = self.get_slot(var, f"g{axis}"), self.get_slot(var, f"s{axis}")
    measured = tf.cond(tf.equal(self._step % self._tau_2, 0), lambda: gram(grad, axis), lambda: tf.identity(g))
    measured = g.assign(measured, read_value=True)
    kept, added = (1.0, 1.0) if self._beta_2 == 1.0 else (self._beta_2, 1.0 - self._beta_2)
    statistics = s.assign(kept * s + added * measured, read_value=True)
    slots = [self.get_slot(var, f"{slot}{axis}") for slot in ("pvec", "pval", "o")]
    is_due = tf.logical_and(self._step > self._warmup, tf.equal(self._step % self._tau_1, 0))
    root = tf.cond(
      is_due,
      lambda: eigen_inverse_root(
        statistics, 2.0 * grad.shape.rank, self._eigen_head, self._eigen_tail, self._damping_epsilon
      ),
      lambda: tuple(tf.identity(slot) for slot in slots),
    )
    vectors, values, offset = (slot.assign(value, read_value=True) for slot, value in zip(slots, root, strict=True))
    return vectors, values, offset
