// SPDX-License-Identifier: Apache-2.0
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace monolith {
namespace {

using ::tensorflow::shape_inference::UnchangedShape;

REGISTER_OP("AddAction")
    .Input("records: variant")
    .Output("changed: variant")
    .Attr("field_name: string")
    .Attr("op: string")
    .Attr("action: int")
    .Attr("float_operand: list(float) >= 0 = []")
    .Attr("int_operand: list(int) >= 0 = []")
    .Attr("string_operand: list(string) >= 0 = []")
    .Attr("variant_type: string = 'example'")
    .SetShapeFn(UnchangedShape)
    .Doc(R"doc(
Appends an action to records for whose LineId a comparison holds.

records: variants with a record, any shape.
changed: the same shape.
field_name: the field that is compared.
op: as of ValueFilter.
action: the action.
float_operand: operands for a float.
int_operand: operands for integers.
string_operand: operands for a string.
variant_type: instance or example.
)doc");

REGISTER_OP("AddLabel")
    .Input("records: variant")
    .Output("changed: variant")
    .Attr("config: string")
    .Attr("negative_value: float")
    .Attr("new_sample_rate: float")
    .Attr("variant_type: string = 'example'")
    .Attr("seed: int = 0")
    .Attr("seed2: int = 0")
    .SetIsStateful()
    .SetShapeFn(UnchangedShape)
    .Doc(R"doc(
Appends a label for every task, made from the record's actions. A first label that is there and at most 0 becomes invalid.

records: variants with a record, any shape.
changed: the same shape.
config: pos,..:neg,..:rate;.. for each task. A positive action makes the label 1. A record without one, and without a
  negative action where there are any, gets the invalid label. The others get negative_value at the rate, else the invalid
  label.
negative_value: label of negatives.
new_sample_rate: becomes the LineId's sample_rate, in (0, 1].
variant_type: instance or example.
seed: of the random numbers; if both seeds are 0, a new one.
seed2: the second part of the seed.
)doc");

REGISTER_OP("ScatterLabel")
    .Input("records: variant")
    .Output("changed: variant")
    .Attr("config: string")
    .Attr("variant_type: string = 'example'")
    .SetShapeFn(UnchangedShape)
    .Doc(R"doc(
Moves the first label to the place of the record's channel; all other labels are invalid.

records: variants with a record, any shape.
changed: the same shape.
config: chnid:index,...
variant_type: instance or example.
)doc");

REGISTER_OP("MultiLabelGen")
    .Input("records: variant")
    .Output("changed: variant")
    .Attr("heads: list(string)")
    .Attr("indices: list(int)")
    .Attr("head_field: string = 'chnid'")
    .Attr("pos_actions: list(int) >= 0 = []")
    .Attr("neg_actions: list(int) >= 0 = []")
    .Attr("use_origin_label: bool = false")
    .Attr("pos_label: float = 1")
    .Attr("neg_label: float = 0")
    .Attr("action_priority: list(int) >= 0 = []")
    .Attr("task_num: int = 0")
    .Attr("variant_type: string = 'example'")
    .SetShapeFn(UnchangedShape)
    .Doc(R"doc(
Puts one label at the place of the record's head; all other labels are invalid.

records: variants with a record, any shape.
changed: the same shape.
heads: values of head_field, as text.
indices: the label's place for each head.
head_field: the integer or string field of LineId that says the head.
pos_actions: actions of positives.
neg_actions: actions of negatives; a record whose action is in neither list has the invalid label.
use_origin_label: whether the label is the first that the record has.
pos_label: label of positives.
neg_label: label of negatives.
action_priority: actions, the most important first. The first that a record has decides, or else its first action.
task_num: number of labels; 0: as many as the indices ask for.
variant_type: instance or example.
)doc");

REGISTER_OP("LabelUpperBound")
    .Input("records: variant")
    .Output("changed: variant")
    .Attr("label_upper_bounds: list(float)")
    .Attr("variant_type: string = 'instance'")
    .SetShapeFn(UnchangedShape)
    .Doc(R"doc(
Cuts the first labels down to their bounds. Records with fewer labels than bounds stay.

records: variants with a record, any shape.
changed: the same shape.
label_upper_bounds: one a label.
variant_type: instance or example.
)doc");

REGISTER_OP("LabelNormalization")
    .Input("records: variant")
    .Output("changed: variant")
    .Attr("norm_methods: list(string)")
    .Attr("norm_values: list(float)")
    .Attr("variant_type: string = 'instance'")
    .SetShapeFn(UnchangedShape)
    .Doc(R"doc(
Sends every valid label through all methods, one after another.

records: variants with a record, any shape.
changed: the same shape.
norm_methods: of a label x with a value v: log ln(max(x + v, 0)), scale x / v, scale2int x / v without its fraction, pow
  (x + 1)^v, repow x^v or 0 for x <= 0, scalelog ln(max(x / v + 1, 0)).
norm_values: one a method.
variant_type: instance or example.
)doc");

REGISTER_OP("FillMultiRankOutput")
    .Input("records: variant")
    .Output("changed: variant")
    .Attr("enable_draw_as_rank: bool = false")
    .Attr("enable_chnid_as_rank: bool = false")
    .Attr("enable_lineid_rank_as_rank: bool = false")
    .Attr("rank_num: int = 18")
    .Attr("variant_type: string = 'instance'")
    .SetShapeFn(UnchangedShape)
    .Doc(R"doc(
Appends a rank as a label. Exactly one of the three sources is set.

records: variants with a record, any shape.
changed: the same shape.
enable_draw_as_rank: is_draw, 0 or 1.
enable_chnid_as_rank: chnid if it is 0 or 1, else 2.
enable_lineid_rank_as_rank: rank, at most rank_num - 1.
rank_num: number of ranks.
variant_type: instance or example.
)doc");

REGISTER_OP("UseFieldAsLabel")
    .Input("records: variant")
    .Output("changed: variant")
    .Attr("field_name: string")
    .Attr("overwrite_invalid_value: bool = false")
    .Attr("label_threshold: float = 7200")
    .Attr("variant_type: string = 'instance'")
    .SetShapeFn(UnchangedShape)
    .Doc(R"doc(
Raises every label to the value of a field of the record's LineId.

records: variants with a record, any shape.
changed: the same shape.
field_name: a field with one number.
overwrite_invalid_value: whether values from label_threshold on count as 0.
label_threshold: the first value that is not believed.
variant_type: instance or example.
)doc");

REGISTER_OP("MonolithSpecialStrategyLabel")
    .Input("records: variant")
    .Output("changed: variant")
    .Attr("strategy_list: list(int)")
    .Attr("strategy_conf: string")
    .Attr("variant_type: string = 'instance'")
    .SetShapeFn(UnchangedShape)
    .Doc(R"doc(
Sets the first label by the first strategy of a list that a record has.

records: variants with a record, any shape.
changed: the same shape.
strategy_list: the strategies that decide, the first of them that is there.
strategy_conf: strategy:rate[:label],...; a strategy without a label leaves the record as it is.
variant_type: instance or example.
)doc");

}  // namespace
}  // namespace monolith
