/* A block of 16 numbers in plain C, in loops of fixed length that a compiler turns into vectors. */

#include <string.h>

/* Left to itself GCC writes the sixteen out one by one, and then finds no vectors in them. */
#if defined(__GNUC__) && !defined(__clang__)
#define EVERY_LANE _Pragma("GCC unroll 1") for (int i = 0; i < BLOCK; i++)
#else
#define EVERY_LANE for (int i = 0; i < BLOCK; i++)
#endif

typedef struct {
    double part[BLOCK];
} block;

typedef struct {
    double sum[BLOCK], squares[BLOCK], most[BLOCK];
    int64_t zeros;
} tally;

ALWAYS_INLINE float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE binary16: a subnormal is its mantissa times 2⁻²⁴, the rest move to the float32 exponent (+112). */
ALWAYS_INLINE float float_of_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 1023;
    if (exponent == 0) {
        float tiny = (float)mantissa * 5.9604644775390625e-8f;
        return sign ? -tiny : tiny;
    }
    exponent = exponent == 31 ? 255 : exponent + 112;
    return float_of_bits(sign | exponent << 23 | mantissa << 13);
}

ALWAYS_INLINE block load(int dtype, const char *at)
{
    block one;
    if (dtype == FLOAT64) {
        memcpy(one.part, at, sizeof one.part);
    } else if (dtype == FLOAT32) {
        float single[BLOCK];
        memcpy(single, at, sizeof single);
        EVERY_LANE one.part[i] = single[i];
    } else {
        uint16_t half[BLOCK];
        memcpy(half, at, sizeof half);
        EVERY_LANE
            one.part[i] =
                dtype == BFLOAT16 ? float_of_bits((uint32_t)half[i] << 16) : float_of_half(half[i]);
    }
    return one;
}

ALWAYS_INLINE block load_part(int dtype, const char *at, int number)
{
    char room[BLOCK * sizeof(double)] = {0};
    memcpy(room, at, (size_t)(number * item_size(dtype)));
    return load(dtype, room);
}

/* The bit of each entry; 64 bits wide like the numbers that are compared, so that both fit the same vectors. */
static const int64_t BIT[BLOCK] = {1,     1 << 1, 1 << 2,  1 << 3,  1 << 4,  1 << 5,  1 << 6,  1 << 7,
                                   1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15};

ALWAYS_INLINE unsigned within(int dtype, block one, const intervals *list, int index)
{
    double low = list->low[index], high = list->high[index];
    int64_t found = 0;
    (void)dtype; /* every number is a double here */
    EVERY_LANE found |= ((low <= one.part[i]) & (one.part[i] <= high)) ? BIT[i] : 0;
    return (unsigned)found;
}

ALWAYS_INLINE unsigned at_most(int dtype, block one, const intervals *list)
{
    double high = list->high[0];
    int64_t found = 0;
    (void)dtype;
    EVERY_LANE found |= (one.part[i] <= high) ? BIT[i] : 0;
    return (unsigned)found;
}

ALWAYS_INLINE unsigned nonfinite_of(int dtype, block one)
{
    int64_t found = 0;
    (void)dtype;
    EVERY_LANE found |= !(fabs(one.part[i]) < INFINITY) ? BIT[i] : 0;
    return (unsigned)found;
}

ALWAYS_INLINE tally nothing(void)
{
    tally all;
    memset(&all, 0, sizeof all);
    return all;
}

ALWAYS_INLINE void add_squares(int dtype, tally *all, block one)
{
    (void)dtype; /* every number is a double here */
    EVERY_LANE all->squares[i] += one.part[i] * one.part[i];
}

ALWAYS_INLINE int ones(unsigned mask)
{
    mask -= mask >> 1 & 0x5555;
    mask = (mask & 0x3333) + (mask >> 2 & 0x3333);
    mask = (mask + (mask >> 4)) & 0x0F0F;
    return (int)((mask + (mask >> 8)) & 31);
}

ALWAYS_INLINE void add(int dtype, tally *all, block one, unsigned valid)
{
    int64_t zero = 0;
    (void)dtype;
    EVERY_LANE all->sum[i] += one.part[i];
    EVERY_LANE zero |= one.part[i] == 0 ? BIT[i] : 0;
    EVERY_LANE {
        double size = fabs(one.part[i]);
        all->most[i] = size > all->most[i] ? size : all->most[i];
    }
    add_squares(dtype, all, one);
    all->zeros += ones((unsigned)zero & valid);
}

ALWAYS_INLINE block minus(block one, block other)
{
    EVERY_LANE one.part[i] -= other.part[i];
    return one;
}

ALWAYS_INLINE double lanes_of(const double *lane)
{
    double total = 0;
    EVERY_LANE total += lane[i];
    return total;
}

ALWAYS_INLINE double sum_of(int dtype, const tally *all)
{
    (void)dtype;
    return lanes_of(all->sum);
}

ALWAYS_INLINE double squares_of(int dtype, const tally *all)
{
    (void)dtype;
    return lanes_of(all->squares);
}

ALWAYS_INLINE double most_of(int dtype, const tally *all)
{
    double most = 0;
    (void)dtype;
    EVERY_LANE most = all->most[i] > most ? all->most[i] : most;
    return most;
}

ALWAYS_INLINE double zeros_of(const tally *all) { return (double)all->zeros; }
