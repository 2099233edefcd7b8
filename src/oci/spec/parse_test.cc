#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/sched.h>
#include <sys/resource.h>

#include <boost/json.hpp>
#include <fstream>
#include <sstream>

#include "oci/spec/spec.h"

namespace proa::oci {
namespace {

namespace bj = boost::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

// The seed document that has every field of the specification.
const std::string& full_text() {
  static const std::string text = [] {
    std::ifstream file(PROA_SOURCE_DIR "/fuzz/corpus/config/full.json");
    std::stringstream all;
    all << file.rdbuf();
    return all.str();
  }();
  return text;
}

const Spec& full() {
  static const Spec spec = [] {
    auto parsed = parse_spec(full_text());
    EXPECT_TRUE(parsed) << (parsed ? "" : parsed.error().message());
    return parsed.value_or(Spec{});
  }();
  return spec;
}

std::string error_of(std::string_view text) {
  auto parsed = parse_spec(text);
  return parsed ? "no error" : parsed.error().message();
}

std::string minimal_with(std::string_view members) {
  return cat(R"({"ociVersion":"1.0.0","root":{"path":"r"})", members.empty() ? "" : ",", members, "}");
}

auto mapping(uint32_t container, uint32_t host, uint32_t size) {
  return AllOf(Field(&IdMapping::container_id, container), Field(&IdMapping::host_id, host),
               Field(&IdMapping::size, size));
}

TEST(ParseSpec, Top) {
  EXPECT_EQ(full().oci_version, "1.3.0");
  EXPECT_EQ(full().root->path, "rootfs");
  EXPECT_TRUE(full().root->readonly);
  EXPECT_EQ(full().hostname, "slart");
  EXPECT_EQ(full().domainname, "example.test");
  EXPECT_THAT(full().annotations, ElementsAre(Pair("com.example.key", "value"), Pair("empty", "")));
}

TEST(ParseSpec, Process) {
  const Process& p = full().process.value();
  EXPECT_TRUE(p.terminal);
  EXPECT_EQ(p.console_size->height, 25);
  EXPECT_EQ(p.console_size->width, 80);
  EXPECT_EQ(p.user.uid, 1u);
  EXPECT_EQ(p.user.gid, 2u);
  EXPECT_EQ(p.user.umask, 077u);
  EXPECT_THAT(p.user.additional_gids, ElementsAre(5, 6));
  EXPECT_THAT(p.args, ElementsAre("sh", "-c", "echo \xc3\xa9\n"));
  EXPECT_THAT(p.env, ElementsAre("PATH=/bin:/usr/bin", "EMPTY="));
  EXPECT_EQ(p.cwd, "/root");
  EXPECT_TRUE(p.no_new_privileges);
  EXPECT_EQ(p.apparmor_profile, "profile");
  EXPECT_EQ(p.oom_score_adj, -100);
  EXPECT_EQ(p.selinux_label, "system_u:system_r:svirt_lxc_net_t:s0:c124,c675");
  EXPECT_EQ(p.io_priority->io_class, kernel::kIoClassIdle);
  EXPECT_EQ(p.io_priority->priority, 4);
  EXPECT_EQ(p.exec_cpu_affinity->initial, "7");
  EXPECT_EQ(p.exec_cpu_affinity->final, "0-3,7");
}

TEST(ParseSpec, Capabilities) {
  const Capabilities& c = full().process->capabilities.value();
  EXPECT_EQ(c.bounding, uint64_t{1} << 0 | uint64_t{1} << 5);
  EXPECT_EQ(c.effective, uint64_t{1} << 0);
  EXPECT_EQ(c.inheritable, uint64_t{1} << 12);
  EXPECT_EQ(c.permitted, uint64_t{1} << 0 | uint64_t{1} << 40);
  EXPECT_EQ(c.ambient, uint64_t{1} << 21);
}

TEST(ParseSpec, RlimitsAndScheduler) {
  const Process& p = full().process.value();
  ASSERT_EQ(p.rlimits.size(), 2u);
  EXPECT_EQ(p.rlimits[0].resource, RLIMIT_NOFILE);
  EXPECT_EQ(p.rlimits[0].soft, 512u);
  EXPECT_EQ(p.rlimits[0].hard, 1024u);
  EXPECT_EQ(p.rlimits[1].hard, RLIM_INFINITY);
  const Scheduler& s = p.scheduler.value();
  EXPECT_EQ(s.policy, uint32_t{SCHED_DEADLINE});
  EXPECT_EQ(s.nice, 3);
  EXPECT_EQ(s.priority, 0);
  EXPECT_EQ(s.flags, uint64_t{SCHED_FLAG_RESET_ON_FORK | SCHED_FLAG_RECLAIM});
  EXPECT_EQ(s.runtime, 1000u);
  EXPECT_EQ(s.deadline, 2000u);
  EXPECT_EQ(s.period, 3000u);
}

TEST(ParseSpec, Mounts) {
  ASSERT_EQ(full().mounts.size(), 3u);
  EXPECT_EQ(full().mounts[0].destination, "/proc");
  EXPECT_EQ(full().mounts[0].type, "proc");
  EXPECT_EQ(full().mounts[0].source, "proc");
  EXPECT_THAT(full().mounts[1].options, ElementsAre("nosuid", "size=64k", "tmpcopyup"));
  EXPECT_THAT(full().mounts[2].uid_mappings, ElementsAre(mapping(0, 1000, 10)));
  EXPECT_THAT(full().mounts[2].gid_mappings, ElementsAre(mapping(0, 2000, 20)));
}

TEST(ParseSpec, Hooks) {
  const Hooks& h = full().hooks;
  EXPECT_EQ(h.prestart.at(0).path, "/bin/a");
  EXPECT_EQ(h.prestart.at(0).timeout, std::nullopt);
  EXPECT_EQ(h.create_runtime.at(0).path, "/bin/b");
  EXPECT_THAT(h.create_runtime.at(0).args, ElementsAre("b", "1"));
  EXPECT_THAT(h.create_runtime.at(0).env, ElementsAre("K=V"));
  EXPECT_EQ(h.create_runtime.at(0).timeout, 7);
  EXPECT_EQ(h.create_container.at(0).path, "/bin/c");
  EXPECT_EQ(h.start_container.at(0).path, "/bin/d");
  EXPECT_EQ(h.poststart.at(0).path, "/bin/e");
  EXPECT_EQ(h.poststop.at(1).path, "/bin/g");
}

TEST(ParseSpec, LinuxSurroundings) {
  const Linux& l = full().linux_.value();
  EXPECT_THAT(l.uid_mappings, ElementsAre(mapping(0, 100000, 65536)));
  EXPECT_THAT(l.gid_mappings, ElementsAre(mapping(0, 200000, 65536)));
  EXPECT_EQ(l.sysctl.at("kernel.shmmax"), "4096");
  EXPECT_EQ(l.sysctl.size(), 3u);
  EXPECT_EQ(l.cgroups_path, "/group/box");
  EXPECT_EQ(l.rootfs_propagation, "slave");
  EXPECT_THAT(l.masked_paths, ElementsAre("/proc/kcore"));
  EXPECT_THAT(l.readonly_paths, ElementsAre("/proc/sys", "/proc/bus"));
  EXPECT_EQ(l.mount_label, "system_u:object_r:svirt_sandbox_file_t:s0");
  EXPECT_EQ(l.personality->domain, "LINUX32");
  EXPECT_THAT(l.personality->flags, IsEmpty());
  EXPECT_EQ(l.memory_policy->mode, "MPOL_INTERLEAVE");
  EXPECT_EQ(l.memory_policy->nodes, "2-3");
  EXPECT_THAT(l.memory_policy->flags, ElementsAre("MPOL_F_STATIC_NODES"));
  EXPECT_EQ(l.time_offsets.at("monotonic").secs, 172800);
  EXPECT_EQ(l.time_offsets.at("monotonic").nanosecs, 5u);
  EXPECT_EQ(l.time_offsets.at("boottime").secs, -60);
}

TEST(ParseSpec, Namespaces) {
  const Linux& l = full().linux_.value();
  EXPECT_EQ(l.namespaces.size(), size_t{kNamespaceTypes});
  EXPECT_EQ(l.namespaces[0].type, NamespaceType::kPid);
  EXPECT_EQ(l.namespaces[7].type, NamespaceType::kTime);
  EXPECT_EQ(l.find(NamespaceType::kNetwork)->path, "/run/netns/a");
  EXPECT_EQ(l.find(NamespaceType::kUser)->path, "");
  EXPECT_EQ(Linux{}.find(NamespaceType::kUser), nullptr);
}

TEST(ParseSpec, Devices) {
  const std::vector<Device>& d = full().linux_->devices;
  ASSERT_EQ(d.size(), 4u);
  EXPECT_EQ(d[0].path, "/dev/fuse");
  EXPECT_EQ(d[0].type, 'c');
  EXPECT_EQ(d[0].major, 10);
  EXPECT_EQ(d[0].minor, 229);
  EXPECT_EQ(d[0].file_mode, 0666u);
  EXPECT_EQ(d[0].uid, 3u);
  EXPECT_EQ(d[0].gid, 4u);
  EXPECT_EQ(d[1].type, 'p');
  EXPECT_EQ(d[1].file_mode, std::nullopt);
  EXPECT_EQ(d[2].type, 'c') << "u is unbuffered, which Linux does not tell from c";
  EXPECT_EQ(d[3].type, 'b');
}

TEST(ParseSpec, NetDevicesTakeTheirHostNameUnlessGivenOne) {
  EXPECT_THAT(full().linux_->net_devices,
              ElementsAre(AllOf(Field(&NetDevice::host_name, "eth5"), Field(&NetDevice::name, "inner0")),
                          AllOf(Field(&NetDevice::host_name, "eth6"), Field(&NetDevice::name, "eth6"))));
}

TEST(ParseSpec, Seccomp) {
  const Seccomp& s = full().linux_->seccomp.value();
  EXPECT_EQ(s.default_action, "SCMP_ACT_ERRNO");
  EXPECT_EQ(s.default_errno_ret, 38u);
  EXPECT_THAT(s.architectures, ElementsAre("SCMP_ARCH_X86_64"));
  EXPECT_THAT(s.flags.value(), ElementsAre("SECCOMP_FILTER_FLAG_LOG"));
  EXPECT_EQ(s.listener_path, "/run/agent.sock");
  EXPECT_EQ(s.listener_metadata, "box");
  ASSERT_EQ(s.syscalls.size(), 1u);
  EXPECT_THAT(s.syscalls[0].names, ElementsAre("getcwd", "chmod"));
  EXPECT_EQ(s.syscalls[0].action, "SCMP_ACT_NOTIFY");
  EXPECT_EQ(s.syscalls[0].errno_ret, 5u);
  ASSERT_EQ(s.syscalls[0].args.size(), 1u);
  EXPECT_EQ(s.syscalls[0].args[0].index, 1u);
  EXPECT_EQ(s.syscalls[0].args[0].value, UINT64_MAX);
  EXPECT_EQ(s.syscalls[0].args[0].value_two, 7u);
  EXPECT_EQ(s.syscalls[0].args[0].op, "SCMP_CMP_MASKED_EQ");
}

TEST(ParseSpec, IntelRdt) {
  const IntelRdt& r = full().linux_->intel_rdt.value();
  EXPECT_EQ(r.clos_id, "guaranteed");
  EXPECT_EQ(r.l3_cache_schema, "L3:0=7f0");
  EXPECT_EQ(r.mem_bw_schema, "MB:0=20");
  EXPECT_THAT(r.schemata, ElementsAre("L2:0=f"));
  EXPECT_TRUE(r.enable_monitoring);
}

TEST(ParseSpec, ResourcesMemoryCpuPids) {
  const Resources& r = full().linux_->resources.value();
  EXPECT_EQ(r.memory->limit, 536870912);
  EXPECT_EQ(r.memory->reservation, 268435456);
  EXPECT_EQ(r.memory->swap, -1);
  EXPECT_EQ(r.memory->kernel, 1);
  EXPECT_EQ(r.memory->kernel_tcp, 2);
  EXPECT_EQ(r.memory->swappiness, 60u);
  EXPECT_EQ(r.memory->disable_oom_killer, true);
  EXPECT_EQ(r.memory->use_hierarchy, false);
  EXPECT_EQ(r.memory->check_before_update, true);
  EXPECT_EQ(r.cpu->shares, 1024u);
  EXPECT_EQ(r.cpu->quota, -1);
  EXPECT_EQ(r.cpu->burst, 10u);
  EXPECT_EQ(r.cpu->period, 500000u);
  EXPECT_EQ(r.cpu->realtime_runtime, 950000);
  EXPECT_EQ(r.cpu->realtime_period, 1000000u);
  EXPECT_EQ(r.cpu->cpus, "0-1");
  EXPECT_EQ(r.cpu->mems, "0");
  EXPECT_EQ(r.cpu->idle, 1);
  EXPECT_EQ(r.pids_limit, 0);
}

TEST(ParseSpec, ResourcesDevices) {
  const std::vector<DeviceRule>& d = full().linux_->resources->devices;
  ASSERT_EQ(d.size(), 3u);
  EXPECT_FALSE(d[0].allow);
  EXPECT_EQ(d[0].type, 'a');
  EXPECT_EQ(d[0].major, std::nullopt);
  EXPECT_EQ(d[0].access, "rwm");
  EXPECT_TRUE(d[1].allow);
  EXPECT_EQ(d[1].type, 'c');
  EXPECT_EQ(d[1].major, 10);
  EXPECT_EQ(d[1].minor, 229);
  EXPECT_EQ(d[2].major, std::nullopt) << "-1 is every number";
  EXPECT_EQ(d[2].access, "");
}

TEST(ParseSpec, ResourcesOthers) {
  const Resources& r = full().linux_->resources.value();
  EXPECT_EQ(r.block_io->weight, 10);
  EXPECT_EQ(r.block_io->leaf_weight, 11);
  EXPECT_EQ(r.block_io->weight_device.at(0).weight, 500);
  EXPECT_EQ(r.block_io->weight_device.at(0).leaf_weight, 300);
  EXPECT_EQ(r.block_io->weight_device.at(0).major, 8);
  EXPECT_EQ(r.block_io->throttle_read_bps.at(0).rate, 600u);
  EXPECT_EQ(r.block_io->throttle_write_bps.at(0).rate, 601u);
  EXPECT_EQ(r.block_io->throttle_read_iops.at(0).rate, 602u);
  EXPECT_EQ(r.block_io->throttle_write_iops.at(0).rate, 603u);
  EXPECT_EQ(r.block_io->throttle_write_iops.at(0).minor, 4);
  EXPECT_EQ(r.hugepage_limits.at(0).page_size, "2MB");
  EXPECT_EQ(r.hugepage_limits.at(0).limit, 9223372036854772000u);
  EXPECT_EQ(r.network->class_id, 1048577u);
  EXPECT_EQ(r.network->priorities.at(0).name, "eth0");
  EXPECT_EQ(r.network->priorities.at(0).priority, 500u);
  EXPECT_EQ(r.rdma.at("mlx5_1").hca_handles, 3u);
  EXPECT_EQ(r.rdma.at("mlx5_1").hca_objects, 10000u);
  EXPECT_EQ(r.unified.at("memory.high"), "max");
}

TEST(ParseSpec, AbsentIsNotZero) {
  auto spec = parse_spec(minimal_with(""));
  ASSERT_TRUE(spec) << spec.error().message();
  EXPECT_EQ(spec->process, std::nullopt) << "create without a process is fine, start is not";
  EXPECT_EQ(spec->linux_, std::nullopt);
  spec =
      parse_spec(minimal_with(R"("linux":{"resources":{"memory":{},"pids":{}}},"process":{"cwd":"/","args":["a"]})"));
  ASSERT_TRUE(spec) << spec.error().message();
  EXPECT_EQ(spec->linux_->resources->memory->limit, std::nullopt);
  EXPECT_EQ(spec->linux_->resources->pids_limit, std::nullopt);
  EXPECT_EQ(spec->linux_->resources->cpu, std::nullopt);
  EXPECT_EQ(spec->process->oom_score_adj, std::nullopt);
  EXPECT_EQ(spec->process->user.umask, std::nullopt);
  EXPECT_EQ(spec->process->capabilities, std::nullopt);
}

TEST(ParseSpec, NullReadsAsAbsent) {
  auto spec = parse_spec(minimal_with(R"("process":null,"hooks":null,"mounts":null,"linux":{"seccomp":null})"));
  ASSERT_TRUE(spec) << spec.error().message();
  EXPECT_EQ(spec->process, std::nullopt);
  EXPECT_EQ(spec->linux_->seccomp, std::nullopt);
}

TEST(ParseSpec, ConsoleSizeIsIgnoredWithoutTerminal) {
  auto spec = parse_spec(minimal_with(R"("process":{"cwd":"/","args":["a"],"consoleSize":{"height":-1}})"));
  ASSERT_TRUE(spec) << spec.error().message();
  EXPECT_EQ(spec->process->console_size, std::nullopt);
}

TEST(ParseSpec, UnknownCapabilitiesAreLeftOut) {
  const auto spec = parse_spec(
      R"({"ociVersion":"1.1.0","root":{"path":"r"},"process":{"cwd":"/","args":["a"],"capabilities":{"bounding":["CAP_MOON","CAP_KILL"]}}})");
  ASSERT_TRUE(spec) << spec.error().message();
  EXPECT_EQ(spec->process->capabilities->bounding, uint64_t{1} << 5);
}

TEST(ParseSpec, UnknownCapabilitiesAreRefusedByConfigurationsOfVersion10) {
  const auto spec = parse_spec(
      R"({"ociVersion":"1.0.2","root":{"path":"r"},"process":{"cwd":"/","args":["a"],"capabilities":{"bounding":["CAP_MOON"]}}})");
  ASSERT_FALSE(spec);
  EXPECT_EQ(spec.error().message(), "process.capabilities: capability CAP_MOON is not known");
}

TEST(ParseSpec, OfDuplicateKeysTheLastWins) {
  auto spec = parse_spec(R"({"ociVersion":"9.0.0","ociVersion":"1.0.0","root":{"path":"a","path":"b"}})");
  ASSERT_TRUE(spec) << spec.error().message();
  EXPECT_EQ(spec->root->path, "b");
}

// --- errors: one value of the full document is changed, or taken away when `json` is null

struct ErrorCase {
  const char* pointer;  // RFC 6901
  const char* json;     // nullptr: the member is removed
  const char* message;
};
void PrintTo(const ErrorCase& c, std::ostream* out) {
  *out << c.pointer << " = " << (c.json != nullptr ? c.json : "nothing");
}

std::string changed(const ErrorCase& change) {
  bj::value document = bj::parse(full_text());
  const std::string pointer = change.pointer;
  const size_t slash = pointer.rfind('/');
  const std::string last = pointer.substr(slash + 1);
  bj::error_code ec;
  bj::value& parent = *document.find_pointer(pointer.substr(0, slash), ec);
  if (change.json == nullptr)
    parent.as_object().erase(last);
  else if (parent.is_array())
    parent.as_array().at(std::stoul(last)) = bj::parse(change.json);
  else
    parent.as_object()[last] = bj::parse(change.json);
  return bj::serialize(document);
}

class SpecError : public testing::TestWithParam<ErrorCase> {};

TEST_P(SpecError, NamesTheField) { EXPECT_EQ(error_of(changed(GetParam())), GetParam().message); }

INSTANTIATE_TEST_SUITE_P(
    Types, SpecError,
    testing::ValuesIn(std::to_array<ErrorCase>({
        {"/ociVersion", "1", "ociVersion: expected a string, found number 1"},
        {"/ociVersion", nullptr, "ociVersion: is required"},
        {"/process", "[]", "process: expected an object, found an array"},
        {"/process/terminal", "\"yes\"", "process.terminal: expected true or false, found string \"yes\""},
        {"/process/consoleSize/height", "65536", "process.consoleSize.height: must be 0 to 65535, found number 65536"},
        {"/process/user/uid", "-1", "process.user.uid: expected an unsigned integer, found number -1"},
        {"/process/user/uid", "4294967296", "process.user.uid: must be 0 to 4294967295, found number 4294967296"},
        {"/process/user/uid", "1.5", "process.user.uid: expected an unsigned integer, found number 1.5E0"},
        {"/process/user/uid", "1e300", "process.user.uid: expected an unsigned integer, found number 1E300"},
        {"/process/user/additionalGids/1", "true",
         "process.user.additionalGids[1]: expected an unsigned integer, found true"},
        {"/process/args", "\"sh\"", "process.args: expected an array, found string \"sh\""},
        {"/process/args/1", "null", "process.args[1]: expected a string, found null"},
        {"/process/cwd", nullptr, "process.cwd: is required"},
        {"/process/rlimits/1/soft", "\"x\"",
         "process.rlimits[1].soft: expected an unsigned integer, found string \"x\""},
        {"/process/rlimits/0/hard", nullptr, "process.rlimits[0].hard: is required"},
        {"/process/rlimits/0/type", "\"RLIMIT_MOON\"", "process.rlimits[0].type: \"RLIMIT_MOON\" is not known"},
        {"/process/scheduler/policy", "\"SCHED_MOON\"", "process.scheduler.policy: \"SCHED_MOON\" is not known"},
        {"/process/scheduler/flags/0", "\"X\"", "process.scheduler.flags[0]: \"X\" is not known"},
        {"/process/ioPriority/class", "\"X\"", "process.ioPriority.class: \"X\" is not known"},
        {"/process/oomScoreAdj", "99999999999",
         "process.oomScoreAdj: must be -2147483648 to 2147483647, found number 99999999999"},
        {"/process/capabilities/ambient/0", "{}",
         "process.capabilities.ambient[0]: expected a string, found an object"},
        {"/mounts/2/uidMappings/0/size", nullptr, "mounts[2].uidMappings[0].size: is required"},
        {"/mounts/1/destination", nullptr, "mounts[1].destination: is required"},
        {"/hooks/poststop/1/path", nullptr, "hooks.poststop[1].path: is required"},
        {"/annotations/empty", "3", "annotations[\"empty\"]: expected a string, found number 3"},
        {"/annotations/", "\"v\"", "annotations: a key is empty"},
        {"/linux/namespaces/0/type", "\"moon\"", "linux.namespaces[0].type: \"moon\" is not known"},
        {"/linux/sysctl/net.ipv4.ip_forward", "1",
         "linux.sysctl[\"net.ipv4.ip_forward\"]: expected a string, found number 1"},
        {"/linux/devices/0/major", nullptr, "linux.devices[0].major: is required"},
        {"/linux/devices/0/type", "\"x\"",
         "linux.devices[0].type: expected \"c\", \"b\", \"u\" or \"p\", found string \"x\""},
        {"/linux/netDevices/eth5/name", "[]", "linux.netDevices[\"eth5\"].name: expected a string, found an array"},
        {"/linux/seccomp/defaultAction", nullptr, "linux.seccomp.defaultAction: is required"},
        {"/linux/seccomp/syscalls/0/args/0/value", "-3",
         "linux.seccomp.syscalls[0].args[0].value: expected an unsigned integer, found number -3"},
        {"/linux/timeOffsets/monotonic/nanosecs", "-1",
         "linux.timeOffsets[\"monotonic\"].nanosecs: expected an unsigned integer, found number -1"},
        {"/linux/resources/devices/0/allow", nullptr, "linux.resources.devices[0].allow: is required"},
        {"/linux/resources/devices/1/type", "\"p\"",
         "linux.resources.devices[1].type: expected \"a\", \"b\" or \"c\", found string \"p\""},
        {"/linux/resources/memory/limit", "18446744073709551615",
         "linux.resources.memory.limit: must be -9223372036854775808 to 9223372036854775807, found number "
         "18446744073709551615"},
        {"/linux/resources/memory/disableOOMKiller", "0",
         "linux.resources.memory.disableOOMKiller: expected true or false, found number 0"},
        {"/linux/resources/pids", "5", "linux.resources.pids: expected an object, found number 5"},
        {"/linux/resources/blockIO/weight", "65536",
         "linux.resources.blockIO.weight: must be 0 to 65535, found number 65536"},
        {"/linux/resources/rdma/mlx5_1/hcaHandles", "\"1\"",
         "linux.resources.rdma[\"mlx5_1\"].hcaHandles: expected an unsigned integer, found string \"1\""},
    })));

INSTANTIATE_TEST_SUITE_P(
    Values, SpecError,
    testing::ValuesIn(std::to_array<ErrorCase>({
        {"/ociVersion", "\"2.0.0\"", "ociVersion: \"2.0.0\" is not supported"},
        {"/ociVersion", "\"0.5.0\"", "ociVersion: \"0.5.0\" is not supported"},
        {"/ociVersion", "\"1.0\"", "ociVersion: \"1.0\" is not a version (MAJOR.MINOR.PATCH)"},
        {"/ociVersion", "\"1.02.0\"", "ociVersion: \"1.02.0\" is not a version (MAJOR.MINOR.PATCH)"},
        {"/ociVersion", "\"\"", "ociVersion: \"\" is not a version (MAJOR.MINOR.PATCH)"},
        {"/ociVersion", "\"1.0.0-\"", "ociVersion: \"1.0.0-\" is not a version (MAJOR.MINOR.PATCH)"},
        {"/root", nullptr, "root: is required"},
        {"/root/path", "\"\"", "root.path: must not be empty"},
        {"/process/cwd", "\"work\"", "process.cwd: must be an absolute path, found \"work\""},
        {"/process/cwd", "\"\"", "process.cwd: must be an absolute path, found \"\""},
        {"/process/args", "[]", "process.args: must not be empty"},
        {"/process/args", nullptr, "process.args: must not be empty"},
        {"/process/env/0", "\"PATH\"", "process.env[0]: must be NAME=VALUE, found \"PATH\""},
        {"/process/env/1", "\"=x\"", "process.env[1]: must be NAME=VALUE, found \"=x\""},
        {"/process/user/umask", "512", "process.user.umask: must be 0 to 511 (octal 777), found 512"},
        {"/process/oomScoreAdj", "1001", "process.oomScoreAdj: must be -1000 to 1000, found 1001"},
        {"/process/rlimits/1/type", "\"RLIMIT_NOFILE\"", "process.rlimits[1].type: RLIMIT_NOFILE is given twice"},
        {"/process/rlimits/0/soft", "1025", "process.rlimits[0].soft: 1025 is above the hard limit 1024"},
        {"/process/scheduler/nice", "20", "process.scheduler.nice: must be -20 to 19, found 20"},
        {"/process/scheduler/priority", "1",
         "process.scheduler.priority: only SCHED_FIFO and SCHED_RR have one, not SCHED_DEADLINE"},
        {"/process/scheduler/policy", "\"SCHED_OTHER\"",
         "process.scheduler.runtime: only SCHED_DEADLINE has one, not SCHED_OTHER"},
        {"/process/scheduler", R"({"policy":"SCHED_FIFO"})",
         "process.scheduler.priority: must be 1 to 99 with SCHED_FIFO, found 0"},
        {"/process/ioPriority/priority", "8", "process.ioPriority.priority: must be 0 to 7, found 8"},
        {"/process/execCPUAffinity/final", "\"3-1\"",
         "process.execCPUAffinity.final: \"3-1\" is not a number or a range FIRST-LAST below 8192"},
        {"/mounts/1/destination", "\"\"", "mounts[1].destination: must not be empty"},
        {"/mounts/2/gidMappings", nullptr, "mounts[2].options: uidMappings and gidMappings must be given together"},
        {"/mounts/2/options", R"(["idmap"])", "mounts[2].options: idmap needs a bind mount"},
        {"/mounts/2/uidMappings/0/size", "0", "mounts[2].uidMappings[0].size: must be above 0"},
        {"/hooks/prestart/0/path", "\"bin/a\"", "hooks.prestart[0].path: must be an absolute path, found \"bin/a\""},
        {"/hooks/createRuntime/0/timeout", "0", "hooks.createRuntime[0].timeout: must be above 0, found 0"},
        {"/hooks/poststop/1/timeout", "-5", "hooks.poststop[1].timeout: must be above 0, found -5"},
        {"/linux/namespaces/1/type", "\"pid\"", "linux.namespaces[1].type: \"pid\" is given twice"},
        {"/linux/namespaces/0/path", "\"x\"", "linux.namespaces[0].path: must be an absolute path, found \"x\""},
        {"/linux/uidMappings", nullptr, "linux.uidMappings: is required for a new user namespace"},
        {"/linux/gidMappings", "[]", "linux.gidMappings: is required for a new user namespace"},
        {"/linux/gidMappings/0/size", "0", "linux.gidMappings[0].size: must be above 0"},
        {"/linux/uidMappings/0/hostID", "4294967295", "linux.uidMappings[0].hostID: the range ends beyond the last id"},
        {"/linux/timeOffsets/moon", "{}", "linux.timeOffsets[\"moon\"]: is not a clock"},
        {"/linux/timeOffsets/monotonic/nanosecs", "1000000000",
         "linux.timeOffsets[\"monotonic\"].nanosecs: must be below 1000000000, found 1000000000"},
        {"/linux/namespaces/7/path", "\"/proc/1/ns/time\"",
         "linux.timeOffsets: cannot be set in a time namespace that is joined by path"},
        {"/linux/sysctl/kernel.core_pattern", "\"x\"",
         "linux.sysctl[\"kernel.core_pattern\"]: belongs to the host, not to a namespace of the container"},
        {"/linux/sysctl/kernel.hostname", "\"x\"", "linux.sysctl[\"kernel.hostname\"]: is set by the field hostname"},
        {"/linux/sysctl/net..x", "\"x\"", "linux.sysctl[\"net..x\"]: is not the name of a kernel parameter"},
        {"/linux/netDevices/waytoolongdevice", "{}",
         "linux.netDevices[\"waytoolongdevice\"]: is not a name of a network device"},
        {"/linux/netDevices/eth6/name", "\"a/b\"",
         "linux.netDevices[\"eth6\"].name: \"a/b\" is not a name of a network device"},
        {"/linux/netDevices/eth6/name", "\"inner0\"", "linux.netDevices[\"eth6\"].name: \"inner0\" is given twice"},
        {"/linux/maskedPaths/0", "\"proc\"", "linux.maskedPaths[0]: must be an absolute path, found \"proc\""},
        {"/linux/readonlyPaths/1", "\"\"", "linux.readonlyPaths[1]: must be an absolute path, found \"\""},
        {"/linux/devices/0/path", "\"fuse\"", "linux.devices[0].path: must be an absolute path, found \"fuse\""},
        {"/linux/devices/0/major", "4096", "linux.devices[0].major: must be 0 to 4095, found 4096"},
        {"/linux/devices/3/minor", "-1", "linux.devices[3].minor: must be 0 to 1048575, found -1"},
        {"/linux/devices/0/fileMode", "65536",
         "linux.devices[0].fileMode: must be 0 to 4095 (octal 7777), found 65536"},
        {"/linux/rootfsPropagation", "\"x\"", "linux.rootfsPropagation: \"x\" is not known"},
        {"/linux/seccomp/syscalls/0/names", "[]", "linux.seccomp.syscalls[0].names: must not be empty"},
        {"/linux/seccomp/syscalls/0/args/0/index", "6",
         "linux.seccomp.syscalls[0].args[0].index: must be 0 to 5, found 6"},
        {"/linux/seccomp/listenerPath", nullptr, "linux.seccomp.listenerPath: is required with SCMP_ACT_NOTIFY"},
        {"/linux/seccomp", R"({"defaultAction":"SCMP_ACT_ALLOW","listenerMetadata":"x"})",
         "linux.seccomp.listenerMetadata: needs listenerPath"},
        {"/linux/intelRdt/closID", "\"a/b\"", "linux.intelRdt.closID: \"a/b\" is not a name of a class of service"},
        {"/linux/intelRdt/closID", "\"..\"", "linux.intelRdt.closID: \"..\" is not a name of a class of service"},
        {"/linux/intelRdt/memBwSchema", "\"L3:0=1\"",
         "linux.intelRdt.memBwSchema: must start with MB:, found \"L3:0=1\""},
        {"/linux/intelRdt/schemata/0", "\"a\\nb\"", "linux.intelRdt.schemata[0]: contains a newline"},
        {"/linux/memoryPolicy/mode", "\"X\"", "linux.memoryPolicy.mode: \"X\" is not known"},
        {"/linux/memoryPolicy/flags/0", "\"X\"", "linux.memoryPolicy.flags[0]: \"X\" is not known"},
        {"/linux/memoryPolicy/mode", "\"MPOL_DEFAULT\"", "linux.memoryPolicy.nodes: must be empty with MPOL_DEFAULT"},
        {"/linux/memoryPolicy/nodes", "\"\"", "linux.memoryPolicy.nodes: is required with MPOL_INTERLEAVE"},
        {"/linux/memoryPolicy/nodes", "\"1024\"",
         "linux.memoryPolicy.nodes: \"1024\" is not a number or a range FIRST-LAST below 1024"},
        {"/linux/personality/domain", "\"BSD\"", "linux.personality.domain: \"BSD\" is not known"},
        {"/linux/personality/flags", "[\"X\"]", "linux.personality.flags[0]: \"X\" is not known"},
        {"/linux/resources/devices/1/access", "\"rx\"",
         "linux.resources.devices[1].access: must be made of r, w and m, found \"rx\""},
        {"/linux/resources/memory/swap", "-2", "linux.resources.memory.swap: must be -1 (no limit) or more, found -2"},
        {"/linux/resources/memory/swappiness", "101", "linux.resources.memory.swappiness: must be 0 to 100, found 101"},
        {"/linux/resources/cpu/idle", "2", "linux.resources.cpu.idle: must be 0 or 1, found 2"},
        {"/linux/resources/pids/limit", "-2", "linux.resources.pids.limit: must be -1 (no limit) or more, found -2"},
        {"/linux/resources/blockIO/weightDevice/0", R"({"major":8,"minor":0})",
         "linux.resources.blockIO.weightDevice[0]: needs weight or leafWeight"},
        {"/linux/resources/hugepageLimits/0/pageSize", "\"../2MB\"",
         "linux.resources.hugepageLimits[0].pageSize: must be like 64KB, 2MB or 1GB, found \"../2MB\""},
        {"/linux/resources/network/priorities/0/name", "\"\"",
         "linux.resources.network.priorities[0].name: \"\" is not a name of a network device"},
        {"/linux/resources/rdma/mlx5_1", "{}", "linux.resources.rdma[\"mlx5_1\"]: needs hcaHandles or hcaObjects"},
        {"/linux/resources/unified/..", "\"x\"", "linux.resources.unified[\"..\"]: is not a name of a cgroup file"},
    })));

// The full document without one namespace: what needed it is named.
std::string without_namespace(std::string_view type) {
  bj::value document = bj::parse(full_text());
  bj::array& list = document.at("linux").at("namespaces").as_array();
  for (auto* it = list.begin(); it != list.end(); ++it)
    if (it->at("type").as_string() == type) {
      list.erase(it);
      break;
    }
  return bj::serialize(document);
}

TEST(SpecNamespaces, AreNeededByTheFieldsThatActInThem) {
  EXPECT_EQ(error_of(without_namespace("uts")), "hostname: needs a uts namespace of the container");
  EXPECT_EQ(error_of(without_namespace("user")), "linux.uidMappings: needs a user namespace of the container");
  EXPECT_EQ(error_of(without_namespace("time")), "linux.timeOffsets: needs a time namespace of the container");
  EXPECT_EQ(error_of(without_namespace("ipc")), "linux.sysctl[\"kernel.shmmax\"]: needs a namespace of type ipc");
  EXPECT_EQ(error_of(without_namespace("network")),
            "linux.sysctl[\"net.ipv4.ip_forward\"]: needs a namespace of type network");
  EXPECT_EQ(error_of(without_namespace("mount")), "linux.maskedPaths: needs a mount namespace of the container");
  EXPECT_EQ(error_of(minimal_with(R"("domainname":"d")")), "domainname: needs a uts namespace of the container");
  EXPECT_EQ(error_of(minimal_with(R"("linux":{"netDevices":{"e":{}}})")),
            "linux.netDevices: needs a network namespace of the container");
  EXPECT_EQ(error_of(minimal_with(R"("mounts":[{"destination":"/a","options":["bind","idmap"]}])")),
            "mounts[0].options: idmap needs uidMappings and gidMappings, or a user namespace of the container");
}

TEST(SpecNamespaces, AUserNamespaceByPathNeedsNoMappings) {
  EXPECT_EQ(error_of(minimal_with(R"("linux":{"namespaces":[{"type":"user","path":"/proc/1/ns/user"}]})")), "no error");
}

TEST(SpecMounts, OptionsMakeABindMountNotTheType) {
  const auto with = [](std::string_view mount) {
    return error_of(minimal_with(cat(R"("mounts":[{"destination":"/a","source":"/b",)", mount, "}]")));
  };
  for (const char* kind : {"", R"("type":"",)", R"("type":"none",)", R"("type":"bind",)", R"("type":"proc",)"})
    for (const char* option : {"bind", "rbind"})
      EXPECT_EQ(with(cat(kind, R"("options":["ro",")", option, R"("])")), "no error") << kind << option;
  EXPECT_EQ(with(R"("type":"bind","options":["ro"])"),
            "mounts[0].options: a mount of type bind needs the option bind or rbind");
  EXPECT_EQ(with(R"("type":"bind")"), "mounts[0].options: a mount of type bind needs the option bind or rbind");
  for (const char* kind : {R"("options":["ro"])", R"("type":"","options":[])", R"("options":[])"})
    EXPECT_EQ(with(kind), "mounts[0].type: must not be empty, unless the options have bind or rbind") << kind;
  EXPECT_EQ(with(R"("options":["remount","ro"])"), "no error");
  EXPECT_EQ(with(R"("type":"none","options":["ro"])"), "no error") << "the kernel says that it knows none";
}

TEST(SpecMounts, OneThingIsDoneWithALink) {
  for (const char* other : {"src-nofollow", "dest-nofollow"})
    EXPECT_EQ(error_of(minimal_with(cat(R"("mounts":[{"destination":"/a","source":"/b","options":["bind",)",
                                        R"("copy-symlink",")", other, R"("]}])"))),
              "mounts[0].options: copy-symlink excludes src-nofollow and dest-nofollow");
}

TEST(SpecMappings, MustNotOverlap) {
  const auto with = [](const char* list) {
    return minimal_with(cat(
        R"("linux":{"namespaces":[{"type":"user"}],"gidMappings":[{"containerID":0,"hostID":0,"size":1}],"uidMappings":)",
        list, "}"));
  };
  EXPECT_EQ(error_of(with(R"([{"containerID":0,"hostID":0,"size":10},{"containerID":9,"hostID":90,"size":1}])")),
            "linux.uidMappings[1].containerID: overlaps entry 0");
  EXPECT_EQ(error_of(with(R"([{"containerID":0,"hostID":0,"size":10},{"containerID":10,"hostID":9,"size":1}])")),
            "linux.uidMappings[1].hostID: overlaps entry 0");
  EXPECT_EQ(error_of(with(R"([{"containerID":0,"hostID":0,"size":10},{"containerID":10,"hostID":10,"size":1}])")),
            "no error");
}

TEST(SpecVersions, EveryOneIsTaken) {
  for (const char* version : {"1.0.0", "1.0.2-dev", "1.0.0-rc5", "1.3.0+dev", "1.99.0", "1.2.0-rc.1+build.5"})
    EXPECT_EQ(error_of(cat(R"({"ociVersion":")", version, R"(","root":{"path":"r"}})")), "no error") << version;
}

TEST(SpecHints, TellTheWayOut) {
  auto bad = parse_spec(changed({"/process/ioPriority/class", "\"X\"", ""}));
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().hint(), "one of IOPRIO_CLASS_RT, IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE");
  EXPECT_THAT(parse_spec(without_namespace("uts")).error().hint(), HasSubstr("\"uts\""));
}

// --- hostile input

TEST(HostileSpec, NulBytesAreRefusedEverywhere) {
  EXPECT_EQ(error_of(changed({"/process/args/0", R"("a\u0000b")", ""})), "process.args[0]: contains a NUL byte");
  EXPECT_EQ(error_of(changed({"/mounts/0/source", R"("\u0000")", ""})), "mounts[0].source: contains a NUL byte");
  EXPECT_EQ(error_of(changed({"/process/rlimits/0/type", R"("RLIMIT_CPU\u0000")", ""})),
            "process.rlimits[0].type: contains a NUL byte");
  EXPECT_EQ(error_of(minimal_with(R"("annotations":{"a\u0000":"b"})")), "annotations: a key contains a NUL byte");
}

TEST(HostileSpec, InvalidUtf8IsRefused) {
  EXPECT_THAT(error_of(minimal_with("\"hostname\":\"a\xff\"")), HasSubstr("not valid JSON at line 1"));
  EXPECT_THAT(error_of(minimal_with("\"hostname\":\"\xed\xa0\x80\"")), HasSubstr("not valid JSON at line 1"));
  EXPECT_THAT(error_of(minimal_with(R"("hostname":"\ud800")")), HasSubstr("not valid JSON at line 1"));
}

TEST(HostileSpec, DepthIsBounded) {
  EXPECT_THAT(error_of(minimal_with(cat("\"x\":", std::string(100000, '[')))), HasSubstr("not valid JSON"));
  EXPECT_EQ(error_of(minimal_with(cat("\"x\":", std::string(60, '['), std::string(60, ']')))), "no error");
}

TEST(HostileSpec, SizeIsBounded) {
  EXPECT_THAT(error_of(std::string((16u << 20) + 1, ' ')), HasSubstr("over the limit"));
}

TEST(HostileSpec, ListsAreBounded) {
  std::string list = "\"linux\":{\"namespaces\":[{\"type\":\"pid\"}";
  for (int i = 0; i < 65536; ++i) list += ",{}";
  EXPECT_EQ(error_of(minimal_with(list + "]}")), "linux.namespaces: more than 65536 entries");
}

TEST(HostileSpec, LongStringsAreTakenAndShownShort) {
  const std::string longest(64u << 10, 'x');
  auto spec = parse_spec(minimal_with(cat(R"("process":{"cwd":"/","args":[")", longest, "\"]}")));
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->process->args[0], longest);
  EXPECT_EQ(error_of(changed({"/process/terminal", cat('"', longest, '"').c_str(), ""})),
            cat("process.terminal: expected true or false, found string \"", longest.substr(0, 48), "\"..."));
}

