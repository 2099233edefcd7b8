#include "kube/store/index.h"

#include <algorithm>
#include <utility>

namespace proa::kube::store {

namespace {
constexpr size_t kReclaimAt = 256;  // retired objects
}

struct Index::Node {
  explicit Node(bool is_leaf) : leaf(is_leaf) {}
  const bool leaf;
  uint16_t count = 0;
};

struct Index::Leaf : Node {
  Leaf() : Node(true) {}
  std::array<std::atomic<const Record*>, kFanout> records{};

  const Record* at(size_t i) const { return records[i].load(std::memory_order_acquire); }
  void add(const Record* record) { records[count++].store(record, std::memory_order_release); }
  void add_from(const Leaf& other, size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) add(other.at(i));
  }
  // The first place whose key is not before `key`.
  size_t lower_bound(std::string_view key) const {
    size_t low = 0;
    size_t high = count;
    while (low < high) {
      const size_t middle = (low + high) / 2;
      if (at(middle)->key() < key)
        low = middle + 1;
      else
        high = middle;
    }
    return low;
  }
};

// Child i holds the keys from keys[i] up to keys[i + 1]; keys[0] counts for nothing.
struct Index::Inner : Node {
  Inner() : Node(false) {}
  std::array<Separator, kFanout> keys;
  std::array<std::atomic<Node*>, kFanout> children{};

  Node* at(size_t i) const { return children[i].load(std::memory_order_acquire); }
  void add(Separator key, Node* child) {
    keys[count] = std::move(key);
    children[count++].store(child, std::memory_order_release);
  }
  void add_from(const Inner& other, size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) add(other.keys[i], other.at(i));
  }
  size_t child_of(std::string_view key) const {
    size_t low = 0;
    size_t high = count;
    while (high - low > 1) {
      const size_t middle = (low + high) / 2;
      if (key < *keys[middle])
        high = middle;
      else
        low = middle;
    }
    return low;
  }
};

// What became of a node: itself, or a copy; and its new right neighbour if it was split.
struct Index::Change {
  Node* node;
  Node* right = nullptr;
  Separator separator = nullptr;
};

Index::Index(Epochs& epochs) : epochs_(epochs), root_(new Leaf()) {}

Index::~Index() { free_tree(root_.load()); }

void Index::free_tree(Node* node) {
  if (node->leaf) {
    auto* const leaf = static_cast<Leaf*>(node);
    for (size_t i = 0; i < leaf->count; ++i) intrusive_ptr_release(leaf->at(i));
    delete leaf;
  } else {
    auto* const inner = static_cast<Inner*>(node);
    for (size_t i = 0; i < inner->count; ++i) free_tree(inner->at(i));
    delete inner;
  }
}

void Index::retire(Node* node) {
  if (node->leaf)
    epochs_.retire(node, [](void* object) { delete static_cast<Leaf*>(object); });
  else
    epochs_.retire(node, [](void* object) { delete static_cast<Inner*>(object); });
}

void Index::retire(const Record* record) {
  epochs_.retire(const_cast<Record*>(record),
                 [](void* object) { intrusive_ptr_release(static_cast<const Record*>(object)); });
}

// --- reading --------------------------------------------------------------------------------------------------

const Record* Index::find(std::string_view key) const {
  const Node* node = root_.load(std::memory_order_acquire);
  while (!node->leaf) {
    const auto& inner = static_cast<const Inner&>(*node);
    node = inner.at(inner.child_of(key));
  }
  const auto& leaf = static_cast<const Leaf&>(*node);
  const size_t place = leaf.lower_bound(key);
  const Record* const record = place < leaf.count ? leaf.at(place) : nullptr;
  return record && record->key() == key ? record : nullptr;
}

size_t Index::read_leaf(std::string_view from, std::array<const Record*, kFanout>& records, Separator& next) const {
  const Node* node = root_.load(std::memory_order_acquire);
  while (!node->leaf) {
    const auto& inner = static_cast<const Inner&>(*node);
    const size_t child = inner.child_of(from);
    if (child + 1 < inner.count) next = inner.keys[child + 1];
    node = inner.at(child);
  }
  const auto& leaf = static_cast<const Leaf&>(*node);
  size_t count = 0;
  for (size_t i = leaf.lower_bound(from); i < leaf.count; ++i) records[count++] = leaf.at(i);
  return count;
}

// --- adding ---------------------------------------------------------------------------------------------------

void Index::push(RecordPtr record) {
  if (epochs_.retired() >= kReclaimAt) epochs_.reclaim();
  const Record* const owned = record.detach();
  const Change change = insert(root_.load(std::memory_order_relaxed), owned);
  Node* node = change.node;
  if (change.right) {
    auto* const top = new Inner();
    top->add(nullptr, change.node);
    top->add(change.separator, change.right);
    node = top;
  }
  set_root(node);
}

Index::Change Index::insert(Node* node, const Record* record) {
  if (node->leaf) return insert_leaf(static_cast<Leaf*>(node), record);
  auto* const inner = static_cast<Inner*>(node);
  const size_t at = inner->child_of(record->key());
  const Change change = insert(inner->at(at), record);
  return insert_child(inner, at, change);
}

