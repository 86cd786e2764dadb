// SPDX-License-Identifier: Apache-2.0
#include "cc/data/item_pool.h"

#include <algorithm>
#include <utility>

#include "cc/data/config_text.h"
#include "cc/data/data_error.h"
#include "cc/data/feature_view.h"
#include "cc/data/message_check.h"
#include "cc/data/proto_writer.h"

namespace monolith {
namespace data {
namespace {

// Field numbers of ChannelCache and of FeatureData.
enum Cache : uint32_t { kChannelId = 1, kItems = 2 };
enum Feature : uint32_t { kGid = 1, kFids = 2, kColumns = 3, kPushed = 4, kDrawn = 5 };

}  // namespace

ItemPool::ItemPool(int64_t start_num, int64_t most_items)
    : start_num_(start_num), most_items_(static_cast<size_t>(most_items)) {
  if (start_num < 0) ThrowBadSetting("start_num is " + std::to_string(start_num) + "; it must be at least 0.");
  if (most_items < 1) {
    ThrowBadSetting("max_item_num_per_channel is " + std::to_string(most_items) + "; it must be at least 1.");
  }
}

void ItemPool::Push(int64_t channel, int64_t gid, std::shared_ptr<const ItemFeatures> features) {
  std::lock_guard<std::mutex> lock(mu_);
  Channel& queue = channels_[channel];
  const auto it = queue.places.find(gid);
  if (it == queue.places.end()) return Add(&queue, {gid, std::move(features), 1, 0});
  Item& item = queue.items[it->second];
  item.features = std::move(features);
  ++item.pushed;
}

void ItemPool::Add(Channel* channel, Item item) const {
  const int64_t gid = item.gid;
  if (channel->items.size() < most_items_) {
    channel->places[gid] = channel->items.size();
    channel->items.push_back(std::move(item));
    return;
  }
  Item& place = channel->items[channel->oldest];
  channel->places.erase(place.gid);
  channel->places[gid] = channel->oldest;
  place = std::move(item);
  channel->oldest = (channel->oldest + 1) % channel->items.size();
}

bool ItemPool::Draw(int64_t channel, UniformSource* uniform, Drawn* drawn) {
  std::lock_guard<std::mutex> lock(mu_);
  const auto it = channels_.find(channel);
  if (it == channels_.end()) return false;
  const size_t size = it->second.items.size();
  if (static_cast<int64_t>(size) <= start_num_) return false;
  const size_t index = std::min(static_cast<size_t>(uniform->Next() * static_cast<double>(size)), size - 1);
  Item& item = it->second.At(index);
  *drawn = {item.gid, item.features, static_cast<int64_t>(index), static_cast<int64_t>(size), ++item.drawn};
  return true;
}

bool ItemPool::DrawChannel(UniformSource* uniform, int64_t* channel) {
  std::lock_guard<std::mutex> lock(mu_);
  size_t total = 0;
  for (const auto& [id, queue] : channels_) total += queue.items.size();
  if (total == 0) return false;
  auto left = static_cast<size_t>(uniform->Next() * static_cast<double>(total));
  for (const auto& [id, queue] : channels_) {
    *channel = id;
    if (left < queue.items.size()) return true;
    left -= queue.items.size();
  }
  return true;
}

std::string ItemPool::Serialize(int64_t id, const Channel& channel) {
  std::string cache;
  if (id != 0) PutVarintField(&cache, kChannelId, static_cast<uint64_t>(id));
  for (size_t i = 0; i < channel.items.size(); ++i) {
    const Item& item = channel.At(i);
    std::string bytes, fids;
    if (item.gid != 0) PutVarintField(&bytes, kGid, static_cast<uint64_t>(item.gid));
    for (const uint64_t fid : item.features->fids) wire::PutVarint(&fids, fid);
    if (!fids.empty()) PutBytesField(&bytes, kFids, fids);
    for (const std::string& column : item.features->columns) PutBytesField(&bytes, kColumns, column);
    if (item.pushed != 0) PutVarintField(&bytes, kPushed, static_cast<uint64_t>(item.pushed));
    if (item.drawn != 0) PutVarintField(&bytes, kDrawn, static_cast<uint64_t>(item.drawn));
    PutBytesField(&cache, kItems, bytes);
  }
  return cache;
}

std::vector<std::vector<std::string>> ItemPool::Save(int64_t num_shards) const {
  std::lock_guard<std::mutex> lock(mu_);
  std::vector<std::vector<std::string>> shards(num_shards);
  for (const auto& [id, channel] : channels_) {
    shards[static_cast<uint64_t>(id) % static_cast<uint64_t>(num_shards)].push_back(Serialize(id, channel));
  }
  return shards;
}

ItemPool::Item ItemPool::ReadItem(std::string_view bytes) {
  Item item;
  auto features = std::make_shared<ItemFeatures>();
  ForEachVarint(bytes, kFids, [&](uint64_t fid) { features->fids.push_back(fid); });
  ProtoReader reader(bytes);
  while (const uint32_t tag = reader.Tag()) {
    if (tag == MakeTag(kGid, kVarint)) {
      item.gid = static_cast<int64_t>(reader.Varint());
    } else if (tag == MakeTag(kColumns, kBytes)) {
      std::string column;
      const std::string_view named = reader.Bytes();
      PutBytesField(&column, 1, named);
      if (!IsMessage(MessageType::kExample, column)) ThrowMalformed();
      features->columns.emplace_back(named);
    } else if (tag == MakeTag(kPushed, kVarint)) {
      item.pushed = static_cast<int64_t>(reader.Varint());
    } else if (tag == MakeTag(kDrawn, kVarint)) {
      item.drawn = static_cast<int64_t>(reader.Varint());
    } else {
      reader.Skip(tag);
    }
  }
  item.features = std::move(features);
  return item;
}

void ItemPool::Read(std::string_view channel_cache, Restored* restored) const {
  try {
    int64_t id = 0;
    std::vector<Item> items;
    ProtoReader reader(channel_cache);
    while (const uint32_t tag = reader.Tag()) {
      if (tag == MakeTag(kChannelId, kVarint)) {
        id = static_cast<int64_t>(reader.Varint());
      } else if (tag == MakeTag(kItems, kBytes)) {
        items.push_back(ReadItem(reader.Bytes()));
      } else {
        reader.Skip(tag);
      }
    }
    Channel& channel = restored->channels_[id];
    for (Item& item : items) {
      if (channel.places.count(item.gid) == 0) Add(&channel, std::move(item));
    }
  } catch (const Malformed&) {
    throw DataError(DataError::Code::kDataLoss, "a record is no ChannelCache");
  }
}

void ItemPool::Finish(Restored* restored) {
  std::lock_guard<std::mutex> lock(mu_);
  channels_.swap(restored->channels_);
}

bool ItemPool::Equals(const ItemPool& other) const { return &other == this || Save(1) == other.Save(1); }

}  // namespace data
}  // namespace monolith
