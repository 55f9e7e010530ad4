/* What listens inside Python's calls: the same work as taps.py and parameters.py do, without their interpreter. */

#ifndef EVENFLOW_EARS_H
#define EVENFLOW_EARS_H

#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "kernels.h"

#if defined(__aarch64__)
typedef uint64_t float_mode;
#else
typedef unsigned float_mode;
#endif
float_mode evenflow_keep_denormals(void);
void evenflow_restore(float_mode mode);

extern const level *evenflow_chosen;
int evenflow_read_edges(const double *from, edges *bounds);

void evenflow_pass(record *list, int64_t number, void (*pass)(record *), int phase);
int evenflow_settled(record *list, int64_t number, int64_t turn);

/* What a step made of the weights: 1, 0 where they lie elsewhere, -1 with an error set. */
int evenflow_after(PyObject *parameters, record *list, int64_t *versions);

extern PyMethodDef evenflow_ear_methods[];
int evenflow_start_ears(void);

#endif
