# SPDX-License-Identifier: Apache-2.0
"""MMoE: experts that all tasks share, mixed for each task by a gate of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from monolith.core.keras_params import extend_as_list, with_params
from monolith.native_training.layers import advanced_activations as ad_acts
from monolith.native_training.layers._input_shapes import one_or_two
from monolith.native_training.layers.mlp import MLP

_GATE_TYPES = ("softmax", "topk", "noise_topk")
# What every expert gets as it is given.
_OF_EXPERTS = (
  "kernel_regularizer", "use_weight_norm", "use_learnable_weight_norm", "use_bias", "bias_regularizer",
  "enable_batch_normalization", "batch_normalization_momentum", "batch_normalization_renorm",
  "batch_normalization_renorm_clipping", "batch_normalization_renorm_momentum",
)  # fmt: skip


def keep_top_k(gates: tf.Tensor, k: int) -> tf.Tensor:
  """Returns gates with those below the k-th largest of the last axis set to 0 and the rest scaled to the sum 1.

  Equals of the k-th largest stay too: of gates that are all equal, all stay.
  """
  smallest = tf.math.top_k(gates, k, sorted=True).values[..., -1:]
  kept = tf.where(gates >= smallest, gates, tf.zeros_like(gates))
  return kept / tf.reduce_sum(kept, axis=-1, keepdims=True)


def balance_loss(gates: tf.Tensor) -> tf.Tensor:
  """Returns how unevenly experts are used, for gates `[B, T, E]`: a scalar, 0 if all are used alike.

  An expert's importance for a task is the sum of its gates over the batch. The loss is the variance of the importance
  over the experts by the square of its mean (equation 7 of https://arxiv.org/abs/1701.06538), summed over the tasks; 0
  for an empty batch.
  """
  importance = tf.reduce_sum(gates, axis=0)
  mean, variance = tf.nn.moments(importance, axes=[-1])
  return tf.reduce_sum(tf.math.divide_no_nan(variance, tf.square(mean)))


def _is_nested(dims: Any) -> bool:
  return bool(dims) and isinstance(dims[0], (list, tuple))


def _count_experts(owner: str, num_experts: int | None, dims: Any, activations: Any, initializers: Any) -> int:
  """Returns the number of experts, from whatever says it; see the class."""
  lists = {
    "expert_output_dims": dims if _is_nested(dims) else None,
    "expert_activations": activations,
    "expert_initializers": initializers,
  }
  lengths = {name: len(value) for name, value in lists.items() if isinstance(value, (list, tuple))}
  if num_experts is None:
    num_experts = next(iter(lengths.values()), None)
  if num_experts is None:
    raise ValueError(
      f"{owner}: num_experts not set; give it, or a list of one element an expert as expert_output_dims."
    )
  for name, length in lengths.items():
    if length != num_experts:
      raise ValueError(f"{owner}: {name} has {length} elements for {num_experts} experts; give one an expert.")
  if num_experts <= 0:
    raise ValueError(f"{owner}: num_experts is {num_experts}; it must be > 0.")
  return num_experts


def _own(activation: Any) -> Any:
  """Returns an activation that no other expert has, where it has weights: layers are copied."""
  if isinstance(activation, (list, tuple)):
    return [_own(a) for a in activation]
  return ad_acts.clone(activation) if isinstance(activation, tf.keras.layers.Layer) else activation


@with_params
class MMoE(tf.keras.layers.Layer):
  """Multi-gate mixture of experts.

  Source: Ma et al., 2018, https://doi.org/10.1145/3219819.3220007, section 4.2: task k's output is
  `Σ_i g_k(x)_i · expert_i(x)` with `g_k(x) = softmax(x W_k)`. The paper's towers, which come behind it, are the
  caller's.

  Each expert is an `MLP` of the input; each task gets the sum of their outputs weighed by its gate, a softmax over the
  experts of a linear function of the gate's input. In the gate types 'topk' and 'noise_topk' (after
  https://arxiv.org/abs/1701.06538) a gate keeps only its `top_k` largest weights, scaled to the sum 1, and a loss that
  asks for even use of the experts is in `losses`; the model's author adds it. All experts are computed in any case, so
  top-k saves no time: it makes experts differ. Under a mixed policy gates and their loss are computed in float32.

  Time and weights grow with the number of experts, hardly with the tasks, which add a gate each.

  Input is float `[B, in]`, for experts and gates, or a pair of `[B, in]` for the experts and `[B, gate_in]` for the
  gates. The output is a list of num_tasks tensors `[B, D]`, where D is the last width of the experts.

  Weights: `expert_i/dense_j/...` of the experts, gate_weight `[gate_in, num_experts * num_tasks]` (zeros: all experts
  weigh the same at first), whose column t * num_experts + e belongs to task t and expert e, and gate_noise of the same
  shape (glorot normal, 'noise_topk').

  >>> mmoe = MMoE(2, [16, 8], "relu", num_experts=4)
  >>> [output.shape.as_list() for output in mmoe(tf.ones([3, 10]))]
  [[3, 8], [3, 8]]

  Args:
    num_tasks: number of tasks; > 0.
    expert_output_dims: widths of the layers of each expert; or one such list an expert, all of the same last width.
    expert_activations: activations of an expert, in whatever form `MLP` takes; a list has one element an expert.
    expert_initializers: Keras initializer of the kernels; a list has one element an expert, each in whatever form `MLP`
      takes.
    gate_type: 'softmax', 'topk', or 'noise_topk', which adds normal noise of a learned spread to the gates' logits
      before the softmax, in every call, training or not.
    top_k: experts that a gate keeps; more if the smallest of them has equals, so at first, with zero gate_weight, all.
    num_experts: number of experts; None is the length of the first list among the three arguments above.
    kernel_regularizer, use_weight_norm, use_learnable_weight_norm, use_bias, bias_regularizer,
      enable_batch_normalization, batch_normalization_momentum, batch_normalization_renorm,
      batch_normalization_renorm_clipping, batch_normalization_renorm_momentum: of every expert; see `MLP`.

  Raises:
    ValueError: the number of experts is said nowhere, or twice and differently; or an argument is none of these.
  """

  def __init__(
    self,
    num_tasks: int,
    expert_output_dims: Sequence[int] | Sequence[Sequence[int]],
    expert_activations: Any,
    expert_initializers: Any = "glorot_uniform",
    gate_type: str = "softmax",
    top_k: int = 1,
    num_experts: int | None = None,
    kernel_regularizer: Any = None,
    use_weight_norm: bool = True,
    use_learnable_weight_norm: bool = True,
    use_bias: bool = True,
    bias_regularizer: Any = None,
    enable_batch_normalization: bool = False,
    batch_normalization_momentum: float = 0.99,
    batch_normalization_renorm: bool = False,
    batch_normalization_renorm_clipping: Any = None,
    batch_normalization_renorm_momentum: float = 0.99,
    **kwargs: Any,
  ):
    super().__init__(**kwargs)
    self.num_tasks, self.gate_type, self.top_k = int(num_tasks), gate_type, int(top_k)
    self.num_experts = _count_experts(
      self.name, num_experts, expert_output_dims, expert_activations, expert_initializers
    )
    self._check_gates()
    self.experts = self._make_experts(
      self._dims_of_experts(expert_output_dims),
      expert_activations,
      expert_initializers,
      kernel_regularizer=kernel_regularizer,
      use_weight_norm=use_weight_norm,
      use_learnable_weight_norm=use_learnable_weight_norm,
      use_bias=use_bias,
      bias_regularizer=bias_regularizer,
      enable_batch_normalization=enable_batch_normalization,
      batch_normalization_momentum=batch_normalization_momentum,
      batch_normalization_renorm=batch_normalization_renorm,
      batch_normalization_renorm_clipping=batch_normalization_renorm_clipping,
      batch_normalization_renorm_momentum=batch_normalization_renorm_momentum,
    )

  def _check_gates(self) -> None:
    if self.num_tasks <= 0:
      raise ValueError(f"{self.name}: num_tasks is {self.num_tasks}; it must be > 0.")
    if self.gate_type not in _GATE_TYPES:
      raise ValueError(f"{self.name}: gate_type is {self.gate_type!r}; it must be one of {', '.join(_GATE_TYPES)}.")
    if self.gate_type != "softmax" and not 0 < self.top_k <= self.num_experts:
      raise ValueError(f"{self.name}: top_k is {self.top_k}; it must be from 1 to the {self.num_experts} experts.")

  def _dims_of_experts(self, dims: Any) -> list[list[int]]:
    """Returns the widths of each expert."""
    each = [list(d) for d in dims] if _is_nested(dims) else [list(dims)] * self.num_experts
    if len({d[-1] for d in each if d}) > 1:
      raise ValueError(f"{self.name}: the experts end in widths {[d[-1] for d in each]}; give all the same last width.")
    return each

  def _make_experts(self, dims: list[list[int]], activations: Any, initializers: Any, **settings: Any) -> list[MLP]:
    count = self.num_experts
    acts = list(activations) if isinstance(activations, (list, tuple)) else [activations] * count
    return [
      MLP(d, _own(a), i, name=f"expert_{n}", dtype=self._dtype_policy, **settings)
      for n, (d, a, i) in enumerate(zip(dims, acts, extend_as_list(initializers, count), strict=True))
    ]

  def _shapes(self, input_shape: Any) -> tuple[tf.TensorShape, tf.TensorShape]:
    """Returns the shapes of the experts' and the gates' input."""
    shapes = one_or_two(self.name, input_shape)
    if any(s.rank != 2 for s in shapes):
      raise ValueError(f"{self.name}: the input is {shapes[0]} and {shapes[1]}; pass [B, width], flattened.")
    return shapes

  def build(self, input_shape: Any) -> None:
    of_experts, of_gates = self._shapes(input_shape)
    for expert in self.experts:
      if not expert.built:
        with tf.name_scope(expert.name):
          expert.build(of_experts)
    shape = [of_gates[-1], self.num_experts * self.num_tasks]
    self.gate_weight = self.add_weight(name="gate_weight", shape=shape, initializer="zeros")
    if self.gate_type == "noise_topk":
      self.gate_noise = self.add_weight(name="gate_noise", shape=shape, initializer="glorot_normal")
    super().build(input_shape)

  def calc_gate(self, gate_input: tf.Tensor) -> tf.Tensor:
    """Returns the gates `[B, num_experts, num_tasks]` of a gates' input `[B, gate_in]`."""
    return tf.transpose(self._gates(gate_input), [0, 2, 1])

  def _gates(self, gate_input: tf.Tensor) -> tf.Tensor:
    """Returns the gates `[B, num_tasks, num_experts]`, in float32 under a mixed policy."""
    logits = self._wide(tf.matmul(gate_input, tf.cast(self.gate_weight, gate_input.dtype)))
    if self.gate_type == "noise_topk":
      spread = tf.nn.softplus(self._wide(tf.matmul(gate_input, tf.cast(self.gate_noise, gate_input.dtype))))
      logits += tf.random.normal(tf.shape(logits), dtype=logits.dtype) * spread
    gates = tf.nn.softmax(tf.reshape(logits, [-1, self.num_tasks, self.num_experts]), axis=-1)
    return gates if self.gate_type == "softmax" else keep_top_k(gates, self.top_k)

  def _wide(self, logits: tf.Tensor) -> tf.Tensor:
    """Returns logits in the dtype of the weights: softmax and sums over a batch lose too much in half precision."""
    return tf.cast(logits, self.variable_dtype)

  def call(self, inputs: Any, training: Any = None) -> list[tf.Tensor]:
    """Computes the tasks' outputs.

    Args:
      inputs: of experts and gates, or a pair of both.
      training: whether batch normalization of the experts uses the batch's statistics; None is Keras' learning phase.
    """
    expert_input, gate_input = inputs if isinstance(inputs, (list, tuple)) else (inputs, inputs)
    outputs = tf.stack([expert(expert_input, training=training) for expert in self.experts], axis=1)
    gates = self._gates(gate_input)
    if self.gate_type != "softmax":
      self.add_loss(balance_loss(gates))
    return tf.unstack(tf.matmul(tf.cast(gates, outputs.dtype), outputs), num=self.num_tasks, axis=1)

  def compute_output_shape(self, input_shape: Any) -> list[tf.TensorShape]:
    of_experts, _ = self._shapes(input_shape)
    return [self.experts[0].compute_output_shape(of_experts)] * self.num_tasks

  def get_config(self) -> dict[str, Any]:
    config, experts = super().get_config(), [expert.get_config() for expert in self.experts]
    config.update({name: experts[0][name] for name in _OF_EXPERTS})
    config.update(
      num_tasks=self.num_tasks,
      expert_output_dims=[e["output_dims"] for e in experts],
      expert_activations=[e["activations"] for e in experts],
      expert_initializers=[e["initializers"] for e in experts],
      gate_type=self.gate_type,
      top_k=self.top_k,
      num_experts=self.num_experts,
    )
    return config
