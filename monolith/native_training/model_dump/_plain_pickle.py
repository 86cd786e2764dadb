# SPDX-License-Identifier: Apache-2.0
"""Pickles of plain data.

A pickle names the functions and classes that loading it calls, so loading one that somebody else made runs what they
chose. Here loading finds nothing but numbers, text, containers, NumPy arrays, `Params` and the classes listed below,
whose objects are plain data too: optimizers, and what an embedding slice is made of. Anything else is refused by name.
"""

from __future__ import annotations

import functools
import inspect
import io
import pickle
from typing import Any, Dict, Tuple

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import numpy as np
import tensorflow as tf

from monolith.core import hyperparams
from monolith.native_training import entry, learning_rate_functions
from monolith.native_training.model_export.export_context import ExportMode
from monolith.native_training.optimizers import adamom, rmsprop, shampoo

__all__ = ["dump_plain", "is_plain", "load_plain"]

# Protocol 4 has opcodes for all built-in containers.
_PROTOCOL = 4


@functools.cache
def _known_classes() -> Dict[Tuple[str, str], Any]:
  """{(module, name): class or function} of what pickles may hold besides built-in data."""
  v1 = tf.compat.v1.train
  classes = [
    v1.AdadeltaOptimizer,
    v1.AdagradDAOptimizer,
    v1.AdagradOptimizer,
    v1.AdamOptimizer,
    v1.FtrlOptimizer,
    v1.GradientDescentOptimizer,
    v1.MomentumOptimizer,
    v1.ProximalAdagradOptimizer,
    v1.ProximalGradientDescentOptimizer,
    v1.RMSPropOptimizer,
    adamom.AdamomOptimizer,
    rmsprop.RmspropOptimizer,
    shampoo.ShampooOptimizer,
    learning_rate_functions.PolynomialDecay,
    hyperparams.Params,
    hyperparams._Param,
    ExportMode,
    *(c for _, c in inspect.getmembers(entry, inspect.isclass) if c.__module__ == entry.__name__),
    np.ndarray,
    np.dtype,
  ]
  found: Dict[Tuple[str, str], Any] = {(c.__module__, c.__qualname__): c for c in classes}
  # The functions by which NumPy itself pickles arrays and scalars; where they live differs by version.
  functions: Tuple[Any, ...] = (np.zeros(1).__reduce__()[0], np.float32(0).__reduce__()[0])
  for function in functions:
    found[(function.__module__, function.__name__)] = function
  return found


class _RefusedError(ValueError):
  """A pickle holds what dumps cannot; the message names it."""


class _PlainUnpickler(pickle.Unpickler):
  def __init__(self, data: bytes, what: str):
    super().__init__(io.BytesIO(data))
    self._what = what

  def find_class(self, module: str, name: str) -> Any:
    known = _known_classes().get((module, name))
    if known is None:
      raise _RefusedError(
        f"{self._what} holds {module}.{name}, which dumps cannot hold; they hold plain data, Params, optimizers of "
        "tf.compat.v1.train and of this library, and what embedding slices are made of."
      )
    return known

  def persistent_load(self, pid: Any) -> Any:
    raise _RefusedError(f"{self._what} refers to something outside of it, {pid!r}; dumps cannot hold that.")


def dump_plain(value: Any, what: str) -> bytes:
  """A pickle of plain data.

  Args:
    value: the data.
    what: its name in messages.

  Raises:
    ValueError: it holds something that `load_plain` refuses, or that cannot be pickled.
  """
  try:
    data = pickle.dumps(value, protocol=_PROTOCOL)
  except Exception as error:  # noqa: BLE001 (whatever the objects raise)
    raise ValueError(f"{what} cannot be dumped, since it holds more than plain data: {error}") from error
  load_plain(data, what)
  return data


def load_plain(data: bytes, what: str) -> Any:
  """Reads a pickle of plain data.

  Args:
    data: the pickle.
    what: its name in messages.

  Raises:
    ValueError: it holds something else, which is named, or it is no pickle.
  """
  try:
    return _PlainUnpickler(data, what).load()
  except _RefusedError:
    raise
  except Exception as error:  # noqa: BLE001 (damaged pickles raise about anything)
    raise ValueError(f"{what} is no pickle of plain data: {error}") from error


def is_plain(value: Any) -> bool:
  """Whether `dump_plain` takes a value."""
  try:
    dump_plain(value, "value")
  except ValueError:
    return False
  return True
