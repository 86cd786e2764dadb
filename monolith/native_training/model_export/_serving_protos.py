# SPDX-License-Identifier: Apache-2.0
"""TensorFlow Serving's messages, which come with an optional package.

Requests to a server are Serving's own messages. They are imported at first use, so that a program that neither asks a
server nor writes warm-up requests does without the package.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["load"]


def load(name: str) -> Any:
  """A module of `tensorflow_serving.apis`, such as `predict_pb2`.

  Raises:
    ImportError: tensorflow-serving-api is not installed.
  """
  try:
    return importlib.import_module(f"tensorflow_serving.apis.{name}")
  except ModuleNotFoundError as error:
    if error.name is None or not error.name.startswith("tensorflow_serving"):
      raise
    raise ImportError(
      f"tensorflow_serving.apis.{name}, a message of TensorFlow Serving, is not installed: "
      "pip install 'monolith-recommender[serving]', or pip install tensorflow-serving-api."
    ) from error
