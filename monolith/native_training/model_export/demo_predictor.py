# SPDX-License-Identifier: Apache-2.0
"""Asks an export of the small FFM model, loaded into this process, for predictions of random inputs.

python -m monolith.native_training.model_export.demo_predictor --saved_model_path=/tmp/demo_export/1700000000
"""

from __future__ import annotations

import functools
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

import numpy as np
from absl import app, flags, logging

import monolith.native_training.runtime.ops.gen_monolith_ops  # noqa: F401  (the graph has its ops)

import tensorflow as tf  # isort: skip

from idl.matrix.proto import proto_parser_pb2
from monolith.native_training import model
from monolith.native_training.input import generate_ffm_example
from monolith.native_training.model_export import _tool_flags

__all__ = ["define_flags", "generate_demo_instance", "main", "make_fid_v1", "predict", "random_feeds",
           "random_generate_examples", "random_generate_float", "random_generate_instances",
           "random_generate_int"]  # fmt: skip

_FIDS_A_SLOT = 5
_MAX_VOCAB = max(model._VOCAB_SIZES) * model._NUM_SLOTS

Rng = Union[None, int, np.random.Generator]
"""A NumPy generator, a seed of one, or None for another one each time."""

_FLAGS: _tool_flags.Definitions = {
  "saved_model_path": (flags.DEFINE_string, None, "The SavedModel."),
  "tag_set": (flags.DEFINE_string, tf.saved_model.SERVING, "Tags of its graph, with commas between them."),
  "signature": (flags.DEFINE_string, tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY, "The signature to run."),
  "batch_size": (flags.DEFINE_integer, 128, "Rows of each input."),
}
_flag = functools.partial(_tool_flags.value_or_default, _FLAGS)


def make_fid_v1(slot_id: int, fid: int) -> int:
  """The fid of version 1 of a slot and the bits below it.

  Raises:
    ValueError: the slot is not in [0, 1024), or fid has more than 54 bits.

  >>> hex(make_fid_v1(3, 5))
  '0xc0000000000005'
  """
  if not 0 <= slot_id < 1 << 10 or not 0 <= fid < 1 << 54:
    raise ValueError(f"make_fid_v1: slot {slot_id} and fid {fid}; a slot has 10 bits and a fid 54 below it.")
  return slot_id << 54 | fid


def generate_demo_instance(rng: Rng = None) -> bytes:
  """A serialized Instance with five random fids of each of the model's slots, version 1."""
  generator = np.random.default_rng(rng)
  instance = proto_parser_pb2.Instance()
  for slot in range(model._NUM_SLOTS):
    instance.fid.extend(make_fid_v1(slot, fid) for fid in generator.integers(_MAX_VOCAB, size=_FIDS_A_SLOT).tolist())
  return instance.SerializeToString()


def random_generate_instances(bs: int, rng: Rng = None) -> List[bytes]:
  """`bs` serialized Instances."""
  generator = np.random.default_rng(rng)
  return [generate_demo_instance(generator) for _ in range(bs)]


def random_generate_examples(bs: int) -> List[bytes]:
  """`bs` serialized `tf.train.Example`s; `np.random.seed` repeats them."""
  return [generate_ffm_example(model._VOCAB_SIZES) for _ in range(bs)]


def random_generate_int(shape: Sequence[int], rng: Rng = None) -> np.ndarray:
  """int64 in [0, 30), which is the largest vocabulary times the number of slots."""
  return np.random.default_rng(rng).integers(_MAX_VOCAB, size=tuple(shape), dtype=np.int64)


def random_generate_float(shape: Sequence[int], rng: Rng = None) -> np.ndarray:
  """float32 in [0, 1)."""
  return np.random.default_rng(rng).random(tuple(shape), dtype=np.float32)


def random_feeds(
  inputs: Mapping[str, Any], batch_size: int, use_example: bool = False, rng: Rng = None
) -> Dict[str, Any]:
  """A value for every input of a signature.

  Args:
    inputs: {name: TensorInfo}. A dim that is not known becomes `batch_size`.
    batch_size: rows.
    use_example: strings are `tf.train.Example`s, as `TestFFMModel`'s own receiver takes them, instead of Instances.
    rng: a NumPy generator or a seed.

  Returns:
    {name: list of bytes, or array}.

  Raises:
    ValueError: strings are no vector, or an input is neither string, int64 nor float32.
  """
  generator = np.random.default_rng(rng)
  feeds: Dict[str, Any] = {}
  for name, info in inputs.items():
    shape = [batch_size if dim.size < 0 else dim.size for dim in info.tensor_shape.dim]
    dtype = tf.as_dtype(info.dtype)
    if dtype == tf.string:
      if len(shape) != 1:
        raise ValueError(f"input {name!r} is strings of shape {shape}; records are made up for a vector of strings.")
      feeds[name] = (
        random_generate_examples(shape[0]) if use_example else random_generate_instances(shape[0], generator)
      )
    elif dtype == tf.int64:
      feeds[name] = random_generate_int(shape, generator)
    elif dtype == tf.float32:
      feeds[name] = random_generate_float(shape, generator)
    else:
      raise ValueError(f"input {name!r} has type {dtype.name}; values are made up for string, int64 and float32.")
  return feeds


def predict(
  saved_model_path: Optional[str] = None,
  tag_set: Optional[str] = None,
  signature: Optional[str] = None,
  batch_size: Optional[int] = None,
  rng: Rng = None,
) -> Dict[str, np.ndarray]:
  """Runs a signature of a SavedModel with random inputs, and logs and returns its outputs.

  Args:
    saved_model_path: the SavedModel. What is None is the flag of that name, here and below.
    tag_set: tags of its graph, with commas between them.
    signature: the signature's name.
    batch_size: rows.
    rng: a NumPy generator or a seed.

  Returns:
    {output name: array}.

  Raises:
    KeyError: the model has no such signature.
    ValueError: see `random_feeds`.
  """
  path = saved_model_path or _tool_flags.required("saved_model_path")
  name = signature or _flag("signature")
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    loaded = tf.compat.v1.saved_model.load(session, (tag_set or _flag("tag_set")).split(","), path)
    if name not in loaded.signature_def:
      raise KeyError(f"the model in {path} has no signature {name!r}; it has {sorted(loaded.signature_def)}.")
    definition = loaded.signature_def[name]
    feeds = random_feeds(definition.inputs, batch_size or _flag("batch_size"), rng=rng)
    outputs = session.run(
      {key: info.name for key, info in definition.outputs.items()},
      {definition.inputs[key].name: value for key, value in feeds.items()},
    )
  logging.info("%s: %s", name, outputs)
  return outputs


def define_flags() -> None:
  """Defines the program's flags, but for those that somebody has defined."""
  _tool_flags.define(_FLAGS)


def main(argv: List[str]) -> None:
  """Predicts by the flags.

  Raises:
    app.UsageError: there are other arguments, or --saved_model_path is not set.
  """
  _tool_flags.refuse_arguments(argv)
  predict()


if __name__ == "__main__":
  define_flags()
  logging.set_verbosity(logging.INFO)
  app.run(main)
