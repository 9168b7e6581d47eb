/* One relocation of an ELF object, applied to an image in memory. */
#ifndef SYMC_RELOCATE_H
#define SYMC_RELOCATE_H

#include <cstddef>
#include <cstdint>
#include <span>

#include "loader.h"

namespace symc {

struct Relocation {
  std::uint32_t type;
  std::size_t place;    /* offset in the image of what is patched */
  std::size_t limit;    /* end of its section in the image */
  std::uint64_t base;   /* address of the image */
  std::uint64_t symbol; /* address */
  std::int64_t addend;
  std::uint64_t got; /* address of the symbol's slot */
};

/* Whether this type reads the symbol's slot of the global offset table. */
[[nodiscard]] bool uses_got(Machine machine, std::uint32_t type) noexcept;

/* Throws Error(Load) for an unknown type or a value that does not fit. */
void relocate(Machine machine, std::span<std::byte> image, const Relocation &r);

} // namespace symc

#endif
