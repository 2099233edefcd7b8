// GET, HEAD and DELETE of blobs (distribution-spec "Pulling blobs", "Deleting Blobs").
#include <unistd.h>

#include <algorithm>

#include "base/text.h"
#include "net/conditional.h"
#include "oci/registry/call.h"
#include "oci/registry/fetch.h"
#include "oci/registry/mirror.h"

namespace proa::oci::registry {

using image::Digest;

namespace {

constexpr uint64_t kPiece = 256u << 10;

// If-Range: a part only of what the client has the beginning of (RFC 9110, 13.1.5).
bool part_wanted(const net::Headers& headers, const Digest& digest) {
  const auto condition = headers.find("If-Range");
  return !condition || *condition == cat("\"", digest.text(), "\"");
}

// "bytes=9-1": the RFC lets it be refused (RFC 9110, 14.2), which tells the client more than the whole would.
bool is_backwards(std::string_view range) {
  if (!range.starts_with("bytes=")) return false;
  range.remove_prefix(6);
  const auto first = parse_number<uint64_t>(cut(range, '-')), last = parse_number<uint64_t>(range);
  return first && last && *last < *first;
}

}  // namespace

Call::Reply Call::get_blob() {
  const Digest digest = CO_TRY(digest_of(route_.reference));
  const auto blob = CO_TRY(co_await net::blocking([&]() -> Result<std::optional<OpenBlob>> {
    // Who asks whether it is there will not push it: it must stay until a manifest names it.
    // A mirror's cache keeps what is asked for.
    if ((is("HEAD") || mirrored()) && !TRY(repositories().renew_blob(repository(), digest))) return std::nullopt;
    return repositories().open_blob(repository(), digest);
  }));
  if (!blob && mirrored()) co_return co_await get_mirrored_blob(digest);
  if (!blob)
    co_return co_await unknown(Code::kBlobUnknown, cat("repository ", repository(), " has no blob ", digest.text()));
  if (describe(digest)) {
    CO_TRY(co_await response_.send());
    co_return Answer<>();
  }
  const net::ByteRange part = CO_TRY(part_to_send(digest, blob->size));
  const uint64_t size = blob->size == 0 ? 0 : part.size();
  CO_TRY(co_await response_.send_file(blob->file.get(), part.first, size));
  if (!is("HEAD")) sent_ += size;
  co_return Answer<>();
}

Answer<net::ByteRange> Call::part_to_send(const Digest& digest, uint64_t size) {
  const net::ByteRange whole{.first = 0, .last = size == 0 ? 0 : size - 1};
  net::ByteRange part = whole;
  auto verdict = net::RangeVerdict::kWhole;
  const auto range = request_.headers().find("Range");
  if (range && part_wanted(request_.headers(), digest))
    verdict = is_backwards(*range) ? net::RangeVerdict::kUnsatisfiable : net::parse_range(*range, size, part);
  if (verdict == net::RangeVerdict::kUnsatisfiable) {
    response_.headers.set("Content-Range", cat("bytes */", size));
    return refuse(416, Code::kSizeInvalid, "the blob has ", size, " bytes");
  }
  response_.headers.set("Content-Type", "application/octet-stream");
  response_.headers.set("Accept-Ranges", "bytes");
  if (verdict == net::RangeVerdict::kWhole) return whole;
  response_.status = 206;
  response_.headers.set("Content-Range", part.content_range(size));
  return part;
}

Call::Reply Call::get_mirrored_blob(const Digest& digest) {
  if (describe(digest)) {
    CO_TRY(co_await response_.send());
    co_return Answer<>();
  }
  if (!is("HEAD")) {
    const auto fetch = CO_TRY(co_await api_.mirror_->get_blob(repository(), digest));
    co_return co_await send_fetched(*fetch, digest);
  }
  const uint64_t size = CO_TRY(co_await api_.mirror_->blob_size(repository(), digest));
  const net::ByteRange part = CO_TRY(part_to_send(digest, size));
  response_.headers.set("Content-Length", cat(size == 0 ? 0 : part.size()));
  CO_TRY(co_await response_.send());
  co_return Answer<>();
}

// As it comes in.
Call::Reply Call::send_fetched(Fetch& fetch, const Digest& digest) {
  const net::ByteRange part = CO_TRY(part_to_send(digest, fetch.total()));
  const uint64_t end = fetch.total() == 0 ? 0 : part.last + 1;
  uint64_t at = part.first, there = 0;
  response_.headers.set("Content-Length", cat(end - at));
  std::string piece;
  while (at < end) {
    if (there <= at) {
      const auto more = co_await fetch.more(at);
      if (!more) co_return refuse(502, Code::kUnknown, "upstream failed: ", more.error().message());
      there = *more;
    }
    piece.resize(std::min<uint64_t>(kPiece, std::min(there, end) - at));
    CO_TRY(co_await net::blocking([&]() -> Result<> {
      const ssize_t got = ::pread(fetch.file(), piece.data(), piece.size(), static_cast<off_t>(at));
      if (got <= 0) return fail_errno(got < 0 ? errno : EIO, "read blob ", digest.text());
      piece.resize(static_cast<size_t>(got));
      return {};
    }));
    CO_TRY(co_await response_.write(piece));
    at += piece.size();
    sent_ += piece.size();
  }
  if (!response_.begun()) CO_TRY(co_await response_.send());
  co_return Answer<>();
}

Call::Reply Call::delete_blob() {
  CO_TRY(may_delete());
  const Digest digest = CO_TRY(digest_of(route_.reference));
  const bool removed = CO_TRY(co_await net::blocking([&] { return repositories().remove_blob(repository(), digest); }));
  if (!removed)
    co_return co_await unknown(Code::kBlobUnknown, cat("repository ", repository(), " has no blob ", digest.text()));
  response_.status = 202;
  CO_TRY(co_await response_.send());
  co_return Answer<>();
}

}  // namespace proa::oci::registry
