# SPDX-License-Identifier: Apache-2.0
"""Dense variables read ahead of the step that uses them.

With parameter servers a step begins by reading every dense variable over the network. Inside
`cached_variable_creator` a model's trainable variables are read from copies in its own process instead, and a
`FetchAllCachedVariablesHook` fetches the next copies while a step runs:

    before step k    the copies become what was fetched during step k-1
    during step k    the model reads the copies; their successors are fetched from the servers

So a step computes with values that lack at most the update of the step before it. The gradients still go to the
variables themselves. It costs memory for two copies of each variable.
"""

from __future__ import annotations

from typing import Any, Callable, List, NamedTuple

import tensorflow as tf

__all__ = ["FetchAllCachedVariablesHook", "cached_variable_creator", "fetch_all_cached_variables"]

_COLLECTION = "monolith_cached_variables"


class _Cached(NamedTuple):
  variable: tf.Variable
  copy: tf.Variable
  """What the model reads."""
  fetched: tf.Variable
  """What it will read in the next step."""


def cached_variable_creator(next_creator: Callable[..., tf.Variable], **kwargs: Any) -> tf.Variable:
  """For `tf.variable_creator_scope`: makes variables whose reads come from a copy on the model's own device.

  Only trainable resource variables of floats get one; moving averages and counters have to be read as they are. A copy
  starts with the value that `FetchAllCachedVariablesHook` finds in a new session.
  """
  variable = next_creator(**kwargs)
  is_resource = hasattr(variable, "handle") and hasattr(variable, "_cached_value")
  if not (is_resource and variable.trainable and variable.dtype.is_floating and variable.shape.is_fully_defined()):
    return variable
  with tf.init_scope(), tf.compat.v1.device(None), tf.compat.v1.device(_own_device):
    name = variable.op.name
    copy, fetched = (_local_copy(variable, f"{name}/{kind}") for kind in ("cached", "fetched"))
  # Variables have a place for a value that reads give instead; TensorFlow fills it for `caching_device`.
  variable._cached_value = _read_copy(variable, copy)
  tf.compat.v1.add_to_collection(_COLLECTION, _Cached(variable, copy, fetched))
  return variable


def _own_device(op: tf.Operation) -> str:
  # Not on the parameter servers, where the loop's device function puts variables.
  return op.device or "/device:CPU:0"


def _local_copy(variable: tf.Variable, name: str) -> tf.Variable:
  # Not through the creators in force, which would cache the copy as well.
  from tensorflow.python.ops import resource_variable_ops

  return resource_variable_ops.ResourceVariable(
    initial_value=lambda: tf.zeros(variable.shape, variable.dtype),
    trainable=False,
    collections=[tf.compat.v1.GraphKeys.LOCAL_VARIABLES],
    name=name,
    dtype=variable.dtype,
  )


@tf.RegisterGradient("MonolithCachedVariableSlice")
def _slice_gradient(op: tf.Operation, upstream: tf.Tensor) -> Any:
  del op
  return tf.reshape(upstream, [-1]), None, None


@tf.RegisterGradient("MonolithCachedVariableRead")
def _read_gradient(op: tf.Operation, of_slice: Any, upstream: tf.Tensor) -> Any:
  del op, of_slice
  return tf.reshape(upstream, [-1]), None


def _read_copy(variable: tf.Variable, copy: tf.Variable) -> tf.Tensor:
  """The copy's value, whose gradient is that of `variable`.

  TensorFlow looks for a path from the variable's handle to the loss. This one starts on the server with a slice of
  nothing, so that no value travels along it; the gradient goes back through it whole.
  """
  with tf.compat.v1.get_default_graph().gradient_override_map(
    {"Slice": "MonolithCachedVariableSlice", "IdentityN": "MonolithCachedVariableRead"}
  ):
    with tf.compat.v1.device(variable.device):
      # A size that is not constant keeps the static shape open, which the gradient's does not share.
      nothing = tf.compat.v1.placeholder_with_default([0], [1])
      path = tf.slice(tf.reshape(variable.read_value(), [-1]), [0], nothing)
    return tf.raw_ops.IdentityN(input=[path, copy.read_value()])[1]


def fetch_all_cached_variables() -> tf.Operation:
  """Fetches all cached variables of the default graph; the model reads them from the next step on."""
  return tf.group(*(c.fetched.assign(c.variable.read_value(), read_value=False) for c in _all_cached()))


def _all_cached() -> List[_Cached]:
  return tf.compat.v1.get_collection(_COLLECTION)


class FetchAllCachedVariablesHook(tf.compat.v1.train.SessionRunHook):
  """Fetches cached variables while each step runs, and hands what was fetched over to the next one."""

  def __init__(self) -> None:
    self._fetch: Any = None
    self._hand_over: Any = None

  def begin(self) -> None:
    self._fetch = fetch_all_cached_variables()
    self._hand_over = tf.group(*(c.copy.assign(c.fetched.read_value(), read_value=False) for c in _all_cached()))

  def after_create_session(self, session, coord) -> None:
    del coord
    session.run(self._fetch)

  def before_run(self, run_context):
    run_context.session.run(self._hand_over)
    return tf.compat.v1.train.SessionRunArgs(self._fetch)
