/* How a torch tensor lies in memory: by DLPack's table of functions where torch has one (in a tenth of a microsecond
   and by a stable interface, https://dmlc.github.io/dlpack/latest/python_spec.html), otherwise by its attributes. */

#ifndef EVENFLOW_VIEWS_H
#define EVENFLOW_VIEWS_H

#include "ears.h"

enum { MOST_DIMENSIONS = 8 };

typedef struct {
    char *at; /* NULL where there are no entries */
    int dtype, dimensions;
    int64_t entries, shape[MOST_DIMENSIONS];
} view;

extern PyObject *evenflow_tensor; /* torch.Tensor */

/* 1 where a tensor (or Parameter, no other subclass) is one block in main memory of numbers that the kernels read. */
int evenflow_view(PyObject *tensor, view *seen);
int evenflow_start_views(void);

#endif
