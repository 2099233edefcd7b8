// `proa doctor`.
#include <boost/json.hpp>

#include "cli/doctor/doctor.h"
#include "cli/print.h"
#include "cli/program_commands.h"

namespace proa::cli {
namespace doctor {

std::vector<Check> examine() {
  std::vector<Check> all;
  for (const auto check : {check_kernel, check_namespaces, check_cgroups, check_mounts, check_processes, check_security,
                           check_network, check_devices, check_limits})
    check(all);
  return all;
}

}  // namespace doctor

namespace {

std::string_view status_name(doctor::Status status) {
  switch (status) {
    case doctor::Status::kOk: return "ok";
    case doctor::Status::kGap: return "gap";
    case doctor::Status::kMissing: break;
  }
  return "missing";
}

boost::json::object document_of(const std::vector<doctor::Check>& checks, bool usable) {
  boost::json::array list;
  for (const doctor::Check& check : checks) {
    boost::json::object one{{"area", check.area}, {"name", check.name}, {"status", status_name(check.status)}};
    if (!check.detail.empty()) one["detail"] = check.detail;
    if (!check.fix.empty()) one["fix"] = check.fix;
    list.push_back(std::move(one));
  }
  return {{"containersCanRun", usable}, {"checks", std::move(list)}};
}

std::string text_of(const std::vector<doctor::Check>& checks, bool usable) {
  Table table{{"AREA", "CHECK", "STATUS", "DETAIL"}, {}};
  size_t gaps = 0;
  std::string fixes;
  for (const doctor::Check& check : checks) {
    table.rows.push_back({check.area, check.name, std::string(status_name(check.status)), check.detail});
    if (check.status == doctor::Status::kOk) continue;
    ++gaps;
    fixes += cat("  ", check.area, ", ", check.name, ": ", check.fix, "\n");
  }
  std::string out = render_table(table);
  if (gaps > 0) out += cat("\nWhat to do about each gap:\n", fixes);
  return out += usable ? "\nContainers can run here.\n" : "\nContainers cannot run here: see what is missing above.\n";
}

}  // namespace

Result<int> program_doctor(const Invocation& in) {
  const std::vector<doctor::Check> checks = doctor::examine();
  bool usable = true;
  for (const doctor::Check& check : checks) usable = usable && check.status != doctor::Status::kMissing;
  if (const std::string format = in.text("output"); format != "table")
    TRY(print_document(format, document_of(checks, usable), {}));
  else
    TRY(print_text(text_of(checks, usable)));
  return usable ? 0 : 1;
}

}  // namespace proa::cli
