/* The passes, written once over blocks of 16 numbers; a level includes its blocks and then this file.

   The blocks give
     load, load_part      a block, or the first `number` of one with zeros behind
     within, at_most      which entries lie in interval `index`, or are no larger than the first upper edge
     nonfinite_of         which entries are NaN or infinite
     nothing, add         a tally, and its sums, squares, zeros and largest |v|, which NaN never enters
     add_squares, minus   the squares alone, and the difference in float64
     sum_of, squares_of, most_of, zeros_of      what a tally holds
   A set of entries is 16 bits. `dtype` is a constant in every call, so that each pass is compiled for one.

   Sums and squares are float64. A square of a float64 beyond 1e154 is infinite and one below 1e-162 is lost;
   no other dtype reaches there. Squares never turn NaN by themselves, so that NaN among them means NaN among
   the values, and while they are finite nothing is non-finite. */

#include <stdlib.h>
#include <string.h>

enum { ROOM = 1024, LONG_ROW = 1024, LONG_INNER = 64, PADDING = 4 };

/* Entries that are NaN or infinite: only asked where the squares are not finite. */
ALWAYS_INLINE double count_nonfinite(int dtype, const char *values, int64_t number)
{
    int64_t found = 0, done = 0, size = item_size(dtype);
    for (; done + BLOCK <= number; done += BLOCK)
        found += ones(nonfinite_of(dtype, load(dtype, values + done * size)));
    if (done < number)
        found += ones(nonfinite_of(dtype, load_part(dtype, values + done * size, (int)(number - done))));
    return (double)found;
}

typedef struct {
    tally all;
    int64_t flat;
} progress;

ALWAYS_INLINE unsigned any_of(int dtype, block tested, const intervals *list)
{
    unsigned found = 0;
    for (int i = 0; i < list->number; i++) found |= within(dtype, tested, list, i);
    return found;
}

/* One block: into the tally, and which entries are live and open into the two sets. */
ALWAYS_INLINE void take(int dtype, int kind, progress *so_far, block values, block tested, unsigned valid,
                        const edges *bounds, uint16_t *live, uint16_t *open)
{
    add(dtype, &so_far->all, values, valid);
    unsigned flat = kind == BELOW ? at_most(dtype, tested, &bounds->flat) : any_of(dtype, tested, &bounds->flat);
    so_far->flat += ones(flat & valid);
    *open |= (uint16_t)(~flat & valid);
    if (kind == GENERAL) {
        unsigned dead = bounds->same ? flat : any_of(dtype, tested, &bounds->dead);
        *live |= (uint16_t)(~dead & valid);
    }
}

/* A contiguous run. Each block has its own sets where `spread`, and all share one where not. */
ALWAYS_INLINE void run(int dtype, int separate, int kind, int spread, progress *so_far, const char *values,
                       const char *tested, int64_t number, const edges *bounds, uint16_t *live, uint16_t *open)
{
    int64_t size = item_size(dtype), whole = number / BLOCK, step = BLOCK * size;
    for (int64_t i = 0; i < whole; i++) {
        block one = load(dtype, values + i * step);
        block other = separate ? load(dtype, tested + i * step) : one;
        take(dtype, kind, so_far, one, other, 0xFFFF, bounds, spread ? live + i : live, spread ? open + i : open);
    }
    int rest = (int)(number % BLOCK);
    if (rest > 0) {
        block one = load_part(dtype, values + whole * step, rest);
        block other = separate ? load_part(dtype, tested + whole * step, rest) : one;
        take(dtype, kind, so_far, one, other, (1u << rest) - 1, bounds, spread ? live + whole : live,
             spread ? open + whole : open);
    }
}

/* The 48 bits from bit `at` on. */
ALWAYS_INLINE uint64_t bits_from(const uint16_t *set, int64_t at)
{
    const uint16_t *word = set + at / 16;
    uint64_t four = (uint64_t)word[0] | (uint64_t)word[1] << 16 | (uint64_t)word[2] << 32 | (uint64_t)word[3] << 48;
    return (four >> at % 16) & 0xFFFFFFFFFFFF;
}

