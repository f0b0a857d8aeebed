/* A pool's quick path: take an object that lies idle, give it back reset.
 *
 * It is the twin of ObjectPool.acquire and ObjectPool.release in lab/pool.py, for the plain case: idle objects
 * lie in a list, those out are marked in a set, and nothing is to be done besides (no lifetime, nobody waits, the
 * pool is open). Everything else is handed to Python, as methods of the same pool: the twins themselves
 * (`_acquire_in_python`, `_release_in_python`), `_lay_down`, `_discard`, `_settle`.
 *
 * The interpreter lets another thread run, and signals in, only where Python code runs: between the steps here
 * that is nowhere but in the object's own `reset`, the end of what that returns, and a stranger's `__hash__` and
 * `__eq__`. The objects in the set of those out hashed by identity when they were made, or that set is no plain
 * one; should a class get a hash of its own later, an object is still taken out before it is marked.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <structmember.h>

typedef struct {
    PyObject_HEAD
    PyObject *idle; /* a list, or what the twin uses in its place */
    PyObject *out;  /* a set, or what the twin uses in its place */
    long long taken;
    char alert;
    char resets;
} QuickPool;

enum { TIMEOUT, RESET, ACQUIRE, RELEASE, LAY_DOWN, DISCARD, SETTLE, WORDS };

static const char *const TEXTS[WORDS] = {
    "timeout", "reset", "_acquire_in_python", "_release_in_python", "_lay_down", "_discard", "_settle",
};
static PyObject *words[WORDS];

/* Call the twin's method and return what it does; `argument` may be NULL. */
static PyObject *
twin(QuickPool *pool, int word, PyObject *argument)
{
    return PyObject_CallMethodObjArgs((PyObject *)pool, words[word], argument, NULL);
}

/* Return the timeout among the arguments of acquire, borrowed; NULL with an error set if they are wrong. */
static PyObject *
timeout_of(PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    Py_ssize_t named = names != NULL ? PyTuple_Size(names) : 0;
    if (count + named > 1) {
        PyErr_Format(PyExc_TypeError, "acquire() takes at most 1 argument (%zd given)", count + named);
        return NULL;
    }
    if (named == 1) {
        PyObject *name = PyTuple_GetItem(names, 0);
        if (name == NULL || PyUnicode_Compare(name, words[TIMEOUT]) != 0) {
            if (!PyErr_Occurred()) {
                PyErr_Format(PyExc_TypeError, "acquire() got an unexpected keyword argument %R", name);
            }
            return NULL;
        }
    }
    return count + named == 1 ? args[0] : Py_None;
}

static PyObject *
acquire(QuickPool *pool, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *timeout = timeout_of(args, count, names);
    if (timeout == NULL) {
        return NULL;
    }
    if (pool->idle != NULL && pool->out != NULL && PyList_CheckExact(pool->idle)
        && PySet_CheckExact(pool->out)) {
        Py_ssize_t last = PyList_Size(pool->idle) - 1;
        if (last >= 0) {
            PyObject *obj = PyList_GetItem(pool->idle, last);
            if (obj == NULL) {
                return NULL;
            }
            Py_IncRef(obj);
            if (PyList_SetSlice(pool->idle, last, last + 1, NULL) < 0) {
                Py_DecRef(obj);
                return NULL;
            }
            if (PySet_Add(pool->out, obj) < 0) {
                PyObject *kind, *value, *trace;
                PyErr_Fetch(&kind, &value, &trace);
                if (pool->idle != NULL) {
                    PyList_Append(pool->idle, obj); /* it lies idle as before */
                }
                PyErr_Restore(kind, value, trace);
                Py_DecRef(obj);
                return NULL;
            }
            pool->taken++;
            return obj;
        }
    }
    return twin(pool, ACQUIRE, timeout);
}

/* Hand the error that is set to the twin, which closes the object and raises what is no ordinary error. */
static PyObject *
discard(QuickPool *pool, PyObject *obj)
{
    PyObject *kind, *error, *trace;
    PyErr_Fetch(&kind, &error, &trace);
    PyErr_NormalizeException(&kind, &error, &trace);
    if (trace != NULL && error != NULL) {
        PyException_SetTraceback(error, trace);
    }
    PyObject *result = PyObject_CallMethodObjArgs((PyObject *)pool, words[DISCARD], obj, error, NULL);
    Py_DecRef(kind);
    Py_DecRef(error);
    Py_DecRef(trace);
    return result;
}

