// SPDX-License-Identifier: Apache-2.0
#include "cc/kernels/combined_features.h"

#include <algorithm>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "cc/kernels/status_util.h"

namespace monolith {
namespace {

using ::tensorflow::OpInputList;
using ::tensorflow::OpKernelConstruction;
using ::tensorflow::OpKernelContext;
using ::tensorflow::Tensor;
using ::tensorflow::TensorShape;

using Ints = std::vector<int64_t>;

constexpr int64_t kIdsPerUnit = 1024;
constexpr int64_t kMostUnits = 64;  // of a feature

absl::Status ReadLists(OpKernelConstruction* ctx, const std::vector<const char*>& names, std::vector<Ints>* lists) {
  lists->assign(names.size(), Ints());  // GetAttr appends
  for (size_t i = 0; i < names.size(); ++i) {
    TF_RETURN_IF_ERROR(ctx->GetAttr(names[i], &(*lists)[i]));
    if ((*lists)[i].size() != (*lists)[0].size()) {
      return absl::InvalidArgumentError(absl::StrCat(names[0], " has ", (*lists)[0].size(), " elements and ", names[i],
                                                     " ", (*lists)[i].size(), "; give them the same length."));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadCombiner(const std::string& name, Combiner* combiner) {
  if (name == "sum") {
    *combiner = Combiner::kSum;
  } else if (name == "mean") {
    *combiner = Combiner::kMean;
  } else if (name == "first_n") {
    *combiner = Combiner::kFirstN;
  } else {
    return absl::InvalidArgumentError(absl::StrCat("combiner is '", name, "'; use sum, mean or first_n."));
  }
  return absl::OkStatus();
}

absl::Status ReadFeatures(OpKernelConstruction* ctx, std::vector<CombineFeature>* features) {
  std::vector<Ints> lists;
  std::vector<std::string> combiners;
  int num_features;
  TF_RETURN_IF_ERROR(ReadLists(ctx, {"tables", "max_seq_lengths"}, &lists));
  TF_RETURN_IF_ERROR(ctx->GetAttr("combiners", &combiners));
  TF_RETURN_IF_ERROR(ctx->GetAttr("N", &num_features));
  if (combiners.size() != lists[0].size() || static_cast<size_t>(num_features) != lists[0].size()) {
    return absl::InvalidArgumentError(absl::StrCat(num_features, " ids, ", lists[0].size(), " tables and ",
                                                   combiners.size(), " combiners; give one of each a feature."));
  }
  for (size_t i = 0; i < combiners.size(); ++i) {
    CombineFeature feature{lists[0][i], Combiner::kSum, lists[1][i]};
    TF_RETURN_IF_ERROR(ReadCombiner(combiners[i], &feature.combiner));
    features->push_back(feature);
  }
  return absl::OkStatus();
}

absl::Status ReadPlan(OpKernelConstruction* ctx, std::unique_ptr<CombinePlan>* plan) {
  std::vector<CombineFeature> features;
  std::vector<CombineSlice> slices;
  std::vector<CombineOutput> outputs;
  TF_RETURN_IF_ERROR(ReadFeatures(ctx, &features));
  std::vector<Ints> lists;
  TF_RETURN_IF_ERROR(
      ReadLists(ctx, {"slice_features", "slice_begins", "slice_dims", "slice_outputs", "slice_columns"}, &lists));
  for (size_t i = 0; i < lists[0].size(); ++i) {
    slices.push_back({lists[0][i], lists[1][i], lists[2][i], lists[3][i], lists[4][i]});
  }
  int num_outputs;
  TF_RETURN_IF_ERROR(ReadLists(ctx, {"output_widths", "output_lengths"}, &lists));
  TF_RETURN_IF_ERROR(ctx->GetAttr("M", &num_outputs));
  if (static_cast<size_t>(num_outputs) != lists[0].size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("M is ", num_outputs, ", but output_widths has ", lists[0].size(), " elements; give one each."));
  }
  for (size_t i = 0; i < lists[0].size(); ++i) outputs.push_back({lists[0][i], lists[1][i]});
  return ToStatus([&] { *plan = std::make_unique<CombinePlan>(features, slices, outputs); });
}

// Puts the op's name in front of a message.
absl::Status Named(const std::string& op, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(op, ": ", status.message()));
}

absl::Status ReadDense(const Tensor& ids, FeatureIds* feature) {
  if (ids.dims() != 1 && ids.dims() != 2) {
    return absl::InvalidArgumentError(absl::StrCat("ids have shape ", ids.shape().DebugString(),
                                                   "; without row_splits pass [batch] or [batch, fids a row]."));
  }
  *feature = {ids.flat<int64_t>().data(), ids.dim_size(0), nullptr, ids.dims() == 1 ? 1 : ids.dim_size(1)};
  return absl::OkStatus();
}

absl::Status CheckSplits(const int64_t* splits, int64_t size, int64_t num_ids) {
  if (splits[0] != 0 || splits[size - 1] != num_ids) {
    return absl::InvalidArgumentError(absl::StrCat("row_splits run from ", splits[0], " to ", splits[size - 1],
                                                   ", but there are ", num_ids, " ids; they must run from 0 to that."));
  }
  for (int64_t i = 1; i < size; ++i) {
    if (splits[i] < splits[i - 1]) {
      return absl::InvalidArgumentError(absl::StrCat("row_splits decrease at ", i, " (", splits[i - 1], " to ",
                                                     splits[i], "); pass row splits in order."));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadRagged(const Tensor& ids, const Tensor& row_splits, CombinedIds* all, FeatureIds* feature) {
  if (ids.dims() != 1 || row_splits.dims() != 1) {
    return absl::InvalidArgumentError(absl::StrCat("ids have shape ", ids.shape().DebugString(), " and row_splits ",
                                                   row_splits.shape().DebugString(), "; both must be vectors."));
  }
  const int64_t* splits;
  if (row_splits.dtype() == ::tensorflow::DT_INT64) {
    splits = row_splits.flat<int64_t>().data();
  } else {
    const auto narrow = row_splits.flat<int32_t>();
    all->wide_splits.emplace_back(narrow.data(), narrow.data() + narrow.size());
    splits = all->wide_splits.back().data();
  }
  *feature = {ids.flat<int64_t>().data(), row_splits.dim_size(0) - 1, splits, 1};
  return CheckSplits(splits, row_splits.dim_size(0), ids.NumElements());
}

// Of an output for a batch.
TensorShape CombinedShape(const CombineOutput& output, int64_t batch) {
  if (output.length > 0) return TensorShape({batch, output.length, output.width});
  return TensorShape({batch, output.width});
}

}  // namespace

absl::Status ReadCombinePlan(OpKernelConstruction* ctx, std::unique_ptr<CombinePlan>* plan) {
  return Named(std::string(ctx->def().op()), ReadPlan(ctx, plan));
}

absl::Status ReadCombinedIds(OpKernelContext* ctx, const CombinePlan& plan, CombinedIds* all) {
  OpInputList ids, row_splits;
  TF_RETURN_IF_ERROR(ctx->input_list("ids", &ids));
  TF_RETURN_IF_ERROR(ctx->input_list("row_splits", &row_splits));
  all->features.resize(plan.num_features());
  all->wide_splits.reserve(plan.num_features());
  for (int f = 0; f < plan.num_features(); ++f) {
    const std::string who = absl::StrCat(ctx->op_kernel().type_string(), ": feature ", f);
    FeatureIds* feature = &all->features[f];
    TF_RETURN_IF_ERROR(Named(who, row_splits[f].NumElements() == 0 ? ReadDense(ids[f], feature)
                                                                   : ReadRagged(ids[f], row_splits[f], all, feature)));
    all->num_fids += feature->num_fids();
    if (f == 0) all->batch = feature->batch;
    if (feature->batch != all->batch) {
      return absl::InvalidArgumentError(absl::StrCat(who, " has ", feature->batch, " rows, but feature 0 has ",
                                                     all->batch, "; all features of a call have the same batch."));
    }
  }
  if (all->num_fids > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(absl::StrCat(ctx->op_kernel().type_string(), ": ", all->num_fids,
                                                   " fids in one call; pass fewer than 2^31, in several calls."));
  }
  return absl::OkStatus();
}

absl::Status AllocateCombinedOutputs(OpKernelContext* ctx, const CombinePlan& plan, int64_t batch,
                                     std::vector<float*>* outputs) {
  for (size_t o = 0; o < plan.outputs().size(); ++o) {
    Tensor* output;
    TF_RETURN_IF_ERROR(ctx->allocate_output(o, CombinedShape(plan.outputs()[o], batch), &output));
    outputs->push_back(output->flat<float>().data());
  }
  return absl::OkStatus();
}

std::vector<CombinedUnit> DivideRows(const CombinedIds& ids) {
  std::vector<CombinedUnit> units;
  for (size_t f = 0; f < ids.features.size() && ids.batch > 0; ++f) {
    const int64_t parts = std::clamp<int64_t>(ids.features[f].num_fids() / kIdsPerUnit, 1, kMostUnits);
    for (int64_t part = 0; part < parts; ++part) {
      units.push_back({static_cast<int>(f), ids.batch * part / parts, ids.batch * (part + 1) / parts});
    }
  }
  return units;
}

absl::Status ReadOutputGradients(OpKernelContext* ctx, const CombinePlan& plan, int64_t batch,
                                 std::vector<const float*>* gradients) {
  OpInputList inputs;
  TF_RETURN_IF_ERROR(ctx->input_list("output_gradients", &inputs));
  for (int o = 0; o < inputs.size(); ++o) {
    const TensorShape expected = CombinedShape(plan.outputs()[o], batch);
    if (inputs[o].shape() != expected) {
      return absl::InvalidArgumentError(absl::StrCat(ctx->op_kernel().type_string(), ": the gradient of output ", o,
                                                     " has shape ", inputs[o].shape().DebugString(),
                                                     ", but the output has ", expected.DebugString(),
                                                     "; pass one float for each of it."));
    }
    gradients->push_back(inputs[o].flat<float>().data());
  }
  return absl::OkStatus();
}

}  // namespace monolith
