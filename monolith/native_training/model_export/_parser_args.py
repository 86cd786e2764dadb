# SPDX-License-Identifier: Apache-2.0
"""What the receiver of a serving graph parses, as its parse ops have left it in the graph's collections."""

from __future__ import annotations

import dataclasses
from typing import Any, List, Optional, Sequence, Union

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from idl.matrix.proto import example_pb2, proto_parser_pb2
from monolith.native_training import utils
from monolith.native_training.data import feature_list as feature_lists
from monolith.native_training.model_export import _made_up_records
from monolith.native_training.model_export._feature_meta import dense_metas, extra_metas, sparse_metas
from monolith.native_training.model_export._random_draws import Draws, Seed

__all__ = ["ParserArgs", "gen_records", "input_name_of", "signature_names"]

_DEFAULT_SIGNATURE = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
_COLLECTIONS = ("fidv1_features", "fidv2_features", "sparse_features", "dense_features", "dense_feature_shapes",
                "dense_feature_types", "extra_features", "extra_feature_shapes", "feature_list",
                "variant_type")  # fmt: skip
_VARIANT_TYPES = ("instance", "example", "example_batch")

Record = Union[proto_parser_pb2.Instance, example_pb2.Example, example_pb2.ExampleBatch]


@dataclasses.dataclass
class ParserArgs:
  """Which records a model takes, and how many are made up for it.

  What is None comes from the collections of the default graph, where parse ops leave what they are asked for; the last
  one counts.

  Args:
    model_name: name that requests carry; a server ignores it in warm-up requests.
    fidv1_features: slots (or names) of Instances' flat list.
    fidv2_features: names of Instances' features with fids.
    sparse_features: names of Examples' features with fids.
    dense_features: names of dense features.
    dense_feature_shapes: values of each; 1 by default.
    dense_feature_types: types of each; tf.float32 by default.
    extra_features: fields of LineId.
    extra_feature_shapes: values of each; 1 by default.
    feature_list: where features have their slots; else that of the flag `feature_list`.
    batch_size: records a request, < max_records.
    max_records: records in all.
    signature_name: names of signatures that requests take turns with; `serving_default` is always one of them.
    variant_type: "instance", "example" or "example_batch"; by default that of the features.
    warmup_file: where `gen_warmup_file` writes.
    drop_rate: share of fids left out.

  Raises:
    ValueError: variant_type is none of these, or batch_size is not in [1, max_records).
  """

  model_name: str = "entry"
  fidv1_features: Optional[List[Any]] = None
  fidv2_features: Optional[List[str]] = None
  sparse_features: Optional[List[str]] = None
  dense_features: Optional[List[str]] = None
  dense_feature_shapes: Optional[List[int]] = None
  dense_feature_types: Optional[List[tf.DType]] = None
  extra_features: Optional[List[str]] = None
  extra_feature_shapes: Optional[List[int]] = None
  feature_list: Any = None
  batch_size: int = 64
  max_records: int = 1000
  signature_name: Any = None
  variant_type: Optional[str] = None
  warmup_file: Optional[str] = None
  drop_rate: float = 0.5

  def __post_init__(self) -> None:
    for name in _COLLECTIONS:
      if getattr(self, name) is None:
        setattr(self, name, (utils.get_collection(name) or [None])[-1])
    if self.feature_list is None:
      self.feature_list = feature_lists.current()
    if self.signature_name is None:
      self.signature_name = utils.get_collection("signature_name")
    self.signature_name = signature_names(self.signature_name)
    if self.variant_type is None:
      self.variant_type = "example" if self.sparse_features and not self._instance_features else "instance"
    self.variant_type = _variant_type(self.variant_type)
    if not 1 <= self.batch_size < self.max_records:
      raise ValueError(
        f"ParserArgs: batch_size is {self.batch_size} and max_records {self.max_records}; "
        "batch_size must be at least 1 and less than max_records."
      )

  @property
  def _instance_features(self) -> List[Any]:
    return [*(self.fidv1_features or []), *(self.fidv2_features or [])]

  @property
  def input_name(self) -> str:
    """What the input of a signature that takes such records is usually called."""
    return input_name_of(str(self.variant_type))

  @property
  def has_fids(self) -> bool:
    """Whether there is any feature with fids."""
    return bool(self._instance_features if self.variant_type == "instance" else self.sparse_features)

  def drop_dense(self, name: str) -> None:
    """Takes a dense feature out, with its shape and its type."""
    kept = [i for i, feature in enumerate(self.dense_features or []) if feature != name]
    for field in ("dense_features", "dense_feature_shapes", "dense_feature_types"):
      values: Optional[Sequence[Any]] = getattr(self, field)
      if values is not None:
        setattr(self, field, [values[i] for i in kept])


def gen_records(args: ParserArgs, actions: Optional[Sequence[int]] = None, rng: Seed = None) -> List[Record]:
  """`args.batch_size` random records, or one ExampleBatch of as many rows.

  Raises:
    ValueError: a feature has no slot, LineId no such field, or shapes or types are not as many as features.
  """
  draws = Draws.of(rng)
  common = {
    "dense_features": dense_metas(args.dense_features, args.dense_feature_shapes, args.dense_feature_types),
    "extra_features": extra_metas(args.extra_features, args.extra_feature_shapes),
    "feature_list": args.feature_list,
    "drop_rate": args.drop_rate,
    "actions": actions,
    "rng": draws,
  }
  # Looked up once, and not again for every record.
  if args.variant_type == "instance":
    slots = _made_up_records.fidv1_slots(args.fidv1_features, args.feature_list)
    fidv2 = sparse_metas(args.fidv2_features, args.feature_list)
    return [_made_up_records.gen_instance(slots, fidv2, **common) for _ in range(args.batch_size)]
  sparse = sparse_metas(args.sparse_features, args.feature_list)
  if args.variant_type == "example_batch":
    return [_made_up_records.gen_example_batch(sparse, batch_size=args.batch_size, **common)]
  return [_made_up_records.gen_example(sparse, **common) for _ in range(args.batch_size)]


def input_name_of(variant_type: str) -> str:
  """What the input of a signature that takes "instance", "example" or "example_batch" is usually called."""
  return "example_batch" if variant_type == "example_batch" else f"{variant_type}s"


def signature_names(given: Any) -> List[str]:
  """The default signature, then the given ones, a name or names or None, each once."""
  return list(dict.fromkeys([_DEFAULT_SIGNATURE, *([given] if isinstance(given, str) else given or [])]))


def _variant_type(name: str) -> str:
  found = "example_batch" if name == "examplebatch" else name
  if found not in _VARIANT_TYPES:
    raise ValueError(f"variant_type is {name!r}; use one of {', '.join(_VARIANT_TYPES)}.")
  return found
