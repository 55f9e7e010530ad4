/* A block of 16 numbers in 256-bit registers. See passes.h for what each function has to do. */

#include <immintrin.h>
#include <string.h>

typedef struct {
    __m256 lower, upper; /* unused for float64 */
    __m256d a, b, c, d;
} block;

typedef struct {
    __m256d sum_a, sum_b, sum_c, sum_d, squares_a, squares_b, squares_c, squares_d, most_a, most_b;
    __m256 most;
    int64_t zeros;
} tally;

ALWAYS_INLINE __m256 single_of(int dtype, const char *at)
{
    if (dtype == FLOAT32) return _mm256_loadu_ps((const float *)at);
    __m128i halves = _mm_loadu_si128((const __m128i *)at);
    if (dtype == FLOAT16) return _mm256_cvtph_ps(halves);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

ALWAYS_INLINE block load(int dtype, const char *at)
{
    block one;
    if (dtype == FLOAT64) {
        one.lower = one.upper = _mm256_setzero_ps();
        one.a = _mm256_loadu_pd((const double *)at);
        one.b = _mm256_loadu_pd((const double *)at + 4);
        one.c = _mm256_loadu_pd((const double *)at + 8);
        one.d = _mm256_loadu_pd((const double *)at + 12);
        return one;
    }
    one.lower = single_of(dtype, at);
    one.upper = single_of(dtype, at + 8 * item_size(dtype));
    if (dtype == FLOAT32) { /* quarters straight from memory: a second load is cheaper than a shuffle */
        one.a = _mm256_cvtps_pd(_mm_loadu_ps((const float *)at));
        one.b = _mm256_cvtps_pd(_mm_loadu_ps((const float *)at + 4));
        one.c = _mm256_cvtps_pd(_mm_loadu_ps((const float *)at + 8));
        one.d = _mm256_cvtps_pd(_mm_loadu_ps((const float *)at + 12));
        return one;
    }
    one.a = _mm256_cvtps_pd(_mm256_castps256_ps128(one.lower));
    one.b = _mm256_cvtps_pd(_mm256_extractf128_ps(one.lower, 1));
    one.c = _mm256_cvtps_pd(_mm256_castps256_ps128(one.upper));
    one.d = _mm256_cvtps_pd(_mm256_extractf128_ps(one.upper, 1));
    return one;
}

ALWAYS_INLINE block load_part(int dtype, const char *at, int number)
{
    char room[BLOCK * sizeof(double)] = {0};
    memcpy(room, at, (size_t)(number * item_size(dtype)));
    return load(dtype, room);
}

ALWAYS_INLINE unsigned bits_of(__m256 lower, __m256 upper)
{
    return (unsigned)_mm256_movemask_ps(lower) | (unsigned)_mm256_movemask_ps(upper) << 8;
}

ALWAYS_INLINE unsigned bits_of_four(__m256d a, __m256d b, __m256d c, __m256d d)
{
    return (unsigned)_mm256_movemask_pd(a) | (unsigned)_mm256_movemask_pd(b) << 4 |
           (unsigned)_mm256_movemask_pd(c) << 8 | (unsigned)_mm256_movemask_pd(d) << 12;
}

ALWAYS_INLINE __m256 between(__m256 tested, __m256 low, __m256 high)
{
    return _mm256_and_ps(_mm256_cmp_ps(tested, low, _CMP_GE_OQ), _mm256_cmp_ps(tested, high, _CMP_LE_OQ));
}

ALWAYS_INLINE __m256d between_wide(__m256d tested, __m256d low, __m256d high)
{
    return _mm256_and_pd(_mm256_cmp_pd(tested, low, _CMP_GE_OQ), _mm256_cmp_pd(tested, high, _CMP_LE_OQ));
}

ALWAYS_INLINE unsigned within(int dtype, block one, const intervals *list, int index)
{
    if (dtype == FLOAT64) {
        __m256d low = _mm256_set1_pd(list->low[index]), high = _mm256_set1_pd(list->high[index]);
        return bits_of_four(between_wide(one.a, low, high), between_wide(one.b, low, high),
                            between_wide(one.c, low, high), between_wide(one.d, low, high));
    }
    __m256 low = _mm256_set1_ps(list->low32[index]), high = _mm256_set1_ps(list->high32[index]);
    return bits_of(between(one.lower, low, high), between(one.upper, low, high));
}

ALWAYS_INLINE unsigned at_most(int dtype, block one, const intervals *list)
{
    if (dtype == FLOAT64) {
        __m256d high = _mm256_set1_pd(list->high[0]);
        return bits_of_four(_mm256_cmp_pd(one.a, high, _CMP_LE_OQ), _mm256_cmp_pd(one.b, high, _CMP_LE_OQ),
                            _mm256_cmp_pd(one.c, high, _CMP_LE_OQ), _mm256_cmp_pd(one.d, high, _CMP_LE_OQ));
    }
    __m256 high = _mm256_set1_ps(list->high32[0]);
    return bits_of(_mm256_cmp_ps(one.lower, high, _CMP_LE_OQ), _mm256_cmp_ps(one.upper, high, _CMP_LE_OQ));
}

ALWAYS_INLINE __m256 magnitude(__m256 one) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), one); }
ALWAYS_INLINE __m256d magnitude_wide(__m256d one) { return _mm256_andnot_pd(_mm256_set1_pd(-0.0), one); }

