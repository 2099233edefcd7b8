#include "kube/openapi/document.h"

#include <zlib.h>

#include <algorithm>

#include "base/digest.h"

namespace proa::kube {

std::string gzip(std::string_view bytes, int level) {
  z_stream stream{};
  constexpr int kGzip = 15 + 16;
  if (deflateInit2(&stream, level, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY) != Z_OK) return {};
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// As k8s.io/kube-openapi writes it: in capitals.
std::string sha512_hex(std::string_view bytes) {
  std::string out = to_hex(Sha2::of(bytes, Sha2::Kind::k512));
  std::ranges::transform(out, out.begin(), [](char c) { return c >= 'a' ? static_cast<char>(c - 'a' + 'A') : c; });
  return out;
}

const std::string& CachedDocument::bytes() {
  std::call_once(made_, [&] { bytes_ = make_(); });
  return bytes_;
}

const std::string& CachedDocument::gzip() {
  std::call_once(compressed_, [&] { gzip_ = kube::gzip(bytes()); });
  return gzip_;
}

const std::string& CachedDocument::hash() {
  std::call_once(hashed_, [&] { hash_ = sha512_hex(bytes()); });
  return hash_;
}

}  // namespace proa::kube
