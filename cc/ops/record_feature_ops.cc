// SPDX-License-Identifier: Apache-2.0
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace monolith {
namespace {

using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;
using ::tensorflow::shape_inference::UnchangedShape;

absl::Status AllVectors(InferenceContext* c) {
  ShapeHandle unused;
  for (int i = 0; i < c->num_inputs(); ++i) TF_RETURN_IF_ERROR(c->WithRank(c->input(i), 1, &unused));
  return absl::OkStatus();
}

absl::Status CombinedShape(InferenceContext* c) {
  TF_RETURN_IF_ERROR(AllVectors(c));
  ShapeHandle splits;
  TF_RETURN_IF_ERROR(c->Merge(c->input(0), c->input(2), &splits));
  c->set_output(0, splits);
  c->set_output(1, c->Vector(InferenceContext::kUnknownDim));
  return absl::OkStatus();
}

absl::Status MaskShape(InferenceContext* c) {
  TF_RETURN_IF_ERROR(AllVectors(c));
  ::tensorflow::shape_inference::DimensionHandle rows;
  TF_RETURN_IF_ERROR(c->Subtract(c->Dim(c->input(0), 0), 1, &rows));
  c->set_output(0, c->Vector(rows));
  return absl::OkStatus();
}

REGISTER_OP("FeatureCombine")
    .Input("splits1: Tsplits")
    .Input("fids1: int64")
    .Input("splits2: Tsplits")
    .Input("fids2: int64")
    .Output("splits: Tsplits")
    .Output("combined: int64")
    .Attr("slot: int")
    .Attr("Tsplits: {int32, int64} = DT_INT64")
    .SetShapeFn(CombinedShape)
    .Doc(R"doc(
Pairs the fids of two columns, row by row; every pair is a fid of a slot of its own.

splits1: row splits of the first column, [rows + 1].
fids1: its fids, [n].
splits2: row splits of the second column, [rows + 1].
fids2: its fids, [m].
splits: row splits of the pairs, [rows + 1].
combined: the pairs, [k]; the first column's fid varies slowest.
slot: the slot of the pairs, in [0, 32768).
)doc");

REGISTER_OP("MonolithGenFidMask")
    .Input("splits: Tsplits")
    .Input("fids: int64")
    .Output("mask: float")
    .Attr("fid: int")
    .Attr("Tsplits: {int32, int64} = DT_INT64")
    .SetShapeFn(MaskShape)
    .Doc(R"doc(
Which rows of a column have a fid.

splits: row splits of the column, [rows + 1].
fids: its fids, [n].
mask: 1 for rows with the fid, else 0, [rows].
fid: the fid.
)doc");

REGISTER_OP("MapId")
    .Input("values: T")
    .Output("mapped: T")
    .Attr("from_value: list(int) >= 0")
    .Attr("to_value: list(int) >= 0")
    .Attr("default: int = -1")
    .Attr("T: {int32, int64}")
    .SetShapeFn(UnchangedShape)
    .Doc(R"doc(
Looks values up in a small map.

values: any shape.
mapped: the same shape.
from_value: the keys, each once.
to_value: what stands for each.
default: what stands for all others.
)doc");

REGISTER_OP("ExtractFid")
    .Input("fids: int64")
    .Output("extracted: int64")
    .Attr("slot: int")
    .SetShapeFn(UnchangedShape)
    .Doc(R"doc(
Makes fids of a slot whose signatures are hashes (CityHash64) of other numbers.

fids: the numbers, any shape.
extracted: the same shape.
slot: the slot, in [0, 32768).
)doc");

REGISTER_OP("SwitchSlotBatch")
    .Input("records: variant")
    .Output("changed: variant")
    .Attr("features: list(string)")
    .Attr("inplaces: list(bool)")
    .Attr("slots: list(int)")
    .Attr("suffix: string = 'share'")
    .Attr("variant_type: string = 'example_batch'")
    .SetShapeFn(UnchangedShape)
    .Doc(R"doc(
Moves the fids of columns into other slots; their signatures stay.

records: variants with a record, any shape.
changed: the same shape.
features: the columns. One that a record does not have is passed over.
inplaces: for each, whether the column itself changes. Else a copy with the other slot is added, with the column's id.
slots: for each, the slot, in [0, 32768).
suffix: a copy is called column_suffix.
variant_type: example or example_batch.
)doc");

REGISTER_OP("MonolithTFExampleToExample")
    .Input("serialized: string")
    .Output("examples: variant")
    .Attr("sparse_names: list(string) >= 0")
    .Attr("sparse_slots: list(int) >= 0")
    .Attr("dense_names: list(string) >= 0")
    .Attr("label: string = ''")
    .Attr("instance_weight: string = ''")
    .SetShapeFn(UnchangedShape)
    .Doc(R"doc(
Makes Examples of serialized tf.train.Examples.

serialized: any shape.
examples: the same shape.
sparse_names: features that become fids. An int64 v has the signature v, a float v the signature int(log2(|v| + 1)).
sparse_slots: their slots, in [1, 32768), each once.
dense_names: features that keep their values.
label: the feature with the labels; empty: none.
instance_weight: the feature with the weight; empty, or missing: 1.
)doc");

REGISTER_OP("StringToVariant")
    .Input("input: string")
    .Output("records: variant")
    .Attr("variant_type: string = 'example'")
    .Attr("has_header: bool = false")
    .Attr("has_sort_id: bool = false")
    .Attr("lagrangex_header: bool = false")
    .Attr("kafka_dump_prefix: bool = false")
    .Attr("kafka_dump: bool = false")
    .Attr("chnids: list(int) >= 0 = []")
    .Attr("source_keys: list(int) >= 0 = []")
    .Attr("default_source_key: int = 0")
    .SetShapeFn(UnchangedShape)
    .Doc(R"doc(
Makes records of serialized messages.

input: a message, or one in the frame of a stream, any shape. An empty string is an empty record.
records: the same shape.
variant_type: instance, example or example_batch.
has_header: whether messages have frames.
has_sort_id: as of PBDataset.
lagrangex_header: as of PBDataset.
kafka_dump_prefix: as of PBDataset.
kafka_dump: as of PBDataset.
chnids: channels whose records get a key of their own.
source_keys: the data_source_key for each.
default_source_key: for all others; 0 leaves the record's own.
)doc");

REGISTER_OP("StringToVariantWithTransform")
    .Input("input: string")
    .Output("records: variant")
    .Attr("input_type: string = 'example'")
    .Attr("output_type: string = 'example'")
    .Attr("has_header: bool = false")
    .Attr("has_sort_id: bool = false")
    .Attr("lagrangex_header: bool = false")
    .Attr("kafka_dump_prefix: bool = false")
    .Attr("kafka_dump: bool = false")
    .SetShapeFn([](InferenceContext* c) -> absl::Status {
      c->set_output(0, c->Vector(InferenceContext::kUnknownDim));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Makes records of one type of serialized messages of another.

input: messages, or records of a stream one after another, any shape.
records: what they become, in their order, [n].
input_type: instance, example or example_batch.
output_type: the same; an ExampleBatch gives a record a row, and only it becomes one.
has_header: whether messages have frames.
has_sort_id: as of PBDataset.
lagrangex_header: as of PBDataset.
kafka_dump_prefix: as of PBDataset.
kafka_dump: as of PBDataset.
)doc");

REGISTER_OP("VariantToZeros").Input("records: variant").Output("zeros: int64").SetShapeFn(UnchangedShape).Doc(R"doc(
Zeros of the shape of a tensor of variants.

records: any shape.
zeros: the same shape.
)doc");

}  // namespace
}  // namespace monolith
