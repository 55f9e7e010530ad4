/* The level that every machine has. */

#include <math.h>

#include "kernels.h"

#include "blocks_plain.h"
#include "passes.h"

const level evenflow_baseline = {"baseline", forward, backward, before, gradient, roll};
