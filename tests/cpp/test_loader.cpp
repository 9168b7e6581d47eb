/* The loader: relocations give the values that the ELF rules say, the code runs, the pages are
   never writable and executable at once, and no bytes make it read or write outside. */
#include <cstdio>
#include <cstring>
#include <random>

#include "check.h"
#include "elf_bytes.h"
#include "loader.h"

using symc::Image;
using symc::Linker;
using symc::Machine;
using symc::Object;
using tests::Bytes;
using tests::bytes_of;
using tests::ElfBytes;

namespace {

template <class T> T value_at(const Image &image, std::size_t offset) {
  T value;
  std::memcpy(&value, image.bytes.data() + offset, sizeof(T));
  return value;
}

Bytes word(std::uint32_t value) {
  return bytes_of({value & 255U, (value >> 8) & 255U, (value >> 16) & 255U, value >> 24});
}

/* "answer": reads 42 from .rodata; "through_got": the same by the global offset table; "caller":
   calls answer; "table": reads the 64-bit address of 42 from .data.rel.ro. */
ElfBytes rich() {
  ElfBytes e;
  e.append(ElfBytes::rodata, bytes_of({0, 0, 0, 0, 42, 0, 0, 0}));
  const auto number = e.symbol("number", ElfBytes::rodata, 4, STT_OBJECT);
  const auto at = e.append(ElfBytes::text, bytes_of({0x8b, 0x05, 0, 0, 0, 0, 0xc3, 0x90}));
  const auto answer = e.symbol("answer", ElfBytes::text, at);
  e.relocate(ElfBytes::text, at + 2, R_X86_64_PC32, number, -4);
  const auto got =
      e.append(ElfBytes::text, bytes_of({0x48, 0x8b, 0x05, 0, 0, 0, 0, 0x8b, 0x00, 0xc3}));
  e.symbol("through_got", ElfBytes::text, got);
  e.relocate(ElfBytes::text, got + 3, R_X86_64_REX_GOTPCRELX, number, -4);
  const auto call = e.append(ElfBytes::text, bytes_of({0xe8, 0, 0, 0, 0, 0xff, 0xc0, 0xc3}));
  e.symbol("caller", ElfBytes::text, call);
  e.relocate(ElfBytes::text, call + 1, R_X86_64_PLT32, answer, -4);
  e.append(ElfBytes::relro, Bytes(8));
  const auto table = e.symbol("entries", ElfBytes::relro, 0, STT_OBJECT);
  e.relocate(ElfBytes::relro, 0, R_X86_64_64, number, 0);
  const auto load =
      e.append(ElfBytes::text, bytes_of({0x48, 0x8b, 0x05, 0, 0, 0, 0, 0x8b, 0x00, 0xc3}));
  e.symbol("table", ElfBytes::text, load);
  e.relocate(ElfBytes::text, load + 3, R_X86_64_PC32, table, -4);
  return e;
}

#if defined(__x86_64__)
int call(const Object &object, const char *name) {
  using Function = int (*)();
  void *found = object.find(name);
  CHECK(found != nullptr);
  return found == nullptr ? -1 : reinterpret_cast<Function>(found)();
}

void code_runs() {
  const Object object(rich().encode());
  CHECK(call(object, "answer") == 42);
  CHECK(call(object, "through_got") == 42);
  CHECK(call(object, "caller") == 43);
  CHECK(call(object, "table") == 42);
  CHECK(object.find("absent") == nullptr);
  CHECK(object.find("number") == nullptr);
}

/* /proc/self/maps: no page is writable and executable. */
void write_xor_execute() {
  const Object object(rich().encode());
  std::FILE *maps = std::fopen("/proc/self/maps", "r");
  char line[512];
  bool found = false;
  while (maps != nullptr && std::fgets(line, sizeof(line), maps) != nullptr) {
    unsigned long begin = 0;
    unsigned long end = 0;
    char mode[8] = "";
    (void)std::sscanf(line, "%lx-%lx %7s", &begin, &end, mode); // NOLINT: the kernel's own format
    const auto address = reinterpret_cast<unsigned long>(object.find("answer"));
    if (address >= begin && address < end) {
      found = true;
      CHECK(std::strncmp(mode, "r-x", 3) == 0);
    }
  }
  if (maps != nullptr) {
    (void)std::fclose(maps);
  }
  CHECK(found);
}
#endif

Image linked(const ElfBytes &e, std::uint64_t base, Machine machine = Machine::X86_64) {
  const Bytes bytes = e.encode();
  Linker linker(bytes, machine);
  return linker.link(base);
}

/* One relocation of the first word of .text against a symbol at the start of .rodata. */
struct Single {
  std::uint32_t type;
  std::uint32_t word;
  std::int64_t addend = 0;
};

constexpr std::uint64_t base = 0x7000'0000'0000;

std::uint32_t arm(const Single &s) {
  ElfBytes e;
  e.machine = EM_AARCH64;
  e.append(ElfBytes::text, word(s.word));
  e.append(ElfBytes::rodata, Bytes(64));
  const auto symbol = e.symbol("s", ElfBytes::rodata, 16, STT_OBJECT);
  e.relocate(ElfBytes::text, 0, s.type, symbol, s.addend);
  const Image image = linked(e, base, Machine::AArch64);
  return value_at<std::uint32_t>(image, 0);
}

/* .rodata starts one page after .text, so the symbol is at base + 4096 + 16. */
void aarch64_values() {
  CHECK(arm({R_AARCH64_ADR_PREL_PG_HI21, 0x90000000U}) == 0xb0000000U);
  CHECK(arm({R_AARCH64_ADR_PREL_PG_HI21, 0x90000003U, 4096 * 4}) == 0xb0000023U);
  CHECK(arm({R_AARCH64_ADD_ABS_LO12_NC, 0x91000000U}) == (0x91000000U | 16U << 10));
  CHECK(arm({R_AARCH64_LDST8_ABS_LO12_NC, 0x39400000U}) == (0x39400000U | 16U << 10));
  CHECK(arm({R_AARCH64_LDST16_ABS_LO12_NC, 0x79400000U}) == (0x79400000U | 8U << 10));
  CHECK(arm({R_AARCH64_LDST32_ABS_LO12_NC, 0xb9400000U}) == (0xb9400000U | 4U << 10));
  CHECK(arm({R_AARCH64_LDST64_ABS_LO12_NC, 0xf9400000U}) == (0xf9400000U | 2U << 10));
  CHECK(arm({R_AARCH64_LDST128_ABS_LO12_NC, 0x3dc00000U}) == (0x3dc00000U | 1U << 10));
  CHECK(arm({R_AARCH64_CALL26, 0x94000000U}) == (0x94000000U | 1028U));
  CHECK(arm({R_AARCH64_JUMP26, 0x14000000U, -4112 - 4}) == (0x17ffffffU));
  CHECK(arm({R_AARCH64_PREL32, 0, 4}) == 4116U);
  CHECK_THROWS(Load, (void)arm({R_AARCH64_LDST64_ABS_LO12_NC, 0xf9400000U, 4}));
  CHECK_THROWS(Load, (void)arm({R_AARCH64_CALL26, 0x94000000U, std::int64_t{1} << 30}));
  CHECK_THROWS(Load, (void)arm({R_AARCH64_TLSDESC_CALL, 0}));
}

std::uint64_t x86(std::uint32_t type, std::int64_t addend, std::uint64_t at) {
  ElfBytes e;
  e.append(ElfBytes::text, Bytes(8));
  e.append(ElfBytes::rodata, Bytes(64));
  e.relocate(ElfBytes::text, 0, type, e.symbol("s", ElfBytes::rodata, 16, STT_OBJECT), addend);
  return value_at<std::uint64_t>(linked(e, at), 0);
}

void x86_values() {
  CHECK(x86(R_X86_64_PC32, -4, base) == 4108);
  CHECK(x86(R_X86_64_PC64, -4, base) == 4108);
  CHECK(x86(R_X86_64_64, 5, base) == base + 4112 + 5);
  CHECK(x86(R_X86_64_32S, 0, 0x10000) == 0x10000 + 4112);
  CHECK(x86(R_X86_64_32, 0, 0x10000) == 0x10000 + 4112);
  CHECK_THROWS(Load, (void)x86(R_X86_64_32S, 0, base));
  CHECK_THROWS(Load, (void)x86(R_X86_64_32, 0, base));
  CHECK_THROWS(Load, (void)x86(R_X86_64_PC32, std::int64_t{1} << 33, base));
  CHECK_THROWS(Load, (void)x86(R_X86_64_TPOFF64, 0, base));
}

void refused() {
  CHECK_THROWS(Load, Object(bytes_of({1, 2, 3})));
  ElfBytes undefined;
  undefined.append(ElfBytes::text, Bytes(8));
  undefined.relocate(ElfBytes::text, 0, R_X86_64_PLT32, undefined.symbol("memcpy", 0, 0), -4);
  CHECK_THROWS(Load, (void)linked(undefined, base));
  ElfBytes writable = rich();
  writable.relro_name = ".data";
  CHECK_THROWS(Load, (void)linked(writable, base));
  ElfBytes local = rich();
  local.relro_flags = SHF_ALLOC | SHF_TLS;
  CHECK_THROWS(Load, (void)linked(local, base));
  ElfBytes outside = rich();
  outside.relocate(ElfBytes::text, 1'000'000, R_X86_64_PC32, 1, 0);
  CHECK_THROWS(Load, (void)linked(outside, base));
  ElfBytes end = rich();
  end.append(ElfBytes::rodata, Bytes(1));
  end.relocate(ElfBytes::rodata, 8, R_X86_64_64, 1, 0);
  CHECK_THROWS(Load, (void)linked(end, base));
  ElfBytes far = rich();
  far.symbol("far", ElfBytes::text, 1'000'000);
  CHECK_THROWS(Load, (void)linked(far, base));
  ElfBytes unknown = rich();
  unknown.relocate(ElfBytes::text, 0, R_X86_64_PC32, 999, 0);
  CHECK_THROWS(Load, (void)linked(unknown, base));
  ElfBytes other = rich();
  other.machine = EM_386;
  CHECK_THROWS(Load, (void)linked(other, base));
}

void survive(const Bytes &bytes) {
  const auto kind = check::error_of([&] {
    Linker linker(bytes, Machine::X86_64);
    (void)linker.link(base);
  });
  CHECK(!kind || kind == symc::ErrorKind::Load);
}

void every_truncation_and_flip() {
  const Bytes whole = rich().encode();
  for (std::size_t at = 0; at < whole.size(); ++at) {
    survive(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(at)));
    for (unsigned bit = 0; bit < 8; ++bit) {
      Bytes altered = whole;
      altered[at] ^= static_cast<std::byte>(1U << bit);
      survive(altered);
    }
  }
}

void random_edits() {
  const Bytes whole = rich().encode();
  std::mt19937 random(2); // NOLINT: the same edits in every run
  for (int round = 0; round < 5'000; ++round) {
    Bytes altered = whole;
    for (auto edits = 1 + random() % 6; edits > 0; --edits) {
      altered[random() % altered.size()] = static_cast<std::byte>(random());
    }
    survive(altered);
  }
}

} // namespace

int main() {
#if defined(__x86_64__)
  code_runs();
  write_xor_execute();
#endif
  x86_values();
  aarch64_values();
  refused();
  every_truncation_and_flip();
  random_edits();
  return check::result();
}
