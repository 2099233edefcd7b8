#include <dlfcn.h>
#include <gtest/gtest.h>

#include <random>

#include "vmm/cpu/translator/insn.h"
#include "vmm/cpu/translator/opcodes.h"

namespace proa::vmm::translator {
namespace {

Insn must(std::initializer_list<uint8_t> bytes, CodeSize size = CodeSize::k64) {
  Insn insn;
  const std::vector<uint8_t> copy(bytes);
  EXPECT_EQ(decode(copy, size, insn), Decoded::kOk);
  return insn;
}
Decoded outcome(std::initializer_list<uint8_t> bytes, CodeSize size = CodeSize::k64) {
  Insn insn;
  const std::vector<uint8_t> copy(bytes);
  return decode(copy, size, insn);
}

TEST(Decode, FindsLengthsAndOperands) {
  const Insn mov = must({0x48, 0x8b, 0x44, 0x8b, 0xf0});  // mov rax, [rbx + rcx * 4 - 16]
  EXPECT_EQ(mov.length, 5);
  EXPECT_EQ(mov.operand_size, 8);
  EXPECT_EQ(mov.base, 3);
  EXPECT_EQ(mov.index, 1);
  EXPECT_EQ(mov.scale, 2);
  EXPECT_EQ(mov.disp, -16);
  EXPECT_EQ(mov.mem_size, 8);
}

TEST(Decode, TellsRipRelativeFromAbsolute) {
  EXPECT_TRUE(must({0x8b, 0x05, 1, 0, 0, 0}).rip_relative);
  EXPECT_FALSE(must({0x8b, 0x04, 0x25, 1, 0, 0, 0}).rip_relative);
  EXPECT_FALSE(must({0x8b, 0x05, 1, 0, 0, 0}, CodeSize::k32).rip_relative);
}

TEST(Decode, ReadsImmediatesBySize) {
  EXPECT_EQ(must({0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8}).imm, 0x0807060504030201U);
  EXPECT_EQ(must({0x66, 0xb8, 1, 2}).imm, 0x0201U);
  EXPECT_EQ(must({0x83, 0xc0, 0xff}).imm, ~0ULL);
  EXPECT_EQ(must({0xf7, 0xc0, 1, 0, 0, 0}).length, 6);
  EXPECT_EQ(must({0xf7, 0xd8}).length, 2);
}

TEST(Decode, KnowsThe16BitAddresses) {
  const Insn insn = must({0x8a, 0x42, 0x10}, CodeSize::k16);  // mov al, [bp + si + 16]
  EXPECT_EQ(insn.base, 5);
  EXPECT_EQ(insn.index, 6);
  EXPECT_EQ(insn.segment, 2);
}

TEST(Decode, MakesIncOf32BitCodeTheLongForm) {
  const Insn insn = must({0x43}, CodeSize::k32);
  EXPECT_EQ(insn.code, 0xff);
  EXPECT_EQ(insn.modrm, 0xc3);
  EXPECT_EQ(insn.length, 1);
}

TEST(Decode, RefusesWhatTheProcessorRefuses) {
  EXPECT_EQ(outcome({0x06}), Decoded::kInvalid);              // push es in 64-bit code
  EXPECT_EQ(outcome({0xf0, 0x90}), Decoded::kInvalid);        // lock nop
  EXPECT_EQ(outcome({0xf0, 0x01, 0xc0}), Decoded::kInvalid);  // lock add eax, eax
  EXPECT_EQ(outcome({0x0f, 0x0b}), Decoded::kOk);             // ud2 is an instruction
  EXPECT_EQ(outcome({0xc5, 0xf8, 0x77}), Decoded::kInvalid);  // AVX is not offered
  EXPECT_EQ(outcome({0x8d, 0xc0}), Decoded::kInvalid);        // lea eax, eax
  EXPECT_EQ(outcome({0x48}), Decoded::kTruncated);
  EXPECT_EQ(outcome({0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90}),
            Decoded::kTooLong);
}

// Debian's Zydis, where it is installed, has the last word on lengths.
using Validate = uint32_t (*)(void* decoder, void* context, const void* buffer, size_t length, void* instruction);
struct Zydis {
  void* library = ::dlopen("libZydis.so.4.0", RTLD_NOW);
  uint32_t (*init)(void*, uint32_t, uint32_t) = nullptr;
  Validate decode = nullptr;
  alignas(16) std::array<uint8_t, 4096> decoder{}, instruction{};
  explicit Zydis() {
    if (!library) return;
    init = reinterpret_cast<decltype(init)>(::dlsym(library, "ZydisDecoderInit"));
    decode = reinterpret_cast<Validate>(::dlsym(library, "ZydisDecoderDecodeInstruction"));
    init(decoder.data(), 0, 2);  // long mode, 64-bit stacks
  }
  ~Zydis() {
    if (library) ::dlclose(library);
  }
  // 0: not an instruction.
  unsigned length(std::span<const uint8_t> bytes) {
    const uint32_t status = decode(decoder.data(), nullptr, bytes.data(), bytes.size(), instruction.data());
    if (status & 0x80000000) return 0;
    return instruction[8];  // ZydisDecodedInstruction: machine mode, mnemonic, length
  }
};

TEST(Decode, AgreesWithZydisOnLengths) {
  Zydis zydis;
  if (!zydis.library || !zydis.decode) GTEST_SKIP() << "libZydis.so.4.0 is not installed (libzydis4.0)";
  std::mt19937_64 random(1);
  unsigned agreed = 0;
  for (unsigned i = 0; i < 200'000; ++i) {
    std::array<uint8_t, 15> bytes;
    for (auto& byte : bytes) byte = static_cast<uint8_t>(random());
    if (i % 2) bytes[0] = 0x0f;
    Insn insn;
    if (decode(bytes, CodeSize::k64, insn) != Decoded::kOk) continue;
    const unsigned theirs = zydis.length(bytes);
    if (theirs == 0) continue;  // what we take and it does not is told by running it
    ASSERT_EQ(insn.length, theirs) << ::testing::PrintToString(bytes);
    ++agreed;
  }
  EXPECT_GT(agreed, 50'000U);
}

}  // namespace
}  // namespace proa::vmm::translator
