/* The level of x86-64 processors since about 2013 (x86-64-v3). */

#include <math.h>

#include "kernels.h"

#if EVENFLOW_X86_LEVELS

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi,bmi2,popcnt"))), \
                             apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c,bmi,bmi2,popcnt")
#endif

#include "blocks_avx2.h"
#include "passes.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

const level evenflow_avx2 = {"avx2", forward, backward, before, gradient, roll};

#else
typedef int evenflow_avx2_is_empty;
#endif
