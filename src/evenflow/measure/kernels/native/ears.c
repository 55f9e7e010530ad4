/* Ears: one for each site, tuned to tensors of one dtype and shape in main memory. A tap calls a module and lets its
   ear hear what goes in and comes out; a reader is the hook for the gradient. Whatever is not the plain case goes to a
   Python function that does the same with more patience. */

#include "ears.h"
#include "views.h"

#include <math.h>
#include <string.h>

/* The recorder's flags: a pass to hear, a gradient to read, functions not to hear, a model that is called as a whole,
   something not finite. */
#define ANY ((const char *)1) /* where the inputs are tested: their address is put in its place in each call */

enum { LIVE, READING, QUIET, ROOTED, FAULT };

typedef struct ear {
    int dimensions; /* what it is tuned to; -1 before */
    int64_t shape[MOST_DIMENSIONS];
    forward_task task;
    double *back;
    int64_t *flags;
} ear;

typedef struct {
    int64_t *flags;
    PyObject *implementation, *fallback;
    PyObject *ear, *hook, *slow; /* NULL while the site may have several slots */
    PyObject *hooks;             /* a tensor's hooks, with the one; NULL at first */
    struct ear *hears;           /* what is in `ear` */
} tap;

typedef struct {
    const int64_t *flags;
    PyObject *ear, *fallback;
    const struct ear *hears;
} reader;

static PyObject *ordered_dict, *minus_one, *home;
static PyObject *s_requires_grad, *s_grad_fn, *s_hooks, *s_register, *s_grad, *s_version;

static const char EAR[] = "evenflow.ear", TAP[] = "evenflow.tap", READER[] = "evenflow.reader";

/* 1 where an attribute is `wanted`, 0 where not or where it cannot be read. */
static int is(PyObject *object, PyObject *name, PyObject *wanted)
{
    PyObject *found = PyObject_GetAttr(object, name);
    if (found == NULL) {
        PyErr_Clear();
        return 0;
    }
    Py_DECREF(found);
    return found == wanted;
}

static int is_tensor(PyObject *object) { return (PyObject *)Py_TYPE(object) == evenflow_tensor; }

static int64_t number_of(PyObject *found)
{
    int64_t number = found == NULL ? -1 : (int64_t)PyLong_AsSsize_t(found);
    Py_XDECREF(found);
    return number;
}

static int64_t entries(const ear *one) { return one->task.outer * one->task.units * one->task.inner; }

/* Where the entries of a tensor lie that an ear is tuned to; NULL for any other. */
static char *heard(const ear *one, PyObject *tensor)
{
    view seen;
    if (!is_tensor(tensor) || !evenflow_view(tensor, &seen) || seen.dtype != one->task.dtype ||
        seen.dimensions != one->dimensions ||
        memcmp(seen.shape, one->shape, (size_t)seen.dimensions * sizeof *seen.shape) != 0)
        return NULL;
    return seen.entries == 0 ? (char *)ANY : seen.at;
}

static int is_long(const ear *one) { return entries(one) * item_size(one->task.dtype) > LONG_WORK; }

static void free_ear(PyObject *capsule)
{
    PyMem_Free(PyCapsule_GetPointer(capsule, EAR));
}

static PyObject *py_ear(PyObject *module, PyObject *flags)
{
    (void)module;
    size_t at = PyLong_AsSize_t(flags);
    if (PyErr_Occurred()) return NULL;
    ear *one = PyMem_Calloc(1, sizeof *one);
    if (one == NULL) return PyErr_NoMemory();
    one->flags = (int64_t *)(uintptr_t)at;
    one->dimensions = -1;
    PyObject *capsule = PyCapsule_New(one, EAR, free_ear);
    if (capsule == NULL) PyMem_Free(one);
    return capsule;
}

