# SPDX-License-Identifier: Apache-2.0
"""Queries of an exported model in this process."""

from __future__ import annotations

import contextlib
import os
from typing import Any, Callable, Dict, Iterator, Mapping, Optional

import numpy as np

import monolith.native_training.runtime.ops.gen_monolith_ops  # noqa: F401  (the graph has its ops)

import tensorflow as tf  # isort: skip

__all__ = ["import_saved_model"]

Infer = Callable[[Any], Dict[str, np.ndarray]]


@contextlib.contextmanager
def import_saved_model(
  saved_model_path: str, input_name: str = "instances", output_name: str = "output", signature: Optional[str] = None
) -> Iterator[Infer]:
  """Loads an exported model, tables included, for as long as the context lasts.

      with import_saved_model("model_dir/exported_models") as infer:
        clicks = infer(serialized_examples)["output"]

  Args:
    saved_model_path: a SavedModel, or a directory of exports named by numbers, of which the highest is taken.
    input_name: the input that a bare value feeds, where the signature has several.
    output_name: what a sole output is called in the answers.
    signature: which signature; `serving_default` if None.

  Yields:
    infer(features) -> {output name: array}. `features` is {input name: value}, or the value of one input.

  Raises:
    RuntimeError: the directory has no export.
    KeyError: the model has no such signature.
  """
  path = _newest_export(saved_model_path)
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    loaded = tf.compat.v1.saved_model.load(session, [tf.saved_model.SERVING], path)
    name = signature or tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
    if name not in loaded.signature_def:
      raise KeyError(f"the model in {path} has no signature {name!r}; it has {sorted(loaded.signature_def)}.")
    definition = loaded.signature_def[name]
    inputs = {key: info.name for key, info in definition.inputs.items()}
    outputs = {key: info.name for key, info in definition.outputs.items()}
    if len(outputs) == 1:
      outputs = {output_name: next(iter(outputs.values()))}

    def infer(features: Any) -> Dict[str, np.ndarray]:
      feeds = _feeds(features, inputs, input_name)
      return session.run(outputs, {inputs[key]: value for key, value in feeds.items()})

    yield infer


def _newest_export(path: str) -> str:
  if tf.io.gfile.exists(os.path.join(path, "saved_model.pb")):
    return path
  children = [name.rstrip("/") for name in tf.io.gfile.listdir(path)] if tf.io.gfile.isdir(path) else []
  numbers = [name for name in children if name.isdigit()]
  if not numbers:
    raise RuntimeError(f"{path} is no SavedModel and has no export in a numbered directory; give the path of one.")
  return os.path.join(path, max(numbers, key=int))


def _feeds(features: Any, inputs: Mapping[str, str], input_name: str) -> Mapping[str, Any]:
  """{input: value}.

  Raises:
    ValueError: an input lacks a value, or there is no such input.
  """
  if not isinstance(features, Mapping):
    name = next(iter(inputs)) if len(inputs) == 1 else input_name
    features = {name: features}
  if set(features) != set(inputs):
    raise ValueError(f"the model takes inputs {sorted(inputs)}, but got {sorted(features)}; give a value for each.")
  return features
