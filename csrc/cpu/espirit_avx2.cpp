#define UGODIT_ISA espirit_avx2
#define UGODIT_LANES 8
#include "cpu/espirit_body.h"