static PyObject *py_tune(PyObject *module, PyObject *given)
{
    (void)module;
    PyObject *capsule, *shape;
    Py_ssize_t outer, units, inner, bounds, out, marks;
    int code, tests_inputs;
    if (!PyArg_ParseTuple(given, "OO!nnnipnnn:tune", &capsule, &PyTuple_Type, &shape, &outer, &units, &inner, &code,
                          &tests_inputs, &bounds, &out, &marks))
        return NULL;
    ear *one = PyCapsule_GetPointer(capsule, EAR);
    if (one == NULL || !evenflow_read_edges((const double *)bounds, &one->task.bounds)) return NULL;
    one->task.outer = outer;
    one->task.units = units;
    one->task.inner = inner;
    one->task.dtype = code;
    one->task.tested = tests_inputs ? ANY : NULL;
    one->task.out = (double *)out;
    one->task.marks = (uint8_t *)marks;
    one->back = one->task.out + FORWARD_FIGURES;
    one->dimensions = code < 0 || PyTuple_Size(shape) > MOST_DIMENSIONS ? -1 : (int)PyTuple_Size(shape);
    for (int i = 0; i < one->dimensions; i++) one->shape[i] = PyLong_AsLongLong(PyTuple_GetItem(shape, i));
    if (PyErr_Occurred()) {
        one->dimensions = -1;
        return NULL;
    }
    Py_RETURN_NONE;
}

/* 1 where the ear has heard, 0 where the tensors are not for it. */
static int hear(ear *one, PyObject *inputs, PyObject *values)
{
    forward_task *task = &one->task;
    task->values = heard(one, values);
    if (task->values == NULL) return 0;
    if (entries(one) == 0) return 1;
    if (task->tested != NULL) {
        task->tested = heard(one, inputs);
        if (task->tested == NULL || task->tested == task->values) {
            task->tested = ANY;
            return 0;
        }
    }
    int done;
    float_mode mode = evenflow_keep_denormals();
    if (is_long(one)) {
        Py_BEGIN_ALLOW_THREADS
        done = evenflow_chosen->forward(task);
        Py_END_ALLOW_THREADS
    } else {
        done = evenflow_chosen->forward(task);
    }
    evenflow_restore(mode);
    if (task->out[NONFINITE] > 0) one->flags[FAULT] = 1;
    return done == 0;
}

/* A gradient is of the shape and on the device of its tensor: if it is as large, it is the one. */
static int hear_gradient(const ear *one, PyObject *gradient)
{
    view seen;
    if (one->dimensions < 0 || !is_tensor(gradient) || !evenflow_view(gradient, &seen) ||
        seen.dtype != one->task.dtype || seen.entries != entries(one))
        return 0;
    if (seen.entries == 0) return 1;
    const char *values = seen.at;
    float_mode mode = evenflow_keep_denormals();
    if (is_long(one)) {
        Py_BEGIN_ALLOW_THREADS
        evenflow_chosen->backward(values, entries(one), one->task.dtype, one->back);
        Py_END_ALLOW_THREADS
    } else {
        evenflow_chosen->backward(values, entries(one), one->task.dtype, one->back);
    }
    evenflow_restore(mode);
    return 1;
}

static PyObject *py_hear(PyObject *module, PyObject *const *given, Py_ssize_t number)
{
    (void)module;
    ear *one = number == 3 ? PyCapsule_GetPointer(given[0], EAR) : NULL;
    if (one == NULL) {
        if (number != 3) PyErr_SetString(PyExc_TypeError, "hear(ear, inputs, values) takes 3 arguments");
        return NULL;
    }
    return PyBool_FromLong(hear(one, given[1], given[2]));
}

static PyObject *py_hear_gradient(PyObject *module, PyObject *const *given, Py_ssize_t number)
{
    (void)module;
    const ear *one = number == 2 ? PyCapsule_GetPointer(given[0], EAR) : NULL;
    if (one == NULL) {
        if (number != 2) PyErr_SetString(PyExc_TypeError, "hear_gradient(ear, gradient) takes 2 arguments");
        return NULL;
    }
    return PyBool_FromLong(hear_gradient(one, given[1]));
}

