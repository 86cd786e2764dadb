// SPDX-License-Identifier: Apache-2.0
// Tables as tensors, for frameworks that keep their own files.
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace monolith {
namespace {

using ::tensorflow::shape_inference::DimensionHandle;
using ::tensorflow::shape_inference::InferenceContext;
using ::tensorflow::shape_inference::ShapeHandle;

}  // namespace

REGISTER_OP("MonolithMultiHashTableExport")
    .Input("mtable: resource")
    .Output("table_names: string")
    .Output("counts: int64")
    .Output("entries: string")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) -> absl::Status {
      ShapeHandle unused;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 0, &unused));
      const DimensionHandle tables = c->UnknownDim();
      c->set_output(0, c->Vector(tables));
      c->set_output(1, c->Vector(tables));
      c->set_output(2, c->Vector(c->UnknownDim()));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Reads all entries that are not expired, optimizer state included, in one consistent cut: writers wait, readers do not.

mtable: the tables.
table_names: of every table its name.
counts: of every table its number of entries.
entries: serialized EntryDumps, table after table.
)doc");

REGISTER_OP("MonolithMultiHashTableImport")
    .Input("mtable: resource")
    .Input("table_names: string")
    .Input("counts: int64")
    .Input("entries: string")
    .Output("updated_table: resource")
    .SetIsStateful()
    .SetShapeFn([](InferenceContext* c) -> absl::Status {
      ShapeHandle names, unused;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 0, &unused));
      TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 1, &names));
      TF_RETURN_IF_ERROR(c->Merge(names, c->input(2), &unused));
      TF_RETURN_IF_ERROR(c->WithRank(c->input(3), 1, &unused));
      c->set_output(0, c->Scalar());
      return absl::OkStatus();
    })
    .Doc(R"doc(
Replaces what the tables hold by what MonolithMultiHashTableExport read. They change only after every entry was read; a
table that is not named ends up empty.

mtable: the tables.
table_names: of every exported table its name.
counts: of every exported table its number of entries.
entries: serialized EntryDumps, table after table.
updated_table: `mtable`, to order later reads after the import.
)doc");

}  // namespace monolith
