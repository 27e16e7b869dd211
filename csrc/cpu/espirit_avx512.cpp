#define UGODIT_ISA espirit_avx512
#define UGODIT_LANES 16
#include "cpu/espirit_body.h"