static PyObject *read_gradient(PyObject *self, PyObject *gradient)
{
    const reader *one = PyCapsule_GetPointer(self, READER);
    if (one->flags[READING] && hear_gradient(one->hears, gradient)) Py_RETURN_NONE;
    return PyObject_CallFunctionObjArgs(one->fallback, gradient, NULL);
}

static void free_reader(PyObject *capsule)
{
    reader *one = PyCapsule_GetPointer(capsule, READER);
    Py_XDECREF(one->ear);
    Py_XDECREF(one->fallback);
    PyMem_Free(one);
}

static PyMethodDef reading = {"read", read_gradient, METH_O, "Take in the gradient that reaches a site."};

static PyObject *py_reader(PyObject *module, PyObject *given)
{
    (void)module;
    PyObject *by, *fallback;
    Py_ssize_t flags;
    if (!PyArg_ParseTuple(given, "OnO:reader", &by, &flags, &fallback)) return NULL;
    const ear *hears = PyCapsule_GetPointer(by, EAR);
    if (hears == NULL) return NULL;
    reader *one = PyMem_Calloc(1, sizeof *one);
    if (one == NULL) return PyErr_NoMemory();
    PyObject *capsule = PyCapsule_New(one, READER, free_reader);
    if (capsule == NULL) {
        PyMem_Free(one);
        return NULL;
    }
    one->flags = (const int64_t *)flags;
    one->ear = Py_NewRef(by);
    one->hears = hears;
    one->fallback = Py_NewRef(fallback);
    PyObject *function = PyCFunction_NewEx(&reading, capsule, home);
    Py_DECREF(capsule);
    return function;
}

/* The hooks of one tensor: a dictionary with this one in it. */
static PyObject *hooks_with(PyObject *hook)
{
    PyObject *hooks = PyObject_CallFunctionObjArgs(ordered_dict, NULL);
    if (hooks != NULL && PyObject_SetItem(hooks, minus_one, hook) < 0) Py_CLEAR(hooks);
    return hooks;
}

/* Have the gradient of a tensor read: what Tensor.register_hook does, without the handle. 0 where it is not plain.
   `kept` is where the dictionary of the last tensor is, which serves again once that tensor is gone and if nobody has
   put a hook of his own in. */
static int listen(PyObject *tensor, PyObject *hook, PyObject **kept)
{
    int done = 0;
    PyObject *function = PyObject_GetAttr(tensor, s_grad_fn), *answer = NULL;
    if (function != NULL && function != Py_None && is(tensor, s_hooks, Py_None)) {
        if (*kept == NULL || Py_REFCNT(*kept) != 1 || PyDict_Size(*kept) != 1) {
            Py_XDECREF(*kept);
            *kept = hooks_with(hook);
        }
        if (*kept != NULL && PyObject_SetAttr(tensor, s_hooks, *kept) == 0) {
            answer = PyObject_CallMethodObjArgs(function, s_register, tensor, NULL);
            done = answer != NULL;
        }
    }
    Py_XDECREF(function);
    Py_XDECREF(answer);
    PyErr_Clear();
    return done;
}

static PyObject *py_listen(PyObject *module, PyObject *const *given, Py_ssize_t number)
{
    (void)module;
    if (number != 2) {
        PyErr_SetString(PyExc_TypeError, "listen(tensor, hook) takes 2 arguments");
        return NULL;
    }
    PyObject *hooks = NULL;
    int done = listen(given[0], given[1], &hooks);
    Py_XDECREF(hooks);
    return PyBool_FromLong(done);
}

