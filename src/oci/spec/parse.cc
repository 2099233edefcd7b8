#include <exception>

#include "base/json.h"
#include "base/log.h"
#include "kernel/capability.h"
#include "oci/spec/fields.h"
#include "oci/spec/validate.h"

namespace proa::oci {
namespace reader {

// "height" and "width" are required: a terminal of no size is none.
void fields(Object& in, ConsoleSize& out) {
  in.required("height", out.height);
  in.required("width", out.width);
}

void fields(Object& in, User& out) {
  in.field("uid", out.uid);
  in.field("gid", out.gid);
  in.field("umask", out.umask);
  in.field("additionalGids", out.additional_gids);
}

// A set of capabilities. Names that this program does not know are left out and remembered: what they
// mean depends on the document's version.
struct CapabilitySet {
  uint64_t& out;
  std::vector<std::string>& unknown;
};
void read(const Cursor& in, const CapabilitySet& target) {
  each_item(in, kMaxItems, [&](const Cursor& item) {
    const std::optional<std::string_view> name = read_text(item);
    if (!name) return;
    if (const std::optional<int> number = kernel::capability_number(*name))
      target.out |= uint64_t{1} << *number;
    else
      target.unknown.emplace_back(*name);
  });
}

void fields(Object& in, Capabilities& out) {
  in.field("bounding", CapabilitySet{out.bounding, out.unknown});
  in.field("effective", CapabilitySet{out.effective, out.unknown});
  in.field("inheritable", CapabilitySet{out.inheritable, out.unknown});
  in.field("permitted", CapabilitySet{out.permitted, out.unknown});
  in.field("ambient", CapabilitySet{out.ambient, out.unknown});
}

void fields(Object& in, Rlimit& out) {
  in.required("type", Named{out.resource, kernel::rlimit_names()});
  in.required("soft", out.soft);
  in.required("hard", out.hard);
}

void fields(Object& in, Scheduler& out) {
  in.required("policy", Named{out.policy, kernel::scheduler_policy_names()});
  in.field("nice", out.nice);
  in.field("priority", out.priority);
  in.field("flags", NamedBits{out.flags, kernel::scheduler_flag_names()});
  in.field("runtime", out.runtime);
  in.field("deadline", out.deadline);
  in.field("period", out.period);
}

void fields(Object& in, IoPriority& out) {
  in.required("class", Named{out.io_class, kernel::io_class_names()});
  in.required("priority", out.priority);
}

void fields(Object& in, CpuAffinity& out) {
  in.field("initial", out.initial);
  in.field("final", out.final);
}

void fields(Object& in, Process& out) {
  in.field("terminal", out.terminal);
  if (out.terminal) in.field("consoleSize", out.console_size);  // ignored otherwise, as the specification demands
  in.field("user", out.user);
  in.field("args", out.args);
  in.field("env", out.env);
  in.required("cwd", out.cwd);
  in.field("capabilities", out.capabilities);
  in.field("rlimits", out.rlimits);
  in.field("noNewPrivileges", out.no_new_privileges);
  in.field("apparmorProfile", out.apparmor_profile);
  in.field("oomScoreAdj", out.oom_score_adj);
  in.field("scheduler", out.scheduler);
  in.field("selinuxLabel", out.selinux_label);
  in.field("ioPriority", out.io_priority);
  in.field("execCPUAffinity", out.exec_cpu_affinity);
}

void fields(Object& in, Root& out) {
  in.required("path", out.path);
  in.field("readonly", out.readonly);
}

void fields(Object& in, IdMapping& out) {
  in.required("containerID", out.container_id);
  in.required("hostID", out.host_id);
  in.required("size", out.size);
}

void fields(Object& in, Mount& out) {
  in.required("destination", out.destination);
  in.field("type", out.type);
  in.field("source", out.source);
  in.field("options", out.options);
  in.field("uidMappings", out.uid_mappings);
  in.field("gidMappings", out.gid_mappings);
}

void fields(Object& in, Hook& out) {
  in.required("path", out.path);
  in.field("args", out.args);
  in.field("env", out.env);
  in.field("timeout", out.timeout);
}

void fields(Object& in, Hooks& out) {
  in.field("prestart", out.prestart);
  in.field("createRuntime", out.create_runtime);
  in.field("createContainer", out.create_container);
  in.field("startContainer", out.start_container);
  in.field("poststart", out.poststart);
  in.field("poststop", out.poststop);
}

void fields(Object& in, Spec& out) {
  in.required("ociVersion", out.oci_version);
  in.field("process", out.process);
  in.field("root", out.root);
  in.field("hostname", out.hostname);
  in.field("domainname", out.domainname);
  in.field("mounts", out.mounts);
  in.field("hooks", out.hooks);
  in.field("annotations", out.annotations);
  in.field("linux", out.linux_);
}

}  // namespace reader

namespace {

// `name`: what the document is called in errors; empty for config.json, whose fields stand alone.
template <typename T>
Result<> read_document(std::string_view text, std::string_view name, T& out) {
  try {
    const boost::json::value document = TRY(json::parse(text));
    std::optional<Error> failure;
    const reader::Place place{.outer = nullptr, .name = name};
    reader::read(reader::Cursor(document, name.empty() ? nullptr : &place, failure), out);
    if (failure) return std::unexpected(*std::move(failure));
    return {};
  } catch (const std::exception& error) {
    return fail("reading the document: ", error.what());
  }
}

}  // namespace

Result<Spec> parse_spec(std::string_view json) {
  Spec spec;
  TRY(read_document(json, "", spec));
  TRY(validate(spec));
  return spec;
}

Result<Process> parse_process(std::string_view json) {
  Process process;
  TRY(read_document(json, "process", process));
  TRY(validate(process));
  return process;
}

Result<Resources> parse_resources(std::string_view json) {
  Resources resources;
  TRY(read_document(json, "resources", resources));
  TRY(validate(resources, "resources"));
  return resources;
}

}  // namespace proa::oci
