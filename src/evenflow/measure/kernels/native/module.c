/* The Python module: arguments are checked, a level is chosen, and the pass runs without the lock if it is long. */

#include "ears.h"

#include <math.h>
#include <string.h>

const level *evenflow_chosen = &evenflow_baseline;
#define chosen evenflow_chosen

/* A caller may have told the processor to take denormals for zero; a gradient of 1e-40 is not zero. */
#if EVENFLOW_X86_LEVELS
#include <immintrin.h>
enum { FLUSHES = 0x8040 };

float_mode evenflow_keep_denormals(void)
{
    float_mode mode = _mm_getcsr();
    if (mode & FLUSHES) _mm_setcsr(mode & ~(float_mode)FLUSHES);
    return mode;
}

void evenflow_restore(float_mode mode)
{
    if (mode & FLUSHES) _mm_setcsr(mode);
}
#elif defined(__aarch64__) && (defined(__GNUC__) || defined(__clang__))
#define FLUSHES ((uint64_t)1 << 24)

float_mode evenflow_keep_denormals(void)
{
    float_mode mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    if (mode & FLUSHES) __asm__ volatile("msr fpcr, %0" : : "r"(mode & ~FLUSHES) : "memory");
    return mode;
}

void evenflow_restore(float_mode mode)
{
    if (mode & FLUSHES) __asm__ volatile("msr fpcr, %0" : : "r"(mode) : "memory");
}
#else
float_mode evenflow_keep_denormals(void) { return 0; }
void evenflow_restore(float_mode mode) { (void)mode; }
#endif

static int counted(Py_ssize_t given, Py_ssize_t wanted, const char *usage)
{
    if (given == wanted) return 1;
    PyErr_Format(PyExc_TypeError, "%s takes %zd arguments, and %zd were given", usage, wanted, given);
    return 0;
}

/* An address; 0 is NULL. */
static int address(PyObject *given, void *to)
{
    size_t number = PyLong_AsSize_t(given);
    if (number == (size_t)-1 && PyErr_Occurred()) return 0;
    *(void **)to = (void *)(uintptr_t)number;
    return 1;
}

/* A size: 0 or more. */
static int size(PyObject *given, const char *name, int64_t *to)
{
    Py_ssize_t number = PyLong_AsSsize_t(given);
    if (number == -1 && PyErr_Occurred()) return 0;
    if (number < 0) {
        PyErr_Format(PyExc_ValueError, "%s is %zd; it must be 0 or more", name, number);
        return 0;
    }
    *to = number;
    return 1;
}

static int dtype_known(int64_t code)
{
    if (code >= 0 && code < DTYPES) return 1;
    PyErr_Format(PyExc_ValueError,
                 "dtype code %lld is not known; 0 is float32, 1 float64, 2 bfloat16, 3 float16", (long long)code);
    return 0;
}

static int dtype_of(PyObject *given, int *to)
{
    int64_t code = 0;
    if (!size(given, "dtype", &code) || !dtype_known(code)) return 0;
    *to = (int)code;
    return 1;
}

static int present(const void *pointer, const char *name)
{
    if (pointer != NULL) return 1;
    PyErr_Format(PyExc_ValueError, "%s is 0; it must be the address of memory to use", name);
    return 0;
}

/* One list of intervals from `from`; returns where the next begins, or NULL with an error set. */
static const double *read_intervals(const double *from, intervals *list)
{
    double number = *from++;
    if (!(number >= 0 && number <= MOST_INTERVALS)) {
        PyErr_Format(PyExc_ValueError, "edges must hold between 0 and %d intervals in each of its two lists",
                     (int)MOST_INTERVALS);
        return NULL;
    }
    list->number = (int)number;
    for (int i = 0; i < list->number; i++, from += 2) {
        double low = from[0], high = from[1];
        float low32 = (float)low, high32 = (float)high;
        list->low[i] = low;
        list->high[i] = high;
        list->low32[i] = low32 < low ? nextafterf(low32, INFINITY) : low32;
        list->high32[i] = high32 > high ? nextafterf(high32, -INFINITY) : high32;
    }
    return from;
}

