#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/json.h"
#include "net/socket.h"
#include "vmm/api/service.h"
#include "vmm/machine/tiny_kernel_test.h"

namespace proa::vmm {

namespace {

using testing::HasSubstr;

class ApiTest : public testing::Test {
 protected:
  static MicroVm::Options options(ApiTest* self) {
    return {.id = "one",
            .engine = EngineKind::kTranslator,
            .engine_options = {},
            .kernel_cache = {},
            .initrd_extra = {},
            .serial_output = [self](std::string_view text) {
              const std::lock_guard lock(self->mutex);
              self->said += text;
              self->changed.notify_all();
            }};
  }
  bool wait_for(std::string_view text) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(60), [&] { return said.contains(text); });
  }
  // The body of an answer with that status.
  static std::string ask(MicroVm& vm, int status, std::string_view method, std::string_view path,
                         std::string_view body = {}) {
    const ApiAnswer answer = answer_api(vm, method, path, body);
    EXPECT_EQ(status, answer.status) << method << " " << path << ": " << answer.body;
    return answer.body;
  }
  std::string ask(int status, std::string_view method, std::string_view path, std::string_view body = {}) {
    return ask(vm, status, method, path, body);
  }
  void configure() {
    ask(204, "PUT", "/boot-source", cat(R"({"kernel_image_path":")", files.path("kernel"), R"("})"));
    ask(204, "PUT", "/machine-config", R"({"vcpu_count":1,"mem_size_mib":8,"track_dirty_pages":true})");
  }
  TinyKernel files;
  std::mutex mutex;
  std::condition_variable changed;
  std::string said;
  MicroVm vm{options(this)};
};

TEST_F(ApiTest, SaysWhatIsWrong) {
  EXPECT_EQ(R"({"fault_message":"Invalid request method and/or path: GET nothing."})", ask(400, "GET", "/nothing"));
  EXPECT_EQ(R"({"fault_message":"Empty PUT request."})", ask(400, "PUT", "/actions"));
  EXPECT_EQ(R"({"fault_message":"Empty PUT request."})", ask(400, "PUT", "/nothing"));
  EXPECT_EQ(R"({"fault_message":"Empty PATCH request."})", ask(400, "PATCH", "/machine-config", "{}"));
  EXPECT_EQ(R"({"fault_message":"Missing snapshot operation type."})", ask(400, "PUT", "/snapshot", "{}"));
  EXPECT_THAT(ask(400, "PUT", "/actions", R"({"action_type":"FlushMetrics"})"), HasSubstr("before starting"));
  EXPECT_THAT(ask(400, "PUT", "/cpu-config", R"({"msr_modifiers":[{"addr":"0x10a","bitmap":"0b2"}]})"),
              HasSubstr("invalid value of `bitmap`"));
  EXPECT_THAT(ask(400, "PUT", "/cpu-config", R"({"msr_modifiers":[{"addr":"ten","bitmap":"0b1"}]})"),
              HasSubstr("invalid value of `addr`"));
  EXPECT_THAT(ask(400, "PUT", "/cpu-config", R"({"kvm_capabilities":["56"]})"),
              HasSubstr("only CPUID and MSRs can be modified"));
  EXPECT_EQ(R"({"fault_message":"GET request cannot have a body."})", ask(400, "GET", "/", "{}"));
  EXPECT_THAT(
      ask(400, "PUT", "/boot-source", "{}"),
      HasSubstr("An error occurred when deserializing the json body of a request: missing field `kernel_image_path`"));
  EXPECT_THAT(ask(400, "PUT", "/boot-source", R"({"kernel_image_path":"/nowhere"})"),
              HasSubstr("The kernel file cannot be opened"));
  EXPECT_THAT(ask(400, "PUT", "/machine-config", R"({"vcpu_count":1,"mem_size_mib":128,"x":1})"),
              HasSubstr("unknown field `x`"));
  EXPECT_THAT(ask(400, "PUT", "/machine-config", R"({"vcpu_count":0,"mem_size_mib":128})"),
              HasSubstr("Machine config error: The number of vCPUs must be greater than 0"));
  EXPECT_THAT(ask(400, "PUT", "/machine-config", R"({"vcpu_count":"1","mem_size_mib":128})"),
              HasSubstr("invalid type of `vcpu_count`"));
  EXPECT_THAT(ask(400, "PUT", "/drives/", R"({})"), HasSubstr("The ID cannot be empty."));
  EXPECT_THAT(ask(400, "PUT", "/drives/a-b", R"({})"), HasSubstr("alphanumeric"));
  EXPECT_THAT(ask(400, "PUT", "/drives/a", R"({"drive_id":"b","is_root_device":false,"path_on_host":"/x"})"),
              HasSubstr("does not match the id from the body"));
  EXPECT_THAT(ask(400, "PUT", "/actions", R"({"action_type":"Fly"})"), HasSubstr("unknown variant `Fly`"));
  EXPECT_THAT(ask(400, "PUT", "/actions", R"({"action_type":"InstanceStart"})"),
              HasSubstr("without kernel configuration"));
  EXPECT_THAT(ask(400, "PATCH", "/vm", R"({"state":"Paused"})"),
              HasSubstr("not supported before starting the microVM."));
  EXPECT_THAT(ask(400, "PUT", "/vsock", R"({"guest_cid":2,"uds_path":"/x"})"), HasSubstr("guest_cid"));
  EXPECT_THAT(ask(400, "PUT", "/network-interfaces/e", R"({"iface_id":"e","host_dev_name":"t","guest_mac":"1:2"})"),
              HasSubstr("MAC"));
}

