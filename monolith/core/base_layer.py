# SPDX-License-Identifier: Apache-2.0
"""Losses that layers add, names of params-built objects, and the base of params-built layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from monolith.core import hyperparams, py_utils

_ATTRIBUTE = "_monolith_layer_losses"


def _registry() -> dict[str, list[tf.Tensor]]:
  """The losses of the default graph.

  They hang on the graph object itself: tensors refer to their graph, so a registry of our own would keep it alive.
  """
  graph = tf.compat.v1.get_default_graph()
  if not hasattr(graph, _ATTRIBUTE):
    setattr(graph, _ATTRIBUTE, {})
  return getattr(graph, _ATTRIBUTE)


def add_layer_loss(name: str, loss: tf.Tensor) -> None:
  """Adds a scalar to the losses of the default graph, under a name that may have some already.

  Outside of graphs (eagerly) call `clear_layer_losses` once a step; nothing else empties the list there.
  """
  _registry().setdefault(name, []).append(loss)


def get_layer_loss() -> dict[str, tf.Tensor]:
  """Returns, for the default graph, name -> sum of what was added under it."""
  return {name: losses[0] if len(losses) == 1 else tf.add_n(losses) for name, losses in _registry().items()}


def get_layer_loss_tensors() -> list[tf.Tensor]:
  """Returns every tensor added in the default graph, so that a model can leave out those it has counted already."""
  return [loss for losses in _registry().values() for loss in losses]


def clear_layer_losses() -> None:
  """Forgets the losses of the default graph."""
  _registry().clear()


def get_uname(name: str) -> str:
  """Returns the name that a params-built object gets.

  It is the class name, never numbered here: Keras and the graph's name scopes tell objects of one graph apart, and a
  process-wide count would give one model other variable names in every graph that is built from it.
  """
  return name


class BaseLayer:
  """The base of objects that are built from Params and hold named sub-layers.

  Args:
    params: settings; `name` must be set.

  Raises:
    ValueError: `params.name` is empty.
  """

  @classmethod
  def params(cls) -> hyperparams.InstantiableParams:
    """Returns the settings of this class with their defaults."""
    p = hyperparams.InstantiableParams(cls)
    p.define("name", "", "Name of this layer.")
    return p

  def __init__(self, params: hyperparams.Params):
    if not params.name:
      raise ValueError(f"{type(self).__name__}: params.name is empty; set it before the layer is constructed.")
    self._name = params.name
    self._children = py_utils.NestedMap()
    self.p = params

  @property
  def children(self) -> py_utils.NestedMap:
    """The sub-layers, by name; a list where `create_children` made them."""
    return self._children

  def __getattr__(self, name: str) -> Any:
    # Python asks here for what it does not find, also while the object is still empty.
    children = self.__dict__.get("_children", {})
    if name in children:
      return children[name]
    raise AttributeError(f"{name} is not a sub-layer of {self.__dict__.get('_name', type(self).__name__)}.")

  def __call__(self, *args: Any, **kwargs: Any) -> Any:
    return self.fprop(*args, **kwargs)

  def fprop(self, *args: Any, **kwargs: Any) -> Any:
    """Computes the layer.

    Raises:
      NotImplementedError: the subclass does not say how.
    """
    raise NotImplementedError(f"{type(self).__name__} does not define fprop.")

  def create_child(self, name: str, params: hyperparams.InstantiableParams) -> None:
    """Constructs a sub-layer; a layer without a name of its own gets `name`."""
    self._children[name] = _named(params, name).instantiate()

  def create_children(self, name: str, params: Iterable[hyperparams.InstantiableParams]) -> None:
    """Constructs a list of sub-layers; those without a name of their own become `name_0`, `name_1`, …"""
    self._children[name] = [_named(p, f"{name}_{i}").instantiate() for i, p in enumerate(params)]


def _named(params: hyperparams.InstantiableParams, name: str) -> hyperparams.InstantiableParams:
  params = params.copy()
  if not params.name:
    params.name = name
  return params
