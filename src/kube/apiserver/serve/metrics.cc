#include "kube/apiserver/serve/metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

namespace proa::kube::api {
namespace {

std::string number(double value) {
  char text[32];
  const int size = std::snprintf(text, sizeof text, "%g", value);
  return {text, static_cast<size_t>(size)};
}

void begin(std::string& out, std::string_view name, std::string_view type, std::string_view help) {
  out += cat("# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n");
}

void single(std::string& out, std::string_view name, std::string_view type, std::string_view help, double value) {
  begin(out, name, type, help);
  out += cat(name, " ", number(value), "\n");
}

std::string labels_of(const Call& call) {
  const RequestInfo& info = call.info;
  const bool known = call.resource != nullptr;
  const std::string_view scope = !known               ? ""
                                 : !info.name.empty() ? "resource"
                                 : info.ns.empty()    ? "cluster"
                                                      : "namespace";
  std::string verb = known ? info.verb : std::string(call.request.method());
  std::ranges::transform(verb, verb.begin(),
                         [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  static constexpr std::string_view kVerbs[] = {"GET",   "LIST", "WATCH",  "CREATE",           "UPDATE", "PUT",
                                                "PATCH", "POST", "DELETE", "DELETECOLLECTION", "HEAD"};
  if (std::ranges::find(kVerbs, verb) == std::end(kVerbs)) verb = "OTHER";
  return cat("group=\"", known ? call.resource->group() : "", "\",resource=\"",
             known ? call.resource->view.plural() : "", "\",scope=\"", scope, "\",subresource=\"",
             known && call.part ? call.part->name : "", "\",verb=\"", verb, "\",version=\"",
             known ? call.resource->version() : "", "\"");
}

double resident_bytes() {
  std::ifstream file("/proc/self/statm");
  double pages = 0, resident = 0;
  file >> pages >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

void Metrics::ended(const Call& call, int status, std::chrono::nanoseconds time) {
  const std::string labels = labels_of(call);
  const double seconds = std::chrono::duration<double>(time).count();
  const std::lock_guard lock(mutex_);
  ++requests_[cat("code=\"", status, "\",", labels)];
  if (call.info.verb == "watch") return;
  Times& times = times_[labels];
  ++times.counts[static_cast<size_t>(std::ranges::lower_bound(kBounds, seconds) - kBounds.begin())];
  times.sum += seconds;
  ++times.total;
}

std::string Metrics::text() const {
  std::string out;
  begin(out, "apiserver_current_inflight_requests", "gauge", "Requests that run now, by kind.");
  out += cat("apiserver_current_inflight_requests{request_kind=\"readOnly\"} ", reading.load(),
             "\napiserver_current_inflight_requests{request_kind=\"mutating\"} ", writing.load(), "\n");
  begin(out, "apiserver_longrunning_requests", "gauge", "Watches that run now.");
  out += cat("apiserver_longrunning_requests{verb=\"WATCH\"} ", watching.load(), "\n");
  single(out, "apiserver_dropped_requests_total", "counter", "Requests that were answered 429.",
         static_cast<double>(dropped.load()));
  single(out, "apiserver_storage_revision", "gauge", "The store's newest revision.",
         static_cast<double>(store_.revision()));
  {
    const std::lock_guard lock(mutex_);
    begin(out, "apiserver_request_total", "counter", "Requests that ended.");
    for (const auto& [labels, count] : requests_) out += cat("apiserver_request_total{", labels, "} ", count, "\n");
    begin(out, "apiserver_request_duration_seconds", "histogram", "How long they took.");
    for (const auto& [labels, times] : times_) {
      uint64_t sum = 0;
      for (size_t i = 0; i < kBounds.size(); ++i)
        out += cat("apiserver_request_duration_seconds_bucket{", labels, ",le=\"", number(kBounds[i]), "\"} ",
                   sum += times.counts[i], "\n");
      out += cat("apiserver_request_duration_seconds_bucket{", labels, ",le=\"+Inf\"} ", times.total, "\n");
      out += cat("apiserver_request_duration_seconds_sum{", labels, "} ", number(times.sum), "\n");
      out += cat("apiserver_request_duration_seconds_count{", labels, "} ", times.total, "\n");
    }
  }
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  single(out, "process_cpu_seconds_total", "counter", "CPU time of the process.",
         seconds(usage.ru_utime) + seconds(usage.ru_stime));
  single(out, "process_resident_memory_bytes", "gauge", "Memory of the process.", resident_bytes());
  return out;
}

}  // namespace proa::kube::api