TEST_F(ApiTest, KeepsTheConfiguration) {
  configure();
  ask(204, "PATCH", "/machine-config", R"({"mem_size_mib":16})");
  const std::string disk = files.path("disk");
  ASSERT_TRUE(kernel::replace_file(disk, std::string(4096, 'd'), 0600));
  ask(204, "PUT", "/drives/data", cat(R"({"drive_id":"data","is_root_device":false,"path_on_host":")", disk, R"("})"));
  ask(204, "PUT", "/drives/root",
      cat(R"({"drive_id":"root","is_root_device":true,"is_read_only":true,"path_on_host":")", disk,
          R"(","rate_limiter":{"ops":{"size":5,"refill_time":100}}})"));
  EXPECT_THAT(
      ask(400, "PUT", "/drives/r2", cat(R"({"drive_id":"r2","is_root_device":true,"path_on_host":")", disk, R"("})")),
      HasSubstr("A root block device already exists!"));
  ask(204, "PUT", "/entropy", "{}");
  ask(204, "PUT", "/cpu-config",
      R"({"cpuid_modifiers":[{"leaf":"0x1","subleaf":"0x0","flags":0,"modifiers":[{"register":"ecx","bitmap":"0bx1"}]}],
          "msr_modifiers":[{"addr":"0x10a","bitmap":"0b1xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx0"}]})");
  const std::string shown = ask(200, "GET", "/vm/config");
  const auto value = json::parse(shown).value();
  EXPECT_EQ("root", value.at("drives").at(0).at("drive_id").as_string());
  EXPECT_EQ(5, value.at("drives").at(0).at("rate_limiter").at("ops").at("size").as_int64());
  EXPECT_EQ(16, value.at("machine-config").at("mem_size_mib").as_int64());
  // It reads back as itself.
  const auto again = parse_vm_config(value);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(shown, json::to_line(to_json(*again)));
  EXPECT_THAT(ask(200, "GET", "/"), HasSubstr(R"("state":"Not started")"));
}

