#include "vmm/boot/boot.h"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lz4.h>
#include <lzma.h>
#include <sys/mman.h>
#include <zlib.h>
#include <zstd.h>

#include <cstring>

#include "kernel/file.h"
#include "kernel/process.h"
#include "vmm/boot/cpio.h"

namespace proa::vmm {

namespace {

using testing::HasSubstr;

constexpr uint64_t kMemory = 64 << 20;
constexpr GuestAddress kLoad = 0x1000000;

FileView view(std::string_view bytes) {
  Fd file(::memfd_create("test", MFD_CLOEXEC));
  EXPECT_TRUE(kernel::write_all(file.get(), bytes));
  return FileView::map(std::move(file), "kernel").value();
}

// An ELF kernel with one segment and perhaps the PVH note.
std::string elf_kernel(bool pvh) {
  const std::string code = "the kernel's code";
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, "\177ELF\2\1\1", 7);
  header.e_type = ET_EXEC;
  header.e_machine = EM_X86_64;
  header.e_entry = kLoad + 0x10;
  header.e_phoff = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = pvh ? 2 : 1;
  Elf64_Phdr load{};
  load.p_type = PT_LOAD;
  load.p_offset = 0x200;
  load.p_paddr = kLoad;
  load.p_filesz = code.size();
  load.p_memsz = 0x5000;
  Elf64_Phdr note{};
  note.p_type = PT_NOTE;
  note.p_offset = 0x300;
  note.p_filesz = 20;
  note.p_align = 4;
  std::string image(0x400, '\0');
  std::memcpy(image.data(), &header, sizeof header);
  std::memcpy(image.data() + sizeof header, &load, sizeof load);
  std::memcpy(image.data() + sizeof header + sizeof load, &note, sizeof note);
  image.replace(0x200, code.size(), code);
  const uint32_t words[] = {4, 4, 18, 0x6e6558, 0x1000020};
  std::memcpy(image.data() + 0x300, words, sizeof words);
  return image;
}

std::string bzimage(const std::string& payload) {
  std::string image(0x400, '\0');
  const auto put = [&](size_t at, auto value) { std::memcpy(image.data() + at, &value, sizeof value); };
  put(0x1f1, uint8_t{1});
  image.replace(0x202, 4, "HdrS");
  put(0x201, uint8_t{0x6a});
  put(0x206, uint16_t{0x20f});
  put(0x22c, uint32_t{0x7fffffff});
  put(0x236, uint16_t{1});
  put(0x238, uint32_t{2047});
  put(0x248, uint32_t{0x10});
  put(0x24c, static_cast<uint32_t>(payload.size()));
  return image + std::string(0x10, '\0') + payload;
}

std::string gzip(std::string_view data) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(data.size() + 1000, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}
std::string xz(std::string_view data) {
  std::string out(data.size() + 1000, '\0');
  size_t size = 0;
  lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, nullptr, reinterpret_cast<const uint8_t*>(data.data()), data.size(),
                          reinterpret_cast<uint8_t*>(out.data()), &size, out.size());
  out.resize(size);
  return out;
}
std::string zstd(std::string_view data) {
  std::string out(ZSTD_compressBound(data.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), data.data(), data.size(), 3));
  return out;
}
std::string lz4_legacy(std::string_view data) {
  std::string block(static_cast<size_t>(LZ4_compressBound(static_cast<int>(data.size()))), '\0');
  const auto size = static_cast<uint32_t>(
      LZ4_compress_default(data.data(), block.data(), static_cast<int>(data.size()), static_cast<int>(block.size())));
  block.resize(size);
  std::string out("\x02\x21\x4c\x18", 4);
  out.append(reinterpret_cast<const char*>(&size), 4);
  out += block;
  const auto whole = static_cast<uint32_t>(data.size());
  return out.append(reinterpret_cast<const char*>(&whole), 4);
}

class BootTest : public testing::Test {
 protected:
  std::unique_ptr<GuestMemory> memory = GuestMemory::create(memory_plan(kMemory)).value();
  std::string text(GuestAddress at, size_t size) const {
    return {reinterpret_cast<const char*>(memory->at(at, size)), size};
  }
  std::string load_error(std::string_view image) {
    const auto loaded = load_kernel_image(view(image), *memory, {});
    return loaded ? "" : loaded.error().message();
  }
};

TEST_F(BootTest, LoadsElfByTheProtocolItOffers) {
  const auto pvh = load_kernel_image(view(elf_kernel(true)), *memory, {}).value();
  EXPECT_EQ(BootProtocol::kPvh, pvh.protocol);
  EXPECT_EQ(0x1000020u, pvh.entry);
  EXPECT_EQ(kLoad + 0x5000, pvh.end);
  EXPECT_EQ("the kernel's code", text(kLoad, 17));
  const auto plain = load_kernel_image(view(elf_kernel(false)), *memory, {}).value();
  EXPECT_EQ(BootProtocol::kLinux64, plain.protocol);
  EXPECT_EQ(kLoad + 0x10, plain.entry);
}

