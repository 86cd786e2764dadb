// SPDX-License-Identifier: Apache-2.0
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace monolith {
namespace {

using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;

absl::Status AllScalars(InferenceContext* c) {
  ShapeHandle unused;
  for (int i = 0; i < c->num_inputs(); ++i) TF_RETURN_IF_ERROR(c->WithRank(c->input(i), 0, &unused));
  return ::tensorflow::shape_inference::ScalarShape(c);
}

REGISTER_OP("ItemPoolCreate")
    .Output("pool: resource")
    .Attr("start_num: int")
    .Attr("max_item_num_per_channel: int")
    .Attr("container: string = ''")
    .Attr("shared_name: string = ''")
    .SetIsStateful()
    .SetShapeFn(::tensorflow::shape_inference::ScalarShape)
    .Doc(R"doc(
Creates a pool of items, or returns the one that the shared name already has.

pool: the pool.
start_num: items that a channel must exceed before any are drawn.
max_item_num_per_channel: items that a channel keeps, the last ones.
)doc");

REGISTER_OP("ItemPoolSave")
    .Input("pool: resource")
    .Input("global_step: int64")
    .Output("saved: resource")
    .Attr("model_path: string")
    .Attr("nshards: int = 1")
    .Attr("worker: int = 0")
    .Attr("workers: int = 1")
    .Attr("random_sleep_ms: int = 0")
    .SetIsStateful()
    .SetShapeFn(AllScalars)
    .Doc(R"doc(
Writes a pool into files.

pool: the pool.
global_step: the step in the files' names.
saved: the pool.
model_path: their directory.
nshards: number of files.
worker: number of this process, from 0.
workers: number of processes that save pools.
random_sleep_ms: not used.
)doc");

REGISTER_OP("ItemPoolRestore")
    .Input("pool: resource")
    .Input("global_step: int64")
    .Output("restored: resource")
    .Attr("model_path: string")
    .Attr("worker: int = 0")
    .Attr("workers: int = 1")
    .Attr("buffer_size: int = 10485760")
    .Attr("random_sleep_ms: int = 0")
    .SetIsStateful()
    .SetShapeFn(AllScalars)
    .Doc(R"doc(
Reads a pool from the files of a step, or of the highest step before it. Without files the pool stays as it is.

pool: the pool, whose content is replaced.
global_step: the step.
restored: the pool.
model_path: the directory.
worker: number of this process; it takes the files of this number modulo the number of processes that saved.
workers: number of processes.
buffer_size: bytes that are read at a time.
random_sleep_ms: not used.
)doc");

REGISTER_OP("ItemPoolRandomFill")
    .Input("pool: resource")
    .Output("filled: resource")
    .SetIsStateful()
    .SetShapeFn(AllScalars)
    .Doc(R"doc(
Fills a pool with items by chance, for tests.

pool: the pool.
filled: the pool.
)doc");

REGISTER_OP("ItemPoolCheck")
    .Input("pool: resource")
    .Input("global_step: int64")
    .Output("checked: resource")
    .Attr("model_path: string")
    .Attr("nshards: int = 1")
    .Attr("worker: int = 0")
    .Attr("workers: int = 1")
    .Attr("buffer_size: int = 10485760")
    .SetIsStateful()
    .SetShapeFn(AllScalars)
    .Doc(R"doc(
Fails unless the files of a step hold the same pool, for tests.

pool: the pool.
global_step: the step.
checked: the pool.
model_path: the directory.
nshards: number of files.
worker: number of this process.
workers: number of processes.
buffer_size: bytes that are read at a time.
)doc");

REGISTER_OP("InstanceNegativeGenDataset")
    .Input("input_dataset: variant")
    .Input("pool: resource")
    .Output("handle: variant")
    .Attr("neg_num: int")
    .Attr("per_channel: bool = false")
    .Attr("channel_feature: string = ''")
    .Attr("item_features: list(string) >= 0 = []")
    .Attr("positive_label: float = 1")
    .Attr("negative_label: float = -1")
    .Attr("negative_action: int = -99999")
    .Attr("positive_actions: list(int) >= 0 = []")
    .Attr("label_index: int = 0")
    .Attr("action_priority: list(int) >= 0 = []")
    .Attr("index_feature: string = ''")
    .Attr("throw_origin: bool = false")
    .Attr("throw_origin_neg: bool = false")
    .Attr("cache_only_pos: bool = true")
    .Attr("cache_negative_actions: list(int) >= 0 = []")
    .Attr("real_neg_instance_weight: float = 1")
    .Attr("sampled_neg_instance_weight: float = -1")
    .Attr("unbias_sampled_neg: bool = true")
    .Attr("origin_neg_in_pool_proba: float = 1")
    .Attr("neg_sample_declay_factor: float = 1")
    .Attr("easy_hard_ratio: float = 0")
    .Attr("variant_type: string = 'example'")
    .Attr("seed: int = 0")
    .Attr("seed2: int = 0")
    .Attr("output_types: list(type) >= 1")
    .Attr("output_shapes: list(shape) >= 1")
    .SetIsStateful()
    .SetShapeFn(AllScalars)
    .Doc(R"doc(
A dataset of records in which every positive comes after negatives that were made of it and of items of the pool.

input_dataset: scalar variants with a record.
pool: where items are kept.
handle: the dataset.
neg_num: negatives for a positive, at most.
per_channel: whether items are drawn from the positive's channel.
channel_feature: the feature whose first fid is the channel; of Instances a slot, 3 if empty.
item_features: slots of an Instance or columns of an Example that describe the item.
positive_label: label of positives.
negative_label: label of negatives that are made.
negative_action: action of negatives that are made; -99999 leaves the positive's.
positive_actions: actions of positives; empty: the label decides.
label_index: the label that decides and is replaced.
action_priority: actions, the most important first.
index_feature: the feature whose first fid is the item's id; empty: LineId's item_id.
throw_origin: whether records of the input are dropped.
throw_origin_neg: whether negatives of the input are.
cache_only_pos: whether items of positives alone enter the pool.
cache_negative_actions: actions whose negatives enter it nevertheless.
real_neg_instance_weight: weight of negatives of the input.
sampled_neg_instance_weight: weight of negatives that are made, if above 1e-5.
unbias_sampled_neg: whether their weight else makes up for how often items are drawn.
origin_neg_in_pool_proba: the share of negatives that enters the pool.
neg_sample_declay_factor: exponent of the item's place in the pool.
easy_hard_ratio: the share of negatives from channels drawn by size.
variant_type: instance or example.
seed: of the random numbers of every iterator; if both seeds are 0, a new one.
seed2: the second part of the seed.
output_types: variant.
output_shapes: a scalar.
)doc");

}  // namespace
}  // namespace monolith
