/* Relocatable ELF objects for tests, put together by hand: .text, .rodata, .data.rel.ro, one symbol
   table, and the relocations that a test asks for. */
#ifndef SYMC_TESTS_ELF_BYTES_H
#define SYMC_TESTS_ELF_BYTES_H

#include <elf.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

namespace tests {

using Bytes = std::vector<std::byte>;

inline Bytes bytes_of(std::initializer_list<unsigned> values) {
  Bytes out;
  for (const unsigned value : values) {
    out.push_back(static_cast<std::byte>(value));
  }
  return out;
}

class ElfBytes {
public:
  static constexpr std::uint16_t text = 1;
  static constexpr std::uint16_t rodata = 2;
  static constexpr std::uint16_t relro = 3;

  /* Appends to a section; returns where. */
  std::uint64_t append(std::uint16_t section, const Bytes &bytes) {
    Bytes &to = contents_[section];
    const std::uint64_t at = to.size();
    to.insert(to.end(), bytes.begin(), bytes.end());
    return at;
  }

  /* Returns the symbol's number. */
  std::uint32_t symbol(const std::string &name, std::uint16_t section, std::uint64_t value,
                       unsigned type = STT_FUNC) {
    Elf64_Sym s{};
    s.st_name = static_cast<Elf64_Word>(names_.size());
    for (const char c : name) {
      names_.push_back(static_cast<std::byte>(c));
    }
    names_.push_back(std::byte{0});
    s.st_info = static_cast<unsigned char>(ELF64_ST_INFO(STB_GLOBAL, type));
    s.st_shndx = section;
    s.st_value = value;
    symbols_.push_back(s);
    return static_cast<std::uint32_t>(symbols_.size() - 1);
  }

  void relocate(std::uint16_t section, std::uint64_t offset, std::uint32_t type,
                std::uint32_t symbol, std::int64_t addend) {
    relocations_[section].push_back({offset, ELF64_R_INFO(Elf64_Xword{symbol}, type), addend});
  }

  std::uint16_t machine = EM_X86_64;
  Elf64_Xword relro_flags = SHF_ALLOC | SHF_WRITE;
  std::string relro_name = ".data.rel.ro";

  [[nodiscard]] Bytes encode() const {
    Bytes file(sizeof(Elf64_Ehdr));
    std::vector<Elf64_Shdr> headers(1);
    Bytes section_names(1);
    const auto add = [&](const std::string &name, Elf64_Shdr h, const void *data,
                         std::size_t size) {
      h.sh_name = static_cast<Elf64_Word>(section_names.size());
      put(section_names, name.c_str(), name.size() + 1);
      h.sh_offset = file.size();
      h.sh_size = size;
      h.sh_addralign = 16;
      put(file, data, size);
      headers.push_back(h);
    };
    add(".text", header(SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR), contents_[text].data(),
        contents_[text].size());
    add(".rodata", header(SHT_PROGBITS, SHF_ALLOC), contents_[rodata].data(),
        contents_[rodata].size());
    add(relro_name, header(SHT_PROGBITS, relro_flags), contents_[relro].data(),
        contents_[relro].size());
    add(".symtab", header(SHT_SYMTAB, 0, 5), symbols_.data(), symbols_.size() * sizeof(Elf64_Sym));
    add(".strtab", header(SHT_STRTAB, 0), names_.data(), names_.size());
    for (const std::uint16_t section : {text, rodata, relro}) {
      const auto &list = relocations_[section];
      add(".rela", header(SHT_RELA, 0, 4, section), list.data(), list.size() * sizeof(Elf64_Rela));
    }
    const Bytes all_names = [&] {
      Bytes names = section_names;
      put(names, ".shstrtab", 10);
      return names;
    }();
    add(".shstrtab", header(SHT_STRTAB, 0), all_names.data(), all_names.size());
    finish(file, headers);
    return file;
  }

private:
  static Elf64_Shdr header(Elf64_Word type, Elf64_Xword flags, Elf64_Word link = 0,
                           Elf64_Word info = 0) {
    Elf64_Shdr h{};
    h.sh_type = type;
    h.sh_flags = flags;
    h.sh_link = link;
    h.sh_info = info;
    return h;
  }

  static void put(Bytes &to, const void *data, std::size_t size) {
    const auto *from = static_cast<const std::byte *>(data);
    if (size != 0) {
      to.insert(to.end(), from, from + size);
    }
  }

  void finish(Bytes &file, const std::vector<Elf64_Shdr> &headers) const {
    Elf64_Ehdr h{};
    std::memcpy(h.e_ident, ELFMAG, SELFMAG);
    h.e_ident[EI_CLASS] = ELFCLASS64;
    h.e_ident[EI_DATA] = ELFDATA2LSB;
    h.e_type = ET_REL;
    h.e_machine = machine;
    h.e_shoff = file.size();
    h.e_shentsize = sizeof(Elf64_Shdr);
    h.e_shnum = static_cast<Elf64_Half>(headers.size());
    h.e_shstrndx = static_cast<Elf64_Half>(headers.size() - 1);
    std::memcpy(file.data(), &h, sizeof(h));
    put(file, headers.data(), headers.size() * sizeof(Elf64_Shdr));
  }

  Bytes contents_[4];
  Bytes names_{std::byte{0}};
  std::vector<Elf64_Sym> symbols_{Elf64_Sym{}};
  std::vector<Elf64_Rela> relocations_[4];
};

} // namespace tests

#endif