/* Marks of the units from the bits of `rows` rows of units × inner entries: a unit is marked by any of its bits. */
NEVER_INLINE void fold(const uint16_t *set, int64_t rows, int64_t units, int64_t inner, uint8_t mark, uint8_t *marks)
{
    int64_t row = units * inner;
    if (inner == 1) {
        for (int64_t unit = 0; unit < units; unit += 48) {
            uint64_t found = 0;
            int64_t here = units - unit < 48 ? units - unit : 48;
            for (int64_t i = 0; i < rows; i++) found |= bits_from(set, i * row + unit);
            int64_t done = 0;
            for (; done + 8 <= here; done += 8, found >>= 8) {
                /* bit i of eight into byte i: copy, keep one bit in each byte, carry it to the top, take it down */
                uint64_t eight = (found & 0xFF) * 0x0101010101010101 & 0x8040201008040201;
                eight = ((eight + 0x7F7F7F7F7F7F7F7F) >> 7 & 0x0101010101010101) * mark;
                for (int i = 0; i < 8; i++) marks[unit + done + i] |= (uint8_t)(eight >> 8 * i);
            }
            for (; done < here; done++, found >>= 1) marks[unit + done] |= (uint8_t)((found & 1) * mark);
        }
        return;
    }
    for (int64_t unit = 0; unit < units; unit++) {
        uint64_t found = 0;
        for (int64_t i = 0; i < rows; i++) {
            int64_t at = i * row + unit * inner, end = at + inner;
            for (; at < end; at += 48)
                found |= bits_from(set, at) & (end - at < 48 ? ((uint64_t)1 << (end - at)) - 1 : ~(uint64_t)0);
        }
        if (found) marks[unit] |= mark;
    }
}

/* Short inner axis: the bits of a row are kept beside one another and joined over the rows. As many rows make
   one run as fill whole blocks, so that short or odd rows cost no more than others. */
ALWAYS_INLINE int rows(int dtype, int separate, int kind, progress *so_far, const forward_task *task)
{
    int64_t row = task->units * task->inner, group = 1;
    while (row < LONG_ROW && group < task->outer && group * row % BLOCK != 0) group *= 2;
    int64_t length = group * row, words = (length + BLOCK - 1) / BLOCK + PADDING, bytes = length * item_size(dtype);
    uint16_t room[2 * ROOM], *live = room;
    if (words > ROOM && (live = malloc((size_t)words * 2 * sizeof *live)) == NULL) return -1;
    uint16_t *open = live + words;
    memset(live, 0, (size_t)words * 2 * sizeof *live);
    const char *values = task->values, *tested = task->tested;
    for (int64_t left = task->outer; left > 0; left -= group) {
        int64_t here = left < group ? left * row : length;
        run(dtype, separate, kind, 1, so_far, values, tested, here, &task->bounds, live, open);
        values += bytes;
        if (separate) tested += bytes;
    }
    if (kind == BELOW) {
        fold(open, group, task->units, task->inner, LIVE_MARK | OPEN_MARK, task->marks);
    } else {
        fold(open, group, task->units, task->inner, OPEN_MARK, task->marks);
        fold(live, group, task->units, task->inner, LIVE_MARK, task->marks);
    }
    if (live != room) free(live);
    return 0;
}

/* Long inner axis: one run for every sample and unit. */
ALWAYS_INLINE void planes(int dtype, int separate, int kind, progress *so_far, const forward_task *task)
{
    const char *values = task->values, *tested = task->tested;
    int64_t bytes = task->inner * item_size(dtype);
    for (int64_t i = 0; i < task->outer; i++) {
        for (int64_t unit = 0; unit < task->units; unit++) {
            uint16_t live = 0, open = 0;
            run(dtype, separate, kind, 0, so_far, values, tested, task->inner, &task->bounds, &live, &open);
            if (kind == BELOW) live = open;
            task->marks[unit] |= (uint8_t)((live ? LIVE_MARK : 0) | (open ? OPEN_MARK : 0));
            values += bytes;
            if (separate) tested += bytes;
        }
    }
}

