// Addresses and ports that are unique in the cluster. Each is a key of its own, written in the transaction of the
// service that gets it on condition that it is not there: of two services that want the same, one tries again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kube/apiserver/admission/admission.h"
#include "kube/apiserver/registry/reader.h"

namespace proa::kube::api {

struct AddressRange {
  unsigned __int128 first = 0, count = 0;  // of the addresses that may be given; IPv4 in the lowest 32 bits
  bool v6 = false;
  std::string text;  // "10.96.0.0/12"
  bool contains(unsigned __int128 address) const { return address >= first && address - first < count; }
};
// "10.96.0.0/12": without the network's own address and, of IPv4, the broadcast address.
std::optional<AddressRange> parse_range(std::string_view cidr);
std::optional<unsigned __int128> parse_address(std::string_view text, bool& v6);
std::string address_text(unsigned __int128 address, bool v6);

// The ranges of all ServiceCIDRs, those of "kubernetes" first; 10.96.0.0/12 without any.
std::vector<AddressRange> service_ranges(const Reader& reader);

inline constexpr int kFirstNodePort = 30000, kLastNodePort = 32767;

// Takes and gives back for one service, in `w.together`.
class Allocator {
 public:
  Allocator(Admission& w, const Reader& reader) : w_(w), reader_(reader) {}

  // An address of the family, or nothing when all are taken.
  std::optional<std::string> any_address(const std::vector<AddressRange>& ranges, bool v6);
  // Whether it was free.
  bool take_address(std::string_view address, bool v6);
  void give_address(std::string_view address);

  std::optional<int> any_port();
  bool take_port(int port);
  void give_port(int port);

 private:
  bool free(const std::string& key) const;
  Admission& w_;
  const Reader& reader_;
  std::vector<std::string> taken_;  // by this very request
};

}  // namespace proa::kube::api
