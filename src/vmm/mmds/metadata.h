// The metadata service's data (Firecracker's MMDS): one JSON document of bounded size, written over the API and read
// by the guest, and the session tokens that version 2 asks for.
//
// Threads: any.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"

namespace proa::vmm {

// Tokens are their own record: the time they end, a random number, and a code over both by a key of this process.
// Nothing is kept for them, so a guest may ask for as many as it likes.
class SessionTokens {
 public:
  static constexpr uint64_t kShortest = 1, kLongest = 21600;  // seconds

  // `instance`: tokens of another machine are not valid here.
  SessionTokens(std::string instance, const Clock& clock) : instance_(std::move(instance)), clock_(clock) {}
  // `seconds` between kShortest and kLongest.
  Result<std::string> make(uint64_t seconds);
  bool valid(std::string_view token) const;

 private:
  std::string code(std::string_view record) const;
  const std::string instance_;
  const Clock& clock_;
  std::string key_;  // made with the first token
};

class Metadata {
 public:
  enum class Version : uint8_t { kV1, kV2 };
  enum class Format : uint8_t { kJson, kImds };
  enum class Missing : uint8_t { kNotFound, kUnsupported };
  static constexpr size_t kDefaultLimit = 51200;

  explicit Metadata(std::string instance, size_t limit = kDefaultLimit, const Clock& clock = Clock::system());
  ~Metadata();

  // `imds_compatible`: answers are always in IMDS format.
  void configure(Version version, bool imds_compatible);
  Version version() const;

  // Replaces the document. EFBIG: it is larger than the limit.
  Result<> put(const boost::json::value& document);
  // Merges into it (RFC 7396). ENOENT: there is none yet; EFBIG as above.
  Result<> patch(const boost::json::value& change);
  // In one line; "{}" when there is none.
  std::string document() const;
  // What a path leads to (RFC 6901, a slash more at its end or in a row is none). IMDS format: a text as it is, of an
  // object its keys, one a line, with a slash behind those that are objects.
  std::expected<std::string, Missing> at(std::string_view path, Format format) const;

  Result<std::string> make_token(uint64_t seconds);
  bool valid_token(std::string_view token) const;

 private:
  Result<> keep(boost::json::value document);

  mutable std::mutex mutex_;
  const size_t limit_;
  std::unique_ptr<boost::json::value> document_;  // null: none yet
  Version version_ = Version::kV1;
  bool imds_compatible_ = false;
  SessionTokens tokens_;
};

}  // namespace proa::vmm
