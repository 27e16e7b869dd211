#define UGODIT_ISA espirit_baseline
#define UGODIT_LANES 4
#include "cpu/espirit_body.h"
