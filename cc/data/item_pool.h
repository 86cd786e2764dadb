// SPDX-License-Identifier: Apache-2.0
// Items that samples have shown, to draw negatives from: a queue of distinct items for every channel.
#ifndef CC_DATA_ITEM_POOL_H_
#define CC_DATA_ITEM_POOL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "cc/data/record_step.h"

namespace monolith {
namespace data {

// The side of a sample that describes its item.
struct ItemFeatures {
  std::vector<uint64_t> fids;        // of an Instance
  std::vector<std::string> columns;  // of an Example: serialized NamedFeatures
};

// Safe for threads.
class ItemPool {
 public:
  // Draws begin when a channel has more than `start_num` items; it keeps the `most_items` that came last. Throws DataError
  // (kInvalidArgument) for start_num < 0 or most_items < 1.
  ItemPool(int64_t start_num, int64_t most_items);

  struct Drawn {
    int64_t gid = 0;
    std::shared_ptr<const ItemFeatures> features;
    int64_t index = 0;  // in the queue, the oldest is 0
    int64_t size = 0;   // of the queue
    int64_t times = 0;  // that the item was drawn, this one included
  };

  // An item that is there keeps its place in the queue, and has the new features from now on.
  void Push(int64_t channel, int64_t gid, std::shared_ptr<const ItemFeatures> features);
  // An item by chance, each as likely as the other. False where the channel has too few.
  bool Draw(int64_t channel, UniformSource* uniform, Drawn* drawn);
  // A channel by chance, as likely as it has items. False where there is none.
  bool DrawChannel(UniformSource* uniform, int64_t* channel);

  // Serialized ChannelCaches of the channels whose number modulo `num_shards` is the index in the result.
  std::vector<std::vector<std::string>> Save(int64_t num_shards) const;

  // Takes the place of the pool's content when it is complete.
  class Restored;
  // Reads one ChannelCache; throws DataError (kDataLoss) for bytes that are none.
  void Read(std::string_view channel_cache, Restored* restored) const;
  void Finish(Restored* restored);

  // For tests: whether both hold the same items in the same order with the same counts.
  bool Equals(const ItemPool& other) const;

 private:
  struct Item {
    int64_t gid = 0;
    std::shared_ptr<const ItemFeatures> features;
    int64_t pushed = 0, drawn = 0;
  };
  struct Channel {
    std::vector<Item> items;                     // a ring when it is full
    size_t oldest = 0;                           // where the ring begins
    std::unordered_map<int64_t, size_t> places;  // of gids in items
    Item& At(size_t i) { return items[(oldest + i) % items.size()]; }
    const Item& At(size_t i) const { return items[(oldest + i) % items.size()]; }
  };
  using Channels = std::map<int64_t, Channel>;

  void Add(Channel* channel, Item item) const;
  static std::string Serialize(int64_t id, const Channel& channel);
  static Item ReadItem(std::string_view bytes);

  const int64_t start_num_;
  const size_t most_items_;
  mutable std::mutex mu_;
  Channels channels_;  // guarded by mu_
};

class ItemPool::Restored {
 private:
  friend class ItemPool;
  Channels channels_;
};

}  // namespace data
}  // namespace monolith

#endif  // CC_DATA_ITEM_POOL_H_
