/* The level of x86-64 processors with 512-bit vectors (x86-64-v4). */

#include <math.h>

#include "kernels.h"

#if EVENFLOW_X86_LEVELS

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,bmi,bmi2,popcnt"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,bmi,bmi2,popcnt")
#endif

#include "blocks_avx512.h"
#include "passes.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

const level evenflow_avx512 = {"avx512", forward, backward, before, gradient, roll};

#else
typedef int evenflow_avx512_is_empty;
#endif
