// SPDX-License-Identifier: Apache-2.0
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace monolith {
namespace {

using ::tensorflow::shape_inference::UnchangedShape;

REGISTER_OP("SetFilter")
    .Input("records: variant")
    .Output("keep: bool")
    .Attr("filter_fids: list(int) >= 0 = []")
    .Attr("has_fids: list(int) >= 0 = []")
    .Attr("select_fids: list(int) >= 0 = []")
    .Attr("has_actions: list(int) >= 0 = []")
    .Attr("req_time_min: int = 0")
    .Attr("select_slots: list(int) >= 0 = []")
    .Attr("variant_type: string = 'instance'")
    .SetShapeFn(UnchangedShape)
    .Doc(R"doc(
Whether records have what is wanted and nothing of what is not. An empty attribute tests nothing.

records: variants with a record, any shape.
keep: the same shape.
filter_fids: a record with any of them is dropped. Fids are those of an Instance's field fid or of an Example's columns.
has_fids: a record with none of them is dropped.
select_fids: a record without one of them is dropped.
has_actions: a record with none of them is dropped.
req_time_min: requests before it are dropped, in seconds since 1970.
select_slots: a record without a fid of one of them is dropped.
variant_type: instance or example.
)doc");

REGISTER_OP("ValueFilter")
    .Input("records: variant")
    .Output("keep: bool")
    .Attr("field_name: string")
    .Attr("op: string")
    .Attr("float_operand: list(float) >= 0 = []")
    .Attr("int_operand: list(int) >= 0 = []")
    .Attr("string_operand: list(string) >= 0 = []")
    .Attr("operand_filepath: string = ''")
    .Attr("keep_empty: bool = false")
    .Attr("variant_type: string = 'instance'")
    .SetShapeFn(UnchangedShape)
    .Doc(R"doc(
Whether a comparison holds for a field of the record's LineId.

records: variants with a record, any shape.
keep: the same shape.
field_name: the field.
op: gt, ge, eq, lt, le, neq, between, in, not-in; startswith, endswith for strings; any, all, diff for repeated fields.
float_operand: operands for a float.
int_operand: operands for integers.
string_operand: operands for a string.
operand_filepath: a file with a serialized FilterValues, in place of operands, for in and not-in.
keep_empty: the outcome for a repeated field without values.
variant_type: instance or example.
)doc");

REGISTER_OP("FeatureValueFilter")
    .Input("records: variant")
    .Output("keep: bool")
    .Attr("field_name: string")
    .Attr("op: string")
    .Attr("field_type: string")
    .Attr("float_operand: list(float) >= 0 = []")
    .Attr("int_operand: list(int) >= 0 = []")
    .Attr("string_operand: list(string) >= 0 = []")
    .Attr("operand_filepath: string = ''")
    .Attr("keep_empty: bool = false")
    .SetShapeFn(UnchangedShape)
    .Doc(R"doc(
Whether a comparison holds for the only value of an Example's column, or for its list of integers.

records: variants with an Example, any shape.
keep: the same shape.
field_name: the column.
op: gt, ge, eq, lt, le, neq, between, in, not-in; startswith, endswith for bytes; any, all, diff for lists of int64.
field_type: int64, float, double or bytes. A double is rounded to float, which operands are.
float_operand: operands for float and double.
int_operand: operands for int64.
string_operand: operands for bytes.
operand_filepath: a file with a serialized FilterValues, in place of operands, for in and not-in.
keep_empty: the outcome where the column is missing, of another kind, or has not one value (for lists: none).
)doc");

REGISTER_OP("FilterByLabel")
    .Input("records: variant")
    .Output("keep: bool")
    .Attr("label_threshold: list(float)")
    .Attr("filter_equal: bool = false")
    .Attr("variant_type: string = 'example'")
    .SetShapeFn(UnchangedShape)
    .Doc(R"doc(
Whether some label reaches its threshold. Records with fewer labels than thresholds are dropped.

records: variants with a record, any shape.
keep: the same shape.
label_threshold: one a label.
filter_equal: whether a label has to be above its threshold, so that equal ones are filtered.
variant_type: instance or example.
)doc");

REGISTER_OP("HasVariant")
    .Input("records: variant")
    .Output("keep: bool")
    .Attr("variant_type: string = 'example'")
    .SetShapeFn(UnchangedShape)
    .Doc(R"doc(
Whether records have any bytes.

records: variants with a record, any shape.
keep: the same shape.
variant_type: instance, example or example_batch.
)doc");

REGISTER_OP("SpecialStrategy")
    .Input("records: variant")
    .Output("keep: bool")
    .Attr("strategy_list: list(int)")
    .Attr("strategy_conf: string = ''")
    .Attr("keep_empty_strategy: bool = true")
    .Attr("variant_type: string = 'instance'")
    .Attr("seed: int = 0")
    .Attr("seed2: int = 0")
    .SetIsStateful()
    .SetShapeFn(UnchangedShape)
    .Doc(R"doc(
Keeps records by the first strategy of a list that they have; drops those that have others only.

records: variants with a record, any shape.
keep: the same shape.
strategy_list: the strategies that decide, the first of them that is there.
strategy_conf: strategy:rate[:label],...; the share of its records that is kept; all without a rate.
keep_empty_strategy: whether records without strategies are kept.
variant_type: instance or example.
seed: of the random numbers; if both seeds are 0, a new one.
seed2: the second part of the seed.
)doc");

REGISTER_OP("NegativeSample")
    .Input("records: variant")
    .Output("keep: bool")
    .Attr("drop_rate: float")
    .Attr("label_index: int = 0")
    .Attr("threshold: float = 0")
    .Attr("action_priority: list(int) >= 0 = []")
    .Attr("per_action_drop_rate: string = ''")
    .Attr("variant_type: string = 'instance'")
    .Attr("seed: int = 0")
    .Attr("seed2: int = 0")
    .SetIsStateful()
    .SetShapeFn(UnchangedShape)
    .Doc(R"doc(
Keeps positives, drops a share of the negatives.

records: variants with a record, any shape.
keep: the same shape.
drop_rate: the share of the negatives that is dropped.
label_index: the label that decides.
threshold: labels from it on are positive.
action_priority: actions, the most important first; the first that a record has says the share.
per_action_drop_rate: action:rate,...; the share for other actions is drop_rate.
variant_type: instance or example.
seed: of the random numbers; if both seeds are 0, a new one.
seed2: the second part of the seed.
)doc");

}  // namespace
}  // namespace monolith
