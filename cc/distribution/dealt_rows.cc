// SPDX-License-Identifier: Apache-2.0
#include "cc/distribution/dealt_rows.h"

#include <algorithm>
#include <string>

#include "cc/data/data_error.h"
#include "cc/hash_table/combine_columns.h"

namespace monolith::distribution {
namespace {

constexpr int64_t kAhead = 16;  // rows of outputs that are prefetched

// The rows of one part of a table: of every server a range.
class Part {
 public:
  Part(const TableRows<float>& rows, int part, int num_parts) : rows_(rows) {
    for (const auto& server : rows.servers()) {
      begins_.push_back(server.rows * part / num_parts);
      ends_.push_back(server.rows * (part + 1) / num_parts);
    }
  }

  void Zero() const {
    for (size_t s = 0; s < begins_.size(); ++s) {
      float* const first = rows_.servers()[s].first;
      std::fill(first + begins_[s] * rows_.dim(), first + ends_[s] * rows_.dim(), 0.0f);
    }
  }

  // The row at a place, or null if it is another part's.
  float* Find(int64_t place) const {
    const auto& run = rows_.RunOf(place);
    const int64_t server = ServerOf(place), number = NumberOf(place);
    return number >= begins_[server] && number < ends_[server] ? run.first + number * rows_.dim() : nullptr;
  }

 private:
  const TableRows<float>& rows_;
  std::vector<int64_t> begins_, ends_;
};

void AddFeature(const CombinePlan::Use& use, const ColumnReader& reader, const Part& part, const FeatureIds& ids,
                const int64_t* places) {
  const bool sequence = use.feature.combiner == Combiner::kFirstN;
  for (int64_t row = 0; row < ids.batch; ++row) {
    const int64_t begin = ids.Begin(row), count = ids.Begin(row + 1) - begin;
    const float divisor = use.feature.combiner == Combiner::kMean ? static_cast<float>(count) : 1.0f;
    if (row + kAhead < ids.batch) reader.Prefetch({(row + kAhead) * use.lines, 1.0f});
    for (int64_t i = 0; i < count; ++i) {
      float* const gradient = part.Find(places[begin + i]);
      if (gradient == nullptr) continue;
      const int64_t line = !sequence ? row : i < use.lines ? row * use.lines + i : kNoLine;
      reader.Add({line, divisor}, gradient);
    }
  }
}

}  // namespace

void RefusePlace(int64_t place) {
  throw DataError(DataError::Code::kInvalidArgument,
                  "places point to row " + std::to_string(NumberOf(place)) + " of server " +
                      std::to_string(ServerOf(place)) +
                      ", which is beyond its rows of the table; pass places and fids of one MonolithDealFids.");
}

int64_t NumFloats(const std::vector<int64_t>& dims, Span<const int64_t> message) {
  int64_t floats = 0;
  for (size_t t = 0; t < dims.size(); ++t) floats += (message[t + 1] - message[t]) * dims[t];
  return floats;
}

template <typename Float>
std::vector<TableRows<Float>> FindRows(const std::vector<int64_t>& dims,
                                       const std::vector<Span<const int64_t>>& messages,
                                       const std::vector<Span<Float>>& buffers) {
  std::vector<Float*> next;
  for (size_t s = 0; s < messages.size(); ++s) {
    CheckMessage(messages[s], static_cast<int>(dims.size()), static_cast<int>(s));
    const int64_t floats = NumFloats(dims, messages[s]);
    if (buffers[s].size != floats) {
      throw DataError(DataError::Code::kInvalidArgument,
                      "the rows of server " + std::to_string(s) + " have " + std::to_string(buffers[s].size) +
                          " floats, but its fids need " + std::to_string(floats) + "; pass what it found of them.");
    }
    next.push_back(buffers[s].data);
  }
  std::vector<TableRows<Float>> tables;
  for (size_t t = 0; t < dims.size(); ++t) {
    std::vector<typename TableRows<Float>::Run> runs;
    for (size_t s = 0; s < messages.size(); ++s) {
      const int64_t rows = messages[s][t + 1] - messages[s][t];
      runs.push_back({next[s], rows});
      next[s] += rows * dims[t];
    }
    tables.emplace_back(dims[t], std::move(runs));
  }
  return tables;
}

template std::vector<TableRows<float>> FindRows(const std::vector<int64_t>&, const std::vector<Span<const int64_t>>&,
                                                const std::vector<Span<float>>&);
template std::vector<TableRows<const float>> FindRows(const std::vector<int64_t>&,
                                                      const std::vector<Span<const int64_t>>&,
                                                      const std::vector<Span<const float>>&);

void CombineDealt(const CombinePlan& plan, int feature, const TableRows<const float>& rows, const FeatureIds& ids,
                  const int64_t* places, int64_t first_row, int64_t last_row, float* const* outputs) {
  const CombinePlan::Use& use = plan.use(feature);
  const ColumnWriter columns(plan, use, outputs);
  const bool sequence = use.feature.combiner == Combiner::kFirstN;
  for (int64_t row = first_row; row < last_row; ++row) {
    const int64_t begin = ids.Begin(row), count = ids.Begin(row + 1) - begin;
    const int64_t line = row * use.lines;
    if (row + kAhead < last_row) columns.Prefetch(line + kAhead * use.lines);
    if (sequence) {
      const int64_t kept = std::min(count, use.lines);
      for (int64_t i = 0; i < kept; ++i) columns.Set(line + i, rows.At(places[begin + i]));
      for (int64_t i = kept; i < use.lines; ++i) columns.Zero(line + i);
      continue;
    }
    if (count == 0) columns.Zero(line);
    for (int64_t i = 0; i < count; ++i) {
      const float* const embedding = rows.At(places[begin + i]);
      i == 0 ? columns.Set(line, embedding) : columns.Add(line, embedding);
    }
    if (use.feature.combiner == Combiner::kMean && count > 1) columns.Divide(line, static_cast<float>(count));
  }
}

void SumDealtGradients(const CombinePlan& plan, const std::vector<int>& features, const TableRows<float>& rows,
                       const std::vector<FeatureIds>& ids, const std::vector<const int64_t*>& places,
                       const float* const* gradients, int part, int num_parts) {
  const Part own(rows, part, num_parts);
  own.Zero();
  for (const int feature : features) {
    const CombinePlan::Use& use = plan.use(feature);
    const ColumnReader reader(plan, use, gradients, static_cast<int>(rows.dim()));
    AddFeature(use, reader, own, ids[feature], places[feature]);
  }
}

}  // namespace monolith::distribution
