/* Count what Python's allocators hand out: how many blocks, and how many bytes were asked for.
 *
 * A layer over the allocators of the domains "mem" and "object" adds to four counters and calls on. Both domains
 * are used with the GIL held, so plain counters do. The layer is put over whatever is there (tracemalloc's own
 * layer, a debug one) and taken off again only while it is still the top one; otherwise it stays, and counts
 * nothing: a layer that was removed from under another would be called through a stale copy of it, which is why
 * its own copies of what lies below are static and are never changed while it may be called.
 *
 * Counted is each malloc, calloc and realloc that gave a block, a realloc as the whole new block: what memray
 * counts too. Not counted: the domain "raw", which is used without the GIL, free lists that hand out a block
 * again without asking, and whatever native code takes by itself (the data of arrays).
 *
 * Built against the limited API of Python 3.11, which has no names for the allocators: the addresses of
 * PyMem_GetAllocator and PyMem_SetAllocator come from ctypes, and the struct, which has not changed since 3.5, is
 * declared here.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

typedef struct {
    void *ctx;
    void *(*malloc)(void *ctx, size_t size);
    void *(*calloc)(void *ctx, size_t count, size_t size);
    void *(*realloc)(void *ctx, void *block, size_t size);
    void (*free)(void *ctx, void *block);
} Allocator;

typedef void (*AllocatorCall)(int domain, Allocator *allocator);

enum { MEM = 1, OBJ = 2 };

static Allocator below[3];
static AllocatorCall get_allocator, set_allocator;
static int over, counting;
static uint64_t blocks, bytes;

static inline void
count(const void *block, size_t size)
{
    if (counting && block != NULL) {
        blocks++;
        bytes += size;
    }
}

static void *
count_malloc(void *ctx, size_t size)
{
    const Allocator *next = ctx;
    void *block = next->malloc(next->ctx, size);
    count(block, size);
    return block;
}

static void *
count_calloc(void *ctx, size_t number, size_t size)
{
    const Allocator *next = ctx;
    void *block = next->calloc(next->ctx, number, size);
    count(block, number * size);
    return block;
}

static void *
count_realloc(void *ctx, void *old, size_t size)
{
    const Allocator *next = ctx;
    void *block = next->realloc(next->ctx, old, size);
    count(block, size);
    return block;
}

static void
count_free(void *ctx, void *block)
{
    const Allocator *next = ctx;
    next->free(next->ctx, block);
}

static int
is_top(void)
{
    for (int domain = MEM; domain <= OBJ; domain++) {
        Allocator now;
        get_allocator(domain, &now);
        if (now.malloc != count_malloc || now.ctx != &below[domain]) {
            return 0;
        }
    }
    return 1;
}

static PyObject *
begin(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_ssize_t getter, setter;
    if (!PyArg_ParseTuple(args, "nn:begin", &getter, &setter)) {
        return NULL;
    }
    if (counting) {
        PyErr_SetString(PyExc_RuntimeError, "allocations are being counted already");
        return NULL;
    }
    if (!over) {
        get_allocator = (AllocatorCall)(intptr_t)getter;
        set_allocator = (AllocatorCall)(intptr_t)setter;
        for (int domain = MEM; domain <= OBJ; domain++) {
            get_allocator(domain, &below[domain]);
            Allocator ours = {&below[domain], count_malloc, count_calloc, count_realloc, count_free};
            set_allocator(domain, &ours);
        }
        over = 1;
    }
    blocks = bytes = 0;
    counting = 1;
    Py_IncRef(Py_None);
    return Py_None;
}

/* The first thing it does is to stop: nothing that it makes itself is counted. */
static PyObject *
end(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    counting = 0;
    if (over && is_top()) {
        set_allocator(MEM, &below[MEM]);
        set_allocator(OBJ, &below[OBJ]);
        over = 0;
    }
    return Py_BuildValue("KK", (unsigned long long)blocks, (unsigned long long)bytes);
}

static PyMethodDef functions[] = {
    {"begin", begin, METH_VARARGS, "Begin to count."},
    {"end", end, METH_NOARGS, "End, and return blocks and bytes since begin."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "alloccount", "Counters of Python's allocators.", -1, functions,
};

PyMODINIT_FUNC
PyInit_alloccount(void)
{
    return PyModule_Create(&module);
}
