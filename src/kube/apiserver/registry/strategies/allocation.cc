#include "kube/apiserver/registry/strategies/allocation.h"

#include <arpa/inet.h>

#include <algorithm>

#include "base/error.h"
#include "base/ids.h"
#include "base/text.h"
#include "kube/apiserver/registry/strategies/furnishing.h"

namespace proa::kube::api {
namespace {

using Address = unsigned __int128;

constexpr int kRandomTries = 64;

uint64_t draw(uint64_t below) { return below == 0 ? 0 : random_number().value_or(0) % below; }

// The lower part of a range is left to those who choose their address themselves (KEP-3070).
Address reserved_part(Address count) {
  const Address part = count / 16;
  if (count <= 16) return 0;
  return std::clamp<Address>(part, 16, 256) < count ? std::clamp<Address>(part, 16, 256) : 0;
}

std::string port_key(int port) { return cat("/registry/ranges/nodeports/", port); }

}  // namespace

std::optional<Address> parse_address(std::string_view text, bool& v6) {
  const std::string zero_ended(text);
  unsigned char bytes[16];
  v6 = text.find(':') != std::string_view::npos;
  if (inet_pton(v6 ? AF_INET6 : AF_INET, zero_ended.c_str(), bytes) != 1) return std::nullopt;
  Address out = 0;
  for (int i = 0; i < (v6 ? 16 : 4); ++i) out = out << 8 | bytes[i];
  return out;
}

std::string address_text(Address address, bool v6) {
  unsigned char bytes[16];
  const int size = v6 ? 16 : 4;
  for (int i = size - 1; i >= 0; --i, address >>= 8) bytes[i] = static_cast<unsigned char>(address & 0xff);
  char text[INET6_ADDRSTRLEN];
  inet_ntop(v6 ? AF_INET6 : AF_INET, bytes, text, sizeof text);
  return text;
}

std::optional<AddressRange> parse_range(std::string_view cidr) {
  AddressRange out{.text = std::string(cidr)};
  const std::string_view head = cut(cidr, '/');
  const auto base = parse_address(head, out.v6);
  const auto length = parse_number<unsigned>(cidr);
  const unsigned width = out.v6 ? 128 : 32;
  if (!base || !length || *length > width) return std::nullopt;
  const unsigned bits = width - *length;
  // Of a large IPv6 range 2^64 addresses are enough.
  const Address size = static_cast<Address>(1) << std::min(bits, 64u);
  out.first = *base >> (bits == 128 ? 127 : bits) << (bits == 128 ? 127 : bits);
  out.count = size;
  if (size > 2) {
    ++out.first;
    out.count = size - (out.v6 ? 1 : 2);
  }
  return out;
}

std::vector<AddressRange> service_ranges(const Reader& reader) {
  std::vector<AddressRange> out;
  const std::vector<StoredPtr> ranges = reader.list("networking.k8s.io", "servicecidrs");
  for (const bool own : {true, false})  // the cluster's own first
    for (const StoredPtr& range : ranges) {
      const Value metadata = range->root().get("metadata");
      if ((metadata.string("name") == "kubernetes") != own || !metadata.get("deletionTimestamp").is_null()) continue;
      for (const Value& cidr : range->root().get({"spec", "cidrs"}).items())
        if (auto parsed = parse_range(cidr.as_string())) out.push_back(std::move(*parsed));
    }
  if (out.empty()) out.push_back(*parse_range("10.96.0.0/12"));
  return out;
}

bool Allocator::free(const std::string& key) const {
  if (std::ranges::find(taken_, key) != taken_.end()) return false;
  const auto record = reader_.store().get(key);
  return record && *record == nullptr;
}

std::optional<std::string> Allocator::any_address(const std::vector<AddressRange>& ranges, bool v6) {
  const auto attempt = [&](const AddressRange& range, Address offset) -> std::optional<std::string> {
    std::string text = address_text(range.first + offset, v6);
    return take_address(text, v6) ? std::optional(std::move(text)) : std::nullopt;
  };
  for (const AddressRange& range : ranges) {
    if (range.v6 != v6) continue;
    const Address low = reserved_part(range.count);
    const auto upper = static_cast<uint64_t>(std::min<Address>(range.count - low, UINT64_MAX));
    for (int i = 0; i < kRandomTries; ++i)
      if (auto found = attempt(range, low + draw(upper))) return found;
    // It is crowded: one after the other, the upper part first.
    const auto all = static_cast<uint64_t>(std::min<Address>(range.count, 1u << 20));
    for (uint64_t i = 0; i < all; ++i)
      if (auto found = attempt(range, (low + i) % range.count)) return found;
  }
  return std::nullopt;
}

bool Allocator::take_address(std::string_view address, bool v6) {
  const CatalogPtr catalog = reader_.catalog().view();
  const Resource* resource = catalog->find("networking.k8s.io", "v1", "ipaddresses");
  const std::string key = resource->key("", address);
  if (!free(key)) return false;
  Arena& arena = w_.arena;
  const auto text = [&](std::string_view value) { return Value::text(arena, value); };
  Value labels = Value::object(arena, 2);
  labels.add(arena, "ipaddress.kubernetes.io/ip-family", Value::view(v6 ? "IPv6" : "IPv4"));
  labels.add(arena, "ipaddress.kubernetes.io/managed-by", Value::view("ipallocator.k8s.io"));
  Value metadata = Value::object(arena, 4);
  metadata.add(arena, "name", text(address));
  metadata.add(arena, "labels", labels);
  Value parent = Value::object(arena, 4);
  parent.add(arena, "group", Value::view(""));
  parent.add(arena, "resource", Value::view("services"));
  parent.add(arena, "namespace", text(w_.ns));
  parent.add(arena, "name", text(w_.object.string({"metadata", "name"})));
  Value spec = Value::object(arena, 1);
  spec.add(arena, "parentRef", parent);
  Value object = Value::object(arena, 4);
  object.add(arena, "kind", Value::view("IPAddress"));
  object.add(arena, "apiVersion", Value::view("networking.k8s.io/v1"));
  object.add(arena, "metadata", metadata);
  object.add(arena, "spec", spec);
  put_together(w_, *resource, key, object);
  taken_.push_back(key);
  return true;
}

void Allocator::give_address(std::string_view address) {
  const CatalogPtr catalog = reader_.catalog().view();
  const Resource* resource = catalog->find("networking.k8s.io", "v1", "ipaddresses");
  w_.together.success.emplace_back(store::Delete{.key = resource->key("", address), .end = {}});
}

std::optional<int> Allocator::any_port() {
  constexpr int kCount = kLastNodePort - kFirstNodePort + 1;
  const auto begin = static_cast<int>(draw(kCount));
  for (int i = 0; i < kCount; ++i)
    if (const int port = kFirstNodePort + (begin + i) % kCount; take_port(port)) return port;
  return std::nullopt;
}

bool Allocator::take_port(int port) {
  const std::string key = port_key(port);
  if (!free(key)) return false;
  w_.together.compares.push_back(store::Compare::absent(key));
  w_.together.success.emplace_back(store::Put{
      .draft = store::Draft(key, cat("{\"service\":\"", w_.ns, "/", w_.object.string({"metadata", "name"}), "\"}"))});
  taken_.push_back(key);
  return true;
}

void Allocator::give_port(int port) {
  w_.together.success.emplace_back(store::Delete{.key = port_key(port), .end = {}});
}

}  // namespace proa::kube::api