static PyObject *call_tap(PyObject *self, PyObject *given, PyObject *options)
{
    tap *one = PyCapsule_GetPointer(self, TAP);
    if (one->ear == NULL || PyTuple_Size(given) != 1 || (options != NULL && PyDict_Size(options) > 0))
        return PyObject_Call(one->fallback, given, options);
    if (one->flags[LIVE] != (int64_t)PyThread_get_thread_ident()) { /* a step that is not recorded, another thread */
        int checkpointed = one->flags[READING] != 0 || !one->flags[ROOTED];
        return PyObject_Call(checkpointed ? one->fallback : one->implementation, given, options);
    }
    PyObject *inputs = PyTuple_GetItem(given, 0);
    if (!is_tensor(inputs) || (!listen(inputs, one->hook, &one->hooks) && is(inputs, s_requires_grad, Py_True)))
        return PyObject_Call(one->fallback, given, options);
    one->flags[QUIET]++;
    PyObject *outputs = PyObject_CallFunctionObjArgs(one->implementation, inputs, NULL);
    one->flags[QUIET]--;
    if (outputs == NULL) return NULL;
    if (one->ear != NULL && !hear(one->hears, inputs, outputs)) {
        PyObject *answer = PyObject_CallFunctionObjArgs(one->slow, outputs, inputs, NULL);
        if (answer == NULL && !PyErr_ExceptionMatches(PyExc_Exception)) { /* Ctrl-C is the user's */
            Py_DECREF(outputs);
            return NULL;
        }
        if (answer == NULL) PyErr_Clear(); /* it reports its own errors; the user's training goes on */
        Py_XDECREF(answer);
    }
    return outputs;
}

static void free_tap(PyObject *capsule)
{
    tap *one = PyCapsule_GetPointer(capsule, TAP);
    Py_XDECREF(one->implementation);
    Py_XDECREF(one->fallback);
    Py_XDECREF(one->ear);
    Py_XDECREF(one->hook);
    Py_XDECREF(one->hooks);
    Py_XDECREF(one->slow);
    PyMem_Free(one);
}

static PyMethodDef tapping = {"tap", (PyCFunction)(void (*)(void))call_tap, METH_VARARGS | METH_KEYWORDS,
                              "Call a module and hear what goes in and comes out."};

static PyObject *py_tap(PyObject *module, PyObject *given)
{
    (void)module;
    PyObject *implementation, *fallback;
    Py_ssize_t flags;
    if (!PyArg_ParseTuple(given, "nOO:tap", &flags, &implementation, &fallback)) return NULL;
    tap *one = PyMem_Calloc(1, sizeof *one);
    if (one == NULL) return PyErr_NoMemory();
    PyObject *capsule = PyCapsule_New(one, TAP, free_tap);
    if (capsule == NULL) {
        PyMem_Free(one);
        return NULL;
    }
    one->flags = (int64_t *)flags;
    one->implementation = Py_NewRef(implementation);
    one->fallback = Py_NewRef(fallback);
    PyObject *function = PyCFunction_NewEx(&tapping, capsule, home);
    Py_DECREF(capsule);
    return function;
}

static PyObject *py_settle(PyObject *module, PyObject *given)
{
    (void)module;
    PyObject *function, *by, *hook, *slow;
    if (!PyArg_ParseTuple(given, "OOOO:settle", &function, &by, &hook, &slow)) return NULL;
    ear *hears = PyCapsule_GetPointer(by, EAR);
    if (hears == NULL) return NULL;
    PyObject *capsule = PyObject_GetAttrString(function, "__self__");
    tap *one = capsule == NULL ? NULL : PyCapsule_GetPointer(capsule, TAP);
    Py_XDECREF(capsule);
    if (one == NULL) return NULL;
    Py_XDECREF(one->ear);
    Py_XDECREF(one->hook);
    Py_XDECREF(one->slow);
    Py_CLEAR(one->hooks);
    one->ear = Py_NewRef(by);
    one->hears = hears;
    one->hook = Py_NewRef(hook);
    one->slow = Py_NewRef(slow);
    Py_RETURN_NONE;
}

