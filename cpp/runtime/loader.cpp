/* ELF parsing, layout, and mapping; relocations are in relocate.cpp. */
#include "loader.h"

#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "error.h"
#include "relocate.h"

namespace symc {
namespace {

const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));

[[noreturn]] void fail(const std::string &why) {
  throw Error(ErrorKind::Load, "cannot load object code: " + why);
}

/* A copy of the T at `offset`, which need not be aligned. */
template <class T> T read_at(std::span<const std::byte> bytes, std::uint64_t offset) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) {
    fail("truncated");
  }
  T value{};
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

std::span<const std::byte> part(std::span<const std::byte> bytes, std::uint64_t offset,
                                std::uint64_t size) {
  if (offset > bytes.size() || size > bytes.size() - offset) {
    fail("a section is outside the file");
  }
  return bytes.subspan(offset, size);
}

std::string text_at(std::span<const std::byte> table, std::uint64_t offset) {
  if (offset >= table.size()) {
    fail("a name is outside its table");
  }
  const auto *start = reinterpret_cast<const char *>(table.data()) + offset;
  return {start, strnlen(start, table.size() - offset)};
}

std::size_t round_up(std::size_t value, std::size_t to) { return (value + to - 1) / to * to; }

constexpr std::size_t absent = ~std::size_t{0};

struct Section {
  Elf64_Shdr header;
  std::string name;
  std::size_t place = absent; /* offset in the image */
};

bool is_read_only(const Section &s) {
  return (s.header.sh_flags & SHF_WRITE) == 0 || s.name.starts_with(".data.rel.ro");
}

/* Unwind tables and notes are left out: nothing unwinds through a kernel. */
bool is_wanted(const Section &s) {
  return (s.header.sh_flags & SHF_ALLOC) != 0 && s.name != ".eh_frame" &&
         s.header.sh_type != SHT_NOTE && s.header.sh_type != 0x70000001U /* unwind */;
}

} // namespace

Machine native_machine() noexcept {
#if defined(__x86_64__)
  return Machine::X86_64;
#elif defined(__aarch64__)
  return Machine::AArch64;
#else
#error "the loader knows x86-64 and AArch64"
#endif
}

struct Linker::Parts {
  Parts(std::span<const std::byte> object, Machine m) : file(object), machine(m) {
    read_sections();
    lay_out();
  }

  void read_sections() {
    const auto header = read_at<Elf64_Ehdr>(file, 0);
    if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB) {
      fail("not a 64-bit little-endian ELF file");
    }
    if (header.e_type != ET_REL || header.e_machine != static_cast<std::uint16_t>(machine)) {
      fail("not a relocatable object for this machine");
    }
    if (header.e_shentsize != sizeof(Elf64_Shdr)) {
      fail("section header size");
    }
    (void)part(file, header.e_shoff, std::uint64_t{header.e_shnum} * sizeof(Elf64_Shdr));
    for (std::size_t i = 0; i < header.e_shnum; ++i) {
      const auto at = header.e_shoff + i * sizeof(Elf64_Shdr);
      sections.push_back({read_at<Elf64_Shdr>(file, at), {}, absent});
    }
    const auto names = contents(header.e_shstrndx);
    for (Section &s : sections) {
      s.name = text_at(names, s.header.sh_name);
    }
  }

  [[nodiscard]] std::span<const std::byte> contents(std::size_t index) const {
    if (index >= sections.size()) {
      fail("section number");
    }
    const Elf64_Shdr &h = sections[index].header;
    return h.sh_type == SHT_NOBITS ? std::span<const std::byte>{}
                                   : part(file, h.sh_offset, h.sh_size);
  }

  void place(Section &s) {
    const std::uint64_t align = std::max<std::uint64_t>(s.header.sh_addralign, 1);
    if (align > page || (align & (align - 1)) != 0 || s.header.sh_type == SHT_NOBITS) {
      fail("section " + s.name + " has an impossible type or alignment");
    }
    (void)part(file, s.header.sh_offset, s.header.sh_size);
    used = round_up(used, align);
    s.place = used;
    used += s.header.sh_size;
  }

  void lay_out() {
    for (Section &s : sections) {
      if (is_wanted(s) && (s.header.sh_flags & SHF_EXECINSTR) != 0) {
        place(s);
      }
    }
    used = round_up(used, page);
    code_bytes = used;
    for (Section &s : sections) {
      if (!is_wanted(s) || s.place != absent || s.header.sh_size == 0) {
        continue;
      }
      if (!is_read_only(s) || (s.header.sh_flags & SHF_TLS) != 0) {
        fail("section " + s.name + " is writable");
      }
      place(s);
    }
    used = round_up(used, 8);
    got_place = used;
    used = round_up(used + 8 * got_slots(), page);
  }

  /* An upper bound of the global offset table: one slot per symbol of the one symbol table. */
  [[nodiscard]] std::size_t got_slots() const {
    for (const Section &s : sections) {
      if (s.header.sh_type == SHT_SYMTAB) {
        return part(file, s.header.sh_offset, s.header.sh_size).size() / sizeof(Elf64_Sym);
      }
    }
    return 0;
  }

  std::span<const std::byte> file;
  Machine machine;
  std::vector<Section> sections;
  std::size_t used = 0;
  std::size_t code_bytes = 0;
  std::size_t got_place = 0;
};

