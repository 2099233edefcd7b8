#include "kernel/cgroup/device_program.h"

#include <sys/syscall.h>

#include <cstddef>

#include "base/fd.h"
#include "kernel/sys.h"

namespace proa::kernel::cgroup {
namespace {

constexpr CallShape kBpf{SYS_bpf, "bpf", "dpd"};

// Registers of the program.
enum : uint8_t { kResult = BPF_REG_0, kContext = BPF_REG_1, kType, kAccess, kMajor, kMinor };

constexpr bpf_insn insn(uint8_t code, uint8_t dst, uint8_t src, int16_t off, int32_t imm) {
  return bpf_insn{.code = code, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm};
}
constexpr bpf_insn load(uint8_t dst, size_t field) {
  return insn(BPF_LDX | BPF_MEM | BPF_W, dst, kContext, static_cast<int16_t>(field), 0);
}
constexpr bpf_insn move(uint8_t dst, int32_t value) { return insn(BPF_ALU | BPF_MOV | BPF_K, dst, 0, 0, value); }
constexpr bpf_insn move_from(uint8_t dst, uint8_t src) { return insn(BPF_ALU | BPF_MOV | BPF_X, dst, src, 0, 0); }
constexpr bpf_insn mask(uint8_t dst, int32_t bits) { return insn(BPF_ALU | BPF_AND | BPF_K, dst, 0, 0, bits); }
constexpr bpf_insn leave() { return insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0); }

// The block of one exception; every mismatch jumps behind it. 32-bit compares, for numbers over 2^31.
void append_exception(std::vector<bpf_insn>& program, const DeviceMatch& match, unsigned access, bool allow) {
  const size_t start = program.size();
  const auto unless_equal = [&](uint8_t reg, int64_t value) {
    program.push_back(insn(BPF_JMP32 | BPF_JNE | BPF_K, reg, 0, 0, static_cast<int32_t>(static_cast<uint32_t>(value))));
  };
  unless_equal(kType, match.type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
  if (access != kAnyAccess) {
    program.push_back(move_from(kContext, kAccess));
    program.push_back(mask(kContext, static_cast<int32_t>(access)));
    program.push_back(allow ? insn(BPF_JMP32 | BPF_JNE | BPF_X, kContext, kAccess, 0, 0)
                            : insn(BPF_JMP32 | BPF_JEQ | BPF_K, kContext, 0, 0, 0));
  }
  if (match.major != kAnyNumber) unless_equal(kMajor, match.major);
  if (match.minor != kAnyNumber) unless_equal(kMinor, match.minor);
  program.push_back(move(kResult, allow ? 1 : 0));
  program.push_back(leave());
  for (size_t i = start; i < program.size(); ++i)
    if (BPF_CLASS(program[i].code) == BPF_JMP32) program[i].off = static_cast<int16_t>(program.size() - i - 1);
}

long bpf(int command, bpf_attr& attr) { return call(kBpf, command, &attr, sizeof attr); }

Result<Fd> load_program(const std::vector<bpf_insn>& program) {
  static constexpr char license[] = "Apache-2.0";
  bpf_attr attr{};
  attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attr.insn_cnt = static_cast<uint32_t>(program.size());
  attr.insns = reinterpret_cast<uint64_t>(program.data());
  attr.license = reinterpret_cast<uint64_t>(license);
  return check_fd(bpf(BPF_PROG_LOAD, attr), "load the device program");
}

Result<std::vector<uint32_t>> attached_programs(int folder) {
  std::vector<uint32_t> ids(64);
  bpf_attr attr{};
  attr.query.target_fd = static_cast<uint32_t>(folder);
  attr.query.attach_type = BPF_CGROUP_DEVICE;
  attr.query.prog_ids = reinterpret_cast<uint64_t>(ids.data());
  attr.query.prog_cnt = static_cast<uint32_t>(ids.size());
  TRY(check(bpf(BPF_PROG_QUERY, attr), "list the cgroup's device programs"));
  ids.resize(std::min<size_t>(attr.query.prog_cnt, ids.size()));
  return ids;
}

Result<Fd> open_program(uint32_t id) {
  bpf_attr attr{};
  attr.prog_id = id;
  return check_fd(bpf(BPF_PROG_GET_FD_BY_ID, attr), "open device program ", id);
}

long attach(int folder, int program, uint32_t flags, int replaced) {
  bpf_attr attr{};
  attr.target_fd = static_cast<uint32_t>(folder);
  attr.attach_bpf_fd = static_cast<uint32_t>(program);
  attr.attach_type = BPF_CGROUP_DEVICE;
  attr.attach_flags = flags;
  attr.replace_bpf_fd = static_cast<uint32_t>(replaced);
  return bpf(BPF_PROG_ATTACH, attr);
}

Result<> detach(int folder, int program) {
  bpf_attr attr{};
  attr.target_fd = static_cast<uint32_t>(folder);
  attr.attach_bpf_fd = static_cast<uint32_t>(program);
  attr.attach_type = BPF_CGROUP_DEVICE;
  return check_ok(bpf(BPF_PROG_DETACH, attr), "detach the old device program");
}

}  // namespace

std::vector<bpf_insn> device_program(const DevicePolicy& policy) {
  // struct bpf_cgroup_dev_ctx: access_type is access << 16 | type.
  std::vector<bpf_insn> program = {
      load(kType, offsetof(bpf_cgroup_dev_ctx, access_type)),
      move_from(kAccess, kType),
      mask(kType, 0xffff),
      insn(BPF_ALU | BPF_RSH | BPF_K, kAccess, 0, 0, 16),
      load(kMajor, offsetof(bpf_cgroup_dev_ctx, major)),
      load(kMinor, offsetof(bpf_cgroup_dev_ctx, minor)),
  };
  for (const auto& [match, access] : policy.exceptions())
    append_exception(program, match, access, !policy.allows_by_default());
  program.push_back(move(kResult, policy.allows_by_default() ? 1 : 0));
  program.push_back(leave());
  return program;
}

Result<> attach_device_program(int folder, const std::vector<bpf_insn>& program, bool fresh) {
  const Fd loaded = TRY(load_program(program));
  std::vector<Fd> old;
  if (!fresh)
    for (const uint32_t id : TRY(attached_programs(folder))) old.push_back(TRY(open_program(id)));
  if (old.size() == 1) {
    const long answer = attach(folder, loaded.get(), BPF_F_ALLOW_MULTI | BPF_F_REPLACE, old.front().get());
    if (answer >= 0) return {};
    // Before 5.6 there is no BPF_F_REPLACE; a program attached in another mode cannot be replaced.
    if (answer != -EINVAL) return check_ok(answer, "replace the device program");
  }
  TRY(check_ok(attach(folder, loaded.get(), BPF_F_ALLOW_MULTI, 0), "attach the device program"));
  // All attached programs must agree to allow, so the new rules hold from here on.
  for (const Fd& program_before : old) TRY(detach(folder, program_before.get()));
  return {};
}

}  // namespace proa::kernel::cgroup
