// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace monolith {
namespace {

using ::tensorflow::shape_inference::DimensionHandle;
using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;

// The handle is a scalar, all else a vector of the same length, which is the output's too.
absl::Status RowsShape(InferenceContext* c) {
  ShapeHandle unused, rows = c->UnknownShapeOfRank(1);
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 0, &unused));
  for (int i = 1; i < c->num_inputs(); ++i) {
    ShapeHandle vector;
    TF_RETURN_IF_ERROR(c->WithRank(c->input(i), 1, &vector));
    TF_RETURN_IF_ERROR(c->Merge(rows, vector, &rows));
  }
  c->set_output(0, rows);
  return absl::OkStatus();
}

absl::Status RowsOfTargetsShape(InferenceContext* c) {
  enum Input { kHandle, kReqTimes, kLabels, kPreds, kSampleRates, kExtraFields };
  ShapeHandle unused, vector;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(kHandle), 0, &unused));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(kReqTimes), 1, &vector));
  DimensionHandle rows = c->Dim(vector, 0);
  std::vector<std::string> targets;
  TF_RETURN_IF_ERROR(c->GetAttr("targets", &targets));
  for (const int input : {kLabels, kPreds, kSampleRates}) {
    ShapeHandle matrix;
    DimensionHandle heads;
    TF_RETURN_IF_ERROR(c->WithRank(c->input(input), 2, &matrix));
    TF_RETURN_IF_ERROR(c->WithValue(c->Dim(matrix, 0), static_cast<int64_t>(targets.size()), &heads));
    TF_RETURN_IF_ERROR(c->Merge(rows, c->Dim(matrix, 1), &rows));
  }
  for (int i = kExtraFields; i < c->num_inputs(); ++i) {
    TF_RETURN_IF_ERROR(c->WithRank(c->input(i), 1, &vector));
    TF_RETURN_IF_ERROR(c->Merge(rows, c->Dim(vector, 0), &rows));
  }
  c->set_output(0, c->Vector(rows));
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("MonolithCreateDeepInsightClient")
    .Output("handle: resource")
    .Attr("enable_metrics_counter: bool = false")
    .Attr("is_fake: bool = false")
    .Attr("filename: string = ''")
    .Attr("container: string = ''")
    .Attr("shared_name: string = ''")
    .SetIsStateful()
    .SetShapeFn(::tensorflow::shape_inference::ScalarShape)
    .Doc(R"doc(
Where the messages of the ops below go. There is no databus in this distribution, so they go to a file, or an op returns
them.

handle: the client.
enable_metrics_counter: whether the log says every ten minutes how many rows came and how many of them were sampled.
is_fake: whether the caller knows that nothing is sent. An op whose client is not fake and has no file must return its
  messages, or it fails.
filename: a file of TFRecords, a message each, written by a thread of its own; its directory is made if need be. A file
  from before this process is replaced; what this process wrote to it stays, and messages go behind it. Empty: no file.
)doc");

REGISTER_OP("MonolithWriteDeepInsight")
    .Input("deep_insight_client_handle: resource")
    .Input("uids: int64")
    .Input("req_times: int64")
    .Input("labels: float")
    .Input("preds: float")
    .Input("sample_rates: float")
    .Output("msgs: string")
    .Attr("model_name: string")
    .Attr("target: string = 'ctr_head'")
    .Attr("sample_ratio: float = 0.01")
    .Attr("return_msgs: bool = false")
    .Attr("use_zero_train_time: bool = false")
    .SetIsStateful()
    .SetShapeFn(RowsShape)
    .Doc(R"doc(
Makes a message, one line of JSON, of each row whose user is sampled. cc/monitoring/deep_insight.h shows one.

deep_insight_client_handle: of MonolithCreateDeepInsightClient.
uids: `[B]`, users. A user is sampled or not, whatever the step.
req_times: `[B]`, when the row was requested, as the input has it.
labels: `[B]`.
preds: `[B]`.
sample_rates: `[B]`, the share of rows of the row's kind that the input has kept.
msgs: `[B]`, empty where the user is not sampled; all empty without return_msgs.
model_name: the model's name in the messages.
target: the head's name in the messages.
sample_ratio: share of the users that are sampled, 0 to 1.
return_msgs: whether msgs has the messages.
use_zero_train_time: whether messages have 0 for the seconds since the epoch, so that runs give equal ones.
)doc");

REGISTER_OP("MonolithWriteDeepInsightV2")
    .Input("deep_insight_client_handle: resource")
    .Input("req_times: int64")
    .Input("labels: float")
    .Input("preds: float")
    .Input("sample_rates: float")
    .Input("extra_fields_values: Tfields")
    .Output("msgs: string")
    .Attr("model_name: string")
    .Attr("extra_fields_keys: list(string)")
    .Attr("targets: list(string)")
    .Attr("sample_ratio: float = 0.01")
    .Attr("return_msgs: bool = false")
    .Attr("use_zero_train_time: bool = false")
    .Attr("Tfields: list(type)")
    .SetIsStateful()
    .SetShapeFn(RowsOfTargetsShape)
    .Doc(R"doc(
Makes a message of each row whose user is sampled, with any number of targets and with further columns.

deep_insight_client_handle: of MonolithCreateDeepInsightClient.
req_times: `[B]`, when the row was requested, as the input has it.
labels: `[H, B]`.
preds: `[H, B]`.
sample_rates: `[H, B]`.
extra_fields_values: columns, each `[B]`. The one with the key `uid`, int64, has the users. Columns of other types than
  float, int64 and string are left out.
msgs: `[B]`, empty where the user is not sampled; all empty without return_msgs.
model_name: the model's name in the messages.
extra_fields_keys: the names of the columns.
targets: the H heads' names in the messages.
sample_ratio: share of the users that are sampled, 0 to 1.
return_msgs: whether msgs has the messages.
use_zero_train_time: whether messages have 0 for the seconds since the epoch, so that runs give equal ones.
)doc");

}  // namespace monolith
