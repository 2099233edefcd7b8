// A document that is served often: its bytes, compressed bytes and hash are made once, when first asked for.
#pragma once

#include <functional>
#include <mutex>
#include <string>

namespace proa::kube {

// Thread-safe.
class CachedDocument {
 public:
  explicit CachedDocument(std::function<std::string()> make) : make_(std::move(make)) {}
  const std::string& bytes();
  const std::string& gzip();
  // SHA-512 in upper-case hex, for ETags and ?hash=.
  const std::string& hash();

 private:
  std::function<std::string()> make_;
  std::once_flag made_, compressed_, hashed_;
  std::string bytes_, gzip_, hash_;
};

// The same, at once. `level` is zlib's.
std::string gzip(std::string_view bytes, int level = 4);
std::string sha512_hex(std::string_view bytes);

}  // namespace proa::kube
