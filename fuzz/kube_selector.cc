// Selectors: the text of a parsed one parses to the same.
#include "fuzz.h"
#include "kube/selector/field_selector.h"
#include "kube/selector/label_selector.h"
#include "kube/validation/cron.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proa::kube;
  const std::string_view text = as_text(data, size);
  if (const auto selector = LabelSelector::parse(text)) {
    const auto again = LabelSelector::parse(selector->text());
    FUZZ_CHECK(again && again->text() == selector->text());
    static_cast<void>(selector->matches(Value()));
  }
  static_cast<void>(FieldSelector::parse(text));
  static_cast<void>(CronSchedule::parse(text));
  return 0;
}
