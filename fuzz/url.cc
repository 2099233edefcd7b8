// URLs: what is parsed prints as text that parses to the same, also after resolving a reference.
#include "net/url.h"

#include "fuzz.h"
#include "net/proxy.h"

namespace {

using namespace proa::net;

void check_same(const Url& url) {
  Url plain = url;
  plain.user.clear();
  plain.password.clear();
  const auto again = Url::parse(plain.scheme == "unix" ? "unix://" + plain.target() : plain.text());
  FUZZ_CHECK(again);
  FUZZ_CHECK(again->host == url.host && again->port == url.port && again->path == url.path &&
             again->query == url.query);
  FUZZ_CHECK(url.path.starts_with('/'));
  FUZZ_CHECK(url.target().find_first_of(" \r\n\t") == std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = as_text(data, size);
  if (const auto url = Url::parse(text)) check_same(*url);
  static const Url base = *Url::parse("https://host:8443/a/b?c");
  if (const auto url = base.resolve(text)) check_same(*url);
  const Query query(text);
  FUZZ_CHECK(Query(query.text()).parameters().size() == query.parameters().size());
  FUZZ_CHECK(*percent_decode(percent_encode(text)) == text);
  static_cast<void>(excepted(text, "host.example", 443));
  static_cast<void>(excepted(text, "192.0.2.1", 443));
  return 0;
}
