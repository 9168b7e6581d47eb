/* The loader: maps relocatable ELF object bytes (x86-64, AArch64) as LLVM emits them.

   Code and read-only data are copied into one mapping, relocated, and then made read-only and
   executable (W^X: no page is ever both).  Objects must be closed: an undefined symbol that is
   used, writable data, thread-local data or an unknown relocation is refused with Error(Load); any
   bytes at all give a mapping or an error. */
#ifndef SYMC_LOADER_H
#define SYMC_LOADER_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace symc {

/* The linked picture of an object, before it is mapped. */
struct Image {
  std::vector<std::byte> bytes; /* sections in place; relocated for `base` */
  std::size_t code_bytes = 0;   /* executable part, at the start; a multiple of the page size */
  std::map<std::string, std::size_t> symbols; /* functions: offset in bytes */
};

enum class Machine : std::uint16_t { X86_64 = 62, AArch64 = 183 };

/* The machine that this process runs on. */
[[nodiscard]] Machine native_machine() noexcept;

/* Lays out and relocates `object` as if its image started at address `base`. */
class Linker {
public:
  Linker(std::span<const std::byte> object, Machine machine);
  ~Linker();
  Linker(const Linker &) = delete;
  Linker &operator=(const Linker &) = delete;

  [[nodiscard]] std::size_t image_bytes() const noexcept;
  [[nodiscard]] Image link(std::uint64_t base);

private:
  struct Parts;
  Parts *parts_;
};

/* Mapped object code. */
class Object {
public:
  explicit Object(std::span<const std::byte> object);
  ~Object();
  Object(const Object &) = delete;
  Object &operator=(const Object &) = delete;

  /* The address of a function; null when there is none of that name. */
  [[nodiscard]] void *find(const std::string &symbol) const noexcept;
  [[nodiscard]] std::size_t bytes() const noexcept { return length_; }

private:
  void *base_ = nullptr;
  std::size_t length_ = 0;
  std::map<std::string, std::size_t> symbols_;
};

} // namespace symc

#endif
