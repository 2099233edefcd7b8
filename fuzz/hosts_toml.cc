// hosts.toml, and TOML below it: what is read has addresses that can be asked.
#include <boost/json.hpp>

#include "fuzz.h"
#include "net/url.h"
#include "oci/image/remote/hosts_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::oci::image::remote;
  const auto file = parse_hosts(as_text(data, size), "/folder");
  if (!file) {
    FUZZ_CHECK(!file.error().message().empty());
    return 0;
  }
  for (const HostsEntry& host : file->hosts) FUZZ_CHECK(proa::net::Url::parse(host.url));
  FUZZ_CHECK(file->server.url.empty() || proa::net::Url::parse(file->server.url));
  return 0;
}
