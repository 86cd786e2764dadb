// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace monolith {
namespace {

using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;

absl::Status OneScalar(InferenceContext* c) {
  ShapeHandle unused;
  return c->WithRank(c->input(0), 0, &unused);
}

}  // namespace

REGISTER_OP("MonolithTensorsTimestamp")
    .Input("tensors: T")
    .Output("same_tensors: T")
    .Output("timestamp: int64")
    .Attr("T: list(type) >= 0")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) -> absl::Status {
      for (int i = 0; i < c->num_inputs(); ++i) c->set_output(i, c->input(i));
      c->set_output(c->num_inputs(), c->Scalar());
      return absl::OkStatus();
    })
    .Doc(R"doc(
Passes tensors on and tells when they were all there.

tensors: any tensors.
same_tensors: the same.
timestamp: microseconds since the epoch.
)doc");

REGISTER_OP("MonolithMetricV2")
    .Input("value: float")
    .Attr("key: string")
    .Attr("tags: string = ''")
    .SetIsStateful()
    .SetShapeFn(OneScalar)
    .Doc(R"doc(
Records a measurement. Every ten minutes the log says how many there were in the last 1, 5 and 15 minutes, their mean and
the largest.

value: what was measured.
key: its name.
tags: `name=value` pairs, separated by `|`; measurements with other tags are counted apart.
)doc");

REGISTER_OP("MonolithMachineInfo")
    .Output("handle: resource")
    .Attr("mem_limit: int")
    .Attr("container: string = ''")
    .Attr("shared_name: string = ''")
    .SetIsStateful()
    .SetShapeFn(::tensorflow::shape_inference::ScalarShape)
    .Doc(R"doc(
What is known of the machine; the first op that creates a shared name decides.

handle: to be passed to MonolithCheckMachineHealth.
mem_limit: bytes from which on the memory of the process is more than the machine has to spare.
)doc");

REGISTER_OP("MonolithCheckMachineHealth")
    .Input("handle: resource")
    .Output("result: string")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) -> absl::Status {
      TF_RETURN_IF_ERROR(OneScalar(c));
      c->set_output(0, c->Scalar());
      return absl::OkStatus();
    })
    .Doc(R"doc(
Checks the machine on which the handle lives.

handle: of MonolithMachineInfo.
result: a serialized tensorflow.monolith_tf.MachineHealthResult; empty if there is nothing to complain of.
)doc");

}  // namespace monolith