TEST_F(BootTest, UnpacksWhateverKernelsArePackedWith) {
  const std::string elf = elf_kernel(false);
  for (const std::string& packed : {elf, gzip(elf), xz(elf), zstd(elf), lz4_legacy(elf)}) {
    memory->store<uint64_t>(kLoad, 0);
    const auto loaded = load_kernel_image(view(bzimage(packed)), *memory, {});
    ASSERT_TRUE(loaded) << loaded.error().message();
    EXPECT_EQ(BootProtocol::kLinux64, loaded->protocol);
    EXPECT_EQ("the kernel's code", text(kLoad, 17));
    EXPECT_EQ(0x7fffffffu, loaded->initrd_max);
  }
  EXPECT_TRUE(load_kernel_image(view(gzip(elf)), *memory, {}));
}

TEST_F(BootTest, SaysWhatIsWrongWithAKernel) {
  EXPECT_THAT(load_error(std::string(1000, 'x')), HasSubstr("is no kernel"));
  EXPECT_THAT(load_error(bzimage("BZh9 and so on")), HasSubstr("bzip2"));
  EXPECT_THAT(load_error(bzimage(gzip(elf_kernel(false)).substr(0, 50))), HasSubstr("ends too early"));
  EXPECT_THAT(load_error(bzimage("nothing")), HasSubstr("no ELF"));
  std::string far = elf_kernel(false);
  const uint64_t address = 1ULL << 40;
  std::memcpy(far.data() + sizeof(Elf64_Ehdr) + offsetof(Elf64_Phdr, p_paddr), &address, 8);
  EXPECT_THAT(load_error(far), HasSubstr("needs memory"));
  for (size_t size = 1; size < 0x310; size += 7) load_error(elf_kernel(true).substr(0, size));
}

TEST_F(BootTest, TheCacheIsUsedUntilTheFileChanges) {
  char folder[] = "/tmp/proa-boot-XXXXXX";
  ASSERT_NE(nullptr, ::mkdtemp(folder));
  const Defer clean([&] { static_cast<void>(kernel::remove_tree(folder)); });
  const std::string path = cat(folder, "/bzImage");
  const std::string cache = cat(folder, "/cache");
  ASSERT_TRUE(kernel::replace_file(path, bzimage(gzip(elf_kernel(false))), 0600));
  ASSERT_TRUE(load_kernel(path, *memory, {.cache_folder = cache, .protocol = {}}));
  const auto names = kernel::names_in(cache).value();
  ASSERT_EQ(1u, names.size());
  ASSERT_TRUE(kernel::write_file(cat(cache, "/", names[0]).c_str(), elf_kernel(true)));
  memory->store<uint64_t>(kLoad, 0);
  ASSERT_TRUE(load_kernel(path, *memory, {.cache_folder = cache, .protocol = BootProtocol::kPvh}));
  EXPECT_THAT(load_kernel("/nowhere", *memory).error().message(), HasSubstr("/nowhere"));
}

TEST_F(BootTest, LoadsMultiboot) {
  std::string image(256, '\0');
  const uint32_t words[] = {0x1badb002, 0x10003, 0u - 0x1badb002 - 0x10003, 0x100020, 0x100000, 0, 0x101000, 0x100040};
  std::memcpy(image.data() + 32, words, sizeof words);
  image.replace(64, 5, "enter");
  const auto loaded = load_kernel_image(view(image), *memory, {}).value();
  EXPECT_EQ(BootProtocol::kMultiboot, loaded.protocol);
  EXPECT_EQ(0x100040u, loaded.entry);
  EXPECT_EQ("enter", text(0x100040, 5));
  EXPECT_EQ(0x101000u, loaded.end);
}

TEST_F(BootTest, PreparesLinux) {
  char path[] = "/tmp/proa-kernel-XXXXXX";
  const Fd file(::mkstemp(path));
  const Defer clean([&] { ::unlink(path); });
  ASSERT_TRUE(kernel::write_all(file.get(), bzimage(gzip(elf_kernel(false)))));
  const BootPlan plan{
      .kernel = path, .initrd = {}, .initrd_extra = "extra", .command_line = "console=ttyS0", .options = {}};
  const Booted booted = boot(plan, {}, *memory).value();
  EXPECT_EQ(kLoad + 0x10, booted.state.rip);
  EXPECT_EQ(kZeroPage, booted.state.gpr[kRsi]);
  EXPECT_STREQ("console=ttyS0", reinterpret_cast<const char*>(memory->at(kCommandLine, 14)));
  EXPECT_EQ(kCommandLine, memory->load<uint32_t>(kZeroPage + 0x228));
  EXPECT_EQ("HdrS", text(kZeroPage + 0x202, 4));
  const auto initrd = *memory->load<uint32_t>(kZeroPage + 0x218);
  EXPECT_EQ("extra", text(initrd, 5));
  EXPECT_EQ(5u, memory->load<uint32_t>(kZeroPage + 0x21c));
  EXPECT_EQ(kAcpi, memory->load<uint64_t>(kZeroPage + 0x70));
  ASSERT_EQ(3, memory->load<uint8_t>(kZeroPage + 0x1e8));
  EXPECT_EQ(kMemory - (1 << 20), memory->load<uint64_t>(kZeroPage + 0x2d0 + 40 + 8));
  // The tables map what they are themselves.
  const auto pdpt = *memory->load<uint64_t>(booted.state.cr3) & ~0xfffULL;
  const auto pd = *memory->load<uint64_t>(pdpt) & ~0xfffULL;
  EXPECT_EQ(0x1000083u, memory->load<uint64_t>(pd + 8 * 8));
  BootPlan long_line = plan;
  long_line.command_line.assign(3000, 'x');
  EXPECT_THAT(boot(long_line, {}, *memory).error().message(), HasSubstr("the kernel takes 2047"));
}

