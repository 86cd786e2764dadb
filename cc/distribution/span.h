// SPDX-License-Identifier: Apache-2.0
// A view of consecutive values, and the way the functions of this folder report a caller's mistake.
#ifndef MONOLITH_CC_DISTRIBUTION_SPAN_H_
#define MONOLITH_CC_DISTRIBUTION_SPAN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace monolith::distribution {

// Empty when all went well; otherwise one sentence for the caller.
using Error = std::optional<std::string>;

// Does not own what it points to.
template <typename T>
struct Span {
  T* data = nullptr;
  int64_t size = 0;

  Span() = default;
  Span(T* data, int64_t size) : data(data), size(size) {}
  // A view that cannot write is made from one that can, and from a vector.
  template <typename U>
  Span(const Span<U>& other) : data(other.data), size(other.size) {}
  Span(const std::vector<std::remove_const_t<T>>& v) : data(v.data()), size(v.size()) {}

  T& operator[](int64_t i) const { return data[i]; }
  T* begin() const { return data; }
  T* end() const { return data + size; }
};

// Row splits must start at 0, never fall, and end at `num_values`. `what` names the tensor.
Error CheckSplits(const char* what, Span<const int64_t> splits, int64_t num_values);

// Every index must lie in [0, limit). `what` names the tensor, `remedy` ends the sentence.
Error CheckIndices(const char* what, Span<const int64_t> indices, int64_t limit, const std::string& remedy);

}  // namespace monolith::distribution

#endif  // MONOLITH_CC_DISTRIBUTION_SPAN_H_
