#include "fabric/store.h"

#include <sys/file.h>
#include <unistd.h>

#include <algorithm>

#include "fabric/records.h"
#include "kernel/file.h"

namespace proa::fabric {
namespace {

using kernel::path_exists;

constexpr std::string_view kSuffix = ".json";

Result<std::vector<std::string>> entries(const std::string& folder) {
  auto names = TRY(kernel::names_in(folder));
  std::ranges::sort(names);
  return names;
}

// Temporary files of kernel::replace_file that a killed process left have a name of their own form.
bool is_endpoint_name(std::string_view name) { return name.contains('@') && !name.contains(".tmp"); }

Result<> forget(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno(errno, "remove ", path);
  return {};
}

}  // namespace

Result<> remove_temporaries(const std::string& folder) {
  for (const std::string& name : TRY(entries(folder)))
    if (name.ends_with(".tmp")) TRY(forget(cat(folder, "/", name)));
  return {};
}

Result<> Store::make_folders() const {
  if (path_exists(endpoints_folder().c_str()) && path_exists(options_.state.c_str())) return {};
  TRY(kernel::make_dirs(options_.state, 0711));
  TRY(kernel::make_dirs(options_.run + "/leases", 0711));
  return kernel::make_dirs(endpoints_folder(), 0711);
}

Result<Fd> Store::lock() const {
  const std::string path = options_.run + "/lock";
  Fd fd = TRY(kernel::open(path.c_str(), O_RDWR | O_CREAT, 0600));
  while (::flock(fd.get(), LOCK_EX) != 0)
    if (errno != EINTR) return fail_errno(errno, "lock ", path);
  return fd;
}

Result<std::vector<Network>> Store::networks() const {
  std::vector<Network> all;
  for (const std::string& name : TRY(entries(options_.state))) {
    if (!name.ends_with(kSuffix)) continue;
    if (auto network = TRY(this->network(name.substr(0, name.size() - kSuffix.size()))))
      all.push_back(*std::move(network));
  }
  return all;
}

Result<std::optional<Network>> Store::network(std::string_view name) const {
  const std::string path = cat(options_.state, "/", name, kSuffix);
  Result<std::string> text = kernel::read_file(path.c_str());
  if (!text && text.error().code() == ENOENT) return std::nullopt;
  if (!text) return std::unexpected(std::move(text).error());
  return TRY_CTX(parse_network(*text), path);
}

Result<> Store::write_network(const Network& network) const {
  return kernel::replace_file(cat(options_.state, "/", network.name, kSuffix), network_text(network), 0644,
                              /*durable=*/true);
}

Result<> Store::remove_network(const Network& network) const {
  TRY(kernel::remove_tree(lease_folder(network)));
  return forget(cat(options_.state, "/", network.name, kSuffix));
}

Result<std::vector<Endpoint>> Store::read_endpoints(std::string_view prefix) const {
  std::vector<Endpoint> all;
  for (const std::string& name : TRY(entries(endpoints_folder()))) {
    if (!is_endpoint_name(name) || !name.starts_with(prefix)) continue;
    const std::string path = cat(endpoints_folder(), "/", name);
    const Result<std::string> text = kernel::read_file(path.c_str());
    if (!text) continue;  // gone meanwhile
    all.push_back(TRY_CTX(parse_endpoint(*text), path));
  }
  return all;
}

Result<std::vector<Endpoint>> Store::endpoints() const { return read_endpoints(""); }
Result<std::vector<Endpoint>> Store::endpoints_of(std::string_view container) const {
  return read_endpoints(cat(container, "@"));
}

Result<> Store::write_endpoint(const Endpoint& endpoint) const {
  return kernel::replace_file(cat(endpoints_folder(), "/", endpoint.container, "@", endpoint.network),
                              endpoint_text(endpoint), 0644);
}
Result<> Store::remove_endpoint(const Endpoint& endpoint) const {
  return forget(cat(endpoints_folder(), "/", endpoint.container, "@", endpoint.network));
}

Result<> Store::take_lease(const Network& network, const Ip& address, std::string_view endpoint) const {
  const std::string folder = lease_folder(network);
  const std::string path = cat(folder, "/", address.text());
  const std::string target(endpoint);
  if (::symlink(target.c_str(), path.c_str()) == 0) return {};
  if (errno == ENOENT) {
    TRY(kernel::make_dirs(folder, 0711));
    if (::symlink(target.c_str(), path.c_str()) == 0) return {};
  }
  return fail_errno(errno, "lease ", path);
}

Result<> Store::drop_lease(const Network& network, const Ip& address) const {
  return forget(cat(lease_folder(network), "/", address.text()));
}

Result<std::set<Ip>> Store::leases(const Network& network) const {
  std::set<Ip> all;
  for (const std::string& name : TRY(entries(lease_folder(network))))
    if (const Result<Ip> ip = Ip::parse(name)) all.insert(*ip);
  return all;
}

Result<size_t> Store::drop_orphan_leases(const Network& network,
                                         const std::set<std::string, std::less<>>& endpoints) const {
  size_t count = 0;
  for (const std::string& name : TRY(entries(lease_folder(network)))) {
    const std::string path = cat(lease_folder(network), "/", name);
    char owner[128];
    const ssize_t size = ::readlink(path.c_str(), owner, sizeof owner);
    if (size > 0 && endpoints.contains(std::string_view(owner, static_cast<size_t>(size)))) continue;
    TRY(forget(path));
    ++count;
  }
  return count;
}

}  // namespace proa::fabric
