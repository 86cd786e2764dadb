// SPDX-License-Identifier: Apache-2.0
#include "cc/distribution/reduce.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace monolith::distribution {
namespace {

std::vector<int64_t> CountRows(Span<const int64_t> rows, int64_t num_rows) {
  std::vector<int64_t> counts(num_rows, 0);
  for (int64_t row : rows) ++counts[row];
  return counts;
}

}  // namespace

void ReduceRows(Reduction reduction, Span<const int64_t> rows, const float* values, int64_t dim, int64_t num_rows,
                float* output) {
  std::fill(output, output + num_rows * dim, 0.0f);
  const bool squared = reduction == Reduction::kSquareNorm;
  for (int64_t i = 0; i < rows.size; ++i) {
    const float* value = values + i * dim;
    float* out = output + rows[i] * dim;
    for (int64_t d = 0; d < dim; ++d) out[d] += squared ? value[d] * value[d] : value[d];
  }
  if (reduction == Reduction::kMean) {
    const std::vector<int64_t> counts = CountRows(rows, num_rows);
    for (int64_t row = 0; row < num_rows; ++row) {
      const float count = static_cast<float>(std::max<int64_t>(counts[row], 1));
      for (int64_t d = 0; d < dim; ++d) output[row * dim + d] /= count;
    }
  } else if (squared) {
    std::transform(output, output + num_rows * dim, output, [](float x) { return std::sqrt(x); });
  }
}

void ReduceRowsGradient(Reduction reduction, Span<const int64_t> rows, const float* values, const float* grads,
                        int64_t dim, int64_t num_rows, float* output) {
  if (reduction == Reduction::kSquareNorm) {
    std::vector<float> norms(num_rows * dim);
    ReduceRows(reduction, rows, values, dim, num_rows, norms.data());
    for (int64_t i = 0; i < rows.size; ++i) {
      for (int64_t d = 0; d < dim; ++d) {
        const float norm = norms[rows[i] * dim + d];
        output[i * dim + d] = norm == 0.0f ? 0.0f : grads[rows[i] * dim + d] * values[i * dim + d] / norm;
      }
    }
    return;
  }
  const std::vector<int64_t> counts =
      reduction == Reduction::kMean ? CountRows(rows, num_rows) : std::vector<int64_t>(num_rows, 1);
  for (int64_t i = 0; i < rows.size; ++i) {
    const float count = static_cast<float>(counts[rows[i]]);
    for (int64_t d = 0; d < dim; ++d) output[i * dim + d] = grads[rows[i] * dim + d] / count;
  }
}

void SumAndSplit(Span<const int64_t> rows, const float* values, Span<const int64_t> dims, int64_t num_rows,
                 const std::vector<float*>& outputs) {
  for (int64_t k = 0; k < dims.size; ++k) {
    std::fill(outputs[k], outputs[k] + num_rows * dims[k], 0.0f);
  }
  const float* value = values;
  for (int64_t row : rows) {
    for (int64_t k = 0; k < dims.size; ++k) {
      float* out = outputs[k] + row * dims[k];
      for (int64_t d = 0; d < dims[k]; ++d) out[d] += value[d];
      value += dims[k];
    }
  }
}

void SumAndSplitGradient(Span<const int64_t> rows, const std::vector<const float*>& grads, Span<const int64_t> dims,
                         float* output) {
  for (int64_t row : rows) {
    for (int64_t k = 0; k < dims.size; ++k) {
      std::memcpy(output, grads[k] + row * dims[k], dims[k] * sizeof(float));
      output += dims[k];
    }
  }
}

}  // namespace monolith::distribution
