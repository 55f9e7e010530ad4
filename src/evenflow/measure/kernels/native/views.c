#include "views.h"

#include <stddef.h>

/* The parts of DLPack 1.x that are used here. */
enum { DLPACK_MAJOR = 1, DEVICE_CPU = 1, CODE_FLOAT = 2, CODE_BFLOAT = 4 };

typedef struct {
    void *data;
    struct {
        int32_t type, number;
    } device;
    int32_t dimensions;
    struct {
        uint8_t code, bits;
        uint16_t lanes;
    } dtype;
    int64_t *shape, *strides;
    uint64_t offset;
} dl_tensor;

typedef struct {
    struct {
        uint32_t major, minor;
    } version;
    void *older;
    void *allocate, *managed_from, *to_object;
    int (*from_object)(void *object, dl_tensor *out);
    void *stream;
} dl_table;

PyObject *evenflow_tensor;
static const dl_table *table;
static PyObject *known[DTYPES], *s_dtype, *s_shape, *s_is_cpu, *s_is_contiguous, *s_data_ptr;

static int code_of(uint8_t code, uint8_t bits, uint16_t lanes)
{
    if (lanes != 1) return -1;
    if (code == CODE_BFLOAT && bits == 16) return BFLOAT16;
    if (code != CODE_FLOAT) return -1;
    return bits == 32 ? FLOAT32 : bits == 64 ? FLOAT64 : bits == 16 ? FLOAT16 : -1;
}

static int by_table(PyObject *tensor, view *seen)
{
    dl_tensor found;
    if (table->from_object(tensor, &found) != 0) {
        PyErr_Clear();
        return 0;
    }
    seen->dtype = code_of(found.dtype.code, found.dtype.bits, found.dtype.lanes);
    if (found.device.type != DEVICE_CPU || seen->dtype < 0 || found.dimensions > MOST_DIMENSIONS) return 0;
    seen->dimensions = found.dimensions;
    seen->entries = 1;
    int block = 1;
    for (int i = found.dimensions - 1; i >= 0; i--) {
        seen->shape[i] = found.shape[i];
        if (found.strides != NULL && found.shape[i] != 1 && found.strides[i] != seen->entries) block = 0;
        seen->entries *= found.shape[i];
    }
    seen->at = seen->entries == 0 ? NULL : (char *)found.data + found.offset;
    return block || seen->entries == 0;
}

static int by_attributes(PyObject *tensor, view *seen)
{
    PyObject *cpu = PyObject_GetAttr(tensor, s_is_cpu), *dtype = PyObject_GetAttr(tensor, s_dtype);
    PyObject *shape = PyObject_GetAttr(tensor, s_shape), *block = NULL, *at = NULL;
    int good = 0;
    seen->dtype = -1;
    for (int i = 0; i < DTYPES; i++)
        if (dtype == known[i]) seen->dtype = i;
    if (cpu == Py_True && seen->dtype >= 0 && shape != NULL && PyTuple_Size(shape) <= MOST_DIMENSIONS) {
        block = PyObject_CallMethodObjArgs(tensor, s_is_contiguous, NULL);
        at = PyObject_CallMethodObjArgs(tensor, s_data_ptr, NULL);
        if (block == Py_True && at != NULL) {
            seen->dimensions = (int)PyTuple_Size(shape);
            seen->entries = 1;
            for (int i = 0; i < seen->dimensions; i++) {
                seen->shape[i] = PyLong_AsLongLong(PyTuple_GetItem(shape, i));
                seen->entries *= seen->shape[i];
            }
            seen->at = seen->entries == 0 ? NULL : (char *)(uintptr_t)PyLong_AsSize_t(at);
            good = !PyErr_Occurred();
        }
    }
    Py_XDECREF(cpu);
    Py_XDECREF(dtype);
    Py_XDECREF(shape);
    Py_XDECREF(block);
    Py_XDECREF(at);
    PyErr_Clear();
    return good;
}

int evenflow_view(PyObject *tensor, view *seen)
{
    return table != NULL ? by_table(tensor, seen) : by_attributes(tensor, seen);
}

/* The table of torch 2.10 and later; without one nothing is amiss. */
static void find_table(void)
{
    PyObject *capsule = PyObject_GetAttrString(evenflow_tensor, "__dlpack_c_exchange_api__");
    const dl_table *found = capsule == NULL ? NULL : PyCapsule_GetPointer(capsule, "dlpack_exchange_api");
    Py_XDECREF(capsule); /* the table itself lives as long as the process */
    PyErr_Clear();
    if (found != NULL && found->version.major == DLPACK_MAJOR && found->from_object != NULL) table = found;
}

/* torch is loaded by now: the package that imports this module imports it first. */
int evenflow_start_views(void)
{
    static const char *const names[] = {"float32", "float64", "bfloat16", "float16"};
    static const struct {
        PyObject **to;
        const char *text;
    } words[] = {{&s_dtype, "dtype"},
                 {&s_shape, "shape"},
                 {&s_is_cpu, "is_cpu"},
                 {&s_is_contiguous, "is_contiguous"},
                 {&s_data_ptr, "data_ptr"}};
    PyObject *torch = PyImport_ImportModule("torch");
    if (torch == NULL) return 0;
    evenflow_tensor = PyObject_GetAttrString(torch, "Tensor");
    for (int i = 0; i < DTYPES; i++) known[i] = PyObject_GetAttrString(torch, names[i]);
    Py_DECREF(torch);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if ((*words[i].to = PyUnicode_InternFromString(words[i].text)) == NULL) return 0;
    if (evenflow_tensor != NULL) find_table();
    return evenflow_tensor != NULL && !PyErr_Occurred();
}
