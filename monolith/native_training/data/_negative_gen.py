# SPDX-License-Identifier: Apache-2.0
"""Negatives made of positives and of items that were seen before."""

from __future__ import annotations

from typing import Any, Iterable, Optional, Sequence, Union

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from monolith.native_training.data._item_pool import create_item_pool
from monolith.native_training.data._record_seeds import seeds
from monolith.native_training.data._record_settings import RecordType, actions_of
from monolith.native_training.data._record_transforms import RecordsOfRecords, add_dataset_method, record_type_of
from monolith.native_training.runtime.ops import gen_monolith_ops

__all__ = ["NegativeGenDataset"]


class NegativeGenDataset(RecordsOfRecords):
  """Every positive comes after negatives: its user's side with the item's side of a sample that was seen before.

  Items wait in a pool, a queue of distinct items for every channel. A positive's item enters it before negatives are
  drawn, so a positive may draw its own. A negative that is made has the positive's features but for `item_features`,
  those of the drawn item, its id as item_id, `negative_label` at `label_index`, and `negative_action` for its actions.
  A made Example keeps columns, LineId and labels alone.

  Args:
    input_dataset: scalar records.
    neg_num: negatives for a positive, at most: none while the channel holds `start_num` items or fewer.
    per_channel: whether items are drawn from the positive's channel; else there is one for all.
    channel_feature: the feature whose first fid is the channel; a record without one has no channel, and its item
      does not enter the pool. Features of Instances are slots of their field `fid` (as text or number; default "3"),
      those of Examples column names.
    item_features: the features that describe the item.
    start_num: items that a channel must exceed before any are drawn.
    max_item_num: items that a channel keeps.
    positive_label: without positive_actions, the label of positives.
    negative_label: label of made negatives.
    negative_action: action of made negatives; -99999 leaves them the positive's.
    positive_actions: a sample is positive whose action is one of these: the one of the highest priority, or its first
      if none is listed.
    label_index: the label that decides and is replaced.
    action_priority: actions, the most important first, as numbers or `a,b,..`.
    index_feature: the feature whose first fid is the item's id; default LineId's item_id.
    throw_origin: whether samples of the input are dropped.
    throw_origin_neg: whether negatives of the input are dropped.
    cache_only_pos: whether only items of positives enter the pool.
    cache_negative_actions: actions whose negatives enter it nevertheless.
    real_neg_instance_weight: weight of negatives of the input; positives have 1.
    sampled_neg_instance_weight: weight of made negatives, if above 1e-5.
    unbias_sampled_neg: whether it else is 1 + neg_num ((i + 1) / size)^neg_sample_declay_factor / n, for an item at
      place i of the queue that was drawn n times; if not, 1.
    origin_neg_in_pool_proba: share of those negatives that enters the pool.
    neg_sample_declay_factor: see above.
    easy_hard_ratio: with per_channel, share of the negatives whose channel is drawn by size.
    variant_type: `instance` or `example`; None: that of the source.
    pool: of `create_item_pool`, in place of one of start_num and max_item_num.
    seed: together with `tf.random.set_seed`.

  Raises:
    ValueError: action_priority cannot be read, the elements are no scalar records, or their type is unknown.
    tf.errors.InvalidArgumentError: settings contradict each other or are out of range, or, while iterating, the records
      are of another type.

  >>> from idl.matrix.proto import example_pb2
  >>> serialized = [example_pb2.Example(label=[1.0]).SerializeToString()] * 2
  >>> dataset = tf.data.Dataset.from_tensor_slices(serialized).map(string_to_variant)
  >>> len(list(NegativeGenDataset(dataset, neg_num=2, start_num=0)))
  6
  """

  def __init__(
    self,
    input_dataset: tf.data.Dataset,
    neg_num: int,
    per_channel: bool = False,
    channel_feature: Union[str, int] = "",
    item_features: Sequence[Union[str, int]] = (),
    start_num: int = 500,
    max_item_num: int = 100000,
    positive_label: float = 1,
    negative_label: float = -1,
    negative_action: int = -99999,
    positive_actions: Iterable[int] = (),
    label_index: int = 0,
    action_priority: Union[str, Iterable[int]] = "",
    index_feature: Union[str, int] = "",
    throw_origin: bool = False,
    throw_origin_neg: bool = False,
    cache_only_pos: bool = True,
    cache_negative_actions: Iterable[int] = (),
    real_neg_instance_weight: float = 1.0,
    sampled_neg_instance_weight: float = -1.0,
    unbias_sampled_neg: bool = True,
    origin_neg_in_pool_proba: float = 1.0,
    neg_sample_declay_factor: float = 1.0,
    easy_hard_ratio: float = 0.0,
    variant_type: Optional[RecordType] = "example",
    *,
    pool: Optional[tf.Tensor] = None,
    seed: Optional[int] = None,
  ):
    name = record_type_of(input_dataset, variant_type)
    self._pool = create_item_pool(start_num, max_item_num) if pool is None else pool
    variant = gen_monolith_ops.instance_negative_gen_dataset(
      input_dataset._variant_tensor,
      self._pool,
      neg_num=neg_num,
      per_channel=per_channel,
      channel_feature=str(channel_feature),
      item_features=[str(feature) for feature in item_features or ()],
      positive_label=positive_label,
      negative_label=negative_label,
      negative_action=negative_action,
      positive_actions=actions_of(positive_actions, "positive_actions"),
      label_index=label_index,
      action_priority=actions_of(action_priority, "action_priority"),
      index_feature=str(index_feature),
      throw_origin=throw_origin,
      throw_origin_neg=throw_origin_neg,
      cache_only_pos=cache_only_pos,
      cache_negative_actions=actions_of(cache_negative_actions, "cache_negative_actions"),
      real_neg_instance_weight=real_neg_instance_weight,
      sampled_neg_instance_weight=sampled_neg_instance_weight,
      unbias_sampled_neg=unbias_sampled_neg,
      origin_neg_in_pool_proba=origin_neg_in_pool_proba,
      neg_sample_declay_factor=neg_sample_declay_factor,
      easy_hard_ratio=easy_hard_ratio,
      variant_type=name,
      output_types=[tf.variant],
      output_shapes=[[]],
      **seeds(seed),
    )
    super().__init__(input_dataset, variant, name)

  @property
  def pool(self) -> tf.Tensor:
    """The pool, to be saved."""
    return self._pool


def _negative_gen(self: tf.data.Dataset, neg_num: int, *args: Any, **kwargs: Any) -> NegativeGenDataset:
  """`NegativeGenDataset` of these records, of the source's type, with items of all samples in the pool."""
  kwargs.setdefault("cache_only_pos", False)
  kwargs.setdefault("variant_type", None)
  return NegativeGenDataset(self, neg_num, *args, **kwargs)


add_dataset_method("negative_gen", _negative_gen)
