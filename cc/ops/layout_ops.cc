// SPDX-License-Identifier: Apache-2.0
// Sharding the fids of serialized records, and the tensors of a layout from the embeddings that shards sent back.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/data/data_error.h"
#include "cc/distribution/layout_config.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace monolith {
namespace {

using ::tensorflow::shape_inference::DimensionHandle;
using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;

absl::Status ShardingShapes(InferenceContext* c) {
  ShapeHandle unused;
  TF_RETURN_IF_ERROR(c->WithRankAtMost(c->input(0), 1, &unused));
  int num_lists;
  TF_RETURN_IF_ERROR(c->GetAttr("N", &num_lists));
  int output = 0;
  for (int i = 0; i < 2 * num_lists; ++i) c->set_output(output++, c->Vector(InferenceContext::kUnknownDim));
  for (int i = 0; i < num_lists; ++i) c->set_output(output++, c->Vector(1));
  for (int i = 0; i < 3; ++i) c->set_output(output++, c->Vector(InferenceContext::kUnknownDim));
  for (int i = 0; i < 4; ++i) c->set_output(output++, c->Vector(1));
  c->set_output(output, c->Vector(num_lists));
  return absl::OkStatus();
}

absl::Status ReadConfig(InferenceContext* c, distribution::LayoutConfig* config) {
  std::string feature_cfgs;
  TF_RETURN_IF_ERROR(c->GetAttr("feature_cfgs", &feature_cfgs));
  try {
    *config = distribution::ParseLayoutConfig(feature_cfgs);
    return absl::OkStatus();
  } catch (const DataError& error) {
    return absl::InvalidArgumentError(error.what());
  }
}

absl::Status CheckVectors(InferenceContext* c, const std::vector<const char*>& names) {
  ShapeHandle unused;
  for (const char* name : names) {
    std::vector<ShapeHandle> shapes;
    TF_RETURN_IF_ERROR(c->input(name, &shapes));
    TF_RETURN_IF_ERROR(c->WithRank(shapes[0], 1, &unused));
  }
  return absl::OkStatus();
}

absl::Status LayoutShapes(InferenceContext* c) {
  TF_RETURN_IF_ERROR(CheckVectors(c, {"fid_offset", "feature_offset", "nfl_offset"}));
  distribution::LayoutConfig config;
  TF_RETURN_IF_ERROR(ReadConfig(c, &config));
  if (static_cast<size_t>(c->num_outputs()) != config.tensors.size()) {
    return absl::InvalidArgumentError(absl::StrCat("num_out is ", c->num_outputs(), ", but the layouts have ",
                                                   config.tensors.size(),
                                                   " tensors; a layout of NONE has one a slice."));
  }
  for (int t = 0; t < c->num_outputs(); ++t) {
    std::vector<DimensionHandle> dims;
    for (const int64_t size : config.tensors[t].shape(InferenceContext::kUnknownDim)) dims.push_back(c->MakeDim(size));
    c->set_output(t, c->MakeShape(dims));
  }
  return absl::OkStatus();
}

absl::Status LayoutGradShapes(InferenceContext* c) {
  TF_RETURN_IF_ERROR(CheckVectors(c, {"fid_offset", "feature_offset", "nfl_offset"}));
  std::vector<ShapeHandle> embeddings;
  TF_RETURN_IF_ERROR(c->input("embeddings_list", &embeddings));
  for (size_t i = 0; i < embeddings.size(); ++i) c->set_output(static_cast<int>(i), embeddings[i]);
  return absl::OkStatus();
}

constexpr char kInputDoc[] =
    R"doc(embeddings_list: the embeddings of each table and shard, table by table, in the order of their fids.
fid_offset: of every fid where its embedding is: the number of the list << 32 | its first float there.
feature_offset: of every row of a feature its first place in fid_offset, and the number of fids.
nfl_offset: of every feature its first place in feature_offset, and one more; bit 31: one place for all rows.
batch_size: rows.
)doc";

