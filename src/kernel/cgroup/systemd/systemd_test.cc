#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <cstring>
#include <mutex>
#include <thread>

#include "kernel/cgroup/cgroup.h"
#include "kernel/cgroup/fake_cgroupfs_test.h"
#include "kernel/cgroup/systemd/connection.h"
#include "kernel/cgroup/systemd/gvariant.h"
#include "kernel/cgroup/systemd/message.h"
#include "kernel/cgroup/systemd/unit.h"

namespace proa::kernel::cgroup {
namespace {

using dbus::Property;
using dbus::Value;

std::string from_hex(std::string_view hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    out.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return out;
}

// A call that systemd 252 accepted, byte by byte.
constexpr std::string_view kAccepted =
    "6c01000100010000010000008e00000001016f00190000002f6f72672f667265656465736b746f702f73797374656d643100000000000000"
    "030173001200000053746172745472616e7369656e74556e697400000000000002017300200000006f72672e667265656465736b746f702e"
    "73797374656d64312e4d616e6167657200000000000000000801670010737361287376296128736128737629290000000d00000070726f62"
    "652d612e73636f7065000000040000006661696c00000000d0000000000000000b0000004465736372697074696f6e000173000005000000"
    "70726f626500000005000000536c696365000173000000000c00000073797374656d2e736c69636500000000000000000800000044656c65"
    "676174650001620001000000000000000400000050494473000261750000000004000000800000001300000044656661756c74446570656e"
    "64656e63696573000162000000000000090000004d656d6f72794d617800017400000000000000000000000400000000080000005461736b"
    "734d61780001740021000000000000000000000000000000";

std::vector<Property> accepted_properties() {
  return {{"Description", Value::text("probe")},
          {"Slice", Value::text("system.slice")},
          {"Delegate", Value::boolean(true)},
          {"PIDs", {"au", {uint64_t{128}}}},
          {"DefaultDependencies", Value::boolean(false)},
          {"MemoryMax", Value::number(0x4000000)},
          {"TasksMax", Value::number(33)}};
}

TEST(DbusMessage, StartTransientUnitIsWhatSystemdAccepts) {
  dbus::Writer body;
  body.string("probe-a.scope");
  body.string("fail");
  body.properties(accepted_properties());
  dbus::Writer::Array auxiliary(body, 8);
  auxiliary.close();
  const std::string call = dbus::make_call(
      1,
      {"", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "StartTransientUnit", "ssa(sv)a(sa(sv))"},
      body.bytes());
  const std::string accepted = from_hex(kAccepted);
  ASSERT_EQ(call.size(), accepted.size());
  for (size_t i = 0; i < call.size(); ++i) ASSERT_EQ(call[i], accepted[i]) << "byte " << i;
}

TEST(DbusMessage, ParsesWhatItWrites) {
  dbus::Writer body;
  body.u32(7);
  body.string("/job/1");
  body.string("unit");
  body.string("done");
  std::string bytes = dbus::make_call(9, {"dest", "/path", "some.Interface", "JobRemoved", "uoss"}, body.bytes());
  bytes[1] = static_cast<char>(dbus::Kind::kSignal);
  const auto message = dbus::parse_message(bytes);
  ASSERT_TRUE(message.has_value()) << message.error().message();
  EXPECT_EQ(message->kind, dbus::Kind::kSignal);
  EXPECT_EQ(message->serial, 9u);
  EXPECT_EQ(message->path, "/path");
  EXPECT_EQ(message->interface, "some.Interface");
  EXPECT_EQ(message->text_argument(0).value(), "/job/1");
  EXPECT_EQ(message->text_argument(2).value(), "done");
  EXPECT_FALSE(message->text_argument(3).has_value());
}

TEST(DbusMessage, EveryCutIsAnErrorNotARead) {
  const std::string whole = from_hex(kAccepted);
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(dbus::parse_message(whole.substr(0, size)).has_value());
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string bent = whole;
    bent[i] = static_cast<char>(0xff);
    const auto message = dbus::parse_message(bent);
    if (message) (void)message->text_argument(1);
  }
  std::string huge = whole.substr(0, 16);
  huge[7] = 0x7f;
  EXPECT_FALSE(dbus::message_size(huge).has_value());
}

TEST(DbusMessage, AlignsValuesOfEveryKind) {
  dbus::Writer writer;
  writer.variant({"ay", {uint64_t{1}, uint64_t{2}, uint64_t{3}}});
  EXPECT_EQ(writer.bytes(), std::string("\x02"
                                        "ay\0\x03\0\0\0\1\2\3",
                                        11));
  dbus::Writer tuples;
  tuples.value({"a(ss)", {std::string("a"), std::string("b")}});
  EXPECT_EQ(tuples.bytes(), std::string("\x0e\0\0\0\0\0\0\0\1\0\0\0a\0\0\0\1\0\0\0b\0", 22));
  dbus::Writer empty;
  empty.value({"a(ss)", {}});
  EXPECT_EQ(empty.bytes(), std::string(8, '\0'));
  dbus::Writer real;
  real.value({"d", {1.0}});
  EXPECT_EQ(real.bytes(), std::string("\0\0\0\0\0\0\xf0\x3f", 8));
  dbus::Writer narrow;
  narrow.value({"n", {uint64_t(-2)}});
  EXPECT_EQ(narrow.bytes(), "\xfe\xff");
}

TEST(Gvariant, Values) {
  const auto value = [](std::string_view text) { return dbus::parse_gvariant(text).value(); };
  EXPECT_EQ(value("'it\\'s'"), (Value{"s", {std::string("it's")}}));
  EXPECT_EQ(value("\"x\""), (Value{"s", {std::string("x")}}));
  EXPECT_EQ(value("true"), Value::boolean(true));
  EXPECT_EQ(value(" 7 "), (Value{"i", {uint64_t{7}}}));
  EXPECT_EQ(value("-7"), (Value{"i", {uint64_t(-7)}}));
  EXPECT_EQ(value("uint64 18446744073709551615"), (Value{"t", {UINT64_MAX}}));
  EXPECT_EQ(value("@t 0x10"), (Value{"t", {uint64_t{16}}}));
  EXPECT_EQ(value("1.5"), (Value{"d", {1.5}}));
  EXPECT_EQ(value("['a', 'b']"), (Value{"as", {std::string("a"), std::string("b")}}));
  EXPECT_EQ(value("@as []"), (Value{"as", {}}));
  EXPECT_EQ(value("[uint32 1, 2]"), (Value{"au", {uint64_t{1}, uint64_t{2}}}));
}

TEST(Gvariant, Errors) {
  for (const char* text :
       {"", "'open", "[1, 'a']", "[]", "[1", "1 2", "word", "byte 256", "-2147483649", "uint64 -1", "{'a': 1}",
        "('a',)", "@a(ss) []", "@as 'x'", "uint32 'x'", "true1", "[[1]]", "[uint32 1, uint64 2]"})
    EXPECT_FALSE(dbus::parse_gvariant(text).has_value()) << text;
}

Request systemd_request(const std::string& path, const std::string& id = "box") {
  Request request;
  request.driver = Driver::kSystemd;
  request.cgroups_path = path;
  request.id = id;
  return request;
}

TEST(SystemdUnit, Names) {
  const auto name = [](const std::string& path) { return systemd::unit_name(systemd_request(path)).value(); };
  EXPECT_EQ(name("").unit, "proa-box.scope");
  EXPECT_EQ(name("").slice, "system.slice");
  EXPECT_EQ(name("a-b.slice:docker:1").unit, "docker-1.scope");
  EXPECT_EQ(name("a-b.slice:docker:1").slice, "a-b.slice");
  EXPECT_EQ(name("::x").unit, "x.scope");
  EXPECT_EQ(name("::x").slice, "system.slice");
  EXPECT_EQ(name("::pod1.slice").unit, "pod1.slice");
  EXPECT_TRUE(name("::pod1.slice").is_slice());
  Request rootless = systemd_request("");
  rootless.rootless = true;
  EXPECT_EQ(systemd::unit_name(rootless)->slice, "user.slice");
  for (const char* path :
       {"/abs/olute", "a:b", "a:b:c:d", "bad--x.slice:p:n", "noslice:p:n", "system.slice:p:n/n", "::"})
    EXPECT_FALSE(systemd::unit_name(systemd_request(path)).has_value()) << path;
}

TEST(SystemdUnit, SlicesNest) {
  EXPECT_EQ(systemd::expand_slice("system.slice").value(), "/system.slice");
  EXPECT_EQ(systemd::expand_slice("a-b-c.slice").value(), "/a.slice/a-b.slice/a-b-c.slice");
  EXPECT_EQ(systemd::expand_slice("-.slice").value(), "");
  for (const char* slice : {"", ".slice", "a", "-a.slice", "a-.slice", "a--b.slice", "a/b.slice"})
    EXPECT_FALSE(systemd::expand_slice(slice).has_value()) << slice;
}

TEST(SystemdUnit, PropertiesOfAScope) {
  Request request = systemd_request("");
  request.systemd_properties = {{"org.systemd.property.TimeoutStopSec", "uint64 7"},
                                {"org.systemd.property.CollectMode", "'inactive-or-failed'"},
                                {"org.systemd.property.RuntimeMaxSec", "0.5"}};
  const auto properties = systemd::unit_properties(request, systemd::unit_name(request).value(), 77).value();
  const auto has = [&](const Property& wanted) { return std::ranges::find(properties, wanted) != properties.end(); };
  EXPECT_TRUE(has({"Slice", Value::text("system.slice")}));
  EXPECT_TRUE(has({"Delegate", Value::boolean(true)}));
  EXPECT_TRUE(has({"PIDs", {"au", {uint64_t{77}}}}));
  EXPECT_TRUE(has({"DefaultDependencies", Value::boolean(false)}));
  EXPECT_TRUE(has({"TimeoutStopUSec", Value::number(7'000'000)}));
  EXPECT_TRUE(has({"CollectMode", Value::text("inactive-or-failed")}));
  EXPECT_TRUE(has({"RuntimeMaxUSec", Value::number(500'000)}));
}

TEST(SystemdUnit, BadAnnotationsAreNamed) {
  EXPECT_EQ(systemd::annotated_property("org.systemd.property.X1y", "1").error().message(),
            "annotations[\"org.systemd.property.X1y\"]: \"X1y\" is not a unit property");
  EXPECT_TRUE(systemd::annotated_property("org.systemd.property.Foo", "[")
                  .error()
                  .message()
                  .starts_with("annotations[\"org.systemd.property.Foo\"]: "));
  EXPECT_FALSE(systemd::annotated_property("org.systemd.property.TimeoutStopSec", "'x'").has_value());
  EXPECT_FALSE(systemd::annotated_property("org.systemd.property.TimeoutStopSec", "-1").has_value());
}

TEST(SystemdUnit, Limits) {
  Resources resources;
  MemoryResources& memory = resources.memory.emplace();
  memory.limit = 1000;
  memory.swap = 3000;
  memory.reservation = -1;
  CpuResources& cpu = resources.cpu.emplace();
  cpu.shares = 1024;
  cpu.quota = 52345;
  cpu.period = 100000;
  cpu.cpus = "1,8-9";
  cpu.mems = "0";
  resources.pids_limit = -1;
  resources.block_io.emplace().weight = 1000;
  EXPECT_EQ(systemd::limit_properties(resources, false).value(),
            (std::vector<Property>{{"MemoryMax", Value::number(1000)},
                                   {"MemoryLow", Value::number(UINT64_MAX)},
                                   {"MemorySwapMax", Value::number(2000)},
                                   {"CPUWeight", Value::number(100)},
                                   {"CPUQuotaPeriodUSec", Value::number(100000)},
                                   {"CPUQuotaPerSecUSec", Value::number(530000)},
                                   {"AllowedCPUs", {"ay", {uint64_t{2}, uint64_t{3}}}},
                                   {"AllowedMemoryNodes", {"ay", {uint64_t{1}}}},
                                   {"IOWeight", Value::number(10000)},
                                   {"TasksMax", Value::number(UINT64_MAX)}}));
  cpu = {};
  cpu.idle = 1;
  cpu.quota = -1;
  memory = {};
  resources.block_io.reset();
  resources.pids_limit = 0;
  resources.unified = {{"memory.high", "5000"}, {"cpu.max", "max 50000"}, {"memory.oom.group", "1"}};
  EXPECT_EQ(systemd::limit_properties(resources, false).value(),
            (std::vector<Property>{{"CPUWeight", Value::number(0)},
                                   {"CPUQuotaPerSecUSec", Value::number(UINT64_MAX)},
                                   {"TasksMax", Value::number(1)},
                                   {"MemoryHigh", Value::number(5000)},
                                   {"CPUQuotaPeriodUSec", Value::number(50000)},
                                   {"CPUQuotaPerSecUSec", Value::number(UINT64_MAX)}}));
}

TEST(SystemdUnit, Devices) {
  Resources resources;
  resources.devices = {{.allow = false, .type = 'a', .major = {}, .minor = {}, .access = {}},
                       {.allow = true, .type = 'b', .major = 8, .minor = {}, .access = "r"},
                       {.allow = true, .type = 'c', .major = {}, .minor = 7, .access = "r"}};
  const auto properties = systemd::limit_properties(resources, true).value();
  ASSERT_EQ(properties.size(), 3u);
  EXPECT_EQ(properties[0], (Property{"DevicePolicy", Value::text("strict")}));
  EXPECT_TRUE(properties[1].value.items.empty());
  const auto& allowed = properties[2].value.items;
  using Leaf = std::variant<uint64_t, double, std::string>;
  const auto at = std::ranges::find(allowed, Leaf(std::string("block-8")));
  ASSERT_NE(at, allowed.end());
  EXPECT_EQ(std::get<std::string>(*(at + 1)), "r");
  for (const char* path : {"char-*", "block-*", "/dev/char/1:3", "char-136", "/dev/char/10:200"})
    EXPECT_NE(std::ranges::find(allowed, Leaf(std::string(path))), allowed.end()) << path;
  EXPECT_EQ(allowed.size(), 2 * 12u) << "\"*:7\" cannot be said";
  resources.devices = {{.allow = true, .type = 'a', .major = {}, .minor = {}, .access = {}}};
  EXPECT_EQ(systemd::limit_properties(resources, true).value().front(),
            (Property{"DevicePolicy", Value::text("auto")}));
}

TEST(DbusAddress, Sockets) {
  EXPECT_EQ(dbus::socket_names("unix:path=/run/a%20b;tcp:host=x;unix:abstract=c,guid=1"),
            (std::vector<std::string>{"/run/a b", std::string("\0c", 2)}));
  EXPECT_TRUE(dbus::socket_names("unix:path").size() <= 1);
}

// A service manager for one connection at a time: answers calls as told and notes them.
class FakeManager {
 public:
  explicit FakeManager(const std::string& root) {
    std::filesystem::create_directories(root + "/run/systemd");
    path_ = root + "/run/systemd/private";
    listener_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!listener_) throw std::runtime_error("no socket");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_.get(), 4), 0);
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeManager() {
    stop_ = true;
    thread_.join();
  }
  // The next call of `method` gets this D-Bus error.
  void fail_next(const std::string& method, const std::string& error) {
    const std::lock_guard lock(mutex_);
    failures_.emplace_back(method, error);
  }
  void job_result(const std::string& result) {
    const std::lock_guard lock(mutex_);
    job_result_ = result;
  }
  void on_start(std::function<void()> action) { on_start_ = std::move(action); }
  std::vector<std::string> calls() {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  std::vector<std::string> bodies() {
    const std::lock_guard lock(mutex_);
    return bodies_;
  }

 private:
  void serve() {
    while (!stop_) {
      pollfd waiting{.fd = listener_.get(), .events = POLLIN, .revents = 0};
      if (::poll(&waiting, 1, 5) <= 0) continue;
      const Fd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (peer) talk(peer.get());
    }
  }
  bool read_more(int peer, std::string& buffer) {
    while (!stop_) {
      pollfd waiting{.fd = peer, .events = POLLIN, .revents = 0};
      if (::poll(&waiting, 1, 5) <= 0) continue;
      char chunk[4096];
      const ssize_t got = ::recv(peer, chunk, sizeof chunk, 0);
      if (got <= 0) return false;
      buffer.append(chunk, static_cast<size_t>(got));
      return true;
    }
    return false;
  }
  static void reply(int peer, dbus::Kind kind, uint32_t to, const std::string& error, const std::string& signature,
                    const std::string& body, const std::string& member = "") {
    // A call with the kind changed: the header's fields are the same but for those of replies.
    std::string bytes =
        dbus::make_call(1,
                        {"", kind == dbus::Kind::kSignal ? "/org/freedesktop/systemd1" : "",
                         kind == dbus::Kind::kSignal ? "org.freedesktop.systemd1.Manager" : "", member, signature},
                        body);
    bytes[1] = static_cast<char>(kind);
    dbus::Writer fields;
    fields.align(8);
    fields.u8(5);
    fields.signature("u");
    fields.u32(to);
    if (!error.empty()) {
      fields.align(8);
      fields.u8(4);
      fields.signature("s");
      fields.string(error);
    }
    // Put them before the other fields, so that everything stays aligned.
    uint32_t length = 0;
    std::memcpy(&length, bytes.data() + 12, 4);
    std::string first = fields.bytes();
    first.resize((first.size() + 7) / 8 * 8, '\0');
    if (to != 0) {
      length += static_cast<uint32_t>(first.size());
      bytes.insert(16, first);
      std::memcpy(bytes.data() + 12, &length, 4);
    }
    (void)!::send(peer, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  void talk(int peer) {
    std::string buffer;
    while (buffer.find("\r\n") == std::string::npos)
      if (!read_more(peer, buffer)) return;
    EXPECT_EQ(buffer[0], '\0');
    EXPECT_TRUE(buffer.substr(1).starts_with("AUTH EXTERNAL 3"));
    const std::string ok = "OK 0123456789abcdef0123456789abcdef\r\n";
    (void)!::send(peer, ok.data(), ok.size(), MSG_NOSIGNAL);
    buffer.erase(0, buffer.find("\r\n") + 2);
    while (buffer.size() < 7)
      if (!read_more(peer, buffer)) return;
    EXPECT_TRUE(buffer.starts_with("BEGIN\r\n"));
    buffer.erase(0, 7);
    for (;;) {
      while (buffer.size() < 16)
        if (!read_more(peer, buffer)) return;
      const size_t size = dbus::message_size(buffer).value();
      while (buffer.size() < size)
        if (!read_more(peer, buffer)) return;
      answer(peer, dbus::parse_message(buffer.substr(0, size)).value());
      buffer.erase(0, size);
    }
  }
  void answer(int peer, const dbus::Message& call) {
    const std::lock_guard lock(mutex_);
    calls_.push_back(cat(call.member, " ", call.text_argument(0).value_or("?")));
    bodies_.push_back(call.body);
    const auto failure = std::ranges::find(failures_, call.member, [](const auto& pair) { return pair.first; });
    if (failure != failures_.end()) {
      dbus::Writer text;
      text.string("refused");
      reply(peer, dbus::Kind::kError, call.serial, failure->second, "s", text.bytes());
      failures_.erase(failure);
      return;
    }
    const bool is_job = call.member == "StartTransientUnit" || call.member == "StopUnit";
    if (call.member == "StartTransientUnit" && on_start_) on_start_();
    dbus::Writer job;
    if (is_job) job.string("/org/freedesktop/systemd1/job/5");
    dbus::Writer noise;
    noise.u32(4);
    noise.string("/org/freedesktop/systemd1/job/4");
    noise.string("other.service");
    noise.string("failed");
    reply(peer, dbus::Kind::kSignal, 0, "", "uoss", noise.bytes(), "JobRemoved");
    reply(peer, dbus::Kind::kReply, call.serial, "", is_job ? "o" : "", job.bytes());
    if (!is_job) return;
    dbus::Writer removed;
    removed.u32(5);
    removed.string("/org/freedesktop/systemd1/job/5");
    removed.string("unit");
    removed.string(job_result_);
    reply(peer, dbus::Kind::kSignal, 0, "", "uoss", removed.bytes(), "JobRemoved");
  }

  std::string path_;
  Fd listener_;
  std::thread thread_;
  std::atomic<bool> stop_ = false;
  std::mutex mutex_;
  std::vector<std::pair<std::string, std::string>> failures_;
  std::vector<std::string> calls_, bodies_;
  std::string job_result_ = "done";
  std::function<void()> on_start_;
};

class SystemdDriver : public testing::Test {
 protected:
  void SetUp() override {
    fs_.add_v2({"cpu", "memory", "pids"});
    fs_.make("system.slice");
    manager_.on_start([this] {
      std::filesystem::create_directories(fs_.top() + "/system.slice/proa-box.scope");
      for (const char* file :
           {"cgroup.procs", "cgroup.controllers", "cgroup.subtree_control", "memory.max", "cgroup.events"})
        std::ofstream(fs_.top() + "/system.slice/proa-box.scope/" + file)
            << (std::string_view(file) == "cgroup.controllers" ? "cpu memory pids\n" : "");
      std::filesystem::create_directories(fs_.root() + "/proc/77");
      std::ofstream(fs_.root() + "/proc/77/cgroup") << "0::/system.slice/proa-box.scope\n";
    });
    request_ = systemd_request("");
    request_.filesystem_root = fs_.root();
    resources_.memory.emplace().limit = 1 << 20;
  }
  FakeCgroupfs fs_;
  FakeManager manager_{fs_.root()};
  Request request_;
  Resources resources_;
};
using Lines = std::vector<std::string>;

TEST_F(SystemdDriver, StartsLimitsUpdatesAndStopsAScope) {
  auto group = Cgroup::create(request_);
  ASSERT_TRUE(group.has_value()) << group.error().message();
  EXPECT_EQ(group->location().systemd_unit, "proa-box.scope");
  EXPECT_TRUE(group->entry_files()->empty());
  const auto attached = group->attach(77, resources_);
  ASSERT_TRUE(attached.has_value()) << attached.error().message();
  ASSERT_EQ(group->location().hierarchies.size(), 1u);
  EXPECT_EQ(group->location().hierarchies[0].path, fs_.top() + "/system.slice/proa-box.scope");
  fs_.attach_programs({7});
  ASSERT_TRUE(group->apply(resources_).has_value());
  EXPECT_EQ(fs_.read("system.slice/proa-box.scope/memory.max"), "1048576");
  EXPECT_EQ(fs_.bpf_calls(), (Lines{"load", "query", "attach replace"})) << "systemd's own program is in place";
  auto opened = Cgroup::open(group->location(), fs_.root());
  ASSERT_TRUE(opened->update(resources_).has_value());
  ASSERT_TRUE(opened->remove().has_value());
  EXPECT_FALSE(fs_.exists("system.slice/proa-box.scope"));
  EXPECT_EQ(manager_.calls(), (Lines{"StartTransientUnit proa-box.scope", "SetUnitProperties proa-box.scope",
                                     "StopUnit proa-box.scope", "ResetFailedUnit proa-box.scope"}));
  EXPECT_NE(manager_.bodies()[0].find("MemoryMax"), std::string::npos);
  EXPECT_NE(manager_.bodies()[0].find("DeviceAllow"), std::string::npos);
  EXPECT_EQ(manager_.bodies()[1].find("DeviceAllow"), std::string::npos) << "an update keeps devices as they are";
}

TEST_F(SystemdDriver, AFailedUnitOfTheSameNameIsReset) {
  manager_.fail_next("StartTransientUnit", "org.freedesktop.systemd1.UnitExists");
  auto group = Cgroup::create(request_);
  ASSERT_TRUE(group->attach(77, resources_).has_value());
  EXPECT_EQ(manager_.calls(), (Lines{"StartTransientUnit proa-box.scope", "ResetFailedUnit proa-box.scope",
                                     "StartTransientUnit proa-box.scope"}));
}

TEST_F(SystemdDriver, AnOldSystemdGetsFewerProperties) {
  manager_.fail_next("StartTransientUnit", "org.freedesktop.DBus.Error.PropertyReadOnly");
  resources_.cpu.emplace().cpus = "0";
  auto group = Cgroup::create(request_);
  ASSERT_TRUE(group->attach(77, resources_).has_value());
  EXPECT_NE(manager_.bodies()[0].find("AllowedCPUs"), std::string::npos);
  EXPECT_EQ(manager_.bodies()[1].find("AllowedCPUs"), std::string::npos);
  EXPECT_NE(manager_.bodies()[1].find("MemoryMax"), std::string::npos);
}

TEST_F(SystemdDriver, AFailedJobLeavesNoUnit) {
  manager_.job_result("failed");
  auto group = Cgroup::create(request_);
  const auto attached = group->attach(77, resources_);
  ASSERT_FALSE(attached.has_value());
  EXPECT_EQ(attached.error().message(), "systemd unit proa-box.scope: start: the job ended as \"failed\"");
  EXPECT_EQ(manager_.calls().back(), "ResetFailedUnit proa-box.scope");
}

TEST_F(SystemdDriver, AScopeThatIsGoneIsRemoved) {
  auto group = Cgroup::create(request_);
  ASSERT_TRUE(group->remove().has_value()) << "never started";
  ASSERT_TRUE(group->attach(77, resources_).has_value());
  manager_.fail_next("StopUnit", "org.freedesktop.systemd1.NoSuchUnit");
  EXPECT_TRUE(group->remove().has_value());
}

TEST_F(SystemdDriver, AnUpdateOfHalfABandwidthTellsTheWhole) {
  auto group = Cgroup::create(request_);
  ASSERT_TRUE(group->attach(77, resources_).has_value());
  fs_.write_file("system.slice/proa-box.scope/cpu.max", "max 50000");
  Resources half;
  half.cpu.emplace().quota = 25000;
  ASSERT_TRUE(group->update(half).has_value());
  // 25000 of 50000 us are 500 ms of a second, not the 250 of the default period.
  dbus::Writer number;
  number.variant(Value::number(500'000));
  EXPECT_NE(manager_.bodies().back().find(number.bytes().substr(number.bytes().size() - 8)), std::string::npos);
  EXPECT_EQ(fs_.read("system.slice/proa-box.scope/cpu.max"), "25000 50000");
}

TEST_F(SystemdDriver, FoundAgainAndStoppedAfterItsCreatorDied) {
  auto group = Cgroup::create(request_);
  ASSERT_TRUE(group->attach(77, resources_).has_value());
  auto found = Cgroup::find(request_);
  ASSERT_TRUE(found.has_value()) << found.error().message();
  EXPECT_EQ(found->location().hierarchies.size(), 1u);
  ASSERT_TRUE(found->remove().has_value());
  EXPECT_EQ(manager_.calls().at(1), "StopUnit proa-box.scope");
}

TEST_F(SystemdDriver, OverABusItSaysHelloAndAsksForSignals) {
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_TRUE(socket);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (fs_.root() + "/run/systemd/private").copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  auto connection = dbus::Connection::over(std::move(socket), true);
  ASSERT_TRUE(connection.has_value()) << connection.error().message();
  ASSERT_EQ(manager_.calls().size(), 2u);
  EXPECT_EQ(manager_.calls()[0], "Hello ?");
  EXPECT_TRUE(manager_.calls()[1].starts_with("AddMatch type='signal'"));
}

TEST_F(SystemdDriver, AScopeInUseIsNotStopped) {
  auto group = Cgroup::create(request_);
  ASSERT_TRUE(group->attach(77, resources_).has_value());
  fs_.write_file("system.slice/proa-box.scope/cgroup.procs", "77");
  const auto removed = group->remove();
  ASSERT_FALSE(removed.has_value());
  EXPECT_EQ(removed.error().code(), EBUSY);
  EXPECT_EQ(manager_.calls().size(), 1u);
}

TEST(SystemdDriverAbsent, SaysWhatIsMissing) {
  FakeCgroupfs fs;
  fs.add_v2({"memory"});
  Request request = systemd_request("");
  request.filesystem_root = fs.root();
  auto group = Cgroup::create(request);
  const auto attached = group->attach(77, {});
  ASSERT_FALSE(attached.has_value());
  EXPECT_TRUE(attached.error().message().starts_with("reach systemd: connect to ")) << attached.error().message();
  EXPECT_FALSE(attached.error().hint().empty());
}

TEST(SystemdDriverAbsent, BadAnnotationsAreRefusedBeforeAnyProcess) {
  Request request = systemd_request("");
  request.systemd_properties = {{"org.systemd.property.Foo", "("}};
  EXPECT_FALSE(Cgroup::create(request).has_value());
}

}  // namespace
}  // namespace proa::kernel::cgroup