TEST_F(ApiTest, RunsPausesSavesAndRestores) {
  configure();
  const std::string metrics = files.path("metrics");
  ask(204, "PUT", "/metrics", cat(R"({"metrics_path":")", metrics, R"("})"));
  ask(204, "PUT", "/vsock", cat(R"({"guest_cid":3,"uds_path":")", files.path("vsock"), R"("})"));
  ask(204, "PUT", "/actions", R"({"action_type":"InstanceStart"})");
  ASSERT_TRUE(wait_for("boot\n"));
  EXPECT_THAT(ask(400, "PUT", "/machine-config", R"({"vcpu_count":1,"mem_size_mib":8})"),
              HasSubstr("not supported after starting the microVM."));
  vm.type("x");
  ASSERT_TRUE(wait_for("a"));
  const std::string files_of =
      cat(R"("mem_file_path":")", files.path("memory"), R"(","snapshot_path":")", files.path("state"), "\"");
  EXPECT_THAT(ask(400, "PUT", "/snapshot/create", cat("{", files_of, "}")), HasSubstr("must be paused"));
  ask(204, "PATCH", "/vm", R"({"state":"Paused"})");
  EXPECT_THAT(ask(200, "GET", "/"), HasSubstr(R"("state":"Paused")"));
  ask(204, "PUT", "/snapshot/create", cat("{", files_of, "}"));
  ask(204, "PUT", "/actions", R"({"action_type":"FlushMetrics"})");
  EXPECT_THAT(kernel::read_file(metrics.c_str()).value(), HasSubstr("\"port-out\":"));

  MicroVm copy(options(this));
  EXPECT_THAT(ask(copy, 400, "PUT", "/snapshot/load", R"({"snapshot_path":"/x"})"), HasSubstr("`mem_backend`"));
  const auto loaded =
      ask(copy, 204, "PUT", "/snapshot/load",
          cat(R"({"resume_vm":true,)", files_of, R"(,"vsock_override":{"uds_path":")", files.path("vsock2"), R"("}})"));
  ASSERT_EQ("", loaded);
  copy.type("x");
  EXPECT_TRUE(wait_for("ab"));
  copy.type("q");
  EXPECT_EQ(End::Kind::kOff, copy.machine()->wait().kind);
}

TEST_F(ApiTest, HasMetadata) {
  EXPECT_EQ("{}", ask(200, "GET", "/mmds"));
  EXPECT_THAT(ask(400, "PATCH", "/mmds", R"({"a":1})"),
              HasSubstr("MMDS error: The MMDS data store is not initialized."));
  ask(204, "PUT", "/mmds", R"({"a":{"b":1}})");
  ask(204, "PATCH", "/mmds", R"({"a":{"b":null,"c":"d"}})");
  EXPECT_EQ(R"({"a":{"c":"d"}})", ask(200, "GET", "/mmds"));
  const std::string large = cat(R"({"a":")", std::string(51000, 'x'), R"("})");
  ask(204, "PUT", "/mmds", large);
  EXPECT_THAT(ask(413, "PATCH", "/mmds", R"({"more":")" + std::string(300, 'x') + "\"}"),
              HasSubstr("MMDS limit exceeded error: The MMDS patch request doesn't fit."));
  EXPECT_THAT(ask(400, "PUT", "/mmds/other", "{}"), HasSubstr("Unrecognized PUT request path `other`."));
  const auto config = [&](int status, std::string_view more) {
    return ask(status, "PUT", "/mmds/config", cat(R"({"network_interfaces":["e"],)", more, "}"));
  };
  EXPECT_THAT(ask(400, "PUT", "/mmds/config", R"({"network_interfaces":[]})"), HasSubstr("is empty"));
  EXPECT_THAT(config(400, R"("version":"V2")"), HasSubstr("does not correspond to any existing network interface"));
  ask(204, "PUT", "/network-interfaces/e", R"({"iface_id":"e","host_dev_name":"tap"})");
  EXPECT_THAT(config(400, R"("ipv4_address":"10.0.0.1")"), HasSubstr("not link local"));
  EXPECT_THAT(config(400, R"("ipv4_address":"x")"), HasSubstr("invalid IPv4 address syntax"));
  EXPECT_THAT(config(400, R"("version":"V3")"), HasSubstr("unknown variant `V3`"));
  config(204, R"("version":"V2","ipv4_address":"169.254.170.2","imds_compat":true)");
  const auto shown = json::parse(ask(200, "GET", "/vm/config")).value();
  EXPECT_EQ(R"({"version":"V2","network_interfaces":["e"],"ipv4_address":"169.254.170.2","imds_compat":true})",
            json::to_line(shown.at("mmds-config")));
  EXPECT_TRUE(parse_vm_config(shown));
}

TEST_F(ApiTest, MarksWhatGoesAway) {
  const auto marked = [&](std::string_view path, std::string_view body) {
    return answer_api(vm, "PUT", path, body).deprecated;
  };
  EXPECT_TRUE(marked("/machine-config", R"({"vcpu_count":1,"mem_size_mib":8,"cpu_template":"None"})"));
  EXPECT_FALSE(marked("/machine-config", R"({"vcpu_count":1,"mem_size_mib":8})"));
  EXPECT_TRUE(marked("/mmds/config", R"({"network_interfaces":[]})"));
  EXPECT_FALSE(marked("/mmds/config", R"({"network_interfaces":[],"version":"V2"})"));
  EXPECT_TRUE(marked("/snapshot/load", R"({"snapshot_path":"/x","mem_file_path":"/y"})"));
}

