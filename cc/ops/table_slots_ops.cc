// SPDX-License-Identifier: Apache-2.0
// Lookups and steps of several tables with a tensor of ids for each: nothing has to be stacked before or cut up after.
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/ops/table_shapes.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace monolith {
namespace {

using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;
using Status = absl::Status;

// The lists all have one element a slot.
Status ReadNumSlots(InferenceContext* c, const char* list, int* num_slots) {
  std::vector<int> values;
  TF_RETURN_IF_ERROR(c->GetAttr("num_slots", num_slots));
  TF_RETURN_IF_ERROR(c->GetAttr(list, &values));
  if (static_cast<int>(values.size()) != *num_slots) {
    return absl::InvalidArgumentError(
        absl::StrCat(list, " has ", values.size(), " elements for ", *num_slots, " slots; give one for each."));
  }
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("MonolithMultiHashTableLookupSlots")
    .Input("mtable: resource")
    .Input("ids: num_slots * int64")
    .Output("embeddings: num_slots * float")
    .Attr("num_slots: int >= 1")
    .Attr("tables: list(int)")
    .Attr("dims: list(int)")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) -> Status {
      int num_slots;
      TF_RETURN_IF_ERROR(ReadNumSlots(c, "tables", &num_slots));
      TF_RETURN_IF_ERROR(ReadNumSlots(c, "dims", &num_slots));
      std::vector<int> dims;
      TF_RETURN_IF_ERROR(c->GetAttr("dims", &dims));
      TF_RETURN_IF_ERROR(CheckRanks(c, 0, {0}));
      for (int i = 0; i < num_slots; ++i) {
        ShapeHandle ids;
        TF_RETURN_IF_ERROR(c->WithRank(c->input(1 + i), 1, &ids));
        c->set_output(i, c->Matrix(c->Dim(ids, 0), dims[i]));
      }
      return absl::OkStatus();
    })
    .Doc(R"doc(
Reads embeddings; absent fids give zeros and are not inserted.

mtable: the tables.
ids: fids, a tensor a slot.
embeddings: for each slot `[n, dim]`, a row for each of its fids.
num_slots: how many slots are read.
tables: the position of each slot's table among the tables in the order of their names.
dims: the width of each slot's table.
)doc");

REGISTER_OP("MonolithMultiHashTableOptimizeSlots")
    .Input("mtable: resource")
    .Input("ids: num_slots * int64")
    .Input("gradients: num_slots * float")
    .Input("learning_rate: float")
    .Input("update_time: int64")
    .Input("global_step: int64")
    .Input("looked_up: num_looked_up * float")
    .Output("updated_table: resource")
    .Attr("num_slots: int >= 1")
    .Attr("tables: list(int)")
    .Attr("enable_dedup: bool = false")
    .Attr("num_looked_up: int >= 0")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) -> Status {
      int num_slots;
      TF_RETURN_IF_ERROR(ReadNumSlots(c, "tables", &num_slots));
      TF_RETURN_IF_ERROR(CheckRanks(c, 0, {0}));
      TF_RETURN_IF_ERROR(CheckRanks(c, 1, std::vector<int>(num_slots, 1)));
      TF_RETURN_IF_ERROR(CheckRanks(c, 1 + 2 * num_slots, {1, 0, 0}));
      c->set_output(0, c->Scalar());
      return absl::OkStatus();
    })
    .Doc(R"doc(
Applies gradients. Every occurrence of a fid is one optimizer step, in order; with enable_dedup the gradients of equal
fids of a slot are summed first, in order, and make one step. Either way the result does not depend on the threads.

mtable: the tables.
ids: fids, a tensor a slot.
gradients: for each slot, a row for each of its fids, as wide as its table.
learning_rate: a rate for every slice of every table, in table order.
update_time: seconds; becomes the update time of the entries.
global_step: the training step.
looked_up: nothing, or for dc optimizers a tensor a slot: the embeddings that its gradients were computed from, or
  nothing where its table has no such optimizer.
updated_table: `mtable`, to order later reads after the update.
num_slots: how many slots are written.
tables: the position of each slot's table among the tables in the order of their names; no table twice.
enable_dedup: sum the gradients of equal fids before the step; of what they were looked up as, the first counts.
num_looked_up: 0 or num_slots.
)doc");

}  // namespace monolith