namespace {

/* Symbols and relocations of one object, applied to one image. */
class Relocator {
public:
  Relocator(const std::vector<Section> &sections, std::span<const std::byte> file, Image &image)
      : sections_(sections), file_(file), image_(image) {}

  /* An object has one symbol table; a second would have no slots. */
  void read_symbols() {
    const auto is_table = [](const Section &s) { return s.header.sh_type == SHT_SYMTAB; };
    const auto table = std::ranges::find_if(sections_, is_table);
    if (table != sections_.end()) {
      read_table(*table);
    }
  }

  void apply(Machine machine, std::uint64_t base, std::size_t got_place) {
    for (const Section &s : sections_) {
      if (s.header.sh_type == SHT_REL && s.header.sh_size != 0) {
        fail("relocations without addends");
      }
      if (s.header.sh_type != SHT_RELA || s.header.sh_info >= sections_.size() ||
          sections_[s.header.sh_info].place == absent) {
        continue;
      }
      const auto table = part(file_, s.header.sh_offset, s.header.sh_size);
      for (std::size_t at = 0; at + sizeof(Elf64_Rela) <= table.size(); at += sizeof(Elf64_Rela)) {
        apply_one(machine, read_at<Elf64_Rela>(table, at), sections_[s.header.sh_info], base,
                  got_place);
      }
    }
  }

private:
  struct Symbol {
    bool defined = false;
    std::uint64_t value = 0; /* offset in the image */
    std::string name;
  };

  void read_table(const Section &s) {
    if (s.header.sh_link >= sections_.size()) {
      fail("symbol names");
    }
    const Elf64_Shdr &names_header = sections_[s.header.sh_link].header;
    const auto names = part(file_, names_header.sh_offset, names_header.sh_size);
    const auto table = part(file_, s.header.sh_offset, s.header.sh_size);
    for (std::size_t at = 0; at + sizeof(Elf64_Sym) <= table.size(); at += sizeof(Elf64_Sym)) {
      read_symbol(read_at<Elf64_Sym>(table, at), names);
    }
  }

  void read_symbol(const Elf64_Sym &raw, std::span<const std::byte> names) {
    Symbol symbol;
    symbol.name = raw.st_name == 0 ? std::string() : text_at(names, raw.st_name);
    const unsigned type = ELF64_ST_TYPE(raw.st_info);
    if (raw.st_shndx < sections_.size() && sections_[raw.st_shndx].place != absent) {
      const Section &home = sections_[raw.st_shndx];
      if (raw.st_value > home.header.sh_size) {
        fail("symbol " + symbol.name + " is outside its section");
      }
      symbol.defined = true;
      symbol.value = home.place + raw.st_value;
      if (type == STT_FUNC && ELF64_ST_BIND(raw.st_info) != STB_LOCAL &&
          symbol.value < image_.code_bytes) {
        image_.symbols[symbol.name] = symbol.value;
      }
    }
    symbols_.push_back(std::move(symbol));
  }