Index::Change Index::insert_leaf(Leaf* leaf, const Record* record) {
  const size_t place = leaf->lower_bound(record->key());
  if (place < leaf->count && leaf->at(place)->key() == record->key()) {
    record->previous_.store(leaf->at(place), std::memory_order_relaxed);
    leaf->records[place].store(record, std::memory_order_release);
    return {.node = leaf};
  }
  size_.fetch_add(1, std::memory_order_relaxed);
  retire(leaf);
  auto* const left = new Leaf();
  if (leaf->count < kFanout) {
    left->add_from(*leaf, 0, place);
    left->add(record);
    left->add_from(*leaf, place, leaf->count);
    return {.node = left};
  }
  auto* const right = new Leaf();
  // Keys that come in order fill their leaves.
  const size_t half = place == kFanout ? kFanout : kFanout / 2;
  left->add_from(*leaf, 0, std::min(place, half));
  if (place < half) {
    left->add(record);
    left->add_from(*leaf, place, half);
    right->add_from(*leaf, half, kFanout);
  } else {
    right->add_from(*leaf, half, place);
    right->add(record);
    right->add_from(*leaf, place, kFanout);
  }
  return {.node = left, .right = right, .separator = std::make_shared<std::string>(right->at(0)->key())};
}

Index::Change Index::insert_child(Inner* inner, size_t at, const Change& change) {
  if (!change.right) {
    if (inner->at(at) != change.node) inner->children[at].store(change.node, std::memory_order_release);
    return {.node = inner};
  }
  retire(inner);
  auto* left = new Inner();
  Inner* right = nullptr;
  const size_t half = at + 1 == kFanout ? kFanout - 1 : kFanout / 2;
  const auto add = [&](Separator key, Node* child) {
    if (inner->count == kFanout && left->count > half) {
      if (!right) right = new Inner();
      right->add(std::move(key), child);
    } else {
      left->add(std::move(key), child);
    }
  };
  for (size_t i = 0; i < inner->count; ++i) {
    add(inner->keys[i], i == at ? change.node : inner->at(i));
    if (i == at) add(change.separator, change.right);
  }
  return {.node = left, .right = right, .separator = right ? right->keys[0] : nullptr};
}

// --- taking away ----------------------------------------------------------------------------------------------

void Index::pop(std::string_view key) {
  const Record* const newest = find(key);
  if (!newest) return;
  const Record* const previous = newest->previous_.load(std::memory_order_relaxed);
  if (!previous) return erase(key);
  Node* node = root_.load(std::memory_order_relaxed);
  while (!node->leaf) {
    auto& inner = static_cast<Inner&>(*node);
    node = inner.at(inner.child_of(key));
  }
  auto& leaf = static_cast<Leaf&>(*node);
  leaf.records[leaf.lower_bound(key)].store(previous, std::memory_order_release);
  // What the index owned through the newest it now owns itself.
  intrusive_ptr_add_ref(previous);
  retire(newest);
}

void Index::erase(std::string_view key) {
  const Record* const newest = find(key);
  if (!newest) return;
  Node* node = remove(root_.load(std::memory_order_relaxed), key);
  if (!node) node = new Leaf();
  while (!node->leaf && node->count == 1) {
    retire(node);
    node = static_cast<Inner*>(node)->at(0);
  }
  set_root(node);
  size_.fetch_sub(1, std::memory_order_relaxed);
  retire(newest);
}

// The node without the key, null when nothing is left of it. The key is there.
Index::Node* Index::remove(Node* node, std::string_view key) {
  if (node->leaf) {
    auto* const leaf = static_cast<Leaf*>(node);
    retire(leaf);
    if (leaf->count == 1) return nullptr;
    const size_t place = leaf->lower_bound(key);
    auto* const copy = new Leaf();
    copy->add_from(*leaf, 0, place);
    copy->add_from(*leaf, place + 1, leaf->count);
    return copy;
  }
  auto* const inner = static_cast<Inner*>(node);
  const size_t at = inner->child_of(key);
  Node* const child = remove(inner->at(at), key);
  if (!child) {
    retire(inner);
    if (inner->count == 1) return nullptr;
    auto* const copy = new Inner();
    copy->add_from(*inner, 0, at);
    copy->add_from(*inner, at + 1, inner->count);
    return copy;
  }
  if (child->count < kSmall && inner->count > 1)
    if (Node* const merged = merge(inner, at, child)) return merged;
  inner->children[at].store(child, std::memory_order_release);
  return inner;
}

// Puts a small child together with a neighbour, if they fit into three quarters of a node; null if not.
Index::Node* Index::merge(Inner* inner, size_t at, Node* child) {
  const size_t first = at + 1 < inner->count ? at : at - 1;
  Node* const left = first == at ? child : inner->at(first);
  Node* const right = first == at ? inner->at(first + 1) : child;
  if (left->count + right->count > kFanout * 3 / 4) return nullptr;
  Node* joined = nullptr;
  if (left->leaf) {
    auto* const leaf = new Leaf();
    leaf->add_from(static_cast<Leaf&>(*left), 0, left->count);
    leaf->add_from(static_cast<Leaf&>(*right), 0, right->count);
    joined = leaf;
  } else {
    auto* const both = new Inner();
    both->add_from(static_cast<Inner&>(*left), 0, left->count);
    both->add(inner->keys[first + 1], static_cast<Inner&>(*right).at(0));
    both->add_from(static_cast<Inner&>(*right), 1, right->count);
    joined = both;
  }
  retire(left);
  retire(right);
  retire(inner);
  auto* const copy = new Inner();
  copy->add_from(*inner, 0, first);
  copy->add(inner->keys[first], joined);
  copy->add_from(*inner, first + 2, inner->count);
  return copy;
}

void Index::cut_previous(const Record& record) {
  if (const Record* const previous = record.previous_.exchange(nullptr, std::memory_order_acq_rel)) retire(previous);
}

}  // namespace proa::kube::store
