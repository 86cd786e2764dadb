# SPDX-License-Identifier: Apache-2.0
"""What an entry of the register holds, and the inputs that it describes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import monolith.native_training.layers  # noqa: F401  chooses Keras

import tensorflow as tf  # isort: skip


@dataclasses.dataclass(frozen=True)
class Input:
  """One input tensor whose first axis is the batch (unless `batched` is False), drawn uniformly from [low, high)."""

  shape: tuple[int, ...]
  low: float = -2.0
  high: float = 2.0
  dtype: str = "float32"
  batched: bool = True

  def draw(self, generator: np.random.Generator) -> np.ndarray:
    values = generator.uniform(self.low, self.high, self.shape)
    return np.floor(values).astype(self.dtype) if self.dtype.startswith("int") else values.astype(self.dtype)

  def spec(self) -> tf.TensorSpec:
    """What a function must know about the input: all but the batch."""
    return tf.TensorSpec([None, *self.shape[1:]] if self.batched else self.shape, self.dtype)


def _inputs(spec: Any) -> Any:
  """Turns shapes in a structure of lists into inputs; a tuple of numbers is a shape."""
  if isinstance(spec, Input):
    return spec
  if isinstance(spec, tuple) and all(isinstance(size, int) for size in spec):
    return Input(spec)
  return [_inputs(element) for element in spec]


def _map(f: Callable[[Input], Any], spec: Any) -> Any:
  return [_map(f, element) for element in spec] if isinstance(spec, list) else f(spec)


def draw(spec: Any, batch: int | None = None) -> Any:
  """Returns arrays for a structure of inputs, the same at every call.

  Args:
    spec: inputs.
    batch: how many rows to keep of the first ones; None is all.
  """
  generator = np.random.default_rng(11)
  arrays = _map(lambda i: i.draw(generator), spec)
  cut = lambda i, values: values[:batch] if i.batched else values  # noqa: E731
  return tf.nest.map_structure(cut, spec, arrays)


def specs(spec: Any) -> Any:
  return _map(Input.spec, spec)


@dataclasses.dataclass(frozen=True)
class LayerCase:
  """A layer with its inputs; see `layer`."""

  id: str
  build: Callable[..., Any]
  inputs: Any
  call: Callable[[Any, Any], Any]
  mixes_rows: bool
  random: bool
  no_gradient: tuple[str, ...]
  no_input_gradient: bool
  free_names: bool
  skip: tuple[str, ...]
  slow: bool


@dataclasses.dataclass(frozen=True)
class LossCase:
  """A loss with its inputs; see `loss`."""

  id: str
  function: Callable[..., Any]
  inputs: list[Input]
  differentiable: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class OptimizerCase:
  """A dense optimizer; see `optimizer`."""

  id: str
  build: Callable[[Any], Any]


@dataclasses.dataclass(frozen=True)
class InitializerCase:
  """An initializer of table slices; see `initializer`."""

  id: str
  build: Callable[[], Any]
  low: float
  high: float


LAYERS: list[LayerCase] = []
LOSSES: list[LossCase] = []
OPTIMIZERS: list[OptimizerCase] = []
INITIALIZERS: list[InitializerCase] = []
ACTIVATIONS: list[str] = []


def layer(
  id: str,
  build: Callable[..., Any],
  inputs: Any,
  call: Callable[[Any, Any], Any] = lambda layer, inputs: layer(inputs),
  mixes_rows: bool = False,
  random: bool = False,
  no_gradient: Sequence[str] = (),
  no_input_gradient: bool = False,
  free_names: bool = False,
  skip: Sequence[str] = (),
  slow: bool = False,
) -> None:
  """Puts one layer, in one setting, into the register.

  Args:
    id: class name, with a word on the setting if the class is listed more than once.
    build: makes the layer; a float dtype or policy is set around it.
    inputs: a shape with the batch first, `(4, 6)`, for a layer of one tensor; a list, which may be nested, for others.
      `Input` instead of a shape says more: range, dtype, whether the first axis is the batch.
    call: how the layer is called, where that is not `layer(inputs)`.
    mixes_rows: a row of the output depends on other rows of the batch.
    random: calls with the same input differ, so outputs are not compared.
    no_gradient: ends of the names of trainable weights whose gradient is rightly 0 here.
    no_input_gradient: no gradient flows to the inputs here.
    free_names: names of weights differ between graphs and eager execution.
    skip: names of tests that this layer cannot be put to, as in layers_test.py without `test_`; a comment beside it
      says why.
    slow: its tests together take more than five seconds, and the class has another entry, so `-m "not slow"` leaves
      this one out.
  """
  LAYERS.append(
    LayerCase(
      id, build, _inputs(inputs), call, mixes_rows, random, tuple(no_gradient), no_input_gradient, free_names,
      tuple(skip), slow,
    )
  )  # fmt: skip


def activation(name: str) -> None:
  """Puts a registered activation into the register, by its name; it takes every check of a layer too."""
  from monolith.native_training.layers import advanced_activations

  ACTIVATIONS.append(name)
  layer(name, lambda: advanced_activations.get(name), (4, 6))


def loss(id: str, function: Callable[..., Any], inputs: Sequence[Any], differentiable: Sequence[int]) -> None:
  """Puts one loss into the register.

  Args:
    id: name of the function, or key of the loss.
    function: takes the inputs as tensors and returns a scalar.
    inputs: shapes or `Input`s, the batch first.
    differentiable: positions of the inputs that get a gradient which is not 0.
  """
  LOSSES.append(LossCase(id, function, _inputs(list(inputs)), tuple(differentiable)))


def optimizer(id: str, build: Callable[[Any], Any]) -> None:
  """Puts one dense optimizer into the register.

  Args:
    id: class name, with a word on the setting if the class is listed more than once.
    build: learning rate to `tf.compat.v1.train.Optimizer`; with a rate of 0.05 it is to find a minimum a few units away
      within some hundred steps.
  """
  OPTIMIZERS.append(OptimizerCase(id, build))


def initializer(id: str, build: Callable[[], Any], low: float, high: float) -> None:
  """Puts one initializer of table slices into the register.

  Args:
    id: class name.
    build: makes it.
    low: the least first value.
    high: the largest one; above `low`, first values are random and differ between fids.
  """
  INITIALIZERS.append(InitializerCase(id, build, low, high))
