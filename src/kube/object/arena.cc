#include "kube/object/arena.h"

#include <algorithm>
#include <array>
#include <new>

namespace proa::kube {
namespace {

constexpr size_t kLargest = 1u << 20;

// Chunks of arenas that ended, for the next ones of this thread: each request has several. At most 256 KiB a thread.
class Stock {
 public:
  ~Stock() {
    ended_ = true;
    for (Shelf& shelf : shelves_)
      while (shelf.count > 0) ::operator delete(shelf.chunks[--shelf.count]);
  }
  void* take(size_t size) {
    for (Shelf& shelf : shelves_)
      if (shelf.size == size && shelf.count > 0) return shelf.chunks[--shelf.count];
    return ::operator new(size);
  }
  void give(void* chunk, size_t size) {
    for (Shelf& shelf : shelves_)
      if (shelf.size == size && shelf.count < shelf.most && !ended_) {
        shelf.chunks[shelf.count++] = chunk;
        return;
      }
    ::operator delete(chunk);
  }

 private:
  struct Shelf {
    size_t size, most;
    size_t count = 0;
    std::array<void*, 16> chunks = {};
  };
  std::array<Shelf, 3> shelves_ = {{{.size = 4096, .most = 16}, {.size = 8192, .most = 8}, {.size = 16384, .most = 8}}};
  bool ended_ = false;  // arenas may end later, with the thread
};

thread_local constinit Stock stock;

}  // namespace

Arena::~Arena() {
  while (chunks_ != nullptr) {
    Chunk* const chunk = std::exchange(chunks_, chunks_->before);
    stock.give(chunk, chunk->size);
  }
}

void Arena::grow(size_t bytes) {
  const size_t size = std::max(next_size_, bytes + sizeof(Chunk));
  auto* chunk = static_cast<Chunk*>(stock.take(size));
  chunk->before = chunks_;
  chunk->size = size;
  chunks_ = chunk;
  at_ = reinterpret_cast<char*>(chunk + 1);
  end_ = reinterpret_cast<char*>(chunk) + size;
  reserved_ += size;
  next_size_ = std::min(std::max(next_size_, size_t{2048}) * 2, kLargest);
}

}  // namespace proa::kube