ALWAYS_INLINE int forward_as(int dtype, int separate, int kind, const forward_task *task)
{
    int64_t number = task->outer * task->units * task->inner;
    progress so_far;
    so_far.all = nothing();
    so_far.flat = 0;
    if (task->marks == NULL) {
        uint16_t live = 0, open = 0;
        run(dtype, separate, kind, 0, &so_far, task->values, task->tested, number, &task->bounds, &live, &open);
    } else if (task->inner >= LONG_INNER) {
        planes(dtype, separate, kind, &so_far, task);
    } else if (rows(dtype, separate, kind, &so_far, task) < 0) {
        return -1;
    }
    double *out = task->out, squares = squares_of(dtype, &so_far.all), most = most_of(dtype, &so_far.all);
    out[COUNT] += (double)number;
    out[SUM] += sum_of(dtype, &so_far.all);
    out[SQUARES] += squares;
    if (isnan(squares)) out[MAX_ABS] = NAN;
    else if (most > out[MAX_ABS]) out[MAX_ABS] = most; /* false, and NaN stays, where NaN was seen before */
    out[ZEROS] += zeros_of(&so_far.all);
    if (!isfinite(squares)) out[NONFINITE] += count_nonfinite(dtype, task->values, number);
    out[FLAT] += (double)so_far.flat;
    return 0;
}

#define FORWARD(name, dtype)                                                                       \
    NEVER_INLINE int name(const forward_task *task)                                                \
    {                                                                                              \
        if (task->tested != NULL)                                                                  \
            return task->bounds.kind == BELOW ? forward_as(dtype, 1, BELOW, task)                  \
                                              : forward_as(dtype, 1, GENERAL, task);               \
        return task->bounds.kind == BELOW ? forward_as(dtype, 0, BELOW, task)                      \
                                          : forward_as(dtype, 0, GENERAL, task);                   \
    }

FORWARD(forward_float32, FLOAT32)
FORWARD(forward_float64, FLOAT64)
FORWARD(forward_bfloat16, BFLOAT16)
FORWARD(forward_float16, FLOAT16)

static int forward(const forward_task *task)
{
    switch (task->dtype) {
    case FLOAT32: return forward_float32(task);
    case FLOAT64: return forward_float64(task);
    case BFLOAT16: return forward_bfloat16(task);
    default: return forward_float16(task);
    }
}

/* Σv²; the values are copied to `copy` on the way where that is there.
   Two tallies, because one would wait for its own last addition. */
ALWAYS_INLINE double squares_as(int dtype, const char *values, char *copy, int64_t number)
{
    tally even = nothing(), odd = nothing();
    int64_t size = item_size(dtype), step = BLOCK * size, done = 0;
    for (; done + 2 * BLOCK <= number; done += 2 * BLOCK) {
        const char *at = values + done * size;
        PREFETCH(at + AHEAD);
        PREFETCH(at + step + AHEAD);
        block first = load(dtype, at), second = load(dtype, at + step);
        if (copy != NULL) memcpy(copy + done * size, at, (size_t)(2 * step));
        add_squares(dtype, &even, first);
        add_squares(dtype, &odd, second);
    }
    while (done < number) {
        int here = number - done < BLOCK ? (int)(number - done) : BLOCK;
        const char *at = values + done * size;
        block one = here < BLOCK ? load_part(dtype, at, here) : load(dtype, at);
        if (copy != NULL) memcpy(copy + done * size, at, (size_t)(here * size));
        add_squares(dtype, &even, one);
        done += here;
    }
    return squares_of(dtype, &even) + squares_of(dtype, &odd);
}

#define SQUARES_OF(name, dtype)                                                                         \
    NEVER_INLINE double name(const char *values, char *copy, int64_t number)                            \
    {                                                                                                   \
        if (copy != NULL) return squares_as(dtype, values, copy, number);                               \
        return squares_as(dtype, values, NULL, number);                                                 \
    }                                                                                                   \
    NEVER_INLINE double name##_nonfinite(const char *values, int64_t number)                            \
    {                                                                                                   \
        return count_nonfinite(dtype, values, number);                                                  \
    }

