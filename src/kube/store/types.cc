#include "kube/store/types.h"

namespace proa::kube::store {

std::string prefix_end(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty()) {
    if (const auto last = static_cast<unsigned char>(end.back()); last < 0xff) {
      end.back() = static_cast<char>(last + 1);
      return end;
    }
    end.pop_back();
  }
  return std::string(kToTheEnd);
}

Range Range::after(std::string_view last) const {
  Range rest = *this;
  rest.key = std::string(last) + '\0';
  return rest;
}

}  // namespace proa::kube::store
