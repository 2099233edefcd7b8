#include "kube/object/arena.h"

#include <algorithm>
#include <new>

namespace proa::kube {

Arena::~Arena() {
  while (chunks_ != nullptr) ::operator delete(std::exchange(chunks_, chunks_->before));
}

void Arena::grow(size_t bytes) {
  constexpr size_t kLargest = 1u << 20;
  const size_t size = std::max(next_size_, bytes) + sizeof(Chunk);
  auto* chunk = static_cast<Chunk*>(::operator new(size));
  chunk->before = chunks_;
  chunks_ = chunk;
  at_ = reinterpret_cast<char*>(chunk + 1);
  end_ = reinterpret_cast<char*>(chunk) + size;
  reserved_ += size;
  next_size_ = std::min(std::max(next_size_, size_t{2048}) * 2, kLargest);
}

}  // namespace proa::kube
