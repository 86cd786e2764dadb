# SPDX-License-Identifier: Apache-2.0
"""Keras 2 and graphs: layers on both sides of a TF1 graph in one process, and the learning phase.

Keras 2 has two `Layer` base classes, one for TF1 graphs and one for everything else, and switches the bases *of the
class* whenever a layer is made: after a `Dense` has been made in a graph, every `Dense` made eagerly before refuses to
be called. Whoever builds a graph while eager layers may exist wraps the building in `keep_eager_layers`.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf


def _keras_module(name: str) -> Any:
  package = tf.keras.layers.Layer.__module__.split(".src.")[0]
  return importlib.import_module(f"{package}.src.{name}")


def _subclasses(cls: type) -> set[type]:
  found: set[type] = set(cls.__subclasses__())
  return found.union(*(_subclasses(sub) for sub in found))


def use_eager_layers() -> None:
  """Gives every Keras layer and model class the base class that works outside of TF1 graphs."""
  utils = _keras_module("utils.version_utils")
  layer, layer_v1 = _keras_module("engine.base_layer").Layer, _keras_module("engine.base_layer_v1").Layer
  model, model_v1 = _keras_module("engine.training").Model, _keras_module("engine.training_v1").Model
  for cls in _subclasses(model_v1):
    utils.swap_class(cls, model, model_v1, True)
  for cls in _subclasses(layer_v1):
    utils.swap_class(cls, layer, layer_v1, True)


@contextlib.contextmanager
def keep_eager_layers() -> Iterator[None]:
  """Within, layers may be made in a TF1 graph; afterwards layers made outside of it work as they did before.

  Layers made within belong to their graph: outside only their tensors and variables are of use.
  """
  try:
    yield
  finally:
    use_eager_layers()


@contextlib.contextmanager
def learning_phase(value: int) -> Iterator[None]:
  """Within, layers that are called without `training` (Dropout, BatchNormalization, MLP) train (1) or do not (0).

  It is Keras' own switch; Keras' public name for it warns at every use and has no successor for graphs.
  """
  with _keras_module("backend").deprecated_internal_learning_phase_scope(value):
    yield