/* Bit 0 where a weight does not lie where its record says, bit 1 where one has been written to since the versions were
   noted; they are brought up to date. Parameters that are None are left out. -1 with an error set. */
static int moved(PyObject *parameters, const record *list, int64_t *versions)
{
    int answer = 0;
    for (Py_ssize_t i = 0; i < PyList_Size(parameters); i++) {
        PyObject *one = PyList_GetItem(parameters, i);
        if (one == Py_None) continue;
        view seen;
        int64_t version = number_of(PyObject_GetAttr(one, s_version));
        if (PyErr_Occurred()) return -1;
        if (!evenflow_view(one, &seen) || (uint64_t)(uintptr_t)seen.at != list[i].weight) answer |= 1;
        if (version != versions[i]) answer |= 2;
        versions[i] = version;
    }
    return answer;
}

/* The weights as a step finds them; 1 where they lie elsewhere, -1 with an error set. */
static int before(PyObject *parameters, record *list, int64_t *versions, Py_ssize_t turn)
{
    int answer = moved(parameters, list, versions);
    if (answer < 0 || answer & 1) return answer < 0 ? -1 : 1;
    int64_t number = PyList_Size(parameters);
    if (turn < 0 || answer != 0 || !evenflow_settled(list, number, turn))
        evenflow_pass(list, number, evenflow_chosen->before, 0);
    return 0;
}

/* before(parameters, records, versions, turn): False where they lie elsewhere. */
static PyObject *py_before(PyObject *module, PyObject *given)
{
    (void)module;
    PyObject *parameters;
    Py_ssize_t records, versions, turn;
    if (!PyArg_ParseTuple(given, "O!nnn:before", &PyList_Type, &parameters, &records, &versions, &turn)) return NULL;
    int answer = before(parameters, (record *)records, (int64_t *)versions, turn);
    return answer < 0 ? NULL : PyBool_FromLong(answer == 0);
}

int evenflow_after(PyObject *parameters, record *list, int64_t *versions)
{
    if (!PyList_Check(parameters)) {
        PyErr_SetString(PyExc_TypeError, "the parameters of a step are a list");
        return -1;
    }
    int answer = moved(parameters, list, versions);
    if (answer < 0 || answer & 1) return answer < 0 ? -1 : 0;
    evenflow_pass(list, PyList_Size(parameters), evenflow_chosen->roll, 0);
    return 1;
}

/* after(parameters, records, versions): what the step made of them. False where they lie elsewhere. */
static PyObject *py_after(PyObject *module, PyObject *given)
{
    (void)module;
    PyObject *parameters;
    Py_ssize_t records, versions;
    if (!PyArg_ParseTuple(given, "O!nn:after", &PyList_Type, &parameters, &records, &versions)) return NULL;
    int answer = evenflow_after(parameters, (record *)records, (int64_t *)versions);
    return answer < 0 ? NULL : PyBool_FromLong(answer);
}

/* What a gradient is known by: the object, how often it has been written to, where it lies and how it begins. What is
   written through `.data` does not count as written to. */
typedef struct {
    uint64_t object;
    int64_t version;
    uint64_t pointer, digest;
} sight;

static uint64_t digest(uint64_t pointer, const record *one)
{
    enum { ENTRIES = 64 };
    uint64_t sum = 0, word;
    int64_t number = one->number < ENTRIES ? one->number : ENTRIES;
    int64_t bytes = pointer == 0 ? 0 : number * item_size((int)one->gradient_dtype);
    for (int64_t at = 0; at < bytes; at += (int64_t)sizeof word) {
        int64_t here = bytes - at < (int64_t)sizeof word ? bytes - at : (int64_t)sizeof word;
        word = 0;
        memcpy(&word, (const char *)(uintptr_t)pointer + at, (size_t)here);
        sum = (sum ^ word) * 0x9E3779B97F4A7C15u;
    }
    return sum;
}

