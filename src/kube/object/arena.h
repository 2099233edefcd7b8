// Memory of one document: taken piece by piece, given back all at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

namespace proa::kube {

// Not thread-safe. What it hands out stays where it is until the arena ends, also when the arena is moved.
class Arena {
 public:
  Arena() = default;
  // `first` bytes are expected to be needed; the first chunk is made of that size.
  explicit Arena(size_t first) : next_size_(first) {}
  Arena(Arena&& other) noexcept { swap(other); }
  Arena& operator=(Arena&& other) noexcept {
    Arena gone(std::move(other));
    swap(gone);
    return *this;
  }
  ~Arena();

  // Aligned to eight bytes.
  void* allocate(size_t bytes) {
    bytes = (bytes + 7) & ~size_t{7};
    if (bytes > static_cast<size_t>(end_ - at_)) [[unlikely]]
      grow(bytes);
    void* here = at_;
    at_ += bytes;
    return here;
  }
  template <typename T>
  T* allocate_array(size_t count) {
    return static_cast<T*>(allocate(count * sizeof(T)));
  }
  std::string_view copy(std::string_view text) {
    if (text.empty()) return "";
    char* out = static_cast<char*>(allocate(text.size()));
    std::memcpy(out, text.data(), text.size());
    return {out, text.size()};
  }
  // Bytes of all chunks.
  size_t reserved() const { return reserved_; }

 private:
  struct Chunk {
    Chunk* before;
    size_t size;
  };
  void grow(size_t bytes);
  void swap(Arena& other) noexcept {
    std::swap(chunks_, other.chunks_);
    std::swap(at_, other.at_);
    std::swap(end_, other.end_);
    std::swap(next_size_, other.next_size_);
    std::swap(reserved_, other.reserved_);
  }

  Chunk* chunks_ = nullptr;
  char* at_ = nullptr;
  char* end_ = nullptr;
  size_t next_size_ = 4096;
  size_t reserved_ = 0;
};

}  // namespace proa::kube