constexpr char kAttrDoc[] = R"doc(M: lists.
variant_type: what records the fids came from: example, example_batch or instance; the numbers are the same.
feature_cfgs: serialized FeatureConfigs: features, and layouts as out_configs.
ps_num: shards.
parallel_flag: kept for compatibility; work is divided among threads in any case.
)doc";

}  // namespace

REGISTER_OP("ShardingSparseFidsV5")
    .Input("pb_input: T")
    .Output("fid_list: N * int64")
    .Output("fid_list_row_splits: N * int64")
    .Output("fid_list_row_splits_size: N * int32")
    .Output("fid_offset: uint64")
    .Output("feature_offset: int32")
    .Output("nfl_offset: uint32")
    .Output("batch_size: int32")
    .Output("nfl_size: int32")
    .Output("feature_size: int32")
    .Output("fid_size: int32")
    .Output("emb_size: int32")
    .Attr("T: {variant, string} = DT_VARIANT")
    .Attr("ps_num: int >= 1")
    .Attr("feature_cfgs: string")
    .Attr("N: int >= 1")
    .Attr("unique: bool")
    .Attr("input_type: string")
    .Attr("parallel_flag: int = 0")
    .Attr("single_thread_feature_watermark: int = 320000")
    .Attr("v1_features: list(string) = []")
    .Attr("v1_slots: list(int) = []")
    .Attr("keep_v1: bool = false")
    .SetShapeFn(ShardingShapes)
    .Doc(R"doc(
Deals the fids of records out to tables and shards: fid belongs to shard unsigned(fid) mod ps_num. Tables and features
are in the order of their names; fids of version 1 become version 2, unless keep_v1 says otherwise.

pb_input: records: a vector of Instances or Examples, or one ExampleBatch.
fid_list: fids of each table and shard, table by table; of each the fids of the table's features, one after the other.
fid_list_row_splits: of each list where its features begin.
fid_list_row_splits_size: of each list the length of these splits.
fid_offset: of every fid where its embedding will be: the number of the list << 32 | its first float there.
feature_offset: of every row of a feature its first place in fid_offset, and the number of fids.
nfl_offset: of every feature its first place in feature_offset, and the length of that; bit 31: one place for all rows,
  as a column of an ExampleBatch has that is shared or missing.
batch_size: rows.
nfl_size: length of nfl_offset.
feature_size: length of feature_offset.
fid_size: length of fid_offset.
emb_size: of each list the floats of its embeddings.
ps_num: shards.
feature_cfgs: serialized FeatureConfigs.
N: lists: tables times shards.
unique: whether a fid comes once in a feature's part of a list.
input_type: example, examplebatch (example_batch) or instance.
parallel_flag: kept for compatibility; parsing is divided among threads in any case.
single_thread_feature_watermark: kept for compatibility.
v1_features: features of Instances that come from slots of the flat list of fids, besides slot_<n> and fc_slot_<n>.
v1_slots: of each of them the slot; -1 is a named column, whatever its name.
keep_v1: leave fids of that list as they are, as ParseInstances does without named columns. No feature may have one then.
)doc");

REGISTER_OP("MonolithEmbeddingToLayoutV3")
    .Input("embeddings_list: M * float")
    .Input("fid_offset: uint64")
    .Input("feature_offset: int32")
    .Input("nfl_offset: uint32")
    .Input("batch_size: int32")
    .Output("layout_tensors: num_out * float")
    .Attr("M: int >= 1")
    .Attr("num_out: int >= 1")
    .Attr("variant_type: string")
    .Attr("feature_cfgs: string")
    .Attr("ps_num: int")
    .Attr("parallel_flag: int = 0")
    .SetShapeFn(LayoutShapes)
    .Doc(absl::StrCat(
        R"doc(
The tensors of layouts from the embeddings of sharded fids: slices of features, pooled by row or its first positions,
joined side by side (CONCAT), stacked (STACK), added (ADDN) or each by itself (NONE). Rows without fids are zeros.

)doc",
        kInputDoc,
        R"doc(layout_tensors: by the names of the layouts: [batch, width], or [batch, positions, width] of sequences; STACK has an axis
  of slices after the batch.
num_out: tensors.
)doc",
        kAttrDoc));

