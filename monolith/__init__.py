# SPDX-License-Identifier: Apache-2.0
"""Monolith: recommenders on collisionless embedding tables.

Importing this package makes `tf.keras` mean Keras 2 (the `tf_keras` package), which is the Keras that runs inside the
TF1 graphs the trainer builds. It patches nothing in TensorFlow.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
import warnings

from monolith import _aliases
from monolith._version import __version__

__all__ = ["__version__", "enable_tf_estimator_names"]


def _select_keras_2() -> None:
  """Sets `TF_USE_LEGACY_KERAS` before TensorFlow resolves `tf.keras`; says so when it is too late."""
  os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
  if os.environ["TF_USE_LEGACY_KERAS"] not in ("1", "true", "True"):
    warnings.warn(
      f"TF_USE_LEGACY_KERAS is {os.environ['TF_USE_LEGACY_KERAS']!r}: tf.keras is Keras 3, which cannot be built into "
      "the trainer's TF1 graphs; unset the variable or set it to 1 before TensorFlow is imported.",
      stacklevel=3,
    )
    return
  tensorflow = sys.modules.get("tensorflow")
  # A lazily loaded module has no entry in the package's __dict__ until somebody touches it.
  keras = vars(tensorflow).get("keras") if tensorflow is not None else None
  version = vars(keras).get("__version__") if keras is not None else None
  if version is not None and str(version).startswith("3"):
    warnings.warn(
      f"tf.keras is already Keras {version}; import monolith before the first use of tf.keras "
      "(or set TF_USE_LEGACY_KERAS=1), so that models and layers share Keras 2.",
      stacklevel=3,
    )


_select_keras_2()
_aliases.install()


def __getattr__(name: str) -> types.ModuleType:
  """Short names of modules, such as `monolith.layers`, without importing them first."""
  if f"{__name__}.{name}" in _aliases.ALIASES:
    return importlib.import_module(f"{__name__}.{name}")
  raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def enable_tf_estimator_names() -> None:
  """Makes `tf.estimator.<name>` resolve to the library's own Estimator-style names.

  `tf.estimator` is gone since TensorFlow 2.16. Model code that still writes `tf.estimator.ModeKeys.TRAIN` needs this
  one line, called before that code runs. Where the installed TensorFlow has its own `tf.estimator`, nothing changes.
  """
  import tensorflow as tf

  from monolith.native_training import tf_estimator

  if not hasattr(tf, "estimator"):
    tf.estimator = tf_estimator
