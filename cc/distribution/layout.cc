// SPDX-License-Identifier: Apache-2.0
#include "cc/distribution/layout.h"

#include <algorithm>
#include <string>

#include "cc/data/data_error.h"
#include "cc/distribution/shard_fids.h"

namespace monolith::distribution {
namespace {

[[noreturn]] void Refuse(const std::string& message) { throw DataError(DataError::Code::kInvalidArgument, message); }

uint32_t ListOf(uint64_t offset) { return static_cast<uint32_t>(offset >> 32); }
uint32_t FloatOf(uint64_t offset) { return static_cast<uint32_t>(offset); }

// The fids of one row of a feature.
class RowFids {
 public:
  RowFids(const LayoutInputs& inputs, int feature)
      : inputs_(inputs),
        first_(inputs.nfl_offset[feature] & ~kSharedBit),
        shared_((inputs.nfl_offset[feature] & kSharedBit) != 0) {}

  Span<const uint64_t> operator()(int64_t row) const {
    const int64_t place = first_ + (shared_ ? 0 : row);
    const int64_t begin = inputs_.feature_offset[place], end = inputs_.feature_offset[place + 1];
    return {inputs_.fid_offset.data + begin, end - begin};
  }

 private:
  const LayoutInputs& inputs_;
  const int64_t first_;
  const bool shared_;
};

// Where the columns of one slice lie in a tensor: row r and position p at `base + r * row + p * position`.
struct Place {
  int64_t base, row, position;
};

Place PlaceOf(const LayoutTensor& tensor, size_t slice) {
  const int64_t positions = std::max<int64_t>(1, tensor.length), width = tensor.width();
  if (tensor.type == OutType::kStack) {
    const int64_t one = positions * width;
    return {static_cast<int64_t>(slice) * one, static_cast<int64_t>(tensor.slices.size()) * one, width};
  }
  int64_t column = 0;
  if (tensor.type == OutType::kConcat) {
    for (size_t i = 0; i < slice; ++i) column += tensor.slices[i].dim();
  }
  return {column, positions * width, width};
}

void AddTo(const float* from, int64_t n, float factor, float* to) {
  for (int64_t i = 0; i < n; ++i) to[i] += from[i] * factor;
}

float FactorOf(const LayoutFeature& feature, int64_t count) {
  return feature.pooling == Pooling::kMean && count > 0 ? 1.0f / static_cast<float>(count) : 1.0f;
}

void FillSlice(const LayoutFeature& feature, const LayoutSlice& slice, const LayoutInputs& inputs, const Place& place,
               int64_t first, int64_t last, float* out) {
  const RowFids fids_of(inputs, slice.feature);
  for (int64_t row = first; row < last; ++row) {
    const Span<const uint64_t> fids = fids_of(row);
    float* to = out + place.base + row * place.row;
    const bool sequence = feature.length > 0;
    const int64_t count = sequence ? std::min(fids.size, feature.length) : fids.size;
    const float factor = FactorOf(feature, fids.size);
    for (int64_t i = 0; i < count; ++i) {
      const float* from = inputs.embeddings[ListOf(fids[i])].data + FloatOf(fids[i]) + slice.start;
      AddTo(from, slice.dim(), factor, to + (sequence ? i * place.position : 0));
    }
  }
}

void CheckRows(const LayoutFeature& feature, int number, const LayoutInputs& inputs) {
  const uint32_t nfl = inputs.nfl_offset[number];
  const int64_t places = (nfl & kSharedBit) != 0 ? 1 : inputs.batch;
  const int64_t first = nfl & ~kSharedBit;
  if (first + places >= inputs.feature_offset.size) {
    Refuse("nfl_offset of feature '" + feature.name + "' is " + std::to_string(first) + ", with " +
           std::to_string(places) + " rows, but feature_offset has " + std::to_string(inputs.feature_offset.size) +
           " elements.");
  }
}

void CheckFids(const LayoutFeature& feature, int number, const LayoutInputs& inputs) {
  const uint32_t nfl = inputs.nfl_offset[number];
  const int64_t places = (nfl & kSharedBit) != 0 ? 1 : inputs.batch;
  const int64_t first = nfl & ~kSharedBit;
  const int64_t begin = inputs.feature_offset[first], end = inputs.feature_offset[first + places];
  for (int64_t i = begin; i < end; ++i) {
    const uint32_t list = ListOf(inputs.fid_offset[i]);
    if (list >= inputs.embeddings.size() ||
        FloatOf(inputs.fid_offset[i]) + feature.width > inputs.embeddings[list].size) {
      Refuse("fid_offset[" + std::to_string(i) + "] of feature '" + feature.name + "' points to float " +
             std::to_string(FloatOf(inputs.fid_offset[i])) + " of list " + std::to_string(list) +
             ", which is beyond the embeddings; pass those of the same batch.");
    }
  }
}

// The squares of one feature's gradients, row by row or position by position.
class RowSquares {
 public:
  RowSquares(const LayoutConfig& config, int feature, const std::vector<const float*>& tensor_gradients) {
    for (size_t t = 0; t < config.tensors.size(); ++t) {
      for (size_t s = 0; s < config.tensors[t].slices.size(); ++s) {
        const LayoutSlice& slice = config.tensors[t].slices[s];
        if (slice.feature == feature) {
          uses_.push_back({tensor_gradients[t], PlaceOf(config.tensors[t], s), slice.start, slice.dim()});
        }
      }
    }
    std::sort(uses_.begin(), uses_.end(), [](const Use& a, const Use& b) { return a.start < b.start; });
    for (size_t i = 1; i < uses_.size(); ++i) overlap_ |= uses_[i].start < uses_[i - 1].start + uses_[i - 1].dim;
    if (overlap_) sum_.resize(config.features[feature].width);
  }