/* Note where the gradients lie; the places of those that are no block in memory. */
static PyObject *find(PyObject *parameters, record *list, sight *sights)
{
    PyObject *odd = PyList_New(0);
    for (Py_ssize_t i = 0; odd != NULL && i < PyList_Size(parameters); i++) {
        PyObject *one = PyList_GetItem(parameters, i);
        list[i].gradient = 0;
        if (one == Py_None) continue;
        PyObject *gradient = PyObject_GetAttr(one, s_grad);
        if (gradient == NULL) {
            Py_CLEAR(odd);
            break;
        }
        sights[i].object = (uint64_t)(uintptr_t)gradient;
        sights[i].version = -1;
        sights[i].pointer = sights[i].digest = 0;
        if (gradient != Py_None) {
            sights[i].version = number_of(PyObject_GetAttr(gradient, s_version));
            PyErr_Clear();
            view seen;
            if (is_tensor(gradient) && evenflow_view(gradient, &seen) && seen.entries == list[i].number &&
                seen.dtype == (int)list[i].gradient_dtype)
                list[i].gradient = (uint64_t)(uintptr_t)seen.at;
            sights[i].pointer = list[i].gradient;
            sights[i].digest = digest(sights[i].pointer, list + i);
            if (list[i].gradient == 0 && list[i].number > 0) {
                PyObject *place = PyLong_FromSsize_t(i);
                if (place == NULL || PyList_Append(odd, place) < 0) Py_CLEAR(odd);
                Py_XDECREF(place);
            }
        }
        Py_DECREF(gradient);
    }
    return odd;
}

/* gradients(parameters, records, sights, phase, flags): their squares; those that are no block are returned. */
static PyObject *py_gradients(PyObject *module, PyObject *given)
{
    (void)module;
    PyObject *parameters;
    Py_ssize_t records, sights, flags;
    int phase;
    if (!PyArg_ParseTuple(given, "O!nnin:gradients", &PyList_Type, &parameters, &records, &sights, &phase, &flags))
        return NULL;
    if (phase < -1 || phase >= PHASES) {
        PyErr_Format(PyExc_ValueError, "phase is %d; it must be less than %d, or -1 for none", phase, (int)PHASES);
        return NULL;
    }
    record *list = (record *)records;
    PyObject *odd = find(parameters, list, (sight *)sights);
    if (odd == NULL) return NULL;
    Py_ssize_t number = PyList_Size(parameters);
    if (phase >= 0) evenflow_pass(list, number, NULL, phase);
    for (Py_ssize_t i = 0; phase >= 0 && i < number; i++)
        if (list[i].nonfinite > 0) ((int64_t *)flags)[FAULT] = 1;
    return odd;
}

/* Whether any gradient was replaced or written to since it was found; -1 with an error set. */
static int touched(PyObject *parameters, const record *list, const sight *seen)
{
    Py_ssize_t number = PyList_Size(parameters);
    int answer = 0;
    for (Py_ssize_t i = 0; !answer && i < number; i++) {
        PyObject *one = PyList_GetItem(parameters, i);
        if (one == Py_None) continue;
        PyObject *gradient = PyObject_GetAttr(one, s_grad);
        if (gradient == NULL) return -1;
        answer = (uint64_t)(uintptr_t)gradient != seen[i].object;
        if (!answer && gradient != Py_None) {
            answer = number_of(PyObject_GetAttr(gradient, s_version)) != seen[i].version;
            if (!answer && seen[i].pointer != 0) {
                view now;
                answer = !evenflow_view(gradient, &now) || (uint64_t)(uintptr_t)now.at != seen[i].pointer ||
                         digest(seen[i].pointer, list + i) != seen[i].digest;
            }
            PyErr_Clear();
        }
        Py_DECREF(gradient);
    }
    return answer;
}

