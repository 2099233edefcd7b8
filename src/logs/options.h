// Log drivers by name and their options, as `--log-driver` and `--log-opt` give them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "logs/details.h"

namespace proa::logs {

// Everything wrong with them is told in Docker's words.
Result<> check_options(const std::string& driver, const StringMap& options);

// Lines go somewhere else, too: by forward() (forward/forwarder.h).
bool is_forwarded(std::string_view driver);

// How the shim is to keep the lines on the disk. Those that are forwarded are kept, too: until they are sent, and for
// `proa logs`.
struct Storage {
  bool enabled = true;
  bool readable = true;            // by `proa logs`
  bool cri = false;                // the format; else json-file
  uint64_t max_size = 100u << 20;  // bytes of each file; 0: no limit
  unsigned max_files = 2;
  bool compress = false;  // all but the newest
  uint64_t buffer = 0;    // bytes that may wait for the disk before output is dropped; 0: the container waits
};
// The bytes of mode=non-blocking; 0: the mode is another.
uint64_t buffer_of(const StringMap& options);
Storage storage_of(const std::string& driver, const StringMap& options);

// Where a driver sends to: "tcp://host:port" and the like.
struct Address {
  std::string scheme;  // udp, tcp, tcp+tls, unix, unixgram
  std::string host;
  uint16_t port = 0;
  std::string path;
  bool operator==(const Address&) const = default;
  std::string text() const;
};
// syslog without an address is the host's own: an empty scheme.
Result<Address> address_of(const std::string& driver, const StringMap& options);

// The value of an option that check_options() has let pass.
std::string option_of(const StringMap& options, const char* name, std::string_view otherwise = "");
bool flag_of(const StringMap& options, const char* name, bool otherwise = false);
int64_t number_of(const StringMap& options, const char* name, int64_t otherwise);
// 0 to 23.
Result<int> facility_of(std::string_view text);

}  // namespace proa::logs
