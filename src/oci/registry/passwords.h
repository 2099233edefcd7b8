// An htpasswd file: one USER:HASH a line, hashes by bcrypt ($2y$), SHA-crypt ($5$, $6$) or yescrypt ($y$).
//
// A password that was right is remembered by a keyed digest, so that a client that sends it with each request does not
// cost a slow hash each time. Guessing is slowed: after a few wrong passwords from an address, or for a user from an
// address, further ones are refused unseen, for a time that doubles.
//
// Threads: any number. check() may block for tenths of a second.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "base/error.h"

namespace proa::oci::registry {

class Passwords {
 public:
  // Errors name the file and the line.
  static Result<std::unique_ptr<Passwords>> load(const std::string& path, const Clock& clock = Clock::system());

  // Reads the file anew; on an error what was read before stays.
  Result<> reload();

  enum class Verdict : uint8_t { kRight, kWrong, kTooMany };
  // `address` of the client, without its port. Says with kTooMany how many seconds to wait.
  struct Checked {
    Verdict verdict;
    int64_t wait = 0;
  };
  Checked check(const std::string& user, const std::string& password, const std::string& address);

 private:
  Passwords(std::string path, const Clock& clock, std::string key)
      : path_(std::move(path)), clock_(clock), key_(std::move(key)) {}
  using Hashes = std::map<std::string, std::string, std::less<>>;
  struct Failures {
    unsigned count = 0;
    MonotonicTime until{};
  };
  std::string proof(const std::string& hash, const std::string& user, const std::string& password) const;
  int64_t still_waits(const std::string& address, const std::string& user);
  void record(const std::string& key, bool right, unsigned free_tries);

  const std::string path_;
  const Clock& clock_;
  const std::string key_;  // of proofs; random
  std::mutex mutex_;       // guards the rest
  std::shared_ptr<const Hashes> hashes_;
  std::unordered_map<std::string, std::string> known_;  // user -> proof
  std::unordered_map<std::string, Failures> failures_;  // by address, and by address and user
};

// A line of such a file, by bcrypt.
Result<std::string> htpasswd_line(std::string_view user, const std::string& password);

}  // namespace proa::oci::registry
