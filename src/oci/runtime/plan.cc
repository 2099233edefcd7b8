#include "oci/runtime/plan.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "kernel/file.h"
#include "kernel/sys.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U
#endif

extern "C" const char proa_stage_begin[], proa_stage_end[];  // stage_blob.S

namespace proa::oci::runtime {
namespace {

constexpr kernel::CallShape kMemfdCreate{SYS_memfd_create, "memfd_create", "sx"};
constexpr kernel::CallShape kExecveat{SYS_execveat, "execveat", "dsppx"};

constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

Result<Fd> sealed_memfd(const char* name, unsigned flags, std::span<const iovec> parts);

}  // namespace

PlanBuilder::Arg PlanBuilder::bytes(const void* data, size_t size) {
  data_.resize((data_.size() + 7) & ~size_t{7});
  const uint64_t offset = data_.size();
  data_.append(static_cast<const char*>(data), size);
  return Arg::data(offset);
}

PlanBuilder::Arg PlanBuilder::text(std::string_view text) {
  const uint64_t offset = data_.size();
  data_.append(text).push_back('\0');
  return Arg::data(offset);
}

PlanBuilder::Arg PlanBuilder::texts(std::span<const std::string> texts) {
  std::vector<uint64_t> array;
  array.reserve(texts.size() + 1);
  for (const std::string& each : texts) array.push_back(text(each).value);
  array.push_back(0);
  const Arg place = bytes(array.data(), array.size() * sizeof array[0]);
  for (size_t i = 0; i < texts.size(); ++i) pointers_.push_back(place.value + i * sizeof array[0]);
  return place;
}

PlanBuilder::Arg PlanBuilder::bytes_with_pointer(const void* data, size_t size, size_t pointer_at, Arg target) {
  const Arg place = bytes(data, size);
  std::memcpy(data_.data() + place.value + pointer_at, &target.value, sizeof target.value);
  pointers_.push_back(place.value + pointer_at);
  return place;
}

void PlanBuilder::step(long nr, std::initializer_list<Arg> args, std::string_view label, uint32_t flags) {
  Pending pending{};
  pending.step.nr = nr;
  pending.step.flags = flags;
  pending.step.label = static_cast<uint32_t>(text(label.substr(0, stage::kMaxLabel)).value);
  size_t i = 0;
  for (const Arg& arg : args) {
    pending.step.args[i] = arg.value;
    if (arg.in_data) pending.data_args |= 1u << i;
    ++i;
  }
  steps_.push_back(pending);
}

Result<Fd> PlanBuilder::seal(int sync) const {
  const uint64_t head_size = sizeof(stage::PlanHeader) + steps_.size() * sizeof(stage::PlanStep);
  const uint64_t data_at = stage::kPlanBase + head_size;
  std::string image;
  const stage::PlanHeader header{.magic = stage::kPlanMagic,
                                 .size = head_size + data_.size(),
                                 .steps = static_cast<uint32_t>(steps_.size()),
                                 .sync = sync};
  image.reserve(header.size);
  image.append(reinterpret_cast<const char*>(&header), sizeof header);
  for (const Pending& pending : steps_) {
    stage::PlanStep step = pending.step;
    step.label += static_cast<uint32_t>(head_size);
    for (int i = 0; i < 6; ++i)
      if ((pending.data_args >> i & 1) != 0) step.args[i] += data_at;
    image.append(reinterpret_cast<const char*>(&step), sizeof step);
  }
  image += data_;
  for (const uint64_t at : pointers_) {
    uint64_t value = 0;
    std::memcpy(&value, image.data() + head_size + at, sizeof value);
    value += data_at;
    std::memcpy(image.data() + head_size + at, &value, sizeof value);
  }
  const iovec part{image.data(), image.size()};
  return sealed_memfd("proa-plan", MFD_CLOEXEC, {&part, 1});
}

Error decode_report(std::string_view body) {
  stage::StageReport head{};
  if (body.size() + 1 < sizeof head) return Error("the container's process sent half a report");
  std::memcpy(reinterpret_cast<char*>(&head) + 1, body.data(), sizeof head - 1);
  const std::string label(body.substr(sizeof head - 1));
  // Engines tell a missing program from other failures by these words.
  const bool searched = label.starts_with("exec: ") && label.find('/') == std::string::npos;
  if (head.error == ENOENT && searched) return Error(label + ": executable file not found in $PATH", ENOENT);
  return Error::from_errno(head.error, label);
}

namespace {

Result<Fd> sealed_memfd(const char* name, unsigned flags, std::span<const iovec> parts) {
  long made = kernel::call(kMemfdCreate, name, flags | MFD_ALLOW_SEALING);
  // Before Linux 6.3 there is no MFD_EXEC and every memfd is executable.
  if (made == -EINVAL && (flags & MFD_EXEC) != 0)
    made = kernel::call(kMemfdCreate, name, (flags & ~MFD_EXEC) | MFD_ALLOW_SEALING);
  Fd fd = TRY(kernel::check_fd(made, "make memfd ", name));
  for (const iovec& part : parts)
    TRY_CTX(kernel::write_all(fd.get(), {static_cast<const char*>(part.iov_base), part.iov_len}), name);
  if (::fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) return fail_errno(errno, "seal memfd ", name);
  return fd;
}

}  // namespace

Result<Fd> stage_program() {
  const iovec part{const_cast<char*>(proa_stage_begin), static_cast<size_t>(proa_stage_end - proa_stage_begin)};
  return TRY_CTX(sealed_memfd("proa-stage", MFD_CLOEXEC | MFD_EXEC, {&part, 1}), "stage");
}

Error execute_stage(int program, int plan_fd) {
  if (::fcntl(plan_fd, F_SETFD, 0) != 0) return Error::from_errno(errno, "hand over the plan");
  char number[12];
  std::snprintf(number, sizeof number, "%d", plan_fd);
  char name[] = "proa-stage";
  char* argv[] = {name, number, nullptr};
  char* env[] = {nullptr};
  const long answer =
      kernel::call(kExecveat, program, "", static_cast<void*>(argv), static_cast<void*>(env), AT_EMPTY_PATH);
  return Error::from_errno(static_cast<int>(-answer), "execute the stage")
      .hint("vm.memfd_noexec=2 forbids programs in memory; containers need 0 or 1");
}

}  // namespace proa::oci::runtime
