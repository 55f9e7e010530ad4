/* A block of 16 numbers in 512-bit registers. See passes.h for what each function has to do. */

#include <immintrin.h>

/* float64 lies in `lower` and `upper`. The others are tested in `single` and added up in four quarters: widening to
   512 bits costs several times what four widenings to 256 bits cost. */
typedef struct {
    __m512 single;
    __m512d lower, upper;
    __m256d a, b, c, d;
} block;

typedef struct {
    __m512d sum_lower, sum_upper, squares_lower, squares_upper, most_lower, most_upper;
    __m256d sum_a, sum_b, sum_c, sum_d, squares_a, squares_b, squares_c, squares_d;
    __m512 most;
    int64_t zeros;
} tally;

ALWAYS_INLINE __m512 shift_bfloat16(__m256i halves)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

ALWAYS_INLINE block widened(__m512 single)
{
    block one;
    one.single = single;
    one.lower = one.upper = _mm512_setzero_pd();
    one.a = _mm256_cvtps_pd(_mm512_castps512_ps128(single));
    one.b = _mm256_cvtps_pd(_mm512_extractf32x4_ps(single, 1));
    one.c = _mm256_cvtps_pd(_mm512_extractf32x4_ps(single, 2));
    one.d = _mm256_cvtps_pd(_mm512_extractf32x4_ps(single, 3));
    return one;
}

ALWAYS_INLINE block wide(__m512d lower, __m512d upper)
{
    block one;
    one.single = _mm512_setzero_ps();
    one.lower = lower;
    one.upper = upper;
    one.a = one.b = one.c = one.d = _mm256_setzero_pd();
    return one;
}

ALWAYS_INLINE block load(int dtype, const char *at)
{
    if (dtype == FLOAT64) return wide(_mm512_loadu_pd(at), _mm512_loadu_pd((const double *)at + 8));
    if (dtype == FLOAT32) { /* quarters straight from memory: a second load is cheaper than a shuffle */
        block one;
        one.single = _mm512_loadu_ps(at);
        one.lower = one.upper = _mm512_setzero_pd();
        one.a = _mm256_cvtps_pd(_mm_loadu_ps((const float *)at));
        one.b = _mm256_cvtps_pd(_mm_loadu_ps((const float *)at + 4));
        one.c = _mm256_cvtps_pd(_mm_loadu_ps((const float *)at + 8));
        one.d = _mm256_cvtps_pd(_mm_loadu_ps((const float *)at + 12));
        return one;
    }
    block one;
    __m128i first = _mm_loadu_si128((const __m128i *)at), second = _mm_loadu_si128((const __m128i *)at + 1);
    one.lower = one.upper = _mm512_setzero_pd();
    if (dtype == BFLOAT16) { /* what is added up needs no order: every second number, and those between */
        __m128i odd = _mm_set1_epi32((int)0xFFFF0000);
        one.single = shift_bfloat16(_mm256_loadu_si256((const __m256i *)at));
        one.a = _mm256_cvtps_pd(_mm_castsi128_ps(_mm_slli_epi32(first, 16)));
        one.b = _mm256_cvtps_pd(_mm_castsi128_ps(_mm_and_si128(first, odd)));
        one.c = _mm256_cvtps_pd(_mm_castsi128_ps(_mm_slli_epi32(second, 16)));
        one.d = _mm256_cvtps_pd(_mm_castsi128_ps(_mm_and_si128(second, odd)));
    } else {
        one.single = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)at));
        one.a = _mm256_cvtps_pd(_mm_cvtph_ps(first));
        one.b = _mm256_cvtps_pd(_mm_cvtph_ps(_mm_srli_si128(first, 8)));
        one.c = _mm256_cvtps_pd(_mm_cvtph_ps(second));
        one.d = _mm256_cvtps_pd(_mm_cvtph_ps(_mm_srli_si128(second, 8)));
    }
    return one;
}

ALWAYS_INLINE block load_part(int dtype, const char *at, int number)
{
    unsigned valid = (1u << number) - 1;
    if (dtype == FLOAT64)
        return wide(_mm512_maskz_loadu_pd((__mmask8)valid, at),
                    _mm512_maskz_loadu_pd((__mmask8)(valid >> 8), (const double *)at + 8));
    if (dtype == FLOAT32) return widened(_mm512_maskz_loadu_ps((__mmask16)valid, at));
    __m256i halves = _mm256_maskz_loadu_epi16((__mmask16)valid, at);
    return widened(dtype == BFLOAT16 ? shift_bfloat16(halves) : _mm512_cvtph_ps(halves));
}

ALWAYS_INLINE unsigned within(int dtype, block one, const intervals *list, int index)
{
    if (dtype == FLOAT64) {
        __m512d low = _mm512_set1_pd(list->low[index]), high = _mm512_set1_pd(list->high[index]);
        __mmask8 lower = _mm512_cmp_pd_mask(one.lower, high, _CMP_LE_OQ);
        __mmask8 upper = _mm512_cmp_pd_mask(one.upper, high, _CMP_LE_OQ);
        lower = _mm512_mask_cmp_pd_mask(lower, one.lower, low, _CMP_GE_OQ);
        upper = _mm512_mask_cmp_pd_mask(upper, one.upper, low, _CMP_GE_OQ);
        return (unsigned)lower | (unsigned)upper << 8;
    }
    __mmask16 found = _mm512_cmp_ps_mask(one.single, _mm512_set1_ps(list->high32[index]), _CMP_LE_OQ);
    return _mm512_mask_cmp_ps_mask(found, one.single, _mm512_set1_ps(list->low32[index]), _CMP_GE_OQ);
}