  double operator()(int64_t row, int64_t position) {
    if (overlap_) return OfSum(row, position);
    double squares = 0;
    for (const Use& use : uses_) squares += Squares(use.At(row, position), use.dim);
    return squares;
  }

 private:
  struct Use {
    const float* At(int64_t row, int64_t position) const {
      return gradient + place.base + row * place.row + position * place.position;
    }
    const float* gradient;
    Place place;
    int64_t start, dim;
  };

  static double Squares(const float* at, int64_t n) {
    float sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += at[i] * at[i];
    return sum;
  }

  // Columns that go to several tensors have the sum of their gradients.
  double OfSum(int64_t row, int64_t position) {
    std::fill(sum_.begin(), sum_.end(), 0.0f);
    for (const Use& use : uses_) AddTo(use.At(row, position), use.dim, 1.0f, sum_.data() + use.start);
    return Squares(sum_.data(), static_cast<int64_t>(sum_.size()));
  }

  std::vector<Use> uses_;
  bool overlap_ = false;
  std::vector<float> sum_;
};

}  // namespace

void CheckLayoutRows(const LayoutConfig& config, const LayoutInputs& inputs) {
  if (inputs.nfl_offset.size != static_cast<int64_t>(config.features.size()) + 1) {
    Refuse("nfl_offset has " + std::to_string(inputs.nfl_offset.size) + " elements for " +
           std::to_string(config.features.size()) + " features; it has one more than there are features.");
  }
  for (int64_t i = 0; i < inputs.feature_offset.size; ++i) {
    const int64_t least = i == 0 ? 0 : inputs.feature_offset[i - 1];
    if (inputs.feature_offset[i] < least || inputs.feature_offset[i] > inputs.fid_offset.size) {
      Refuse("feature_offset[" + std::to_string(i) + "] is " + std::to_string(inputs.feature_offset[i]) +
             "; offsets grow from 0 to the " + std::to_string(inputs.fid_offset.size) + " fids.");
    }
  }
  for (size_t f = 0; f < config.features.size(); ++f) CheckRows(config.features[f], static_cast<int>(f), inputs);
}

void CheckLayoutInputs(const LayoutConfig& config, const LayoutInputs& inputs) {
  CheckLayoutRows(config, inputs);
  for (size_t f = 0; f < config.features.size(); ++f) CheckFids(config.features[f], static_cast<int>(f), inputs);
}

void FillLayout(const LayoutConfig& config, const LayoutTensor& tensor, const LayoutInputs& inputs, int64_t first,
                int64_t last, float* out) {
  int64_t floats = 1;
  for (const int64_t size : tensor.shape(1)) floats *= size;
  std::fill(out + first * floats, out + last * floats, 0.0f);
  for (size_t s = 0; s < tensor.slices.size(); ++s) {
    const LayoutSlice& slice = tensor.slices[s];
    FillSlice(config.features[slice.feature], slice, inputs, PlaceOf(tensor, s), first, last, out);
  }
}

void AddLayoutGradients(const LayoutConfig& config, int number, const LayoutInputs& inputs,
                        const std::vector<const float*>& tensor_gradients, float scale,
                        const std::vector<float*>& gradients) {
  const LayoutFeature& feature = config.features[number];
  const RowFids fids_of(inputs, number);
  for (size_t t = 0; t < config.tensors.size(); ++t) {
    const LayoutTensor& tensor = config.tensors[t];
    for (size_t s = 0; s < tensor.slices.size(); ++s) {
      const LayoutSlice& slice = tensor.slices[s];
      if (slice.feature != number) continue;
      const Place place = PlaceOf(tensor, s);
      for (int64_t row = 0; row < inputs.batch; ++row) {
        const Span<const uint64_t> fids = fids_of(row);
        const bool sequence = feature.length > 0;
        const int64_t count = sequence ? std::min(fids.size, feature.length) : fids.size;
        const float factor = scale * FactorOf(feature, fids.size);
        const float* from = tensor_gradients[t] + place.base + row * place.row;
        for (int64_t i = 0; i < count; ++i) {
          float* to = gradients[ListOf(fids[i])] + FloatOf(fids[i]) + slice.start;
          AddTo(from + (sequence ? i * place.position : 0), slice.dim(), factor, to);
        }
      }
    }
  }
}

double LayoutGradientSquares(const LayoutConfig& config, int number, const LayoutInputs& inputs,
                             const std::vector<const float*>& tensor_gradients, int64_t first, int64_t last) {
  const LayoutFeature& feature = config.features[number];
  const RowFids fids_of(inputs, number);
  RowSquares squares_of(config, number, tensor_gradients);
  double squares = 0;
  for (int64_t row = first; row < last; ++row) {
    const int64_t count = fids_of(row).size;
    if (feature.length > 0) {
      for (int64_t i = 0; i < std::min(count, feature.length); ++i) squares += squares_of(row, i);
    } else if (count > 0) {
      // Each of `count` fids has the row's gradient, of a mean divided by their number.
      const double times = feature.pooling == Pooling::kMean ? 1.0 / count : static_cast<double>(count);
      squares += times * squares_of(row, 0);
    }
  }
  return squares;
}

}  // namespace monolith::distribution
