// SPDX-License-Identifier: Apache-2.0
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace monolith {
namespace {

using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;

}  // namespace

REGISTER_OP("MonolithTouchedKeySet")
    .Output("handle: resource")
    .Attr("capacity: int = 2097152")
    .Attr("concurrency_level: int = 1024")
    .Attr("container: string = ''")
    .Attr("shared_name: string = ''")
    .SetIsStateful()
    .SetShapeFn(::tensorflow::shape_inference::ScalarShape)
    .Doc(R"doc(
Creates a bounded set of touched keys, or returns the one that the shared name already has.

handle: the set.
capacity: keys that it holds; when another one comes while it holds more, it is emptied first.
concurrency_level: threads that can insert with little waiting for each other.
)doc");

REGISTER_OP("MonolithTouchedKeySetInsert")
    .Input("handle: resource")
    .Input("ids: int64")
    .Output("size: int64")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) -> absl::Status {
      ShapeHandle unused;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 0, &unused));
      TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 1, &unused));
      c->set_output(0, c->Vector(1));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Adds keys to a set of touched keys.

handle: the set.
ids: the keys.
size: how many keys, earlier ones or new ones, were dropped to make room.
)doc");

REGISTER_OP("MonolithTouchedKeySetSteal")
    .Input("handle: resource")
    .Output("ids: int64")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) -> absl::Status {
      ShapeHandle unused;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 0, &unused));
      c->set_output(0, c->Vector(InferenceContext::kUnknownDim));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Takes all keys out of a set of touched keys.

handle: the set.
ids: the keys, in any order.
)doc");

}  // namespace monolith