int evenflow_read_edges(const double *from, edges *bounds)
{
    const double *second = read_intervals(from, &bounds->flat);
    if (second == NULL) return 0;
    const double *end = read_intervals(second, &bounds->dead);
    if (end == NULL) return 0;
    size_t length = (size_t)(second - from);
    bounds->same = (size_t)(end - second) == length && memcmp(from, second, length * sizeof *from) == 0;
    int below = bounds->same && bounds->flat.number == 1 && bounds->flat.low[0] == -INFINITY;
    bounds->kind = below ? BELOW : GENERAL;
    return 1;
}

static PyObject *py_forward(PyObject *module, PyObject *const *given, Py_ssize_t number)
{
    static const char usage[] = "forward(values, tested, outer, units, inner, dtype, edges, out, marks)";
    forward_task task;
    const double *bounds;
    (void)module;
    if (!counted(number, 9, usage) || !address(given[0], &task.values) || !address(given[1], &task.tested) ||
        !size(given[2], "outer", &task.outer) || !size(given[3], "units", &task.units) ||
        !size(given[4], "inner", &task.inner) || !dtype_of(given[5], &task.dtype) ||
        !address(given[6], &bounds) || !address(given[7], &task.out) || !address(given[8], &task.marks))
        return NULL;
    int64_t entries = task.outer * task.units * task.inner;
    if (!present(bounds, "edges") || !present(task.out, "out") || (entries > 0 && !present(task.values, "values")))
        return NULL;
    float_mode mode = evenflow_keep_denormals();
    int done = evenflow_read_edges(bounds, &task.bounds) ? 0 : -2;
    if (done == 0 && entries > 0) {
        if (entries * item_size(task.dtype) > LONG_WORK) {
            Py_BEGIN_ALLOW_THREADS
            done = chosen->forward(&task);
            Py_END_ALLOW_THREADS
        } else {
            done = chosen->forward(&task);
        }
    }
    evenflow_restore(mode);
    if (done == -2) return NULL;
    if (done < 0) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *py_backward(PyObject *module, PyObject *const *given, Py_ssize_t number)
{
    const char *values;
    int64_t entries;
    int dtype;
    double *out;
    (void)module;
    if (!counted(number, 4, "backward(values, n, dtype, out)") || !address(given[0], &values) ||
        !size(given[1], "n", &entries) || !dtype_of(given[2], &dtype) || !address(given[3], &out) ||
        !present(out, "out") || (entries > 0 && !present(values, "values")))
        return NULL;
    float_mode mode = evenflow_keep_denormals();
    if (entries * item_size(dtype) > LONG_WORK) {
        Py_BEGIN_ALLOW_THREADS
        chosen->backward(values, entries, dtype, out);
        Py_END_ALLOW_THREADS
    } else {
        chosen->backward(values, entries, dtype, out);
    }
    evenflow_restore(mode);
    Py_RETURN_NONE;
}

static void pass_over(record *list, int64_t number, void (*pass)(record *), int phase)
{
    for (int64_t i = 0; i < number; i++) {
        if (pass != NULL) pass(list + i);
        else chosen->gradient(list + i, phase);
    }
}

/* `pass` over every record, or where it is NULL the gradients in a phase. */
void evenflow_pass(record *list, int64_t number, void (*pass)(record *), int phase)
{
    int64_t bytes = 0;
    for (int64_t i = 0; i < number; i++) bytes += list[i].number * item_size((int)list[i].weight_dtype);
    float_mode mode = evenflow_keep_denormals();
    if (bytes > LONG_WORK) {
        Py_BEGIN_ALLOW_THREADS
        pass_over(list, number, pass, phase);
        Py_END_ALLOW_THREADS
    } else {
        pass_over(list, number, pass, phase);
    }
    evenflow_restore(mode);
}

static void reset(record *list, int64_t number)
{
    for (record *one = list; one < list + number; one++) {
        one->weight_squares = one->nonfinite = one->update_squares = NAN;
        for (int phase = 0; phase < PHASES; phase++) one->gradient_squares[phase] = NAN;
    }
}

static PyObject *py_reset(PyObject *module, PyObject *const *given, Py_ssize_t number)
{
    record *list;
    int64_t length;
    (void)module;
    if (!counted(number, 2, "reset(records, number)") || !address(given[0], &list) ||
        !size(given[1], "number", &length))
        return NULL;
    reset(list, length);
    Py_RETURN_NONE;
}

static void move_records(double *to, record *list, int64_t length)
{
    enum { FIGURES = PHASES + 3 };
    for (int64_t i = 0; i < length; i++)
        memcpy(to + i * FIGURES, &list[i].weight_squares, FIGURES * sizeof *to);
    reset(list, length);
}

static PyObject *py_move_records(PyObject *module, PyObject *const *given, Py_ssize_t number)
{
    double *to;
    record *list;
    int64_t length;
    (void)module;
    if (!counted(number, 3, "move_records(to, records, number)") || !address(given[0], &to) ||
        !address(given[1], &list) || !size(given[2], "number", &length))
        return NULL;
    move_records(to, list, length);
    Py_RETURN_NONE;
}

/* Whether a snapshot still holds the weights' bits: in one cache line of each 32 KiB, another one each turn. More would
   touch every page of both, which costs more than all else here. */
static int same_bits(const record *one, int64_t turn)
{
    enum { LINE = 64, LINES = 512, STRIDE = LINES * LINE };
    const char *weights = (const char *)(uintptr_t)one->weight, *snapshot = (const char *)(uintptr_t)one->snapshot;
    int64_t bytes = one->number * item_size((int)one->weight_dtype);
    if (weights == NULL || snapshot == NULL) return 1;
    if (bytes <= STRIDE) return memcmp(weights, snapshot, (size_t)bytes) == 0;
    for (int64_t at = turn % LINES * LINE; at < bytes; at += STRIDE) {
        size_t here = (size_t)(bytes - at < LINE ? bytes - at : LINE);
        if (memcmp(weights + at, snapshot + at, here) != 0) return 0;
    }
    return 1;
}

/* Whether every snapshot still holds its weights, as far as samples show; their squares are known then. */
int evenflow_settled(record *list, int64_t number, int64_t turn)
{
    for (int64_t i = 0; i < number; i++)
        if (!same_bits(list + i, turn)) return 0;
    for (int64_t i = 0; i < number; i++)
        if (list[i].snapshot != 0) list[i].weight_squares = list[i].next_weight;
        else chosen->before(list + i);
    return 1;
}

/* A site whose units are marked, and its window; see bank.py. */
typedef struct {
    double *sums; /* entries seen in this step come first, and behind the `place`th number go the two shares */
    uint8_t *current, *previous;
    int64_t units, full;
    double entries, seen; /* entries of one sample; samples in the window that fills */
} marked;

static void silent(marked *list, int64_t number, int64_t window, int64_t place)
{
    for (marked *one = list; one < list + number; one++) {
        int64_t live = 0, open = 0;
        one->seen += one->sums[COUNT] / one->entries;
        if (one->seen >= (double)window) {
            memcpy(one->previous, one->current, (size_t)one->units);
            memset(one->current, 0, (size_t)one->units);
            one->seen = 0;
            one->full = 1;
        }
        for (int64_t unit = 0; one->full && unit < one->units; unit++) {
            uint8_t marks = one->current[unit] | one->previous[unit];
            live += marks & LIVE_MARK;
            open += marks / OPEN_MARK & 1;
        }
        one->sums[place] = one->full ? 1 - (double)live / (double)one->units : NAN;
        one->sums[place + 1] = one->full ? 1 - (double)open / (double)one->units : NAN;
    }
}

static PyObject *py_silent(PyObject *module, PyObject *const *given, Py_ssize_t number)
{
    marked *list;
    int64_t length, window, place;
    (void)module;
    if (!counted(number, 4, "silent(sites, number, window, place)") || !address(given[0], &list) ||
        !size(given[1], "number", &length) || !size(given[2], "window", &window) || !size(given[3], "place", &place))
        return NULL;
    silent(list, length, window, place);
    Py_RETURN_NONE;
}

enum { MOVES = 11 };

/* The sums of a step, by the arguments of move_sums; returns what lies behind them, or NULL with an error set. */
static double *move_sums(PyObject *const *given)
{
    enum { REST = 3 };
    double *to, *sums;
    marked *list;
    int64_t slots, width, length, window, place;
    if (!address(given[0], &to) || !address(given[4], &sums) || !size(given[5], "slots", &slots) ||
        !size(given[6], "width", &width) || !address(given[7], &list) || !size(given[8], "number", &length) ||
        !size(given[9], "window", &window) || !size(given[10], "place", &place))
        return NULL;
    for (int i = 0; i < REST; i++) *to++ = PyFloat_AsDouble(given[1 + i]);
    if (PyErr_Occurred()) return NULL;
    silent(list, length, window, place);
    memcpy(to, sums, (size_t)(slots * width) * sizeof *to);
    for (int64_t i = 0; i < slots; i++) memset(sums + i * width, 0, (size_t)place * sizeof *sums);
    return to + slots * width;
}

static PyObject *py_move_sums(PyObject *module, PyObject *const *given, Py_ssize_t number)
{
    static const char usage[] = "move_sums(to, loss, given, scale, sums, slots, width, sites, number, window, place)";
    (void)module;
    if (!counted(number, MOVES, usage) || move_sums(given) == NULL) return NULL;
    Py_RETURN_NONE;
}

/* What ends a step that is like the last one: `after`, `move_sums` and `move_records`. */
static PyObject *py_turn(PyObject *module, PyObject *const *given, Py_ssize_t number)
{
    record *list;
    int64_t *versions;
    (void)module;
    if (!counted(number, 3 + MOVES, "turn(parameters, records, versions, and the arguments of move_sums)") ||
        !address(given[1], &list) || !address(given[2], &versions))
        return NULL;
    int rolled = evenflow_after(given[0], list, versions);
    double *to = rolled < 0 ? NULL : move_sums(given + 3);
    if (to == NULL) return NULL;
    move_records(to, list, PyList_Size(given[0]));
    return PyBool_FromLong(rolled);
}

/* The levels of this machine, the best one last. */
static int levels(const level **list)
{
    int number = 0;
    list[number++] = &evenflow_baseline;
#if EVENFLOW_X86_LEVELS
    __builtin_cpu_init();
    /* what has AVX2, FMA and BMI2 has F16C too, which older compilers cannot ask for */
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi2"))
        return number;
    list[number++] = &evenflow_avx2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        list[number++] = &evenflow_avx512;
#endif
    return number;
}

static PyObject *py_level(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyUnicode_FromString(chosen->name);
}

static PyObject *py_use(PyObject *module, PyObject *name)
{
    const level *list[3];
    int number = levels(list);
    char known[32] = "";
    (void)module;
    if (!PyUnicode_Check(name)) {
        PyErr_SetString(PyExc_TypeError, "use(level) takes the name of a level");
        return NULL;
    }
    for (int i = 0; i < number; i++) {
        if (PyUnicode_CompareWithASCIIString(name, list[i]->name) == 0) {
            chosen = list[i];
            Py_RETURN_NONE;
        }
        if (i > 0) strcat(known, ", ");
        strcat(known, list[i]->name);
    }
    PyErr_Format(PyExc_ValueError, "level \"%U\" is not one of this machine; it has %s", name, known);
    return NULL;
}

#define FAST(function) ((PyCFunction)(void (*)(void))(function)), METH_FASTCALL

static PyMethodDef methods[] = {
    {"forward", FAST(py_forward), "Merge the figures and marks of one activation's values in one pass."},
    {"backward", FAST(py_backward), "Merge count, squares and non-finite entries of one gradient."},
    {"reset", FAST(py_reset), "Make every figure of the records NaN."},
    {"silent", FAST(py_silent), "The shares of units that are dead and flat over their windows."},
    {"move_sums", FAST(py_move_sums), "The same, then the sums of a step to where they are kept, and from 0 again."},
    {"move_records", FAST(py_move_records), "The figures of a step to where they are kept, and from NaN again."},
    {"turn", FAST(py_turn), "What a step made of the weights, and all figures of the step to where they are kept."},
    {"level", py_level, METH_NOARGS, "Instructions in use: \"avx512\", \"avx2\" or \"baseline\"."},
    {"use", py_use, METH_O, "Switch to a level by name; ValueError where the machine lacks it."},
    {NULL, NULL, 0, NULL},
};

static int start(PyObject *module)
{
    const level *list[3];
    chosen = list[levels(list) - 1];
    return evenflow_start_ears() && PyModule_AddFunctions(module, evenflow_ear_methods) == 0 ? 0 : -1;
}

/* A function's address in an initialiser of void * is what the slots ask for, though ISO C has no such cast. */
static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)start}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    "_native",
    "One-pass reductions over raw memory.",
    0,
    methods,
    slots,
    NULL,
    NULL,
    NULL,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&definition); }