TEST_F(ApiTest, TakesTheLastCpuTemplate) {
  configure();
  const std::string custom = R"({"msr_modifiers":[{"addr":"0x8b","bitmap":"0b1"}]})";
  ask(204, "PUT", "/cpu-config", custom);
  ask(204, "PATCH", "/machine-config", R"({"cpu_template":"T2S"})");
  EXPECT_THAT(ask(200, "GET", "/machine-config"), HasSubstr(R"("cpu_template":"T2S")"));
  EXPECT_EQ(0x10a, cpu_template(vm.config()).msrs.at(0).index);
  EXPECT_EQ(StaticTemplate::kT2s,
            parse_vm_config(json::parse(ask(200, "GET", "/vm/config")).value())->machine.cpu_template);
  ask(204, "PUT", "/cpu-config", custom);
  EXPECT_THAT(ask(200, "GET", "/machine-config"), Not(HasSubstr("cpu_template")));
  EXPECT_EQ(0x8b, cpu_template(vm.config()).msrs.at(0).index);
  EXPECT_THAT(ask(400, "PATCH", "/machine-config", R"({"cpu_template":"V1N1"})"), HasSubstr("unknown variant `V1N1`"));
}

TEST_F(ApiTest, RefusesToModifyWhatIsNotThere) {
  configure();
  ask(204, "PUT", "/cpu-config", R"({"msr_modifiers":[{"addr":"0x9999","bitmap":"0b1"}]})");
  EXPECT_THAT(ask(400, "PUT", "/actions", R"({"action_type":"InstanceStart"})"),
              HasSubstr("Template changes an MSR entry not supported by translator: Register Address: 0x9999"));
  EXPECT_THAT(ask(200, "GET", "/"), HasSubstr(R"("state":"Not started")"));
}

TEST_F(ApiTest, ChangesOnlyTheBucketsThatAreNamed) {
  configure();
  const std::string disk = files.path("disk");
  ASSERT_TRUE(kernel::replace_file(disk, std::string(4096, 'd'), 0600));
  ask(204, "PUT", "/drives/d",
      cat(R"({"drive_id":"d","is_root_device":false,"path_on_host":")", disk,
          R"(","rate_limiter":{"bandwidth":{"size":1000,"refill_time":100}}})"));
  ask(204, "PUT", "/actions", R"({"action_type":"InstanceStart"})");
  ask(204, "PATCH", "/drives/d", R"({"drive_id":"d","rate_limiter":{"ops":{"size":7,"refill_time":100}}})");
  const auto limiter = json::parse(ask(200, "GET", "/vm/config")).value().at("drives").at(0).at("rate_limiter");
  EXPECT_EQ(1000, limiter.at("bandwidth").at("size").as_int64());
  EXPECT_EQ(7, limiter.at("ops").at("size").as_int64());
  ask(204, "PATCH", "/drives/d", R"({"drive_id":"d","rate_limiter":{"bandwidth":{"size":0,"refill_time":0}}})");
  EXPECT_TRUE(json::parse(ask(200, "GET", "/vm/config"))
                  .value()
                  .at("drives")
                  .at(0)
                  .at("rate_limiter")
                  .at("bandwidth")
                  .is_null());
  EXPECT_THAT(ask(400, "PATCH", "/drives/none", R"({"drive_id":"none"})"), HasSubstr("Device not found"));
}

TEST_F(ApiTest, IsServedOnAUnixSocket) {
  const std::string path = files.path("api.sock");
  const auto server = ApiServer::listen(vm, path);
  ASSERT_TRUE(server) << server.error().message();
  const Fd socket = net::connect_unix_stream(path).value();
  const std::string request = "GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  std::string answer;
  ASSERT_TRUE(kernel::write_all(socket.get(), request));
  char buffer[512];
  for (int i = 0; i < 100000 && !answer.contains("firecracker_version"); ++i)
    if (const ssize_t got = ::read(socket.get(), buffer, sizeof buffer); got > 0)
      answer.append(buffer, static_cast<size_t>(got));
    else
      ::usleep(1000);
  EXPECT_THAT(answer, HasSubstr("200 OK"));
  EXPECT_THAT(answer, HasSubstr("firecracker_version"));
}

}  // namespace
}  // namespace proa::vmm
