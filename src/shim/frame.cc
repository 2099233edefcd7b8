#include "shim/frame.h"

namespace proa::shim {

void write_frame_header(unsigned char* to, Stream stream, uint32_t size) {
  to[0] = static_cast<unsigned char>(stream);
  to[1] = to[2] = to[3] = 0;
  for (int i = 0; i < 4; ++i) to[4 + i] = static_cast<unsigned char>(size >> (24 - 8 * i));
}

Result<Hello> parse_hello(std::string_view line) {
  constexpr std::string_view kPatience = "patience=";
  Hello hello;
  if (take_word(&line) != "attach")
    return fail("expected: attach [stdin] [stdout] [stderr] [exit] [raw] [patience=MS]");
  for (std::string_view word = take_word(&line); !word.empty(); word = take_word(&line)) {
    if (word == "stdin")
      hello.in = true;
    else if (word == "stdout")
      hello.out = true;
    else if (word == "stderr")
      hello.err = true;
    else if (word == "exit")
      hello.result = true;
    else if (word == "raw")
      hello.raw = true;
    else if (word.starts_with(kPatience)) {
      word.remove_prefix(kPatience.size());
      uint64_t patience = 0;
      if (word == "forever")
        hello.patience = kForever;
      else if (parse_number(word, kMaxPatience, &patience))
        hello.patience = static_cast<int32_t>(patience);
      else
        return fail("patience: milliseconds up to ", kMaxPatience, ", or forever, not '", word, "'");
    } else
      return fail("attach: unknown word '", word, "'");
  }
  if (!hello.in && !hello.out && !hello.err) hello.out = hello.err = true;
  if (hello.raw && hello.result) return fail("attach: exit needs frames, so it does not go with raw");
  return hello;
}

}  // namespace proa::shim
