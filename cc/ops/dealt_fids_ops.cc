// SPDX-License-Identifier: Apache-2.0
// A worker's part of combined lookups on parameter servers. cc/distribution/deal_fids.h draws the messages.
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/ops/combined_shapes.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace monolith {
namespace {

using ::tensorflow::shape_inference::DimensionHandle;
using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;

absl::Status CheckVectors(InferenceContext* c, const char* name) {
  std::vector<ShapeHandle> inputs;
  TF_RETURN_IF_ERROR(c->input(name, &inputs));
  ShapeHandle unused;
  for (const ShapeHandle& input : inputs) TF_RETURN_IF_ERROR(c->WithRank(input, 1, &unused));
  return absl::OkStatus();
}

absl::Status DealShapes(InferenceContext* c) {
  std::vector<ShapeHandle> ids;
  TF_RETURN_IF_ERROR(c->input("ids", &ids));
  DimensionHandle num_ids = c->MakeDim(0);
  for (const ShapeHandle& each : ids) TF_RETURN_IF_ERROR(c->Add(num_ids, c->NumElements(each), &num_ids));
  const int places = c->num_outputs() - 1;
  for (int i = 0; i < places; ++i) c->set_output(i, c->Vector(InferenceContext::kUnknownDim));
  c->set_output(places, c->Vector(num_ids));
  return absl::OkStatus();
}

absl::Status CombineShapes(InferenceContext* c) {
  for (const char* name : {"embeddings", "fids", "places"}) TF_RETURN_IF_ERROR(CheckVectors(c, name));
  std::vector<ShapeHandle> shapes;
  TF_RETURN_IF_ERROR(CombinedOutputShapes(c, &shapes));
  for (size_t o = 0; o < shapes.size(); ++o) c->set_output(o, shapes[o]);
  return absl::OkStatus();
}

absl::Status GradientShapes(InferenceContext* c) {
  for (const char* name : {"fids", "places"}) TF_RETURN_IF_ERROR(CheckVectors(c, name));
  TF_RETURN_IF_ERROR(CheckOutputGradients(c));
  for (int i = 0; i < c->num_outputs(); ++i) c->set_output(i, c->Vector(InferenceContext::kUnknownDim));
  return absl::OkStatus();
}

constexpr char kDealtAttrDoc[] = R"doc(S: servers.
dims: of every table the width of its embeddings.
)doc";

}  // namespace

REGISTER_OP("MonolithDealFids")
    .Input("ids: N * int64")
    .Output("fids: num_shards * int64")
    .Output("places: int64")
    .Attr("N: int >= 1")
    .Attr("num_tables: int >= 1")
    .Attr("num_shards: int >= 1")
    .Attr("tables: list(int)")
    .SetShapeFn(DealShapes)
    .Doc(R"doc(
Deals the distinct fids of every table out to servers: a fid belongs to unsigned(fid) mod num_shards. A fid that comes in
several features of a table is one.

ids: fids of every feature, of any shape.
fids: for each server num_tables + 1 row splits, which begin at 0, and behind them its fids, table by table, in the order
  of their first occurrence.
places: of every id, feature by feature: server << 32 | number of the fid among those of its table and server.
N: features.
num_tables: tables.
num_shards: servers.
tables: of every feature the number of its table.
)doc");

REGISTER_OP("MonolithCombineDealt")
    .Input("embeddings: S * float")
    .Input("fids: S * int64")
    .Input("places: int64")
    .Input("ids: N * int64")
    .Input("row_splits: N * Tsplits")
    .Output("outputs: M * float")
    .Attr("S: int >= 1")
    .Attr("dims: list(int)")
    .MONOLITH_COMBINED_ATTRS.SetShapeFn(CombineShapes)
    .Doc(absl::StrCat(R"doc(
Combines what servers found of the fids that MonolithDealFids dealt out to them. The outputs are those of
MonolithMultiHashTableCombinedLookup of the same ids.

embeddings: of each server, flat, the rows of its fids in their order, as wide as their tables.
fids: what MonolithDealFids made for each server.
places: what MonolithDealFids made.
ids: fids of every feature: a vector beside row_splits; without them [batch], one a row, or [batch, fids a row].
row_splits: of every feature batch + 1 row splits, or an empty vector where its ids are dense.
outputs: [batch, width], or [batch, length, width] of features that keep their first fids apart.
)doc",
                      kDealtAttrDoc, kCombinedAttrDoc));

REGISTER_OP("MonolithCombineDealtGradient")
    .Input("fids: S * int64")
    .Input("places: int64")
    .Input("ids: N * int64")
    .Input("row_splits: N * Tsplits")
    .Input("output_gradients: M * float")
    .Output("gradients: S * float")
    .Attr("S: int >= 1")
    .Attr("dims: list(int)")
    .MONOLITH_COMBINED_ATTRS.SetShapeFn(GradientShapes)
    .Doc(absl::StrCat(R"doc(
Takes gradients of MonolithCombineDealt's outputs back to its embeddings: sums them over all occurrences of a fid, in the
order of features, rows and places in a row. The number of threads does not change a bit. Fids that first_n dropped get
gradient 0.

fids: as MonolithCombineDealt had them.
places: as MonolithCombineDealt had them.
ids: as MonolithCombineDealt had them.
row_splits: as MonolithCombineDealt had them.
output_gradients: of every output a gradient of its shape.
gradients: for each server, flat, a row for each of its fids in their order.
)doc",
                      kDealtAttrDoc, kCombinedAttrDoc));

}  // namespace monolith
