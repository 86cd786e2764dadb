# SPDX-License-Identifier: Apache-2.0
"""Loads the compiled op library; the only place in the package that does."""

from __future__ import annotations

import json
import pathlib
import types

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

_DIR = pathlib.Path(__file__).resolve().parent
LIBRARY_PATH = _DIR / "libmonolith_ops.so"
BUILD_INFO_PATH = _DIR / "_build_info.json"

_REBUILD = "reinstall the package beside the TensorFlow you use (pip install --force-reinstall --no-deps .)"


def built_for(build_info: pathlib.Path = BUILD_INFO_PATH) -> str:
  """Returns the version of TensorFlow that the library was compiled against.

  Raises:
    ImportError: the library was never built.
  """
  try:
    return json.loads(build_info.read_text())["tensorflow_version"]
  except FileNotFoundError:
    raise ImportError(f"The op library was not built: {build_info.name} is missing; {_REBUILD}.") from None


def check_version(built: str, running: str) -> None:
  """Refuses a library of another TensorFlow: its C++ interface changes with every minor version.

  Raises:
    ImportError: names both versions and the remedy.
  """
  if built.split(".")[:2] != running.split(".")[:2]:
    raise ImportError(
      f"The op library was built for TensorFlow {built}, but TensorFlow {running} is running; {_REBUILD}, "
      f"or install tensorflow=={'.'.join(built.split('.')[:2])}.*"
    )


def load() -> types.ModuleType:
  """Loads the op library and returns the module of its generated Python functions.

  Raises:
    ImportError: the library is missing, or belongs to another TensorFlow.
  """
  check_version(built_for(), tf.__version__)
  try:
    return tf.load_op_library(str(LIBRARY_PATH))
  except tf.errors.NotFoundError as error:
    raise ImportError(
      f"The op library does not load in TensorFlow {tf.__version__} ({error.message}); {_REBUILD}."
    ) from error