TEST(HostileSpec, OtherDocuments) {
  EXPECT_THAT(error_of(""), HasSubstr("not valid JSON"));
  EXPECT_THAT(error_of("{\"a\":1}x"), HasSubstr("not valid JSON"));
  EXPECT_EQ(error_of("[]"), "expected an object, found an array");
  EXPECT_EQ(error_of("null"), "expected an object, found null");
  EXPECT_EQ(error_of("{}"), "ociVersion: is required");
  EXPECT_THAT(error_of(minimal_with("\"hostname\":\"a\nb\"")), HasSubstr("line 1"));
  EXPECT_THAT(error_of("{\n  \"ociVersion\": 1.}"), HasSubstr("line 2"));
}

// --- documents of their own

TEST(ParseProcess, ReadsAndChecks) {
  auto process = parse_process(R"({"cwd":"/","args":["ls"],"user":{"uid":7},"env":["A=b"]})");
  ASSERT_TRUE(process) << process.error().message();
  EXPECT_EQ(process->user.uid, 7u);
  EXPECT_EQ(parse_process(R"({"cwd":"/","args":[5]})").error().message(),
            "process.args[0]: expected a string, found number 5");
  EXPECT_EQ(parse_process(R"({"cwd":"/"})").error().message(), "process.args: must not be empty");
}

TEST(ParseResources, ReadsAndChecks) {
  auto resources = parse_resources(R"({"memory":{"limit":1048576},"cpu":{"cpus":"0"},"pids":{"limit":10}})");
  ASSERT_TRUE(resources) << resources.error().message();
  EXPECT_EQ(resources->memory->limit, 1048576);
  EXPECT_EQ(resources->pids_limit, 10);
  EXPECT_EQ(parse_resources(R"({"memory":{"limit":"1"}})").error().message(),
            "resources.memory.limit: expected an integer, found string \"1\"");
  EXPECT_EQ(parse_resources(R"({"unified":{"../x":"1"}})").error().message(),
            "resources.unified[\"../x\"]: is not a name of a cgroup file");
}

}  // namespace
}  // namespace proa::oci
