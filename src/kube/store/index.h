// Index: an ordered map from key to the newest record of it, a B+tree. One writer; any number of readers at the same
// time, who take no lock and are never in the writer's way.
//
// A node that gets or loses a key is replaced by a changed copy; a new version of a key that is there is one store
// into its slot. Readers must be inside an Epochs::Guard of `epochs`.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "kube/store/epoch.h"
#include "kube/store/record.h"

namespace proa::kube::store {

class Index {
 public:
  explicit Index(Epochs& epochs);
  Index(const Index&) = delete;
  Index& operator=(const Index&) = delete;
  ~Index();

  // --- readers
  const Record* find(std::string_view key) const;
  // Calls visit(record) for the keys from `from` on, in order, until it returns false.
  template <typename Visit>
  void walk(std::string_view from, Visit&& visit) const;
  size_t size() const { return size_.load(std::memory_order_relaxed); }

  // --- the writer
  // `record` becomes the newest of its key; what was is its previous(), and stays in memory with it.
  void push(RecordPtr record);
  // Undoes push: the newest of that key is forgotten.
  void pop(std::string_view key);
  // The key and all its records go.
  void erase(std::string_view key);
  // Forgets what came before this record.
  void cut_previous(const Record& record);

 private:
  static constexpr size_t kFanout = 64;
  static constexpr size_t kSmall = 16;
  struct Node;
  struct Leaf;
  struct Inner;
  struct Change;
  using Separator = std::shared_ptr<const std::string>;

  // Copies the leaf's records from the first at or after `from`, and says in `next` where the following leaf begins;
  // false in `more` when there is none.
  size_t read_leaf(std::string_view from, std::array<const Record*, kFanout>& records, Separator& next) const;
  Change insert(Node* node, const Record* record);
  Change insert_leaf(Leaf* leaf, const Record* record);
  Change insert_child(Inner* inner, size_t at, const Change& change);
  Node* remove(Node* node, std::string_view key);
  Node* merge(Inner* inner, size_t at, Node* child);
  void set_root(Node* node) { root_.store(node, std::memory_order_release); }
  void retire(Node* node);
  void retire(const Record* record);
  static void free_tree(Node* node);

  Epochs& epochs_;
  std::atomic<Node*> root_;
  std::atomic<size_t> size_ = 0;
};

template <typename Visit>
void Index::walk(std::string_view from, Visit&& visit) const {
  std::array<const Record*, kFanout> records;
  Separator next;
  Separator at;
  for (;;) {
    const size_t count = read_leaf(from, records, next);
    for (size_t i = 0; i < count; ++i)
      if (!visit(*records[i])) return;
    if (!next) return;
    at = std::move(next);
    next = nullptr;
    from = *at;
  }
}

}  // namespace proa::kube::store
