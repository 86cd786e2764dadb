// SPDX-License-Identifier: Apache-2.0
#include "cc/data/feature_view.h"

namespace monolith {
namespace data {

const char* NameOf(FeatureKind kind) {
  static const char* const names[] = {"nothing",     "fid_v1_list", "fid_v2_list",  "float_list",  "double_list",
                                      "int64_list",  "bytes_list",  "fid_v2_lists", "float_lists", "double_lists",
                                      "int64_lists", "bytes_lists", "int64_value",  "float_value", "double_value",
                                      "bytes_value", "fid_v1_lists"};
  return kind <= kFidV1Lists ? names[kind] : "an unknown kind";
}

}  // namespace data
}  // namespace monolith
