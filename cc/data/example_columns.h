// SPDX-License-Identifier: Apache-2.0
// The columns of an Example, one after another.
#ifndef CC_DATA_EXAMPLE_COLUMNS_H_
#define CC_DATA_EXAMPLE_COLUMNS_H_

#include <string_view>

#include "cc/data/feature_view.h"

namespace monolith {
namespace data {

struct NamedFeatureView {
  std::string_view name;
  FeatureView feature;
};

// Reads a NamedFeature, the value of field 1 of an Example.
inline NamedFeatureView ReadNamedFeature(std::string_view bytes, Pieces* pieces) {
  NamedFeatureView named;
  ProtoReader reader(bytes);
  while (const uint32_t tag = reader.Tag()) {
    if (tag == MakeTag(1, kBytes)) {
      named.name = reader.Bytes();
    } else if (tag == MakeTag(2, kBytes)) {
      named.feature.Merge(reader.Bytes(), pieces);
    } else {
      reader.Skip(tag);
    }
  }
  return named;
}

// The column of that name, the last if there are several; of kind kNoKind if there is none.
inline FeatureView FindColumn(std::string_view example, std::string_view name, Pieces* pieces) {
  FeatureView found;
  ForEachBytes(example, 1, [&](std::string_view bytes) {
    const NamedFeatureView named = ReadNamedFeature(bytes, pieces);
    if (named.name == name) found = named.feature;
  });
  return found;
}

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_EXAMPLE_COLUMNS_H_
