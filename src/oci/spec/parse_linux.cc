#include "oci/spec/fields.h"
#include "oci/spec/namespaces.h"

namespace proa::oci::reader {

void fields(Object& in, Namespace& out) {
  in.required("type", Named{out.type, namespace_names()});
  in.field("path", out.path);
}

// 'c', 'b' or 'p'; "u" (unbuffered) is 'c' to Linux.
struct DeviceType {
  char& out;
};
void read(const Cursor& in, const DeviceType& target) {
  const std::optional<std::string_view> text = read_text(in);
  if (!text) return;
  if (*text == "c" || *text == "u")
    target.out = 'c';
  else if (*text == "b" || *text == "p")
    target.out = text->front();
  else
    in.expected("\"c\", \"b\", \"u\" or \"p\"");
}

void fields(Object& in, Device& out) {
  in.required("path", out.path);
  in.required("type", DeviceType{out.type});
  if (out.type == 'p') {
    in.field("major", out.major);
    in.field("minor", out.minor);
  } else {
    in.required("major", out.major);
    in.required("minor", out.minor);
  }
  in.field("fileMode", out.file_mode);
  in.field("uid", out.uid);
  in.field("gid", out.gid);
}

struct NetDeviceName {
  std::string& out;
};
void fields(Object& in, NetDeviceName& out) { in.field("name", out.out); }

// An object keyed by host name becomes a list.
struct NetDevices {
  std::vector<NetDevice>& out;
};
void read(const Cursor& in, const NetDevices& target) {
  each_entry(in, [&](const Cursor& entry, std::string_view host_name) {
    NetDevice& device = target.out.emplace_back();
    device.host_name = host_name;
    NetDeviceName inside{device.name};
    read(entry, inside);
    if (device.name.empty()) device.name = host_name;
  });
}

void fields(Object& in, kernel::SeccompArg& out) {
  in.required("index", out.index);
  in.required("value", out.value);
  in.field("valueTwo", out.value_two);
  in.required("op", out.op);
}

void fields(Object& in, kernel::SeccompSyscall& out) {
  in.required("names", out.names);
  in.required("action", out.action);
  in.field("errnoRet", out.errno_ret);
  in.field("args", out.args);
}

void fields(Object& in, Seccomp& out) {
  in.required("defaultAction", out.default_action);
  in.field("defaultErrnoRet", out.default_errno_ret);
  in.field("architectures", out.architectures);
  in.field("flags", out.flags);
  in.field("listenerPath", out.listener_path);
  in.field("listenerMetadata", out.listener_metadata);
  in.field("syscalls", out.syscalls);
}

void fields(Object& in, IntelRdt& out) {
  in.field("closID", out.clos_id);
  in.field("l3CacheSchema", out.l3_cache_schema);
  in.field("memBwSchema", out.mem_bw_schema);
  in.field("schemata", out.schemata);
  in.field("enableMonitoring", out.enable_monitoring);
}

void fields(Object& in, MemoryPolicy& out) {
  in.required("mode", out.mode);
  in.field("nodes", out.nodes);
  in.field("flags", out.flags);
}

void fields(Object& in, Personality& out) {
  in.required("domain", out.domain);
  in.field("flags", out.flags);
}

void fields(Object& in, TimeOffset& out) {
  in.field("secs", out.secs);
  in.field("nanosecs", out.nanosecs);
}

void fields(Object& in, Linux& out) {
  in.field("uidMappings", out.uid_mappings);
  in.field("gidMappings", out.gid_mappings);
  in.field("sysctl", out.sysctl);
  in.field("resources", out.resources);
  in.field("cgroupsPath", out.cgroups_path);
  in.field("namespaces", out.namespaces);
  in.field("devices", out.devices);
  in.field("netDevices", NetDevices{out.net_devices});
  in.field("seccomp", out.seccomp);
  in.field("rootfsPropagation", out.rootfs_propagation);
  in.field("maskedPaths", out.masked_paths);
  in.field("readonlyPaths", out.readonly_paths);
  in.field("mountLabel", out.mount_label);
  in.field("intelRdt", out.intel_rdt);
  in.field("memoryPolicy", out.memory_policy);
  in.field("personality", out.personality);
  in.field("timeOffsets", out.time_offsets);
}

}  // namespace proa::oci::reader