ALWAYS_INLINE unsigned at_most(int dtype, block one, const intervals *list)
{
    if (dtype == FLOAT64) {
        __m512d high = _mm512_set1_pd(list->high[0]);
        return (unsigned)_mm512_cmp_pd_mask(one.lower, high, _CMP_LE_OQ) |
               (unsigned)_mm512_cmp_pd_mask(one.upper, high, _CMP_LE_OQ) << 8;
    }
    return _mm512_cmp_ps_mask(one.single, _mm512_set1_ps(list->high32[0]), _CMP_LE_OQ);
}

ALWAYS_INLINE unsigned nonfinite_of(int dtype, block one)
{
    if (dtype == FLOAT64) {
        __m512d infinity = _mm512_set1_pd(INFINITY);
        return (unsigned)_mm512_cmp_pd_mask(_mm512_abs_pd(one.lower), infinity, _CMP_NLT_UQ) |
               (unsigned)_mm512_cmp_pd_mask(_mm512_abs_pd(one.upper), infinity, _CMP_NLT_UQ) << 8;
    }
    return _mm512_cmp_ps_mask(_mm512_abs_ps(one.single), _mm512_set1_ps(INFINITY), _CMP_NLT_UQ);
}

ALWAYS_INLINE int ones(unsigned mask) { return __builtin_popcount(mask); }

ALWAYS_INLINE tally nothing(void)
{
    tally all;
    all.sum_lower = all.sum_upper = all.squares_lower = all.squares_upper = _mm512_setzero_pd();
    all.most_lower = all.most_upper = _mm512_setzero_pd();
    all.sum_a = all.sum_b = all.sum_c = all.sum_d = _mm256_setzero_pd();
    all.squares_a = all.squares_b = all.squares_c = all.squares_d = _mm256_setzero_pd();
    all.most = _mm512_setzero_ps();
    all.zeros = 0;
    return all;
}

ALWAYS_INLINE void add_squares(int dtype, tally *all, block one)
{
    if (dtype == FLOAT64) {
        all->squares_lower = _mm512_fmadd_pd(one.lower, one.lower, all->squares_lower);
        all->squares_upper = _mm512_fmadd_pd(one.upper, one.upper, all->squares_upper);
    } else {
        all->squares_a = _mm256_fmadd_pd(one.a, one.a, all->squares_a);
        all->squares_b = _mm256_fmadd_pd(one.b, one.b, all->squares_b);
        all->squares_c = _mm256_fmadd_pd(one.c, one.c, all->squares_c);
        all->squares_d = _mm256_fmadd_pd(one.d, one.d, all->squares_d);
    }
}

ALWAYS_INLINE void add(int dtype, tally *all, block one, unsigned valid)
{
    unsigned zero;
    if (dtype == FLOAT64) {
        __m512d none = _mm512_setzero_pd();
        all->most_lower = _mm512_max_pd(_mm512_abs_pd(one.lower), all->most_lower);
        all->most_upper = _mm512_max_pd(_mm512_abs_pd(one.upper), all->most_upper);
        zero = (unsigned)_mm512_cmp_pd_mask(one.lower, none, _CMP_EQ_OQ) |
               (unsigned)_mm512_cmp_pd_mask(one.upper, none, _CMP_EQ_OQ) << 8;
        all->sum_lower = _mm512_add_pd(all->sum_lower, one.lower);
        all->sum_upper = _mm512_add_pd(all->sum_upper, one.upper);
    } else {
        all->most = _mm512_range_ps(one.single, all->most, 11); /* the larger magnitude, without its sign */
        zero = _mm512_cmp_ps_mask(one.single, _mm512_setzero_ps(), _CMP_EQ_OQ);
        all->sum_a = _mm256_add_pd(all->sum_a, one.a);
        all->sum_b = _mm256_add_pd(all->sum_b, one.b);
        all->sum_c = _mm256_add_pd(all->sum_c, one.c);
        all->sum_d = _mm256_add_pd(all->sum_d, one.d);
    }
    all->zeros += ones(zero & valid);
    add_squares(dtype, all, one);
}

ALWAYS_INLINE block minus(block one, block other)
{
    one.lower = _mm512_sub_pd(one.lower, other.lower);
    one.upper = _mm512_sub_pd(one.upper, other.upper);
    one.a = _mm256_sub_pd(one.a, other.a);
    one.b = _mm256_sub_pd(one.b, other.b);
    one.c = _mm256_sub_pd(one.c, other.c);
    one.d = _mm256_sub_pd(one.d, other.d);
    return one;
}

ALWAYS_INLINE double lanes_of(__m256d a, __m256d b, __m256d c, __m256d d)
{
    __m256d lower = _mm256_add_pd(a, b), upper = _mm256_add_pd(c, d);
    return _mm512_reduce_add_pd(_mm512_insertf64x4(_mm512_castpd256_pd512(lower), upper, 1));
}

ALWAYS_INLINE double sum_of(int dtype, const tally *all)
{
    if (dtype == FLOAT64) return _mm512_reduce_add_pd(_mm512_add_pd(all->sum_lower, all->sum_upper));
    return lanes_of(all->sum_a, all->sum_b, all->sum_c, all->sum_d);
}

ALWAYS_INLINE double squares_of(int dtype, const tally *all)
{
    if (dtype == FLOAT64) return _mm512_reduce_add_pd(_mm512_add_pd(all->squares_lower, all->squares_upper));
    return lanes_of(all->squares_a, all->squares_b, all->squares_c, all->squares_d);
}

ALWAYS_INLINE double most_of(int dtype, const tally *all)
{
    if (dtype == FLOAT64) return _mm512_reduce_max_pd(_mm512_max_pd(all->most_lower, all->most_upper));
    return _mm512_reduce_max_ps(all->most);
}

ALWAYS_INLINE double zeros_of(const tally *all) { return (double)all->zeros; }
