# SPDX-License-Identifier: Apache-2.0
"""Warm-up requests: what a server of TensorFlow Serving's kind replays before a new version takes traffic."""

from __future__ import annotations

import os
from typing import Any, Iterable, Iterator, List, Optional, Sequence, Tuple

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf
from absl import logging

from monolith.native_training import _atomic_files
from monolith.native_training.model_export import _serving_protos, export_context
from monolith.native_training.model_export._parser_args import ParserArgs, gen_records
from monolith.native_training.model_export._random_draws import Draws, Seed

__all__ = ["MOST_LOGS", "gen_prediction_log", "gen_warmup_file", "predict_log", "write_logs"]

MOST_LOGS = 1000
"""A server refuses a version whose warm-up file has more."""

_DEFAULT_SIGNATURE = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY


def gen_prediction_log(args: ParserArgs, rng: Seed = None) -> Iterator[Any]:
  """Requests with random records for the signatures of a model.

  There are `max_records // batch_size` of them, signatures in turn. While exporting, the name of a signature's input is
  what the export context says, and a request of `serving_default` with several outputs, or one of another name than
  `output`, is repeated for each of them as its `output_filter`. Otherwise the input is `instances`, `examples` or
  `example_batch`, by the type of records.

  Args:
    args: what to make up.
    rng: a NumPy generator or a seed.

  Yields:
    PredictionLogs. The input is a string tensor: `[batch_size]` serialized records, or `[1]` with one ExampleBatch.

  Raises:
    ImportError: tensorflow-serving-api is not installed.
    ValueError: there are more signatures than requests, or a signature takes something else than one string tensor.
  """
  num_logs = args.max_records // args.batch_size
  names = args.signature_name
  if num_logs < len(names):
    raise ValueError(
      f"gen_prediction_log: {num_logs} requests (max_records {args.max_records} // batch_size {args.batch_size}) are "
      f"not enough for the {len(names)} signatures {names}; raise max_records or lower batch_size."
    )
  signatures = [(name, *_input_and_outputs(name, args.input_name)) for name in names]
  draws = Draws.of(rng)
  for i in range(num_logs):
    name, input_name, outputs = signatures[i % len(signatures)]
    rows = [record.SerializeToString() for record in gen_records(args, rng=draws)]
    for output in [None, *outputs]:
      yield predict_log(args.model_name, name, input_name, rows, [output] if output else [])


def gen_warmup_file(warmup_file: str, drop_rate: float = 0.5, rng: Seed = None) -> Optional[str]:
  """Writes random warm-up requests for the model whose serving graph is the default graph.

  What the model reads is taken from the graph's collections, see `ParserArgs`; the dense feature `label` is left out,
  since requests have none.

  Args:
    warmup_file: the TFRecord file, which is complete or absent; its directory is made if needed.
    drop_rate: share of fids left out.
    rng: a NumPy generator or a seed.

  Returns:
    `warmup_file`; None, with nothing written, where the graph parses no features with fids.

  Raises:
    ImportError: tensorflow-serving-api is not installed.
    ValueError: see `gen_prediction_log`, or the requests are more than a server takes.
  """
  args = ParserArgs(warmup_file=os.fspath(warmup_file), drop_rate=drop_rate)
  if not args.has_fids:
    logging.info("%s is not written: the graph parses no records with features.", args.warmup_file)
    return None
  args.drop_dense("label")
  write_logs(str(args.warmup_file), gen_prediction_log(args, rng))
  return args.warmup_file


def predict_log(
  model_name: str, signature_name: str, input_name: str, rows: Sequence[bytes], output_filter: Sequence[str] = ()
) -> Any:
  """A PredictionLog of one request, whose one input is a string tensor `[len(rows)]`."""
  log = _serving_protos.load("prediction_log_pb2").PredictionLog()
  request = log.predict_log.request
  request.model_spec.name = model_name
  request.model_spec.signature_name = signature_name
  request.inputs[input_name].CopyFrom(tf.make_tensor_proto(list(rows), tf.string, [len(rows)]))
  request.output_filter.extend(output_filter)
  return log


def write_logs(path: str, logs: Iterable[Any]) -> int:
  """Writes messages as a TFRecord file, which is complete or absent; returns how many there are.

  Raises:
    ValueError: there are none, or more than a server takes.
  """
  directory = os.path.dirname(path)
  if directory:
    tf.io.gfile.makedirs(directory)
  count = 0
  with _atomic_files.replacing(path) as unfinished, tf.io.TFRecordWriter(unfinished) as writer:
    for log in logs:
      count += 1
      if count > MOST_LOGS:
        raise ValueError(
          f"{path}: more than {MOST_LOGS} warm-up requests, which no server takes; "
          "lower max_records, raise batch_size, or leave outputs out."
        )
      writer.write(log.SerializeToString())
    if not count:
      raise ValueError(f"{path}: there is no warm-up request to write; check the input.")
  return count


def _input_and_outputs(name: str, input_name: str) -> Tuple[str, List[str]]:
  """The input of a signature, and the outputs that are asked for one by one."""
  signature = _exported_signature(name)
  if signature is None:
    return input_name, []
  if len(signature.inputs) != 1 or next(iter(signature.inputs.values())).dtype != tf.string:
    found = ", ".join(f"{key} ({tensor.dtype.name})" for key, tensor in signature.inputs.items())
    raise ValueError(
      f"signature {name!r} takes {found or 'nothing'}; requests can be made up for one input of serialized records."
    )
  outputs = list(signature.outputs)
  asks_one_by_one = name == _DEFAULT_SIGNATURE and outputs != ["output"]
  return next(iter(signature.inputs)), outputs if asks_one_by_one else []


def _exported_signature(name: str) -> Optional[export_context.SavedModelSignature]:
  context = export_context.get_current_export_ctx()
  if context is None:
    return None
  signatures = context.signatures(tf.compat.v1.get_default_graph())
  return next((signature for signature in signatures if signature.name == name), None)
