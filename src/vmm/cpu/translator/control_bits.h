// Bits of control registers, flags and model-specific registers (SDM 3A, 2.5; volume 4).
#pragma once

#include <cstdint>

namespace proa::vmm::translator {

enum Cr0 : uint64_t {
  kCr0Pe = 1,
  kCr0Mp = 2,
  kCr0Em = 4,
  kCr0Ts = 8,
  kCr0Et = 16,
  kCr0Ne = 32,
  kCr0Wp = 1 << 16,
  kCr0Am = 1 << 18,
  kCr0Nw = 1 << 29,
  kCr0Cd = 1 << 30,
  kCr0Pg = 1ULL << 31
};
enum Cr4 : uint64_t {
  kCr4Vme = 1,
  kCr4Pvi = 2,
  kCr4Tsd = 4,
  kCr4De = 8,
  kCr4Pse = 16,
  kCr4Pae = 32,
  kCr4Mce = 64,
  kCr4Pge = 128,
  kCr4Pce = 256,
  kCr4OsFxsr = 512,
  kCr4OsXmm = 1024,
  kCr4Umip = 1 << 11,
  kCr4FsGsBase = 1 << 16,
  kCr4Pcid = 1 << 17,
  kCr4OsXsave = 1 << 18,
  kCr4Smep = 1 << 20,
  kCr4Smap = 1 << 21
};
enum Efer : uint64_t { kEferSce = 1, kEferLme = 1 << 8, kEferLma = 1 << 10, kEferNxe = 1 << 11 };
enum Rflags : uint64_t {
  kFlagCf = 1,
  kFlagPf = 4,
  kFlagAf = 16,
  kFlagZf = 64,
  kFlagSf = 128,
  kFlagTf = 256,
  kFlagIf = 512,
  kFlagDf = 1024,
  kFlagOf = 2048,
  kFlagIopl = 3 << 12,
  kFlagNt = 1 << 14,
  kFlagRf = 1 << 16,
  kFlagVm = 1 << 17,
  kFlagAc = 1 << 18,
  kFlagVif = 1 << 19,
  kFlagVip = 1 << 20,
  kFlagId = 1 << 21
};
// Attributes of vmm::Segment.
enum SegmentBits : uint32_t {
  kSegType = 15,
  kSegS = 16,
  kSegP = 128,
  kSegAvl = 1 << 12,
  kSegL = 1 << 13,
  kSegDb = 1 << 14,
  kSegG = 1 << 15,
  kSegUnusable = 1 << 16
};

}  // namespace proa::vmm::translator