/* touched(parameters, records, sights) */
static PyObject *py_touched(PyObject *module, PyObject *given)
{
    (void)module;
    PyObject *parameters;
    Py_ssize_t records, sights;
    if (!PyArg_ParseTuple(given, "O!nn:touched", &PyList_Type, &parameters, &records, &sights)) return NULL;
    int answer = touched(parameters, (const record *)records, (const sight *)sights);
    return answer < 0 ? NULL : PyBool_FromLong(answer);
}

/* ready(parameters, records, sights, versions, turn): what a step finds; False where a gradient is another by now or a
   weight lies elsewhere, and then nothing is read. */
static PyObject *py_ready(PyObject *module, PyObject *given)
{
    (void)module;
    PyObject *parameters;
    Py_ssize_t records, sights, versions, turn;
    if (!PyArg_ParseTuple(given, "O!nnnn:ready", &PyList_Type, &parameters, &records, &sights, &versions, &turn))
        return NULL;
    int answer = touched(parameters, (const record *)records, (const sight *)sights);
    if (answer == 0) answer = before(parameters, (record *)records, (int64_t *)versions, turn);
    return answer < 0 ? NULL : PyBool_FromLong(answer == 0);
}

static int name(PyObject **to, const char *text) { return (*to = PyUnicode_InternFromString(text)) != NULL; }

static int take(PyObject **to, const char *module, const char *attribute)
{
    PyObject *home = PyImport_ImportModule(module);
    *to = home == NULL ? NULL : PyObject_GetAttrString(home, attribute);
    Py_XDECREF(home);
    return *to != NULL;
}

/* torch is loaded by now: the package that imports this module imports it first. */
int evenflow_start_ears(void)
{
    minus_one = PyLong_FromLong(-1);
    return minus_one != NULL && evenflow_start_views() && take(&ordered_dict, "collections", "OrderedDict") &&
           name(&home, "evenflow.measure.kernels._native") && name(&s_requires_grad, "requires_grad") &&
           name(&s_grad_fn, "grad_fn") && name(&s_hooks, "_backward_hooks") &&
           name(&s_register, "_register_hook_dict") && name(&s_grad, "grad") && name(&s_version, "_version");
}

PyMethodDef evenflow_ear_methods[] = {
    {"ear", py_ear, METH_O, "A new ear, not tuned to anything."},
    {"tune", py_tune, METH_VARARGS, "Tune an ear to tensors of a dtype and shape."},
    {"hear", (PyCFunction)(void (*)(void))py_hear, METH_FASTCALL,
     "Merge the figures of a site's values; False where the ear is not tuned to them."},
    {"hear_gradient", (PyCFunction)(void (*)(void))py_hear_gradient, METH_FASTCALL,
     "Merge the figures of a site's gradient; False where the ear is not tuned to it."},
    {"reader", py_reader, METH_VARARGS, "The hook that reads a gradient by an ear."},
    {"listen", (PyCFunction)(void (*)(void))py_listen, METH_FASTCALL,
     "Have a hook read the gradient of a tensor; False where the tensor is a leaf or has hooks."},
    {"tap", py_tap, METH_VARARGS, "A callable around a module's implementation."},
    {"settle", py_settle, METH_VARARGS, "Let a tap hear by an ear of its own."},
    {"before", py_before, METH_VARARGS, "The weights as a step finds them; False where they lie elsewhere."},
    {"gradients", py_gradients, METH_VARARGS, "The gradients in a phase; those that are no block are returned."},
    {"after", py_after, METH_VARARGS, "What a step made of the weights; False where they lie elsewhere."},
    {"ready", py_ready, METH_VARARGS, "The weights as a step finds them; False where a gradient is another by now."},
    {"touched", py_touched, METH_VARARGS, "Whether a gradient was replaced or written to since it was found."},
    {NULL, NULL, 0, NULL},
};