ALWAYS_INLINE unsigned nonfinite_of(int dtype, block one)
{
    if (dtype == FLOAT64) {
        __m256d infinity = _mm256_set1_pd(INFINITY);
        return bits_of_four(_mm256_cmp_pd(magnitude_wide(one.a), infinity, _CMP_NLT_UQ),
                            _mm256_cmp_pd(magnitude_wide(one.b), infinity, _CMP_NLT_UQ),
                            _mm256_cmp_pd(magnitude_wide(one.c), infinity, _CMP_NLT_UQ),
                            _mm256_cmp_pd(magnitude_wide(one.d), infinity, _CMP_NLT_UQ));
    }
    __m256 infinity = _mm256_set1_ps(INFINITY);
    return bits_of(_mm256_cmp_ps(magnitude(one.lower), infinity, _CMP_NLT_UQ),
                   _mm256_cmp_ps(magnitude(one.upper), infinity, _CMP_NLT_UQ));
}

ALWAYS_INLINE tally nothing(void)
{
    tally all;
    all.sum_a = all.sum_b = all.sum_c = all.sum_d = _mm256_setzero_pd();
    all.squares_a = all.squares_b = all.squares_c = all.squares_d = _mm256_setzero_pd();
    all.most_a = all.most_b = _mm256_setzero_pd();
    all.most = _mm256_setzero_ps();
    all.zeros = 0;
    return all;
}

ALWAYS_INLINE void add_squares(int dtype, tally *all, block one)
{
    (void)dtype; /* every number is a double here */
    all->squares_a = _mm256_fmadd_pd(one.a, one.a, all->squares_a);
    all->squares_b = _mm256_fmadd_pd(one.b, one.b, all->squares_b);
    all->squares_c = _mm256_fmadd_pd(one.c, one.c, all->squares_c);
    all->squares_d = _mm256_fmadd_pd(one.d, one.d, all->squares_d);
}

ALWAYS_INLINE void add(int dtype, tally *all, block one, unsigned valid)
{
    unsigned zero;
    if (dtype == FLOAT64) {
        __m256d none = _mm256_setzero_pd();
        all->most_a = _mm256_max_pd(magnitude_wide(one.a), all->most_a);
        all->most_b = _mm256_max_pd(magnitude_wide(one.b), all->most_b);
        all->most_a = _mm256_max_pd(magnitude_wide(one.c), all->most_a);
        all->most_b = _mm256_max_pd(magnitude_wide(one.d), all->most_b);
        zero = bits_of_four(_mm256_cmp_pd(one.a, none, _CMP_EQ_OQ), _mm256_cmp_pd(one.b, none, _CMP_EQ_OQ),
                            _mm256_cmp_pd(one.c, none, _CMP_EQ_OQ), _mm256_cmp_pd(one.d, none, _CMP_EQ_OQ));
    } else {
        __m256 none = _mm256_setzero_ps();
        all->most = _mm256_max_ps(magnitude(one.lower), all->most);
        all->most = _mm256_max_ps(magnitude(one.upper), all->most);
        zero = bits_of(_mm256_cmp_ps(one.lower, none, _CMP_EQ_OQ), _mm256_cmp_ps(one.upper, none, _CMP_EQ_OQ));
    }
    all->zeros += __builtin_popcount(zero & valid);
    all->sum_a = _mm256_add_pd(all->sum_a, one.a);
    all->sum_b = _mm256_add_pd(all->sum_b, one.b);
    all->sum_c = _mm256_add_pd(all->sum_c, one.c);
    all->sum_d = _mm256_add_pd(all->sum_d, one.d);
    add_squares(dtype, all, one);
}

ALWAYS_INLINE block minus(block one, block other)
{
    one.a = _mm256_sub_pd(one.a, other.a);
    one.b = _mm256_sub_pd(one.b, other.b);
    one.c = _mm256_sub_pd(one.c, other.c);
    one.d = _mm256_sub_pd(one.d, other.d);
    return one;
}

ALWAYS_INLINE double lanes_of(__m256d a, __m256d b, __m256d c, __m256d d)
{
    double lane[4];
    _mm256_storeu_pd(lane, _mm256_add_pd(_mm256_add_pd(a, b), _mm256_add_pd(c, d)));
    return (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

ALWAYS_INLINE double sum_of(int dtype, const tally *all)
{
    (void)dtype;
    return lanes_of(all->sum_a, all->sum_b, all->sum_c, all->sum_d);
}

ALWAYS_INLINE double squares_of(int dtype, const tally *all)
{
    (void)dtype;
    return lanes_of(all->squares_a, all->squares_b, all->squares_c, all->squares_d);
}

ALWAYS_INLINE double most_of(int dtype, const tally *all)
{
    double most = 0;
    if (dtype == FLOAT64) {
        double lane[4];
        _mm256_storeu_pd(lane, _mm256_max_pd(all->most_a, all->most_b));
        for (int i = 0; i < 4; i++) most = lane[i] > most ? lane[i] : most;
    } else {
        float lane[8];
        _mm256_storeu_ps(lane, all->most);
        for (int i = 0; i < 8; i++) most = lane[i] > most ? lane[i] : most;
    }
    return most;
}

ALWAYS_INLINE double zeros_of(const tally *all) { return (double)all->zeros; }

ALWAYS_INLINE int ones(unsigned mask) { return __builtin_popcount(mask); }
