# SPDX-License-Identifier: Apache-2.0
"""Shows the requests of a warm-up file, without the records in them.

python -m monolith.native_training.model_export.warmup_data_decoder \
  --file_name=exported_models/1700000000/assets.extra/tf_serving_warmup_requests
"""

from __future__ import annotations

import re
from typing import Any, Iterator, List

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf
from absl import app, flags, logging
from google.protobuf.message import DecodeError

from monolith.native_training.model_export import _serving_protos, _tool_flags

__all__ = ["decode_requests", "define_flags", "main", "without_records"]

_FLAGS: _tool_flags.Definitions = {"file_name": (flags.DEFINE_string, None, "The TFRecord file of PredictionLogs.")}


def decode_requests(file_name: str) -> Iterator[Any]:
  """The PredictRequests of a warm-up file, in order.

  Raises:
    ImportError: tensorflow-serving-api is not installed.
    ValueError: a record is no PredictionLog of a Predict call.
    tf.errors.OpError: the file cannot be read, or is damaged.
  """
  message = _serving_protos.load("prediction_log_pb2").PredictionLog
  for index, record in enumerate(tf.compat.v1.io.tf_record_iterator(file_name)):
    try:
      log = message.FromString(record)
    except DecodeError as error:
      raise ValueError(f"{file_name}: record {index} is no PredictionLog: {error}") from error
    if log.WhichOneof("log_type") != "predict_log":
      raise ValueError(f"{file_name}: record {index} is a {log.WhichOneof('log_type')}, not a predict_log.")
    yield log.predict_log.request


def without_records(request: Any) -> str:
  """The text of a request, with dots for its strings."""
  return re.sub("string_val:.*", "string_val: ...", str(request))


def define_flags() -> None:
  """Defines the program's flags, but for those that somebody has defined."""
  _tool_flags.define(_FLAGS)


def main(argv: List[str]) -> None:
  """Logs the requests of the file that the flag names.

  Raises:
    app.UsageError: there are other arguments, or the flag is not set.
    ValueError: the file is no warm-up file.
  """
  _tool_flags.refuse_arguments(argv)
  for index, request in enumerate(decode_requests(_tool_flags.required("file_name"))):
    logging.info("%d: %s", index, without_records(request))


if __name__ == "__main__":
  define_flags()
  app.run(main)