SQUARES_OF(squares_float32, FLOAT32)
SQUARES_OF(squares_float64, FLOAT64)
SQUARES_OF(squares_bfloat16, BFLOAT16)
SQUARES_OF(squares_float16, FLOAT16)

static double squares(int dtype, const char *values, char *copy, int64_t number)
{
    switch (dtype) {
    case FLOAT32: return squares_float32(values, copy, number);
    case FLOAT64: return squares_float64(values, copy, number);
    case BFLOAT16: return squares_bfloat16(values, copy, number);
    default: return squares_float16(values, copy, number);
    }
}

static double nonfinite(int dtype, const char *values, int64_t number)
{
    switch (dtype) {
    case FLOAT32: return squares_float32_nonfinite(values, number);
    case FLOAT64: return squares_float64_nonfinite(values, number);
    case BFLOAT16: return squares_bfloat16_nonfinite(values, number);
    default: return squares_float16_nonfinite(values, number);
    }
}

static void backward(const char *values, int64_t number, int dtype, double *out)
{
    double here = squares(dtype, values, NULL, number);
    out[BACKWARD_COUNT] += (double)number;
    out[BACKWARD_SQUARES] += here;
    if (!isfinite(here)) out[BACKWARD_NONFINITE] += nonfinite(dtype, values, number);
}

static void gradient(record *one, int phase)
{
    const char *values = (const char *)(uintptr_t)one->gradient;
    double here = values == NULL ? NAN : squares((int)one->gradient_dtype, values, NULL, one->number);
    one->gradient_squares[phase] = here;
    one->nonfinite = values == NULL ? NAN : 0;
    if (values != NULL && !isfinite(here)) one->nonfinite = nonfinite((int)one->gradient_dtype, values, one->number);
}

static void before(record *one)
{
    if (one->weight == 0) return;
    one->weight_squares = squares((int)one->weight_dtype, (const char *)(uintptr_t)one->weight,
                                  (char *)(uintptr_t)one->snapshot, one->number);
}

/* Σ(w − snapshot)² and Σw² in one pass, after which the snapshot is w. */
ALWAYS_INLINE void roll_as(int dtype, record *one)
{
    const char *weights = (const char *)(uintptr_t)one->weight;
    char *snapshot = (char *)(uintptr_t)one->snapshot;
    tally changes = nothing(), sizes = nothing();
    int64_t size = item_size(dtype), whole = one->number / BLOCK * BLOCK;
    for (int64_t done = 0; done < whole; done += BLOCK) {
        const char *at = weights + done * size;
        char *there = snapshot + done * size;
        PREFETCH(at + AHEAD);
        PREFETCH(there + AHEAD);
        block now = load(dtype, at);
        add_squares(dtype, &changes, minus(now, load(dtype, there)));
        add_squares(dtype, &sizes, now);
        memcpy(there, at, (size_t)(BLOCK * size));
    }
    if (whole < one->number) {
        int rest = (int)(one->number - whole);
        const char *at = weights + whole * size;
        char *there = snapshot + whole * size;
        block now = load_part(dtype, at, rest);
        add_squares(dtype, &changes, minus(now, load_part(dtype, there, rest)));
        add_squares(dtype, &sizes, now);
        memcpy(there, at, (size_t)(rest * size));
    }
    one->update_squares = squares_of(dtype, &changes);
    one->next_weight = squares_of(dtype, &sizes);
}

NEVER_INLINE void roll_float32(record *one) { roll_as(FLOAT32, one); }
NEVER_INLINE void roll_float64(record *one) { roll_as(FLOAT64, one); }
NEVER_INLINE void roll_bfloat16(record *one) { roll_as(BFLOAT16, one); }
NEVER_INLINE void roll_float16(record *one) { roll_as(FLOAT16, one); }

static void roll(record *one)
{
    if (one->weight == 0 || one->snapshot == 0) return;
    switch (one->weight_dtype) {
    case FLOAT32: roll_float32(one); break;
    case FLOAT64: roll_float64(one); break;
    case BFLOAT16: roll_bfloat16(one); break;
    default: roll_float16(one);
    }
}