static PyObject *
release(QuickPool *pool, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *obj;
    Py_ssize_t named = names != NULL ? PyTuple_Size(names) : 0;
    if (count == 1 && named == 0) {
        obj = args[0];
    }
    else if (count == 0 && named == 1
             && PyUnicode_CompareWithASCIIString(PyTuple_GetItem(names, 0), "obj") == 0) {
        obj = args[0];
    }
    else {
        PyErr_SetString(PyExc_TypeError, "release() takes exactly one argument: obj");
        return NULL;
    }
    PyObject *out = pool->out;
    if (out == NULL || pool->idle == NULL || !PySet_CheckExact(out) || !PyList_CheckExact(pool->idle)) {
        return twin(pool, RELEASE, obj);
    }
    Py_IncRef(out); /* a stranger's own __eq__ may do anything */
    int found = PySet_Discard(out, obj);
    Py_DecRef(out);
    if (found < 0 && !PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_KeyError)) {
        return NULL;
    }
    if (found <= 0) {
        PyErr_Clear();
        return twin(pool, RELEASE, obj); /* it says what is wrong */
    }
    if (pool->alert || !pool->resets) {
        return twin(pool, LAY_DOWN, obj);
    }
    PyObject *done = PyObject_CallMethodObjArgs(obj, words[RESET], NULL);
    if (done == NULL) {
        done = discard(pool, obj);
        if (done == NULL) {
            return NULL;
        }
    }
    else if (pool->idle == NULL || PyList_Append(pool->idle, obj) < 0) {
        if (pool->idle == NULL) {
            PyErr_SetString(PyExc_AttributeError, "_idle");
        }
        Py_DecRef(done);
        done = discard(pool, obj);
        if (done == NULL) {
            return NULL;
        }
    }
    Py_DecRef(done);
    if (pool->alert) {
        return twin(pool, SETTLE, NULL);
    }
    Py_IncRef(Py_None);
    return Py_None;
}

static int
traverse(QuickPool *pool, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE((PyObject *)pool));
    Py_VISIT(pool->idle);
    Py_VISIT(pool->out);
    return 0;
}

/* Empty a field; its object goes last. */
static void
let_go(PyObject **field)
{
    PyObject *before = *field;
    *field = NULL;
    Py_DecRef(before);
}

static int
clear(QuickPool *pool)
{
    let_go(&pool->idle);
    let_go(&pool->out);
    return 0;
}

static void
dealloc(QuickPool *pool)
{
    PyTypeObject *kind = Py_TYPE((PyObject *)pool);
    PyObject_GC_UnTrack(pool);
    clear(pool);
    freefunc release_memory = (freefunc)PyType_GetSlot(kind, Py_tp_free);
    release_memory(pool);
    Py_DecRef((PyObject *)kind);
}

#define METHOD(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS

/* The words of their twins in lab/pool.py: a test compares them. */
static PyMethodDef methods[] = {
    {"acquire", METHOD(acquire),
     "acquire($self, timeout=None)\n--\n\n"
     "Take an object.\n\n"
     "Args:\n"
     "    timeout: seconds to wait where the pool blocks; None: the pool's own.\n\n"
     "Raises:\n"
     "    PoolTimeoutError: when none came back in time (``overflow=\"block\"``).\n"
     "    UnavailableError: when all are out (``overflow=\"raise\"``).\n"
     "    UsageError: when the pool is closed.\n"},
    {"release", METHOD(release),
     "release($self, obj)\n--\n\n"
     "Give an object back. It is reset once, before anybody else gets it.\n\n"
     "A ``reset`` that raises closes the object, is logged and counted, and is not raised here.\n\n"
     "Raises:\n"
     "    UsageError: when the object is none of the pool's that are out: it was given back before, or is a\n"
     "        stranger.\n"},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"_idle", T_OBJECT_EX, offsetof(QuickPool, idle), 0, NULL},
    {"_out", T_OBJECT_EX, offsetof(QuickPool, out), 0, NULL},
    {"_alert", T_BOOL, offsetof(QuickPool, alert), 0, NULL},
    {"_resets", T_BOOL, offsetof(QuickPool, resets), 0, NULL},
    {"_taken_in_c", T_LONGLONG, offsetof(QuickPool, taken), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "What the quick path of a pool reads and writes, and that path."},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "memlab._native.quickpool.QuickPool",
    .basicsize = sizeof(QuickPool),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "quickpool", "A pool's quick path.", -1, NULL,
};

PyMODINIT_FUNC
PyInit_quickpool(void)
{
    for (int word = 0; word < WORDS; word++) {
        if (words[word] == NULL && (words[word] = PyUnicode_InternFromString(TEXTS[word])) == NULL) {
            return NULL;
        }
    }
    PyObject *made = PyModule_Create(&module);
    if (made == NULL) {
        return NULL;
    }
    PyObject *kind = PyType_FromSpec(&spec);
    if (kind == NULL || PyModule_AddObjectRef(made, "QuickPool", kind) < 0) {
        Py_DecRef(kind);
        Py_DecRef(made);
        return NULL;
    }
    Py_DecRef(kind);
    return made;
}
