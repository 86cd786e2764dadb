// SPDX-License-Identifier: Apache-2.0
#include "cc/hash_table/combine_plan.h"

#include <algorithm>
#include <string>

namespace monolith {
namespace {

[[noreturn]] void Refuse(const std::string& message) { throw TableError(message); }

std::string Number(int64_t n) { return std::to_string(n); }

void CheckFeature(const CombineFeature& feature, int64_t i) {
  const std::string who = "feature " + Number(i);
  if (feature.table < 0) Refuse(who + ": table is " + Number(feature.table) + "; give the number of a table.");
  if (feature.combiner == Combiner::kFirstN && feature.max_seq_length < 1) {
    Refuse(who + ": max_seq_length is " + Number(feature.max_seq_length) + "; first_n needs at least 1 position.");
  }
  if (feature.combiner != Combiner::kFirstN && feature.max_seq_length != 0) {
    Refuse(who + ": max_seq_length is " + Number(feature.max_seq_length) + "; it must be 0 where fids are pooled.");
  }
}

}  // namespace

int64_t FidsPerBatch(int dim) {
  constexpr int64_t kFloats = 16 * 1024, kLeast = 16, kMost = 256;
  return std::clamp<int64_t>(kFloats / dim, kLeast, kMost);
}

CombinePlan::CombinePlan(const std::vector<CombineFeature>& features, const std::vector<CombineSlice>& slices,
                         const std::vector<CombineOutput>& outputs)
    : outputs_(outputs) {
  if (features.empty()) Refuse("there are no features; give at least one.");
  for (size_t i = 0; i < features.size(); ++i) {
    CheckFeature(features[i], i);
    uses_.push_back({features[i], {}, std::max<int64_t>(1, features[i].max_seq_length)});
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].width < 1 || outputs[i].length < 0) {
      Refuse("output " + Number(i) + ": width is " + Number(outputs[i].width) + " and length " +
             Number(outputs[i].length) + "; the width must be at least 1 and the length not negative.");
    }
  }
  for (const CombineSlice& slice : slices) AddSlice(slice);
  CheckColumns(slices);
}

void CombinePlan::AddSlice(const CombineSlice& slice) {
  const int64_t num_features = uses_.size(), num_outputs = outputs_.size();
  if (slice.feature < 0 || slice.feature >= num_features) {
    Refuse("a slice is of feature " + Number(slice.feature) + ", but there are " + Number(num_features) +
           "; count them from 0.");
  }
  const std::string who = "a slice of feature " + Number(slice.feature);
  if (slice.output < 0 || slice.output >= num_outputs) {
    Refuse(who + " goes to output " + Number(slice.output) + ", but there are " + Number(num_outputs) +
           "; count them from 0.");
  }
  const CombineOutput& output = outputs_[slice.output];
  if (slice.begin < 0 || slice.dim < 1) {
    Refuse(who + " begins at " + Number(slice.begin) + " with dim " + Number(slice.dim) +
           "; it must begin at 0 or later and have at least 1 float.");
  }
  if (slice.column < 0 || slice.dim > output.width || slice.column > output.width - slice.dim) {
    Refuse(who + " takes " + Number(slice.dim) + " columns from " + Number(slice.column) + " on, but output " +
           Number(slice.output) + " is " + Number(output.width) + " wide; make it wider or move the slice.");
  }
  Use& use = uses_[slice.feature];
  if (use.feature.max_seq_length != output.length) {
    Refuse(who + ", with max_seq_length " + Number(use.feature.max_seq_length) + ", goes to output " +
           Number(slice.output) + " of length " + Number(output.length) + "; the two must be equal.");
  }
  use.slices.push_back(slice);
}

void CombinePlan::CheckColumns(const std::vector<CombineSlice>& slices) const {
  std::vector<CombineSlice> sorted = slices;
  std::stable_sort(sorted.begin(), sorted.end(), [](const CombineSlice& a, const CombineSlice& b) {
    return a.output != b.output ? a.output < b.output : a.column < b.column;
  });
  auto slice = sorted.begin();
  for (size_t o = 0; o < outputs_.size(); ++o) {
    int64_t filled = 0;
    for (; slice != sorted.end() && slice->output == static_cast<int64_t>(o) && slice->column <= filled; ++slice) {
      if (slice->column < filled) {
        Refuse("output " + Number(o) + ": column " + Number(slice->column) +
               " belongs to two slices; give every slice columns of its own.");
      }
      filled += slice->dim;
    }
    if (filled < outputs_[o].width) {
      Refuse("output " + Number(o) + ": column " + Number(filled) + " of " + Number(outputs_[o].width) +
             " belongs to no slice; fill it or make the output narrower.");
    }
  }
}

void CombinePlan::CheckTables(const MultiTable& tables) const {
  std::vector<int64_t> dims;
  for (int t = 0; t < tables.num_tables(); ++t) dims.push_back(tables.table(t).dim());
  CheckDims(dims, [&](int table) { return "'" + tables.name(table) + "'"; });
}

void CombinePlan::CheckTables(const std::vector<int64_t>& dims) const {
  CheckDims(dims, [](int table) { return Number(table); });
}

void CombinePlan::CheckDims(const std::vector<int64_t>& dims, const std::function<std::string(int)>& name_of) const {
  const int64_t num_tables = dims.size();
  for (int f = 0; f < num_features(); ++f) {
    const int64_t table = uses_[f].feature.table;
    if (table >= num_tables) {
      Refuse("feature " + Number(f) + " reads table " + Number(table) + ", but there are " + Number(num_tables) +
             "; count them from 0.");
    }
    for (const CombineSlice& slice : uses_[f].slices) {
      if (slice.dim > dims[table] || slice.begin > dims[table] - slice.dim) {
        Refuse("feature " + Number(f) + " uses columns " + Number(slice.begin) + " to " +
               Number(slice.begin + slice.dim) + ", but table " + name_of(static_cast<int>(table)) + " has dim " +
               Number(dims[table]) + "; make the slice narrower.");
      }
    }
  }
}

std::vector<int> CombinePlan::FeaturesOf(int table) const {
  std::vector<int> features;
  for (int f = 0; f < num_features(); ++f) {
    if (uses_[f].feature.table == table) features.push_back(f);
  }
  return features;
}

}  // namespace monolith
