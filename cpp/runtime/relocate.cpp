/* The relocations that LLVM emits for closed, position-independent code. */
#include "relocate.h"

#include <elf.h>

#include <cstring>
#include <limits>
#include <string>

#include "error.h"

namespace symc {
namespace {

[[noreturn]] void fail(const std::string &why) {
  throw Error(ErrorKind::Load, "cannot load object code: " + why);
}

[[noreturn]] void unknown(std::uint32_t type) { fail("relocation type " + std::to_string(type)); }

/* Reads and writes at the place of one relocation, inside its section. */
class Patch {
public:
  Patch(std::span<std::byte> image, const Relocation &r) : image_(image), r_(r) {}

  template <class T> void store(T value) {
    room(sizeof(T));
    std::memcpy(image_.data() + r_.place, &value, sizeof(T));
  }

  /* Replaces the bits of `mask` in the instruction word. */
  void bits(std::uint32_t mask, std::uint32_t value) {
    room(4);
    std::uint32_t word = 0;
    std::memcpy(&word, image_.data() + r_.place, 4);
    word = (word & ~mask) | (value & mask);
    std::memcpy(image_.data() + r_.place, &word, 4);
  }

private:
  void room(std::size_t n) const {
    if (r_.place > r_.limit || r_.limit - r_.place < n) {
      fail("relocation outside its section");
    }
  }

  std::span<std::byte> image_;
  const Relocation &r_;
};

std::int64_t fit(std::int64_t value, int bits) {
  const std::int64_t most = (std::int64_t{1} << (bits - 1)) - 1;
  if (value > most || value < -most - 1) {
    fail("a relocated value is out of range");
  }
  return value;
}

/* symbol + addend, modulo 2^64 as the ELF rules say. */
std::uint64_t target(const Relocation &r) {
  return r.symbol + static_cast<std::uint64_t>(r.addend);
}

std::int64_t distance(const Relocation &r, std::uint64_t to) {
  return static_cast<std::int64_t>(to - (r.base + r.place));
}

void relocate_x86(std::span<std::byte> image, const Relocation &r) {
  Patch patch(image, r);
  switch (r.type) {
  case R_X86_64_64:
    return patch.store(target(r));
  case R_X86_64_PC64:
    return patch.store(distance(r, target(r)));
  case R_X86_64_PC32:
  case R_X86_64_PLT32:
    return patch.store(static_cast<std::int32_t>(fit(distance(r, target(r)), 32)));
  case R_X86_64_GOTPCREL:
  case R_X86_64_GOTPCRELX:
  case R_X86_64_REX_GOTPCRELX:
    return patch.store(static_cast<std::int32_t>(
        fit(distance(r, r.got + static_cast<std::uint64_t>(r.addend)), 32)));
  case R_X86_64_32S:
    return patch.store(static_cast<std::int32_t>(fit(static_cast<std::int64_t>(target(r)), 32)));
  case R_X86_64_32:
    if (target(r) > std::numeric_limits<std::uint32_t>::max()) {
      fail("a relocated value is out of range");
    }
    return patch.store(static_cast<std::uint32_t>(target(r)));
  default:
    unknown(r.type);
  }
}

/* ADRP: the distance in pages, in bits 5..23 and 29..30. */
void page_distance(Patch &patch, const Relocation &r, std::uint64_t to) {
  constexpr std::uint64_t low = 4095;
  const std::uint64_t pages = (to & ~low) - ((r.base + r.place) & ~low);
  const auto imm = static_cast<std::uint32_t>(fit(static_cast<std::int64_t>(pages), 33) >> 12);
  patch.bits(0x60ffffe0U, ((imm & 3U) << 29) | (((imm >> 2) & 0x7ffffU) << 5));
}

/* The low twelve bits of the target, scaled, in bits 10..21. */
void low_bits(Patch &patch, std::uint64_t to, unsigned shift) {
  const auto low = static_cast<std::uint32_t>(to & 4095U);
  if ((low & ((1U << shift) - 1U)) != 0) {
    fail("a relocated address is not aligned");
  }
  patch.bits(0x003ffc00U, (low >> shift) << 10);
}

void branch(Patch &patch, const Relocation &r) {
  const std::int64_t d = fit(distance(r, target(r)), 28);
  if ((d & 3) != 0) {
    fail("a branch target is not aligned");
  }
  patch.bits(0x03ffffffU, static_cast<std::uint32_t>(d >> 2));
}

void relocate_arm(std::span<std::byte> image, const Relocation &r) {
  Patch patch(image, r);
  switch (r.type) {
  case R_AARCH64_ABS64:
    return patch.store(target(r));
  case R_AARCH64_PREL64:
    return patch.store(distance(r, target(r)));
  case R_AARCH64_PREL32:
    return patch.store(static_cast<std::int32_t>(fit(distance(r, target(r)), 32)));
  case R_AARCH64_CALL26:
  case R_AARCH64_JUMP26:
    return branch(patch, r);
  case R_AARCH64_ADR_PREL_PG_HI21:
    return page_distance(patch, r, target(r));
  case R_AARCH64_ADR_GOT_PAGE:
    return page_distance(patch, r, r.got);
  case R_AARCH64_LD64_GOT_LO12_NC:
    return low_bits(patch, r.got, 3);
  case R_AARCH64_ADD_ABS_LO12_NC:
  case R_AARCH64_LDST8_ABS_LO12_NC:
    return low_bits(patch, target(r), 0);
  case R_AARCH64_LDST16_ABS_LO12_NC:
    return low_bits(patch, target(r), 1);
  case R_AARCH64_LDST32_ABS_LO12_NC:
    return low_bits(patch, target(r), 2);
  case R_AARCH64_LDST64_ABS_LO12_NC:
    return low_bits(patch, target(r), 3);
  case R_AARCH64_LDST128_ABS_LO12_NC:
    return low_bits(patch, target(r), 4);
  default:
    unknown(r.type);
  }
}

} // namespace

bool uses_got(Machine machine, std::uint32_t type) noexcept {
  switch (machine) {
  case Machine::X86_64:
    return type == R_X86_64_GOTPCREL || type == R_X86_64_GOTPCRELX ||
           type == R_X86_64_REX_GOTPCRELX;
  case Machine::AArch64:
    return type == R_AARCH64_ADR_GOT_PAGE || type == R_AARCH64_LD64_GOT_LO12_NC;
  }
  return false;
}

void relocate(Machine machine, std::span<std::byte> image, const Relocation &r) {
  switch (machine) {
  case Machine::X86_64:
    return relocate_x86(image, r);
  case Machine::AArch64:
    return relocate_arm(image, r);
  }
}

} // namespace symc
