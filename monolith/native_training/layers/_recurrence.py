# SPDX-License-Identifier: Apache-2.0
"""The one loop that recurrent layers run in, eagerly and in graphs."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

# (what the sequences hold at one time, old state) -> new state.
Step = Callable[[list[tf.Tensor], tf.Tensor], tf.Tensor]


def create_ta(name: str, size: int | tf.Tensor, dtype: tf.DType) -> tf.TensorArray:
  """Returns an array of `size` tensors of one dtype, as loops read and write it.

  Args:
    name: name of the array in the graph.
    size: number of tensors; an int or an int32 scalar.
    dtype: their dtype.
  """
  return tf.TensorArray(dtype=dtype, size=size, tensor_array_name=name)


def project_all(inputs: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
  """Returns `inputs @ kernel + bias` for float `[..., in]` with any number of axes, in the dtype of the inputs."""
  projected = tf.tensordot(inputs, tf.cast(kernel, inputs.dtype), [[-1], [0]])
  return tf.nn.bias_add(projected, tf.cast(bias, inputs.dtype))


def scan(
  step: Step,
  sequences: list[tf.Tensor],
  state: tf.Tensor,
  keep_outputs: bool = True,
  parallel_iterations: int = 10,
  swap_memory: bool = True,
) -> tuple[tf.Tensor | None, tf.Tensor]:
  """Runs `state = step([s[t] for s in sequences], state)` for t = 0 to T-1.

  What does not depend on the state (products with the inputs above all) belongs before the loop, where one operation
  does it for all times.

  Args:
    step: computes the new state.
    sequences: tensors `[T, B, ...]`; T and B may be unknown, and 0.
    state: `[B, units]`, the state before the first step.
    keep_outputs: return the state after every step too.
    parallel_iterations: steps that may run at once where they do not wait for each other, as what the gradient adds up
      for the weights does not.
    swap_memory: let what the gradient needs move from GPU to host memory.

  Returns:
    The states `[T, B, units]` (None without `keep_outputs`), and the last one.
  """
  time = tf.shape(sequences[0])[0]
  arrays = [create_ta(f"input_{i}", time, s.dtype).unstack(s) for i, s in enumerate(sequences)]
  shape = state.shape
  # An array without any element cannot be stacked. Where there may be no step, the first state comes before the others.
  spare = 0 if sequences[0].shape[0] else 1
  outputs = create_ta("output", time + spare, state.dtype) if keep_outputs else None
  if outputs is not None and spare:
    outputs = outputs.write(0, state)

  def body(t: tf.Tensor, state: tf.Tensor, *kept: tf.TensorArray) -> tuple:
    state = tf.ensure_shape(step([array.read(t) for array in arrays], state), shape)
    return (t + 1, state, *(array.write(t + spare, state) for array in kept))

  _, state, *kept = tf.while_loop(
    lambda t, *_: t < time,
    body,
    (tf.constant(0), state, *([outputs] if keep_outputs else [])),
    parallel_iterations=parallel_iterations,
    swap_memory=swap_memory,
    maximum_iterations=time,
  )
  if not keep_outputs:
    return None, state
  stacked = kept[0].stack()
  stacked = stacked[1:] if spare else stacked
  return tf.ensure_shape(stacked, tf.TensorShape([sequences[0].shape[0]]).concatenate(shape)), state
