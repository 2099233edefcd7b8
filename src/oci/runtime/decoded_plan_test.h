// For tests: a sealed plan, read back as the stage would see it.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/fd.h"
#include "kernel/file.h"
#include "oci/runtime/stage/plan.h"

namespace proa::oci::runtime {

class DecodedPlan {
 public:
  explicit DecodedPlan(const Fd& sealed) : image_(kernel::read_all(sealed.get()).value()) {
    // Written by the same descriptor: its position is at the end.
    if (image_.empty()) image_ = kernel::read_file(kernel::FdPath(sealed.get()).c_str()).value();
    header_ = at<stage::PlanHeader>(stage::kPlanBase);
    for (uint32_t i = 0; i < header_.steps; ++i)
      steps_.push_back(at<stage::PlanStep>(stage::kPlanBase + sizeof(stage::PlanHeader) + i * sizeof(stage::PlanStep)));
  }

  const std::string& image() const { return image_; }
  const stage::PlanHeader& header() const { return header_; }
  const std::vector<stage::PlanStep>& steps() const { return steps_; }

  // What a pointer of the plan points to.
  template <typename T>
  T at(uint64_t pointer) const {
    const uint64_t offset = pointer - stage::kPlanBase;
    if (pointer < stage::kPlanBase || offset + sizeof(T) > image_.size()) throw std::out_of_range("outside the plan");
    T value;
    std::memcpy(&value, image_.data() + offset, sizeof value);
    return value;
  }
  std::string text(uint64_t pointer) const {
    std::string out;
    for (char c = 0; (c = at<char>(pointer)) != '\0'; ++pointer) out += c;
    return out;
  }
  std::vector<std::string> texts(uint64_t pointer) const {
    std::vector<std::string> out;
    for (uint64_t each = 0; (each = at<uint64_t>(pointer)) != 0; pointer += sizeof each) out.push_back(text(each));
    return out;
  }
  std::string label(size_t step) const { return text(stage::kPlanBase + steps_.at(step).label); }

  // Place of the first step from `start` on with this number and, where given, these first arguments; -1 when none.
  int find(int64_t nr, std::initializer_list<uint64_t> args = {}, size_t start = 0) const {
    for (size_t i = start; i < steps_.size(); ++i)
      if (steps_[i].nr == nr && std::equal(args.begin(), args.end(), steps_[i].args)) return static_cast<int>(i);
    return -1;
  }
  int find(stage::Step step) const { return find(static_cast<int64_t>(step)); }
  int count(int64_t nr) const {
    int found = 0;
    for (const stage::PlanStep& each : steps_) found += each.nr == nr ? 1 : 0;
    return found;
  }

 private:
  std::string image_;
  stage::PlanHeader header_{};
  std::vector<stage::PlanStep> steps_;
};

}  // namespace proa::oci::runtime