REGISTER_OP("MonolithEmbeddingToLayoutV5")
    .Input("embeddings_list: M * float")
    .Input("fid_offset: uint64")
    .Input("feature_offset: int32")
    .Input("nfl_offset: uint32")
    .Input("batch_size: int32")
    .Input("nfl_size: int32")
    .Input("feature_size: int32")
    .Input("fid_size: int32")
    .Input("emb_size: int32")
    .Output("layout_tensors: num_out * float")
    .Attr("M: int >= 1")
    .Attr("num_out: int >= 1")
    .Attr("variant_type: string")
    .Attr("feature_cfgs: string")
    .Attr("ps_num: int")
    .Attr("parallel_flag: int = 0")
    .SetShapeFn(LayoutShapes)
    .Doc(absl::StrCat(R"doc(
MonolithEmbeddingToLayoutV3 with the sizes that ShardingSparseFidsV5 gives. It takes one request; several, merged into
one, are refused.

)doc",
                      kInputDoc, R"doc(nfl_size: length of nfl_offset.
feature_size: length of feature_offset.
fid_size: length of fid_offset.
emb_size: of each list the floats of its embeddings.
layout_tensors: as MonolithEmbeddingToLayoutV3.
num_out: tensors.
)doc",
                      kAttrDoc));

REGISTER_OP("MonolithEmbeddingToLayoutGradV3")
    .Input("embeddings_list: M * float")
    .Input("fid_offset: uint64")
    .Input("feature_offset: int32")
    .Input("nfl_offset: uint32")
    .Input("batch_size: int32")
    .Input("tensors_grad: num_input * float")
    .Output("embeddings_grad_list: M * float")
    .Attr("M: int >= 1")
    .Attr("num_input: int >= 1")
    .Attr("variant_type: string")
    .Attr("feature_cfgs: string")
    .Attr("ps_num: int")
    .Attr("parallel_flag: int = 0")
    .SetShapeFn(LayoutGradShapes)
    .Doc(absl::StrCat(R"doc(
The way back of MonolithEmbeddingToLayoutV3 and V5: the gradient of every embedding, summed over all places of its fid.

)doc",
                      kInputDoc, R"doc(tensors_grad: of every tensor a gradient of its shape.
embeddings_grad_list: of every list a gradient of its shape.
num_input: tensors.
)doc",
                      kAttrDoc));

REGISTER_OP("MonolithLayoutGradientNorm")
    .Input("fid_offset: uint64")
    .Input("feature_offset: int32")
    .Input("nfl_offset: uint32")
    .Input("batch_size: int32")
    .Input("tensors_grad: num_out * float")
    .Output("norm: float")
    .Attr("num_out: int >= 1")
    .Attr("feature_cfgs: string")
    .SetShapeFn([](InferenceContext* c) -> absl::Status {
      TF_RETURN_IF_ERROR(CheckVectors(c, {"fid_offset", "feature_offset", "nfl_offset"}));
      c->set_output(0, c->Scalar());
      return absl::OkStatus();
    })
    .Doc(R"doc(
The norm of the gradients of all embeddings, of every occurrence of a fid by itself, from those of the layouts' tensors:
what embeddings looked up one by one and combined afterwards contribute to a global norm.

fid_offset: of every fid where its embedding is; only their number counts.
feature_offset: of every row of a feature its first place in fid_offset, and the number of fids.
nfl_offset: of every feature its first place in feature_offset, and one more; bit 31: one place for all rows.
batch_size: rows.
tensors_grad: of every tensor of the layouts a gradient of its shape.
norm: a scalar.
num_out: tensors.
feature_cfgs: serialized FeatureConfigs: features, and layouts as out_configs.
)doc");

}  // namespace monolith