  void apply_one(Machine machine, const Elf64_Rela &r, const Section &home, std::uint64_t base,
                 std::size_t got_place) {
    const std::size_t number = ELF64_R_SYM(r.r_info);
    const auto type = static_cast<std::uint32_t>(ELF64_R_TYPE(r.r_info));
    if (type == 0) {
      return;
    }
    if (number >= symbols_.size()) {
      fail("relocation of symbol " + std::to_string(number));
    }
    const Symbol &symbol = symbols_[number];
    if (!symbol.defined) {
      fail("undefined symbol " + (symbol.name.empty() ? "(unnamed)" : symbol.name));
    }
    if (r.r_offset > home.header.sh_size) {
      fail("relocation outside its section");
    }
    Relocation to{};
    to.type = type;
    to.place = home.place + r.r_offset;
    to.limit = home.place + home.header.sh_size;
    to.base = base;
    to.symbol = base + symbol.value;
    to.addend = r.r_addend;
    to.got = base + got_place + 8 * number;
    if (uses_got(machine, type)) {
      const std::uint64_t address = to.symbol;
      std::memcpy(image_.bytes.data() + got_place + 8 * number, &address, 8);
    }
    relocate(machine, image_.bytes, to);
  }

  const std::vector<Section> &sections_;
  std::span<const std::byte> file_;
  Image &image_;
  std::vector<Symbol> symbols_;
};

} // namespace

Linker::Linker(std::span<const std::byte> object, Machine machine)
    : parts_(std::make_unique<Parts>(object, machine).release()) {}

Linker::~Linker() { delete parts_; }

std::size_t Linker::image_bytes() const noexcept { return parts_->used; }

Image Linker::link(std::uint64_t base) {
  Image image;
  image.bytes.resize(parts_->used);
  image.code_bytes = parts_->code_bytes;
  for (std::size_t i = 0; i < parts_->sections.size(); ++i) {
    const Section &s = parts_->sections[i];
    if (s.place != absent) {
      std::ranges::copy(parts_->contents(i),
                        image.bytes.begin() + static_cast<std::ptrdiff_t>(s.place));
    }
  }
  Relocator relocator(parts_->sections, parts_->file, image);
  relocator.read_symbols();
  relocator.apply(parts_->machine, base, parts_->got_place);
  return image;
}

Object::Object(std::span<const std::byte> object) {
  if (object.empty()) {
    return; /* a program without kernels */
  }
  Linker linker(object, native_machine());
  length_ = std::max(linker.image_bytes(), page);
  void *mapped = mmap(nullptr, length_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) {
    throw Error(ErrorKind::Memory, "cannot map " + std::to_string(length_) + " bytes of code");
  }
  base_ = mapped;
  try {
    Image image = linker.link(reinterpret_cast<std::uint64_t>(mapped));
    std::memcpy(mapped, image.bytes.data(), image.bytes.size());
    auto *start = static_cast<char *>(mapped);
    __builtin___clear_cache(start, start + image.code_bytes);
    if (mprotect(start, image.code_bytes, PROT_READ | PROT_EXEC) != 0 ||
        mprotect(start + image.code_bytes, length_ - image.code_bytes, PROT_READ) != 0) {
      fail("the system refuses executable memory");
    }
    symbols_ = std::move(image.symbols);
  } catch (...) {
    munmap(base_, length_);
    throw;
  }
}

Object::~Object() {
  if (base_ != nullptr) {
    munmap(base_, length_);
  }
}

void *Object::find(const std::string &symbol) const noexcept {
  const auto found = symbols_.find(symbol);
  return found == symbols_.end() ? nullptr : static_cast<char *>(base_) + found->second;
}

} // namespace symc
