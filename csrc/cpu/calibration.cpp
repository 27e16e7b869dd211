#include "cpu/bindings.h"

namespace ugodit {

void bind_calibration(pybind11::module_&) {}

}  // namespace ugodit
