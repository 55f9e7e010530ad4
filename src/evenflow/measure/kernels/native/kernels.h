/* What the module and every level of instructions share: codes, tasks, records and the table of functions. */

#ifndef EVENFLOW_KERNELS_H
#define EVENFLOW_KERNELS_H

#include <stdint.h>

/* The levels beyond the baseline need the target pragmas and intrinsics of GCC or Clang. */
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define EVENFLOW_X86_LEVELS 1
#else
#define EVENFLOW_X86_LEVELS 0
#endif

#if defined(__GNUC__) || defined(__clang__)
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#define NEVER_INLINE static __attribute__((noinline))
#elif defined(_MSC_VER)
#define ALWAYS_INLINE static __forceinline
#define NEVER_INLINE static __declspec(noinline)
#else
#define ALWAYS_INLINE static inline
#define NEVER_INLINE static
#endif

enum { FLOAT32, FLOAT64, BFLOAT16, FLOAT16, DTYPES };

/* Fetch what is needed soon; the hardware stops at the end of a page. */
#if defined(__GNUC__) || defined(__clang__)
#define PREFETCH(address) __builtin_prefetch(address)
#else
#define PREFETCH(address) ((void)(address))
#endif
enum { AHEAD = 1024 }; /* bytes */

enum { LONG_WORK = 1 << 20 }; /* bytes from which other threads may run in the meantime */

enum { BLOCK = 16, MOST_INTERVALS = 64 };

/* How the flat and the dead intervals are tested. BELOW: both are the one interval (-inf, a]. */
enum { BELOW, GENERAL };

/* Closed intervals; `low32` and `high32` are the float32 neighbours on the inner side, so that a float32 lies
   between them exactly where it lies between `low` and `high`. */
typedef struct {
    int number;
    double low[MOST_INTERVALS], high[MOST_INTERVALS];
    float low32[MOST_INTERVALS], high32[MOST_INTERVALS];
} intervals;

typedef struct {
    int kind;
    int same; /* both lists are equal */
    intervals flat, dead;
} edges;

typedef struct {
    const char *values, *tested; /* tested is NULL where the values themselves are tested */
    int64_t outer, units, inner;
    int dtype;
    edges bounds;
    double *out;
    uint8_t *marks; /* NULL where none are wanted */
} forward_task;

enum { COUNT, SUM, SQUARES, MAX_ABS, ZEROS, NONFINITE, FLAT, FORWARD_FIGURES };
enum { BACKWARD_COUNT, BACKWARD_SQUARES, BACKWARD_NONFINITE };
enum { LIVE_MARK = 1, OPEN_MARK = 2 };

/* One parameter of an optimiser's step; addresses are 64 bits wide on every machine, 0 is "none". What is not known
   is NaN. `next_weight` is for the step after this one. */
typedef struct {
    int64_t weight_dtype, gradient_dtype, number;
    uint64_t weight, gradient, snapshot;
    double weight_squares, gradient_squares[4], nonfinite, update_squares, next_weight;
} record;

enum { PHASES = 4 }; /* of a gradient */

typedef struct {
    const char *name;
    int (*forward)(const forward_task *task); /* -1 where memory ran out, and then nothing was merged */
    void (*backward)(const char *values, int64_t number, int dtype, double *out);
    void (*before)(record *one);
    void (*gradient)(record *one, int phase);
    void (*roll)(record *one);
} level;

extern const level evenflow_baseline;
#if EVENFLOW_X86_LEVELS
extern const level evenflow_avx2;
extern const level evenflow_avx512;
#endif

ALWAYS_INLINE int64_t item_size(int dtype) { return dtype == FLOAT64 ? 8 : dtype == FLOAT32 ? 4 : 2; }

#endif
