/* The callback that stands in gc.callbacks: it stamps the clock and writes five numbers into a ring.
 *
 * It is the twin of what collectors/gc_pauses.py does in Python, word for word: the same ring of rows, the same
 * three words of state, read there by slices. In C it costs a collection a tenth of that, makes nothing that the
 * collector could track, and no signal's handler runs within it.
 *
 * The clock is the kernel's monotonic one, which time.perf_counter_ns() reads too where this is used; where it
 * reads another one, the caller takes the twin. The two arrays are held through the buffer protocol: they can
 * neither be freed nor resized while the callback lives.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

enum { WRITTEN, BEGAN, FORKED, STATES };
enum { FIELDS = 5, VALUES = 3 };

static const char NAME[] = "memlab._native.gcrows";
static const char *const VALUE_NAMES[VALUES] = {"generation", "collected", "uncollectable"};

typedef struct {
    Py_buffer ring, state;
    PyObject *keys[VALUES];
    int64_t rows;
} Rows;

static int64_t
nanoseconds(void)
{
#if defined(CLOCK_MONOTONIC) && !defined(_WIN32)
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) == 0) {
        return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    }
#endif
    return 0;
}

static void
forget(PyObject *capsule)
{
    Rows *rows = PyCapsule_GetPointer(capsule, NAME);
    if (rows == NULL) {
        return;
    }
    PyBuffer_Release(&rows->ring);
    PyBuffer_Release(&rows->state);
    for (int at = 0; at < VALUES; at++) {
        Py_DecRef(rows->keys[at]);
    }
    PyMem_Free(rows);
}

static PyObject *
on_collection(PyObject *capsule, PyObject *const *arguments, Py_ssize_t count)
{
    int64_t now = nanoseconds();
    Rows *rows = PyCapsule_GetPointer(capsule, NAME);
    if (rows == NULL) {
        return NULL;
    }
    if (count != 2 || !PyUnicode_Check(arguments[0]) || !PyDict_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "a callback of the collector takes a phase and its figures");
        return NULL;
    }
    int64_t *state = rows->state.buf;
    PyObject *none = Py_None;
    Py_IncRef(none);
    if (state[FORKED]) {
        return none;
    }
    if (PyUnicode_CompareWithASCIIString(arguments[0], "start") == 0) {
        state[BEGAN] = nanoseconds();
        return none;
    }
    int64_t began = state[BEGAN];
    if (began == 0) {
        return none;
    }
    state[BEGAN] = 0;
    int64_t row[FIELDS] = {began, now, 0, 0, 0};
    for (int at = 0; at < VALUES; at++) {
        PyObject *value = PyDict_GetItemWithError(arguments[1], rows->keys[at]);
        long long number = value != NULL ? PyLong_AsLongLong(value) : 0;
        if (PyErr_Occurred()) {
            Py_DecRef(none);
            return NULL;
        }
        row[2 + at] = number;
    }
    memcpy((int64_t *)rows->ring.buf + state[WRITTEN] % rows->rows * FIELDS, row, sizeof row);
    state[WRITTEN]++;
    return none;
}

static PyMethodDef callback = {
    "on_collection", (PyCFunction)(void (*)(void))on_collection, METH_FASTCALL, "Write a collection's row.",
};

static PyObject *
recording(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *ring, *state;
    if (!PyArg_ParseTuple(args, "OO:recording", &ring, &state)) {
        return NULL;
    }
    Rows *rows = PyMem_Calloc(1, sizeof *rows);
    if (rows == NULL) {
        return PyErr_NoMemory();
    }
    PyObject *capsule = NULL, *made = NULL;
    if (PyObject_GetBuffer(ring, &rows->ring, PyBUF_WRITABLE) < 0
        || PyObject_GetBuffer(state, &rows->state, PyBUF_WRITABLE) < 0) {
        goto failed;
    }
    rows->rows = (int64_t)(rows->ring.len / (Py_ssize_t)(FIELDS * sizeof(int64_t)));
    if (rows->rows < 1 || rows->state.len < (Py_ssize_t)(STATES * sizeof(int64_t))) {
        PyErr_SetString(PyExc_ValueError, "a ring of rows of five numbers and a state of three are needed");
        goto failed;
    }
    for (int at = 0; at < VALUES; at++) {
        rows->keys[at] = PyUnicode_InternFromString(VALUE_NAMES[at]);
        if (rows->keys[at] == NULL) {
            goto failed;
        }
    }
    capsule = PyCapsule_New(rows, NAME, forget);
    if (capsule == NULL) {
        goto failed;
    }
    made = PyCFunction_NewEx(&callback, capsule, NULL);
    Py_DecRef(capsule);
    return made;
failed:
    PyBuffer_Release(&rows->ring);
    PyBuffer_Release(&rows->state);
    for (int at = 0; at < VALUES; at++) {
        Py_DecRef(rows->keys[at]);
    }
    PyMem_Free(rows);
    return NULL;
}

static PyMethodDef functions[] = {
    {"recording", recording, METH_VARARGS, "Return the callback that writes into a ring and a state."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "gcrows", "The collector's callback.", -1, functions,
};

PyMODINIT_FUNC
PyInit_gcrows(void)
{
    return PyModule_Create(&module);
}
