/* DType <-> NumPy descriptors, and the import of NumPy's C API. */
#define SYMC_IMPORT_ARRAY
#include "dtypes.h"

#include <array>

#include "error.h"

namespace symc::python {
namespace {

/* By DType; bfloat16 has no number of its own in NumPy. */
constexpr int registered_at_run_time = -1;
constexpr std::array<int, dtype_count> type_numbers{NPY_BOOL,
                                                    NPY_INT8,
                                                    NPY_INT16,
                                                    NPY_INT32,
                                                    NPY_INT64,
                                                    NPY_UINT8,
                                                    NPY_UINT16,
                                                    NPY_UINT32,
                                                    NPY_UINT64,
                                                    NPY_HALF,
                                                    registered_at_run_time,
                                                    NPY_FLOAT,
                                                    NPY_DOUBLE,
                                                    NPY_CFLOAT,
                                                    NPY_CDOUBLE};

PyArray_Descr *bfloat16() {
  const Ref module(PyImport_ImportModule("ml_dtypes"));
  const Ref type(module ? PyObject_GetAttrString(module.get(), "bfloat16") : nullptr);
  PyArray_Descr *descr = nullptr;
  if (!type || PyArray_DescrConverter(type.get(), &descr) == NPY_FAIL) {
    throw PythonError{};
  }
  return descr;
}

bool is_bfloat16(const PyArray_Descr *descr) {
  return PyTypeNum_ISUSERDEF(descr->type_num) && descr->typeobj != nullptr &&
         std::string_view(descr->typeobj->tp_name).ends_with("bfloat16");
}

} // namespace

bool import_numpy() noexcept { return _import_array() >= 0; }

PyArray_Descr *descriptor(DType dtype) {
  const int number = type_numbers[static_cast<std::size_t>(dtype)];
  if (number == registered_at_run_time) {
    return bfloat16();
  }
  PyArray_Descr *descr = PyArray_DescrFromType(number);
  if (descr == nullptr) {
    throw PythonError{};
  }
  return descr;
}

int twin_type(int type_num) noexcept {
  switch (type_num) {
  case NPY_LONG:
    return sizeof(long) == sizeof(long long) ? NPY_LONGLONG : NPY_INT;
  case NPY_ULONG:
    return sizeof(long) == sizeof(long long) ? NPY_ULONGLONG : NPY_UINT;
  case NPY_LONGLONG:
    return sizeof(long) == sizeof(long long) ? NPY_LONG : type_num;
  case NPY_ULONGLONG:
    return sizeof(long) == sizeof(long long) ? NPY_ULONG : type_num;
  default:
    return type_num;
  }
}

DType dtype_of(const PyArray_Descr *descr) {
  for (std::size_t i = 0; i < type_numbers.size(); ++i) {
    const int number = type_numbers[i];
    if (number == descr->type_num || number == twin_type(descr->type_num)) {
      return static_cast<DType>(i);
    }
  }
  if (is_bfloat16(descr)) {
    return DType::BF16;
  }
  throw Error(ErrorKind::DType, "a dtype that symc does not have");
}

} // namespace symc::python
