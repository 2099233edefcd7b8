#include "vmm/boot/acpi.h"

#include <cstring>

#include "vmm/boot/aml.h"
#include "vmm/devices/board.h"

namespace proa::vmm {

namespace {

constexpr size_t kHeader = 36, kChecksum = 9;
constexpr uint32_t kLocalApic = 0xfee00000;

template <typename T>
void add(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
template <typename T>
void put(std::string& out, size_t at, T value) {
  std::memcpy(out.data() + at, &value, sizeof value);
}

void seal(std::string& table, size_t checksum_at, size_t length) {
  table[checksum_at] = 0;
  uint8_t sum = 0;
  for (size_t i = 0; i < length; ++i) sum = static_cast<uint8_t>(sum + static_cast<uint8_t>(table[i]));
  table[checksum_at] = static_cast<char>(-sum);
}

// The header (5.2.6) in front of `body`.
AcpiTable table(std::string_view signature, uint8_t revision, const std::string& body) {
  std::string out(signature);
  add(out, static_cast<uint32_t>(kHeader + body.size()));
  out += static_cast<char>(revision);
  out += '\0';
  out += "PROA  PROA_VM ";
  add<uint32_t>(out, 1);
  out += "PROA";
  add<uint32_t>(out, 1);
  out += body;
  seal(out, kChecksum, out.size());
  return {std::string(signature), out};
}

// Generic address: a byte in I/O space.
std::string port_address(uint16_t port) {
  std::string out("\x01\x08\x00\x01", 4);
  add<uint64_t>(out, port);
  return out;
}

// 5.2.9. Offsets are of the whole table.
AcpiTable make_fadt(GuestAddress dsdt) {
  constexpr uint32_t kResetSupported = 1u << 10, kHardwareReduced = 1u << 20, kPowerButtonIsNone = 1u << 4,
                     kSleepButtonIsNone = 1u << 5, kWbinvd = 1;
  constexpr uint16_t kLegacyDevices = 1, kKeyboard = 2, kNoVga = 4;
  std::string body(276 - kHeader, '\0');
  const auto set = [&](size_t at, auto value) { put(body, at - kHeader, value); };
  set(40, static_cast<uint32_t>(dsdt));
  set(109, static_cast<uint16_t>(kLegacyDevices | kKeyboard | kNoVga));
  set(112, kWbinvd | kPowerButtonIsNone | kSleepButtonIsNone | kResetSupported | kHardwareReduced);
  body.replace(116 - kHeader, 12, port_address(PowerPorts::kReset));
  set(128, PowerPorts::kResetValue);
  set(131, static_cast<uint8_t>(4));  // minor version
  set(140, static_cast<uint64_t>(dsdt));
  body.replace(244 - kHeader, 12, port_address(PowerPorts::kSleepControl));
  body.replace(256 - kHeader, 12, port_address(PowerPorts::kSleepStatus));
  body.replace(268 - kHeader, 8, "PROA    ");
  return table("FACP", 6, body);
}

// 5.2.12.
AcpiTable make_madt(unsigned vcpus) {
  std::string body;
  add(body, kLocalApic);
  add<uint32_t>(body, 1);  // there are 8259s too
  for (unsigned i = 0; i < vcpus; ++i) {
    if (i < 255) {
      body += std::string("\x00\x08", 2) + static_cast<char>(i) + static_cast<char>(i);
    } else {
      body += std::string("\x09\x10\x00\x00", 4);
      add<uint32_t>(body, i);
    }
    add<uint32_t>(body, 1);  // enabled
    if (i >= 255) add<uint32_t>(body, i);
  }
  body += std::string("\x01\x0c\x00\x00", 4);
  add(body, static_cast<uint32_t>(kIoapicBase));
  add<uint32_t>(body, 0);
  body += std::string("\x02\x0a\x00\x00\x02\x00\x00\x00\x00\x00", 10);  // ISA 0 is line 2
  body += std::string("\x04\x06\xff\x00\x00\x01", 6);                   // NMI at LINT1 of all
  return table("APIC", 5, body);
}

// "V00A": four characters that differ.
std::string numbered(char letter, size_t number) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  return {letter, kDigits[number >> 8 & 15], kDigits[number >> 4 & 15], kDigits[number & 15]};
}

std::string virtio_device(const AcpiVirtio& virtio, size_t number) {
  return aml::device(
      numbered('V', number),
      aml::name("_HID", aml::text("LNRO0005")) + aml::name("_UID", aml::integer(number)) +
          aml::name("_CCA", aml::integer(1)) +
          aml::name("_CRS", aml::resources(aml::memory32(static_cast<uint32_t>(virtio.base), virtio.size) +
                                           aml::interrupt(virtio.line, true))));
}

std::string board_devices(const AcpiPlan& plan) {
  std::string out;
  if (plan.serial)
    out += aml::device("COM1", aml::name("_HID", aml::eisa("PNP0501")) + aml::name("_UID", aml::integer(0)) +
                                   aml::name("_CRS", aml::resources(aml::io(0x3f8, 8) + aml::irq(4))));
  out += aml::device("PS2_", aml::name("_HID", aml::eisa("PNP0303")) +
                                 aml::name("_CRS", aml::resources(aml::io(0x60, 1) + aml::io(0x64, 1) + aml::irq(1))));
  out += aml::device("RTC_",
                     aml::name("_HID", aml::eisa("PNP0B00")) + aml::name("_CRS", aml::resources(aml::io(0x70, 2))));
  return out;
}

// "Virtual Machine Generation ID" of Microsoft, and the generic event device (5.6.9) whose interrupt tells of a change.
std::string generation_devices(const AcpiPlan& plan) {
  if (plan.generation == 0) return {};
  const std::string address =
      aml::package({aml::integer(plan.generation & 0xffffffff), aml::integer(plan.generation >> 32)});
  return aml::device("VGEN", aml::name("_HID", aml::text("PROA0001")) + aml::name("_CID", aml::text("VM_Gen_Counter")) +
                                 aml::name("_DDN", aml::text("VM_Gen_Counter")) + aml::name("ADDR", address)) +
         aml::device("GED_", aml::name("_HID", aml::text("ACPI0013")) + aml::name("_UID", aml::integer(0)) +
                                 aml::name("_CRS", aml::resources(aml::interrupt(plan.event_line, true))) +
                                 aml::method("_EVT", 1, aml::notify("\\_SB.VGEN", 0x80)));
}

AcpiTable make_dsdt(const AcpiPlan& plan) {
  std::string devices = board_devices(plan) + generation_devices(plan);
  for (size_t i = 0; i < plan.virtio.size(); ++i) devices += virtio_device(plan.virtio[i], i);
  const std::string off =
      aml::package({aml::integer(PowerPorts::kSleepType5), aml::integer(0), aml::integer(0), aml::integer(0)});
  return table("DSDT", 2, aml::scope("\\_SB", devices) + aml::name("\\_S5", off));
}

}  // namespace

std::vector<AcpiTable> make_acpi(const AcpiPlan& plan, GuestAddress dsdt) {
  return {make_fadt(dsdt), make_madt(plan.vcpus), make_dsdt(plan)};
}

Result<GuestAddress> write_acpi(const AcpiPlan& plan, GuestMemory& memory) {
  // RSDP, XSDT, FADT, MADT: their sizes do not depend on addresses, so the DSDT's can be told beforehand.
  constexpr size_t kRsdpSize = 36;
  const GuestAddress xsdt_at = kAcpi + 64;
  std::vector<AcpiTable> tables = make_acpi(plan, 0);
  GuestAddress at = xsdt_at + kHeader + 8 * (tables.size() - 1);
  std::vector<GuestAddress> places;
  for (const AcpiTable& one : tables) {
    at = (at + 63) & ~63ULL;
    places.push_back(at);
    at += one.bytes.size();
  }
  if (at > kAcpiEnd) return fail("ACPI: the tables of so many devices and vCPUs do not fit");
  tables = make_acpi(plan, places.back());
  std::string entries;
  for (size_t i = 0; i + 1 < tables.size(); ++i) add<uint64_t>(entries, places[i]);
  const AcpiTable xsdt = table("XSDT", 1, entries);

  std::string rsdp = "RSD PTR ";
  rsdp += '\0';
  rsdp += "PROA  ";
  rsdp += '\x02';
  add<uint32_t>(rsdp, 0);
  add<uint32_t>(rsdp, kRsdpSize);
  add<uint64_t>(rsdp, xsdt_at);
  add<uint32_t>(rsdp, 0);
  seal(rsdp, 8, 20);
  seal(rsdp, 32, kRsdpSize);
  memory.write(kAcpi, rsdp.data(), rsdp.size());
  memory.write(xsdt_at, xsdt.bytes.data(), xsdt.bytes.size());
  for (size_t i = 0; i < tables.size(); ++i) memory.write(places[i], tables[i].bytes.data(), tables[i].bytes.size());
  return kAcpi;
}

}  // namespace proa::vmm