TEST_F(BootTest, MemoryHasAGapBelowFourGib) {
  const auto plans = memory_plan(5ULL << 30);
  ASSERT_EQ(2u, plans.size());
  EXPECT_EQ(kGap, plans[0].size);
  EXPECT_EQ(kGapEnd, plans[1].base);
  EXPECT_EQ(2ULL << 30, plans[1].size);
}

TEST(Cpio, IsWhatCpioReads) {
  CpioWriter writer;
  writer.add_file("lib/modules/a.ko", "module");
  writer.add_file("lib/modules/b.ko", "another one");
  writer.add("init", 0100755, "program");
  const std::string archive = writer.finish();
  EXPECT_EQ(0u, archive.size() % 512);
  const auto listed = kernel::run_command({.path = "/usr/bin/cpio",
                                           .argv = {"cpio", "-it", "--quiet"},
                                           .env = {},
                                           .input = archive,
                                           .timeout_ms = {},
                                           .cwd = {}});
  if (!listed) GTEST_SKIP() << "no cpio: " << listed.error().message();
  EXPECT_EQ("lib\nlib/modules\nlib/modules/a.ko\nlib/modules/b.ko\ninit\n", listed->output);
}

TEST(Acpi, ItsTablesAddUp) {
  const auto memory = GuestMemory::create(memory_plan(kMemory)).value();
  const AcpiPlan plan{.vcpus = 300,
                      .virtio = {{kVirtioMmio, 0x1000, 5}, {kVirtioMmio + 0x1000, 0x1000, 6}},
                      .generation = 0xe8000,
                      .event_line = 23};
  const GuestAddress rsdp = write_acpi(plan, *memory).value();
  const auto sum = [&](GuestAddress at, size_t size) {
    uint8_t all = 0;
    for (size_t i = 0; i < size; ++i) all = static_cast<uint8_t>(all + *memory->load<uint8_t>(at + i));
    return all;
  };
  EXPECT_EQ(0, sum(rsdp, 20));
  EXPECT_EQ(0, sum(rsdp, 36));
  const auto xsdt = *memory->load<uint64_t>(rsdp + 24);
  EXPECT_EQ(0, sum(xsdt, *memory->load<uint32_t>(xsdt + 4)));
  for (const GuestAddress entry : {xsdt + 36, xsdt + 44}) {
    const auto at = *memory->load<uint64_t>(entry);
    EXPECT_EQ(0, sum(at, *memory->load<uint32_t>(at + 4)));
  }
}

// The reference compiler takes our byte code apart and puts it together again.
TEST(Acpi, IaslReadsIt) {
  char folder[] = "/tmp/proa-acpi-XXXXXX";
  ASSERT_NE(nullptr, ::mkdtemp(folder));
  const Defer clean([&] { static_cast<void>(kernel::remove_tree(folder)); });
  const AcpiPlan plan{.vcpus = 2, .virtio = {{kVirtioMmio, 0x1000, 5}}, .generation = 0xe8000, .event_line = 23};
  const auto iasl = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "iasl");
    return kernel::run_command(
        {.path = "/usr/bin/iasl", .argv = arguments, .env = {}, .timeout_ms = {}, .cwd = folder});
  };
  for (const AcpiTable& table : make_acpi(plan, 0xe1000)) {
    SCOPED_TRACE(table.signature);
    const std::string base = cat(folder, "/", table.signature);
    ASSERT_TRUE(kernel::replace_file(base + ".aml", table.bytes, 0600));
    const auto taken = iasl({"-d", base + ".aml"});
    if (!taken) GTEST_SKIP() << "no iasl: " << taken.error().message();
    ASSERT_EQ(0, taken->status) << taken->output;
    EXPECT_THAT(taken->output, testing::Not(HasSubstr("rror"))) << taken->output;
    const auto made = iasl({"-f", base + ".dsl"});
    EXPECT_THAT(made->output, HasSubstr("0 Errors")) << made->output;
    EXPECT_THAT(made->output, HasSubstr("0 Warnings")) << made->output;
    if (table.signature != "DSDT") continue;
    const std::string source = kernel::read_file((base + ".dsl").c_str()).value();
    EXPECT_THAT(source, HasSubstr("\"LNRO0005\""));
    EXPECT_THAT(source, HasSubstr("0xD0000000"));
    EXPECT_THAT(source, HasSubstr("VM_Gen_Counter"));
    EXPECT_THAT(source, HasSubstr("EisaId (\"PNP0501\")"));
  }
}

}  // namespace
}  // namespace proa::vmm
