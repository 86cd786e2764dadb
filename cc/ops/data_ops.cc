// SPDX-License-Identifier: Apache-2.0
#include <vector>

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

// Splits [rows + 1] and dense columns [rows, shape], then values [?] of the ragged columns.
absl::Status ParsedShapes(InferenceContext* c, ::tensorflow::shape_inference::DimensionHandle rows) {
  std::vector<int64_t> shapes;
  TF_RETURN_IF_ERROR(c->GetAttr("shapes", &shapes));
  const int names = static_cast<int>(shapes.size());
  if (names > c->num_outputs()) {
    return absl::InvalidArgumentError("dtypes has fewer types than there are shapes; give one for every name.");
  }
  for (int i = 0; i < names; ++i) {
    if (shapes[i] == -1) {
      ::tensorflow::shape_inference::DimensionHandle splits;
      TF_RETURN_IF_ERROR(c->Add(rows, 1, &splits));
      c->set_output(i, c->Vector(splits));
    } else {
      if (shapes[i] < 1) return absl::InvalidArgumentError("a shape of a dense column is less than 1.");
      c->set_output(i, c->Matrix(rows, shapes[i]));
    }
  }
  for (int i = names; i < c->num_outputs(); ++i) c->set_output(i, c->Vector(InferenceContext::kUnknownDim));
  return absl::OkStatus();
}

absl::Status ParsedRows(InferenceContext* c) {
  ShapeHandle input;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 1, &input));
  return ParsedShapes(c, c->Dim(input, 0));
}

}  // namespace

REGISTER_OP("PBDataset")
    .Input("file_name: string")
    .Input("use_snappy: bool")
    .Input("has_sort_id: bool")
    .Input("kafka_dump: bool")
    .Input("kafka_dump_prefix: bool")
    .Input("buffer_size: int64")
    .Input("lagrangex_header: bool")
    .Input("input_pb_type: string")
    .Input("output_pb_type: string")
    .Input("feature_pruning_type: int32")
    .Output("handle: variant")
    .Attr("out_type: {variant, string} = DT_VARIANT")
    .Attr("compression_type: int = 0")
    .Attr("damaged_records: {'stop', 'skip'} = 'stop'")
    .Attr("allow_truncated: bool = false")
    .SetIsStateful()
    .SetShapeFn(AllScalars)
    .Doc(R"doc(
A dataset of the records of one file. Each element is a scalar.

file_name: the file; empty for stdin, which is read without decompression.
use_snappy: the same as compression_type 2.
has_sort_id: a sort id stands before every record.
kafka_dump: eight bytes of a Kafka dump stand before every record.
kafka_dump_prefix: the prefix of a Kafka dump stands before every record.
buffer_size: longest record that is taken from stdin, in bytes.
lagrangex_header: eight bytes with the key of the data source stand before every record, and none of the other headers.
input_pb_type: what a record is: instance, example or examplebatch.
output_pb_type: what an element is: instance, example, examplebatch or plaintext (the record as it is).
feature_pruning_type: 0 keeps all columns, 1 drops ordinary columns, 2 drops raw columns.
handle: the dataset.
out_type: string for plaintext, else variant.
compression_type: 0 or 1 none, 2 Snappy, 3 Zstandard, 4 zlib, 5 gzip.
damaged_records: whether a record that cannot be parsed ends the dataset with an error, or is passed over and counted.
  What breaks off or has an impossible length ends the file in both cases.
allow_truncated: whether a file may end inside a record.
)doc");

REGISTER_OP("MonolithCacheOneDataset")
    .Input("input_dataset: variant")
    .Output("handle: variant")
    .Attr("output_types: list(type) >= 1")
    .Attr("output_shapes: list(shape) >= 1")
    .SetShapeFn(AllScalars)
    .Doc(R"doc(
A dataset that says of each element whether it is the last, for which it reads one element ahead.

input_dataset: the elements.
handle: the dataset; its elements have one component more, a bool scalar.
output_types: types of the components.
output_shapes: shapes of the components.
)doc");

