#include "kube/apiserver/serve/health.h"

#include <algorithm>

#include "base/log.h"
#include "kube/apiserver/serve/writer.h"
#include "net/url.h"

namespace proa::kube::api {
namespace {

// "healthz", "livez" or "readyz", and what stands behind it.
std::pair<std::string_view, std::string_view> parts_of(std::string_view path) {
  path.remove_prefix(path.starts_with('/') ? 1 : 0);
  const size_t slash = path.find('/');
  return {path.substr(0, slash), slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1)};
}

}  // namespace

bool Health::has(std::string_view path) {
  const std::string_view first = parts_of(path).first;
  return first == "healthz" || first == "livez" || first == "readyz";
}

Served Health::serve(Call& call) const {
  const auto [page, one] = parts_of(call.info.path);
  const net::Query query(call.request.query());
  const std::vector<std::string_view> excluded = query.all("exclude");
  std::string text;
  bool healthy = true, found = one.empty();
  for (const Check& check : checks_) {
    if (check.ready_only && page != "readyz") continue;
    if (!one.empty() && one != check.name) continue;
    found = true;
    if (std::ranges::find(excluded, check.name) != excluded.end()) {
      text += cat("[+]", check.name, " excluded: ok\n");
      continue;
    }
    if (const auto result = check.check(); !result) {
      healthy = false;
      log::warning(page, " check ", check.name, ": ", result.error().message());
      text += cat("[-]", check.name, " failed: reason withheld\n");
    } else {
      text += cat("[+]", check.name, " ok\n");
    }
  }
  call.response.headers.set("X-Content-Type-Options", "nosniff");
  call.response.headers.set("Cache-Control", "no-cache, private");
  if (!found) co_return co_await send_text(call, 404, "404 page not found\n");
  if (!healthy) {
    if (one.empty()) co_return co_await send_text(call, 500, cat(text, page, " check failed\n"));
    co_return co_await send_text(call, 500, "internal server error: reason withheld\n");
  }
  if (!query.contains("verbose") || !one.empty()) co_return co_await send_text(call, 200, "ok");
  co_return co_await send_text(call, 200, cat(text, page, " check passed\n"));
}

}  // namespace proa::kube::api