REGISTER_OP("MonolithDamagedRecords")
    .Output("count: int64")
    .SetIsStateful()
    .SetShapeFn(::tensorflow::shape_inference::ScalarShape)
    .Doc(R"doc(
How many damaged records the datasets of this process have passed over.

count: the number since the process began.
)doc");

REGISTER_OP("ParseInstances")
    .Input("pb_input: T")
    .Output("tensors: dtypes")
    .Attr("fidv1_features: list(int) >= 0")
    .Attr("names: list(string) >= 0")
    .Attr("shapes: list(int) >= 0")
    .Attr("dtypes: list({float, int64, string}) >= 0")
    .Attr("extra_names: list(string) >= 0")
    .Attr("T: {variant, string}")
    .SetShapeFn(ParsedRows)
    .Doc(R"doc(
Parses Instances into columns.

pb_input: variants with an Instance, or serialized Instances, [B].
tensors: for each name, the splits [B + 1] of a ragged column or a dense column [B, shape]; then the values of each ragged
  column.
fidv1_features: slots whose fids the first names are; their fids become version 2 if other ragged columns are asked for.
names: of columns; label and instance_weight are the fields, ragged ones come first.
shapes: values a row; -1 for ragged columns of fids.
dtypes: of each of `tensors`.
extra_names: the names that are fields of LineId.
)doc");

REGISTER_OP("ParseExamples")
    .Input("pb_input: T")
    .Output("tensors: dtypes")
    .Attr("names: list(string) >= 0")
    .Attr("shapes: list(int) >= 0")
    .Attr("dtypes: list({float, int64, string}) >= 0")
    .Attr("extra_names: list(string) >= 0")
    .Attr("T: {variant, string}")
    .SetShapeFn(ParsedRows)
    .Doc(R"doc(
Parses Examples into columns.

pb_input: variants with an Example, or serialized Examples, [B].
tensors: for each name, the splits [B + 1] of a ragged column or a dense column [B, shape]; then the values of each ragged
  column. Fids are version 2.
names: of columns; label and instance_weight are the fields, unless there are such columns.
shapes: values a row; -1 for ragged columns of fids.
dtypes: of each of `tensors`.
extra_names: the names that are fields of LineId.
)doc");

REGISTER_OP("ParseExampleBatch")
    .Input("pb_input: T")
    .Output("tensors: dtypes")
    .Attr("names: list(string) >= 0")
    .Attr("shapes: list(int) >= 0")
    .Attr("dtypes: list({float, int64, string}) >= 0")
    .Attr("extra_names: list(string) >= 0")
    .Attr("T: {variant, string}")
    .SetShapeFn([](InferenceContext* c) -> absl::Status {
      ShapeHandle unused;
      TF_RETURN_IF_ERROR(c->WithRankAtMost(c->input(0), 1, &unused));
      return ParsedShapes(c, c->UnknownDim());
    })
    .Doc(R"doc(
Parses an ExampleBatch into columns of its rows.

pb_input: a variant with an ExampleBatch, or a serialized one: a scalar or [1].
tensors: for each name, the splits [rows + 1] of a ragged column or a dense column [rows, shape]; then the values of each
  ragged column. Fids are version 2.
names: of columns; label is the column __LABEL__ where there is none of that name.
shapes: values a row; -1 for ragged columns of fids.
dtypes: of each of `tensors`.
extra_names: the names that are fields of LineId, which is the column __LINE_ID__.
)doc");

REGISTER_OP("MonolithSwitchSlot")
    .Input("fids: int64")
    .Output("switched: int64")
    .Attr("slot: int")
    .Attr("fid_version: int = 2")
    .SetShapeFn(::tensorflow::shape_inference::UnchangedShape)
    .Doc(R"doc(
Moves fids into another slot; their signatures stay.

fids: any shape.
switched: the same shape.
slot: the new slot.
fid_version: 1 or 2, the layout of the fids.
)doc");

}  // namespace monolith
