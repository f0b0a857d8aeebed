/* The object graph of this process as plain integer arrays, and the graph algorithms that must be quick.
 *
 * Capture. Every object that the collector tracks, and every seed, gets a number; then each is asked, in the
 * order of numbers, for what it refers to. tp_traverse calls back for each reference; an object met for the
 * first time gets the next number and is asked in its turn, so leaves and untracked containers come along. No
 * recursion, no Python code, no reference kept: the caller holds the list of tracked objects while this runs,
 * the GIL is held throughout, the collector is off, and only native __sizeof__ methods and C getters are
 * called. Half-built objects are not touched: what the collector does not track is traversed only when it is a
 * plain tuple or dict, which it leaves out for what they hold.
 *
 * An address becomes a number through a page map: the address shifted right by 20 bits picks a table with one
 * 32-bit entry for each 16-byte slot. Two objects never start in one slot, since none is smaller than 16 bytes.
 * It follows the heap's own locality, and is about twice as quick as a hash of addresses.
 *
 * Graphs are compressed rows: node v refers to edges[starts[v] .. starts[v + 1]]. Dominators are found by
 * semi-NCA (L. Georgiadis, "Linear-Time Algorithms for Dominators and Related Problems", Princeton, 2005),
 * all of it iterative and without the GIL.
 *
 * Built against the limited API of Python 3.11: one binary serves every later version. References are taken and
 * given back by the functions Py_IncRef and Py_DecRef: the macros of 3.11 know nothing of immortal objects, and
 * would make mortal, on a later version, what is counted through them. The pure-Python twin of each function
 * gives the same arrays (collectors/heap_twin.py, analyses/_graph_twin.py).
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mremap */
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__linux__) && !defined(MEMLAB_PLAIN_MALLOC)
#include <sys/mman.h>
#define OWN_PAGES 1
#else
#define OWN_PAGES 0
#endif

#define NO_NODE 0xFFFFFFFFu
#define SKIPPED 0xFFFFFFFFu /* in the page map: an object of our own */

enum { TRACKED = 1, EXTERNAL = 2, IMMORTAL = 4, BORN = 8 };

/* ---- memory ------------------------------------------------------------------------------------------------
 *
 * Where the arrays are megabytes, a third of a capture's time was the kernel's, one page of 4 KiB after the
 * other. On Linux they are mapped by ourselves, in huge pages where the system grants them, and malloc, which
 * belongs to the program, neither sees them nor learns from them. Elsewhere, and for small arrays, malloc it is.
 */

#define HUGE_PAGE ((size_t)2 << 20)
#define LARGE (2 * HUGE_PAGE)
#define HEAD 64 /* before each array: its size, in a cache line of its own */

static inline size_t
size_taken(const void *memory)
{
    return *(const size_t *)((const char *)memory - HEAD);
}

#if OWN_PAGES
static size_t
whole_pages(size_t size)
{
    return (size + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
}

/* Map zeroed memory that begins where a huge page may begin. */
static char *
map_pages(size_t size)
{
    size_t wanted = whole_pages(size);
    char *at = mmap(NULL, wanted + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        return NULL;
    }
    size_t before = (HUGE_PAGE - ((uintptr_t)at & (HUGE_PAGE - 1))) & (HUGE_PAGE - 1);
    if (before) {
        munmap(at, before);
    }
    munmap(at + before + wanted, HUGE_PAGE - before);
    madvise(at + before, wanted, MADV_HUGEPAGE); /* where that is refused, small pages do */
    return at + before;
}
#endif

/* Return memory for an array, zeroed when asked; NULL when there is none. */
static void *
take(size_t size, int zeroed)
{
    char *at;
    if (size > (size_t)PTRDIFF_MAX / 2) {
        return NULL;
    }
#if OWN_PAGES
    if (size + HEAD >= LARGE) {
        at = map_pages(size + HEAD);
    }
    else
#endif
    {
        at = zeroed ? calloc(1, size + HEAD) : malloc(size + HEAD);
    }
    if (at == NULL) {
        return NULL;
    }
    *(size_t *)at = size;
    return at + HEAD;
}

static void
give_back(void *memory)
{
    if (memory == NULL) {
        return;
    }
    char *at = (char *)memory - HEAD;
#if OWN_PAGES
    size_t size = size_taken(memory) + HEAD;
    if (size >= LARGE) {
        munmap(at, whole_pages(size));
        return;
    }
#endif
    free(at);
}

/* Make an array larger or smaller; NULL, and the array as it was, when there is no memory. */
static void *
resize(void *memory, size_t wanted)
{
    if (memory == NULL) {
        return take(wanted, 0);
    }
    char *at = (char *)memory - HEAD;
#if OWN_PAGES
    size_t size = size_taken(memory);
    int large = size + HEAD >= LARGE, becomes_large = wanted + HEAD >= LARGE;
    if (large && becomes_large) {
        size_t had = whole_pages(size + HEAD), now = whole_pages(wanted + HEAD);
        if (now < had) {
            munmap(at + now, had - now);
        }
        else if (now > had) {
            at = mremap(at, had, now, MREMAP_MAYMOVE);
            if (at == MAP_FAILED) {
                return NULL;
            }
            madvise(at, now, MADV_HUGEPAGE);
        }
        *(size_t *)at = wanted;
        return at + HEAD;
    }
    if (large || becomes_large) {
        void *other = take(wanted, 0);
        if (other != NULL) {
            memcpy(other, memory, size < wanted ? size : wanted);
            give_back(memory);
        }
        return other;
    }
#endif
    at = realloc(at, wanted + HEAD);
    if (at == NULL) {
        return NULL;
    }
    *(size_t *)at = wanted;
    return at + HEAD;
}

/* What Python sees of an array: bytes-like, read only, the memory itself and no copy of it. */
typedef struct {
    PyObject_HEAD
    void *memory;
} Array;

static PyTypeObject *array_type;

static int
array_buffer(PyObject *self, Py_buffer *view, int flags)
{
    void *memory = ((Array *)self)->memory;
    return PyBuffer_FillInfo(view, self, memory, (Py_ssize_t)size_taken(memory), 1, flags);
}

static void
array_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    give_back(((Array *)self)->memory);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DecRef((PyObject *)type);
}

static PyObject *
array_sizeof(PyObject *self, PyObject *Py_UNUSED(args))
{
    return PyLong_FromSize_t(sizeof(Array) + HEAD + size_taken(((Array *)self)->memory));
}

static PyMethodDef array_methods[] = {
    {"__sizeof__", array_sizeof, METH_NOARGS, "The object with its memory."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot array_slots[] = {
    {Py_bf_getbuffer, array_buffer},
    {Py_tp_dealloc, array_dealloc},
    {Py_tp_methods, array_methods},
    {Py_tp_doc, "An array of the heap graph: read only, bytes-like."},
    {0, NULL},
};

static PyType_Spec array_spec = {
    "memlab._native.heapgraph.Array", sizeof(Array), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, array_slots,
};

/* Hand an array over to Python, cut to what is filled of it. Taken from the caller, whatever comes of it. */
static PyObject *
array_of(void **memory, size_t used)
{
    void *fitting = *memory == NULL || size_taken(*memory) != used ? resize(*memory, used) : *memory;
    Array *array = NULL;
    if (fitting == NULL) {
        give_back(*memory);
        PyErr_NoMemory();
    }
    else if ((array = (Array *)((allocfunc)PyType_GetSlot(array_type, Py_tp_alloc))(array_type, 0)) == NULL) {
        give_back(fitting);
    }
    else {
        array->memory = fitting;
    }
    *memory = NULL;
    return (PyObject *)array;
}

/* Return a new array, and its memory by the pointer. */
static PyObject *
array_new(size_t size, void **memory)
{
    void *made = take(size, 0);
    *memory = made;
    if (made == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    return array_of(&made, size);
}

/* ---- growing arrays ----------------------------------------------------------------------------------- */

typedef struct {
    uint32_t *at;
    size_t length, room;
} Column;

static int
column_reserve(Column *column, size_t room)
{
    if (room > column->room) {
        uint32_t *at = resize(column->at, room * sizeof(uint32_t));
        if (at == NULL) {
            return -1;
        }
        column->at = at;
        column->room = room;
    }
    return 0;
}

static void
column_free(Column *column)
{
    give_back(column->at);
    memset(column, 0, sizeof *column);
}

static PyObject *
column_take(Column *column)
{
    PyObject *array = array_of((void **)&column->at, column->length * sizeof(uint32_t));
    memset(column, 0, sizeof *column);
    return array;
}

static inline int
column_push(Column *column, uint32_t value)
{
    if (column->length == column->room && column_reserve(column, column->room + column->room / 2 + 1024) < 0) {
        return -1;
    }
    column->at[column->length++] = value;
    return 0;
}

/* ---- the page map --------------------------------------------------------------------------------------- */

#define PAGE_SHIFT 20
#define SLOT_SHIFT 4
#define SLOTS ((size_t)1 << (PAGE_SHIFT - SLOT_SHIFT))

typedef struct {
    uintptr_t page; /* number of the page plus one; 0: free */
    uint32_t *slots;
} Page;

typedef struct {
    Page *pages;
    size_t room, used; /* room is a power of two */
    uintptr_t last_page;
    uint32_t *last_slots;
    uint32_t **chunks; /* each holds TABLES tables, the first ALONE only one */
    size_t chunks_count, chunks_room, tables; /* tables: how many the last chunk has given out */
    size_t most; /* so many tables at most, each in a chunk of its own; 0: no bound */
} PageMap;

#define ALONE 16 /* so many tables for small heaps come one by one */
#define TABLES 16

static inline size_t
page_hash(uintptr_t page)
{
    return (size_t)((page * (uintptr_t)0x9E3779B97F4A7C15u) >> 20);
}

static void
map_free(PageMap *map)
{
    for (size_t i = 0; i < map->chunks_count; i++) {
        give_back(map->chunks[i]);
    }
    free(map->chunks);
    free(map->pages);
    memset(map, 0, sizeof *map);
}

/* Return a table of zeros; NULL when memory ran out. */
static uint32_t *
map_table(PageMap *map)
{
    if (map->most && map->chunks_count >= map->most) {
        return NULL;
    }
    if (!map->most && map->chunks_count > ALONE && map->tables < TABLES) {
        return map->chunks[map->chunks_count - 1] + SLOTS * map->tables++;
    }
    if (map->chunks_count == map->chunks_room) {
        size_t room = map->chunks_room * 2 + 64;
        uint32_t **chunks = realloc(map->chunks, room * sizeof(uint32_t *));
        if (chunks == NULL) {
            return NULL;
        }
        map->chunks = chunks;
        map->chunks_room = room;
    }
    uint32_t *chunk = take(SLOTS * sizeof(uint32_t) * (map->chunks_count < ALONE || map->most ? 1 : TABLES), 1);
    if (chunk != NULL) {
        map->chunks[map->chunks_count++] = chunk;
        map->tables = 1;
    }
    return chunk;
}

static int
map_grow(PageMap *map)
{
    size_t room = map->room ? map->room * 2 : 256;
    Page *pages = calloc(room, sizeof(Page));
    if (pages == NULL) {
        return -1;
    }
    for (size_t i = 0; i < map->room; i++) {
        if (map->pages[i].page) {
            size_t at = page_hash(map->pages[i].page) & (room - 1);
            while (pages[at].page) {
                at = (at + 1) & (room - 1);
            }
            pages[at] = map->pages[i];
        }
    }
    free(map->pages);
    map->pages = pages;
    map->room = room;
    return 0;
}

/* Return the table of a page, NULL when there is none or, with make, when memory ran out. */
static uint32_t *
map_page(PageMap *map, uintptr_t page, int make)
{
    if (map->used * 2 >= map->room && make && map_grow(map) < 0) {
        return NULL;
    }
    if (map->room == 0) {
        return NULL;
    }
    size_t at = page_hash(page) & (map->room - 1);
    while (map->pages[at].page && map->pages[at].page != page) {
        at = (at + 1) & (map->room - 1);
    }
    if (!map->pages[at].page) {
        if (!make) {
            return NULL;
        }
        uint32_t *slots = map_table(map);
        if (slots == NULL) {
            return NULL;
        }
        map->pages[at].slots = slots;
        map->pages[at].page = page;
        map->used++;
    }
    return map->pages[at].slots;
}

/* Return the entry of an address, made when it is not there; NULL when memory ran out. */
static inline uint32_t *
map_slot(PageMap *map, const void *address)
{
    uintptr_t page = ((uintptr_t)address >> PAGE_SHIFT) + 1;
    if (page != map->last_page) {
        uint32_t *slots = map_page(map, page, 1);
        if (slots == NULL) {
            return NULL;
        }
        map->last_page = page;
        map->last_slots = slots;
    }
    return &map->last_slots[((uintptr_t)address >> SLOT_SHIFT) & (SLOTS - 1)];
}

/* Return the entry of an address; NULL when its page was never met. Takes no memory. */
static inline uint32_t *
map_find(PageMap *map, const void *address)
{
    uintptr_t page = ((uintptr_t)address >> PAGE_SHIFT) + 1;
    if (page != map->last_page) {
        uint32_t *slots = map_page(map, page, 0);
        if (slots == NULL) {
            return NULL;
        }
        map->last_page = page;
        map->last_slots = slots;
    }
    return &map->last_slots[((uintptr_t)address >> SLOT_SHIFT) & (SLOTS - 1)];
}

/* ---- births: a bit for each slot, set when an object is made and cleared when it dies --------------------- */

/* PyRefTracer (Python 3.13) is outside the limited API: the caller looks the two functions up. */
typedef int (*RefTracer)(PyObject *, int, void *);
typedef int (*SetTracer)(RefTracer, void *);
typedef RefTracer (*GetTracer)(void **);

#define BIRTH_WORDS (SLOTS / 32)

static struct {
    PageMap map; /* tables of bits: BIRTH_WORDS entries each */
    SetTracer set;
    GetTracer get;
    RefTracer before; /* somebody's tracer, which goes on being told, and gets its place back */
    void *before_data;
    int armed, lost;
} births;

static uint32_t *
birth_word(const void *address, int make)
{
    uintptr_t page = ((uintptr_t)address >> PAGE_SHIFT) + 1;
    if (page != births.map.last_page) {
        PageMap *map = &births.map;
        if (map->used * 2 >= map->room && make && map_grow(map) < 0) {
            return NULL;
        }
        if (map->room == 0) {
            return NULL;
        }
        size_t at = page_hash(page) & (map->room - 1);
        while (map->pages[at].page && map->pages[at].page != page) {
            at = (at + 1) & (map->room - 1);
        }
        if (!map->pages[at].page) {
            uint32_t *words = make ? calloc(BIRTH_WORDS, sizeof(uint32_t)) : NULL;
            if (words == NULL) {
                return NULL;
            }
            map->pages[at].slots = words;
            map->pages[at].page = page;
            map->used++;
        }
        map->last_page = page;
        map->last_slots = map->pages[at].slots;
    }
    return &births.map.last_slots[(((uintptr_t)address >> SLOT_SHIFT) & (SLOTS - 1)) / 32];
}

static int
on_reference(PyObject *object, int event, void *Py_UNUSED(data))
{
    if (event > 1) {
        return 0; /* no birth and no death: another tracer takes our place (Python 3.14) */
    }
    uint32_t bit = 1u << (((uintptr_t)object >> SLOT_SHIFT) & 31);
    uint32_t *word = birth_word(object, event == 0);
    if (word != NULL) {
        *word = event == 0 ? *word | bit : *word & ~bit;
    }
    else if (event == 0) {
        births.lost = 1;
    }
    return births.before != NULL ? births.before(object, event, births.before_data) : 0;
}

static inline int
was_born(const void *object)
{
    uint32_t *word = birth_word(object, 0);
    return word != NULL && (*word >> (((uintptr_t)object >> SLOT_SHIFT) & 31)) & 1;
}

static PyObject *
births_begin(PyObject *Py_UNUSED(module), PyObject *args)
{
    unsigned long long set, get;
    if (!PyArg_ParseTuple(args, "KK:births_begin", &set, &get)) {
        return NULL;
    }
    if (births.armed) {
        return PyBool_FromLong(0); /* a window within a window */
    }
    births.set = (SetTracer)(uintptr_t)set;
    births.get = (GetTracer)(uintptr_t)get;
    births.lost = 0;
    births.before = births.get(&births.before_data);
    if (births.set(on_reference, NULL) < 0) {
        return NULL;
    }
    births.armed = 1;
    return PyBool_FromLong(1);
}

/* Whether every birth since the beginning was seen: somebody may have set a tracer of theirs meanwhile. */
static PyObject *
births_whole(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    return PyBool_FromLong(births.armed && !births.lost && births.get(NULL) == on_reference);
}

static PyObject *
births_end(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    if (births.armed && births.get(NULL) == on_reference && births.set(births.before, births.before_data) < 0) {
        return NULL;
    }
    births.before = NULL;
    births.armed = 0;
    for (size_t i = 0; i < births.map.room; i++) {
        free(births.map.pages[i].slots); /* words, not tables */
    }
    map_free(&births.map);
    return PyBool_FromLong(!births.lost);
}

/* ---- capture ---------------------------------------------------------------------------------------------- */

typedef struct {
    PyTypeObject *type; /* NULL: free */
    traverseproc traverse;
    inquiry is_gc;
    PyObject *sizer;    /* the descriptor of the first native __sizeof__; NULL: none, or a plain one */
    PyCFunction size_of; /* its function, where it is one of no arguments */
    PyObject *expander; /* a tuple of C getters whose values are references too */
    Py_ssize_t basic, item, header;
    uint32_t index;
    char gc, bare, plain, number, text, array, always;
} Kind;

typedef struct {
    PageMap map;
    Column type_of, size, refs, starts, edges, text_node; /* the first four have room for node_room nodes */
    uint64_t *address;
    int64_t *hashes;
    size_t node_room, hashes_room, count, listed; /* the first nodes are the list of tracked objects */
    Kind *kinds, *last;
    size_t kinds_room, kinds_used;
    PyTypeObject **types; /* in the order of first meeting; borrowed: a reference would be counted */
    size_t types_count, types_room;
    PyObject *expanders; /* ((type, getters, also where it is traversed), ...) */
    PyObject *arrays;    /* None or (ndarray, base, dtype, kind, flat) */
    PyObject *lookup;    /* getters of type: (mro, dict, basicsize, itemsize) */
    PyObject *sizeof_name, *sizer_type, *plain_sizer;
    unsigned long preheader; /* type flags that stand for two pointers before the object */
    PyObject *huge;      /* list of (number, size) */
    size_t number_size[3]; /* of exact ints of no, one and two digits of 30 bits; 0 where digits are others */
    uint8_t *flags;
    size_t limit, edges_limit;
    int bounded;         /* it has a budget of bytes: where it ends, so does the graph */
    int failed;          /* memory ran out, or a Python error is set */
    int complete;
} Capture;

static int
grow(void **memory, size_t wanted)
{
    void *at = resize(*memory, wanted);
    if (at == NULL) {
        return -1;
    }
    *memory = at;
    return 0;
}

/* Make room for what is kept of each node; one more start than nodes. */
static int
reserve_nodes(Capture *c, size_t room)
{
    if (grow((void **)&c->address, room * sizeof(uint64_t)) < 0 || grow((void **)&c->flags, room) < 0
        || column_reserve(&c->type_of, room) < 0
        || column_reserve(&c->size, room) < 0 || column_reserve(&c->refs, room) < 0
        || column_reserve(&c->starts, room + 1) < 0) {
        return -1;
    }
    c->node_room = room;
    return 0;
}

static int
number_object(Capture *c, PyObject *object, uint32_t *slot)
{
    if (c->count >= c->limit) {
        c->complete = 0;
        return 0;
    }
    if (c->count == c->node_room && reserve_nodes(c, c->node_room + c->node_room / 2 + 1024) < 0) {
        return -1;
    }
    c->address[c->count] = (uint64_t)(uintptr_t)object;
    *slot = (uint32_t)++c->count;
    return 0;
}

/* Return the entry of an object, NULL when there is none. Once the graph has all that it may have, and where the
 * budget for the map is spent, an object that is not in it gets no entry: it would cost memory for nothing. */
static inline uint32_t *
entry_of(Capture *c, PyObject *object)
{
    if (c->count < c->limit) {
        uint32_t *slot = map_slot(&c->map, object);
        if (slot != NULL || !c->bounded) {
            return slot;
        }
    }
    uint32_t *slot = map_find(&c->map, object);
    static uint32_t none;
    if (slot == NULL) {
        c->complete = 0;
        none = SKIPPED;
        return &none;
    }
    return slot;
}

static int
visit(PyObject *object, void *arg)
{
    Capture *c = arg;
    uint32_t *slot = entry_of(c, object);
    if (slot == NULL) {
        c->failed = 1;
        return 1;
    }
    if (*slot == 0 && number_object(c, object, slot) < 0) {
        c->failed = 1;
        return 1;
    }
    if (*slot == SKIPPED || *slot == 0) {
        return 0;
    }
    if (c->edges.length >= c->edges_limit) {
        c->complete = 0;
        return 0;
    }
    if (column_push(&c->edges, *slot - 1) < 0) {
        c->failed = 1;
        return 1;
    }
    return 0;
}

static int
kinds_grow(Capture *c)
{
    size_t room = c->kinds_room ? c->kinds_room * 2 : 1024;
    Kind *kinds = calloc(room, sizeof(Kind));
    if (kinds == NULL) {
        return -1;
    }
    for (size_t i = 0; i < c->kinds_room; i++) {
        if (c->kinds[i].type != NULL) {
            size_t at = page_hash((uintptr_t)c->kinds[i].type >> 4) & (room - 1);
            while (kinds[at].type != NULL) {
                at = (at + 1) & (room - 1);
            }
            kinds[at] = c->kinds[i];
        }
    }
    free(c->kinds);
    c->kinds = kinds;
    c->kinds_room = room;
    return 0;
}

/* Return a new reference to what a C getter of a type gives for an object; NULL, without error, for nothing. */
static PyObject *
get(PyObject *getter, PyObject *object)
{
    descrgetfunc read = (descrgetfunc)PyType_GetSlot(Py_TYPE(getter), Py_tp_descr_get);
    PyObject *value = read != NULL ? read(getter, object, (PyObject *)Py_TYPE(object)) : NULL;
    if (value == NULL) {
        PyErr_Clear();
    }
    else if (value == Py_None) {
        Py_DecRef(value);
        return NULL;
    }
    return value;
}

static Py_ssize_t
get_number(PyObject *getter, PyTypeObject *type)
{
    PyObject *value = get(getter, (PyObject *)type);
    Py_ssize_t number = value != NULL ? PyLong_AsSsize_t(value) : 0;
    PyErr_Clear();
    Py_DecRef(value);
    return number;
}

/* Return the first __sizeof__ in the order of method resolution that is written in C; borrowed from its class. */
static PyObject *
native_sizer(Capture *c, PyTypeObject *type)
{
    PyObject *found = NULL, *order = get(PyTuple_GetItem(c->lookup, 0), (PyObject *)type);
    for (Py_ssize_t i = 0; order != NULL && found == NULL && i < PyTuple_Size(order); i++) {
        PyObject *space = get(PyTuple_GetItem(c->lookup, 1), PyTuple_GetItem(order, i));
        PyObject *method = space != NULL ? PyObject_GetItem(space, c->sizeof_name) : NULL;
        PyErr_Clear();
        if (method != NULL && (PyObject *)Py_TYPE(method) == c->sizer_type) {
            found = method;
        }
        Py_DecRef(method);
        Py_DecRef(space);
    }
    Py_DecRef(order);
    return found;
}

/* Return the function behind a method descriptor, bound to an object to get at it; NULL if it takes arguments. */
static PyCFunction
function_of(PyObject *descriptor, PyObject *object)
{
    PyObject *bound = get(descriptor, object);
    PyCFunction found = NULL;
    if (bound != NULL && Py_TYPE(bound) == &PyCFunction_Type && PyCFunction_GetFlags(bound) == METH_NOARGS) {
        found = PyCFunction_GetFunction(bound);
    }
    Py_DecRef(bound);
    return found;
}

/* Fill in what is to be known of a type, once, when its first object is met. */
static int
describe_kind(Capture *c, Kind *kind, PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    unsigned long flags = PyType_GetFlags(type);
    PyObject *sizer = native_sizer(c, type);
    kind->bare = sizer == NULL;
    kind->plain = sizer == c->plain_sizer;
    kind->sizer = kind->plain ? NULL : sizer;
    kind->size_of = kind->sizer != NULL ? function_of(sizer, object) : NULL;
    kind->basic = get_number(PyTuple_GetItem(c->lookup, 2), type);
    kind->item = get_number(PyTuple_GetItem(c->lookup, 3), type);
    kind->gc = (flags & Py_TPFLAGS_HAVE_GC) != 0;
    kind->header = (Py_ssize_t)(2 * sizeof(void *)) * (kind->gc + ((flags & c->preheader) != 0));
    kind->traverse = kind->gc ? (traverseproc)PyType_GetSlot(type, Py_tp_traverse) : NULL;
    kind->is_gc = kind->gc ? (inquiry)PyType_GetSlot(type, Py_tp_is_gc) : NULL;
    kind->number = type == &PyLong_Type && c->number_size[0] != 0;
    kind->text = type == &PyUnicode_Type || type == &PyBytes_Type;
    kind->array = c->arrays != Py_None && PyType_IsSubtype(type, (PyTypeObject *)PyTuple_GetItem(c->arrays, 0));
    for (Py_ssize_t i = 0; i < PyTuple_Size(c->expanders); i++) {
        PyObject *entry = PyTuple_GetItem(c->expanders, i);
        if (PyTuple_GetItem(entry, 0) == (PyObject *)type) {
            kind->expander = PyTuple_GetItem(entry, 1);
            kind->always = PyTuple_GetItem(entry, 2) == Py_True;
        }
        if (kind->expander == NULL && PyTuple_GetItem(entry, 0) == (PyObject *)&PyType_Type
            && (flags & Py_TPFLAGS_TYPE_SUBCLASS)) {
            kind->expander = PyTuple_GetItem(entry, 1); /* a static type whose metaclass is not plain type */
        }
    }
    if (c->types_count == c->types_room) {
        size_t room = c->types_room * 2 + 256;
        PyTypeObject **types = realloc(c->types, room * sizeof(PyTypeObject *));
        if (types == NULL) {
            return -1;
        }
        c->types = types;
        c->types_room = room;
    }
    kind->index = (uint32_t)c->types_count;
    c->types[c->types_count++] = type;
    return 0;
}

static Kind *
kind_of(Capture *c, PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    if (c->last != NULL && c->last->type == type) {
        return c->last;
    }
    if (c->kinds_used * 2 >= c->kinds_room && kinds_grow(c) < 0) {
        return NULL;
    }
    size_t at = page_hash((uintptr_t)type >> 4) & (c->kinds_room - 1);
    while (c->kinds[at].type != NULL && c->kinds[at].type != type) {
        at = (at + 1) & (c->kinds_room - 1);
    }
    Kind *kind = &c->kinds[at];
    if (kind->type == NULL) {
        if (describe_kind(c, kind, object) < 0) {
            memset(kind, 0, sizeof *kind);
            return NULL;
        }
        kind->type = type;
        c->kinds_used++;
    }
    c->last = kind;
    return kind;
}

static size_t
shallow_size(const Capture *c, const Kind *kind, PyObject *object, int gc)
{
    if (kind->bare) {
        return 0;
    }
    Py_ssize_t header = gc ? kind->header : 0; /* a static type has none, though its type says so */
    if (kind->plain) {
        Py_ssize_t length = kind->item ? Py_SIZE(object) : 0;
        return (size_t)(kind->basic + header + kind->item * (length < 0 ? -length : length));
    }
    if (kind->number) {
        int overflow;
        long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
        unsigned long long digits = value < 0 ? 0ull - (unsigned long long)value : (unsigned long long)value;
        if (!overflow && digits >> 60 == 0) {
            return c->number_size[digits == 0 ? 0 : 1 + (digits >> 30 != 0)];
        }
    }
    PyObject *size = kind->size_of != NULL ? kind->size_of(object, NULL)
                                           : PyObject_CallFunctionObjArgs(kind->sizer, object, NULL);
    if (size == NULL) {
        PyErr_Clear(); /* a type that cannot size itself has no known size */
        return 0;
    }
    size_t value = PyLong_AsSize_t(size);
    Py_DecRef(size);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return value + (size_t)header;
}

/* Visit what C getters give: the value itself, or, where it was made for us alone, what it refers to. */
static int
expand(Capture *c, PyObject *getters, PyObject *object)
{
    for (Py_ssize_t i = 0; i < PyTuple_Size(getters); i++) {
        PyObject *value = get(PyTuple_GetItem(getters, i), object);
        if (value == NULL) {
            continue;
        }
        if (Py_REFCNT(value) > 1) {
            visit(value, c);
        }
        else if (PyType_GetFlags(Py_TYPE(value)) & Py_TPFLAGS_HAVE_GC) {
            traverseproc traverse = (traverseproc)PyType_GetSlot(Py_TYPE(value), Py_tp_traverse);
            if (traverse != NULL) {
                traverse(value, visit, c);
            }
        }
        Py_DecRef(value);
        if (c->failed) {
            return -1;
        }
    }
    return 0;
}

/* Visit an array's base or, when it owns objects, its elements. */
static int
expand_array(Capture *c, PyObject *array)
{
    PyObject *base = get(PyTuple_GetItem(c->arrays, 1), array);
    if (base != NULL) {
        visit(base, c);
        Py_DecRef(base);
        return c->failed ? -1 : 0;
    }
    PyObject *dtype = get(PyTuple_GetItem(c->arrays, 2), array);
    PyObject *kind = dtype != NULL ? get(PyTuple_GetItem(c->arrays, 3), dtype) : NULL;
    int holds = kind != NULL && PyUnicode_Check(kind) && PyUnicode_CompareWithASCIIString(kind, "O") == 0;
    Py_DecRef(kind);
    Py_DecRef(dtype);
    if (!holds) {
        return 0;
    }
    PyObject *flat = get(PyTuple_GetItem(c->arrays, 4), array);
    if (flat == NULL) {
        return 0;
    }
    iternextfunc next = (iternextfunc)PyType_GetSlot(Py_TYPE(flat), Py_tp_iternext);
    PyObject *item;
    while (next != NULL && !c->failed && (item = next(flat)) != NULL) {
        visit(item, c);
        Py_DecRef(item);
    }
    PyErr_Clear();
    Py_DecRef(flat);
    return c->failed ? -1 : 0;
}

static int
remember_text(Capture *c, PyObject *object, uint32_t number)
{
    Py_hash_t hash = PyObject_Hash(object); /* of an exact str or bytes: native, and kept in the object */
    if (hash == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    if (c->text_node.length == c->hashes_room) {
        size_t room = c->hashes_room + c->hashes_room / 2 + 1024;
        if (grow((void **)&c->hashes, room * sizeof(int64_t)) < 0) {
            return -1;
        }
        c->hashes_room = room;
    }
    c->hashes[c->text_node.length] = (int64_t)hash;
    return column_push(&c->text_node, number);
}

static int
ask(Capture *c, uint32_t number, PyObject *untraversed)
{
    PyObject *object = (PyObject *)(uintptr_t)c->address[number];
    const Kind *kind = kind_of(c, object); /* stays where it is until the next object is asked */
    if (kind == NULL) {
        return -1;
    }
    int gc = kind->gc && (kind->is_gc == NULL || kind->is_gc(object));
    size_t size = shallow_size(c, kind, object, gc);
    if (size >= NO_NODE) {
        PyObject *pair = Py_BuildValue("(kK)", (unsigned long)number, (unsigned long long)size);
        if (pair == NULL || PyList_Append(c->huge, pair) < 0) {
            Py_DecRef(pair);
            return -1;
        }
        Py_DecRef(pair);
        size = NO_NODE;
    }
    uint32_t refs = (uint32_t)Py_REFCNT(object);
    c->type_of.at[number] = kind->index;
    c->size.at[number] = (uint32_t)size;
    c->refs.at[number] = refs;
    c->flags[number] = (int32_t)refs < 0 ? IMMORTAL : 0;
    if (kind->text) {
        return remember_text(c, object, number);
    }
    int tracked = gc && PyObject_GC_IsTracked(object);
    c->flags[number] |= tracked ? TRACKED : 0;
    if (gc && kind->traverse != NULL && object != untraversed
        && (tracked || Py_TYPE(object) == &PyTuple_Type || Py_TYPE(object) == &PyDict_Type)) {
        kind->traverse(object, visit, c);
    }
    if (kind->array) {
        expand_array(c, object);
    }
    else if (kind->expander != NULL && (kind->always || !gc)) {
        expand(c, kind->expander, object);
    }
    return c->failed ? -1 : 0;
}

/* What will be asked soon is fetched from memory meanwhile; the collector's own words lie before the object. */
#define AHEAD 6
#if defined(__GNUC__)
#define FETCH(address) \
    (__builtin_prefetch((const char *)(uintptr_t)(address) - 16), __builtin_prefetch((const char *)(uintptr_t)(address) + 48))
#else
#define FETCH(address) ((void)0)
#endif

static double
now(void)
{
    struct timespec time;
    timespec_get(&time, TIME_UTC);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* Ask once what whole numbers take, instead of each of them. */
static int
size_numbers(Capture *c)
{
    const long long samples[5] = {0, 1, 1ll << 30, (1ll << 30) - 1, (1ll << 60) - 1};
    size_t sizes[5];
    for (int i = 0; i < 5; i++) {
        PyObject *number = PyLong_FromLongLong(samples[i]);
        PyObject *sizer = number != NULL ? native_sizer(c, &PyLong_Type) : NULL;
        PyObject *size = sizer != NULL ? PyObject_CallFunctionObjArgs(sizer, number, NULL) : NULL;
        sizes[i] = size != NULL ? PyLong_AsSize_t(size) : 0;
        Py_DecRef(size);
        Py_DecRef(number);
        if (PyErr_Occurred()) {
            return -1;
        }
    }
    if (sizes[3] == sizes[1] && sizes[4] == sizes[2]) { /* digits have 30 bits, as everywhere that we know of */
        memcpy(c->number_size, sizes, sizeof c->number_size);
    }
    return 0;
}

static int
number_list(Capture *c, PyObject *objects, int mark)
{
    Py_ssize_t length = PyList_Size(objects);
    for (Py_ssize_t i = 0; i < length; i++) {
        PyObject *object = PyList_GetItem(objects, i);
        uint32_t *slot = mark || c->count < c->limit ? map_slot(&c->map, object) : NULL;
        if (slot == NULL && !mark && (c->bounded || c->count >= c->limit)) { /* no more of them */
            c->complete = 0;
            if (PyList_SetSlice(objects, i, length, NULL) < 0) {
                return -1;
            }
            break;
        }
        if (slot == NULL) {
            return -1;
        }
        if (mark) {
            *slot = SKIPPED;
        }
        else if (*slot == SKIPPED) { /* out of the list, so that the n-th object is node n */
            if (PyList_SetSlice(objects, i, i + 1, NULL) < 0) {
                return -1;
            }
            i--;
            length--;
        }
        else if (*slot == 0 && number_object(c, object, slot) < 0) {
            return -1;
        }
    }
    c->listed = c->count;
    return 0;
}

static int
number_seeds(Capture *c, PyObject *seeds)
{
    for (Py_ssize_t i = 0; i < PyList_Size(seeds); i++) {
        PyObject *object = PyList_GetItem(seeds, i);
        uint32_t *slot = entry_of(c, object);
        if (slot == NULL || (*slot == 0 && number_object(c, object, slot) < 0)) {
            return -1;
        }
    }
    return 0;
}

/* Take away the references that our own list holds, so that what is left over comes from elsewhere. */
static void
discount(Capture *c, PyObject *objects)
{
    Py_ssize_t length = PyList_Size(objects);
    for (Py_ssize_t i = 0; i < length; i++) {
        uint32_t *slot = map_find(&c->map, PyList_GetItem(objects, i));
        if (slot != NULL && *slot != 0 && *slot != SKIPPED && *slot - 1 < c->count) {
            uint32_t *refs = &c->refs.at[*slot - 1];
            if ((int32_t)*refs > 0) {
                --*refs;
            }
        }
    }
}

/* Tell which objects have more references than were met: something outside the graph holds them. */
static int
account(Capture *c)
{
    uint32_t *met = take((c->count + 1) * sizeof(uint32_t), 1);
    if (met == NULL) {
        return -1;
    }
    for (size_t i = 0; i < c->edges.length; i++) {
        met[c->edges.at[i]]++;
    }
    for (size_t i = 0; i < c->count; i++) {
        if (!(c->flags[i] & IMMORTAL) && c->refs.at[i] > met[i]) {
            c->flags[i] |= EXTERNAL;
        }
        if (births.armed && was_born((const void *)(uintptr_t)c->address[i])) {
            c->flags[i] |= BORN;
        }
    }
    give_back(met);
    return 0;
}

/* Return the numbers of a list's objects as bytes. */
static PyObject *
numbers_of(Capture *c, PyObject *objects)
{
    Py_ssize_t length = PyList_Size(objects);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, length * 4);
    if (bytes == NULL) {
        return NULL;
    }
    uint32_t *number = (uint32_t *)PyBytes_AsString(bytes);
    for (Py_ssize_t i = 0; i < length; i++) {
        uint32_t *slot = map_find(&c->map, PyList_GetItem(objects, i));
        int known = slot != NULL && *slot != 0 && *slot != SKIPPED && *slot - 1 < c->count;
        number[i] = known ? *slot - 1 : NO_NODE;
    }
    return bytes;
}

/* Number the skipped objects, those of the list, and the seeds. A limit leaves room for the seeds, without which
 * nothing would have a root; a budget also for what only references lead to: text, bytes, numbers. */
static int
number_all(Capture *c, PyObject *objects, PyObject *seeds, PyObject *skip, size_t map_most)
{
    size_t limit = c->limit, wanted = (size_t)PyList_Size(seeds);
    if (number_list(c, skip, 1) < 0) {
        return -1;
    }
    c->limit = c->bounded ? limit / 2 : limit - (wanted < limit / 2 ? wanted : limit / 2);
    c->map.most = map_most / 2;
    int failed = number_list(c, objects, 0) < 0;
    c->limit = limit;
    c->map.most = map_most;
    return failed || number_seeds(c, seeds) < 0 ? -1 : 0;
}

static void
capture_free(Capture *c)
{
    map_free(&c->map);
    column_free(&c->type_of);
    column_free(&c->size);
    column_free(&c->refs);
    column_free(&c->starts);
    column_free(&c->edges);
    column_free(&c->text_node);
    give_back(c->address);
    give_back(c->flags);
    give_back(c->hashes);
    free(c->kinds);
    free(c->types);
    Py_DecRef(c->huge);
}

static PyObject *
capture(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *objects, *seeds, *skip, *untraversed;
    Capture c;
    unsigned long long limit, budget;
    double seconds;
    memset(&c, 0, sizeof c);
    if (!PyArg_ParseTuple(args, "OOOOOOOOOOkKdK:capture", &objects, &seeds, &skip, &untraversed, &c.expanders,
                          &c.arrays, &c.lookup, &c.sizeof_name, &c.sizer_type, &c.plain_sizer, &c.preheader, &limit,
                          &seconds, &budget)) {
        return NULL;
    }
    if (!PyList_Check(objects) || !PyList_Check(seeds) || !PyList_Check(skip) || !PyTuple_Check(c.expanders)
        || !PyTuple_Check(c.lookup) || PyTuple_Size(c.lookup) != 4
        || (c.arrays != Py_None && (!PyTuple_Check(c.arrays) || PyTuple_Size(c.arrays) != 5))) {
        PyErr_SetString(PyExc_TypeError, "capture: three lists, then tuples of C getters");
        return NULL;
    }
    c.limit = limit < NO_NODE - 2 ? (size_t)limit : NO_NODE - 2;
    c.edges_limit = NO_NODE - 1;
    c.complete = 1;
    size_t map_most = 0;
    if (budget) { /* half for the map, a quarter for references, a quarter for what is kept of each object */
        size_t most = budget < (size_t)PTRDIFF_MAX ? (size_t)budget : (size_t)PTRDIFF_MAX;
        c.bounded = 1;
        map_most = most / 2 / (SLOTS * sizeof(uint32_t)) + 2;
        c.edges_limit = most / 4 / sizeof(uint32_t) < c.edges_limit ? most / 4 / sizeof(uint32_t) : c.edges_limit;
        c.limit = most / 160 + 1 < c.limit ? most / 160 + 1 : c.limit;
    }
    int collecting = PyGC_Disable();
    double deadline = seconds > 0 ? now() + seconds : 0;
    PyObject *result = NULL, *seed_numbers = NULL;
    c.huge = PyList_New(0);
    size_t expected = (size_t)PyList_Size(objects) + (size_t)PyList_Size(objects) / 2 + 4096;
    if (c.huge == NULL || column_reserve(&c.edges, expected < c.edges_limit ? expected : c.edges_limit) < 0
        || reserve_nodes(&c, expected < c.limit ? expected : c.limit) < 0 || size_numbers(&c) < 0
        || number_all(&c, objects, seeds, skip, map_most) < 0) {
        goto failed;
    }
    uint32_t number = 0;
    for (; number < c.count; number++) {
        if (deadline != 0 && (number & 0x3FFF) == 0 && now() > deadline) {
            break;
        }
        if (number + AHEAD < c.count) {
            FETCH(c.address[number + AHEAD]);
        }
        c.starts.at[number] = (uint32_t)c.edges.length;
        if (ask(&c, number, untraversed) < 0) {
            goto failed;
        }
    }
    if (number < c.count) { /* out of time: what was not asked is left out, and the references to it */
        c.complete = 0;
        c.count = number;
        size_t kept = 0;
        uint32_t at = 0;
        for (uint32_t i = 0; i < number; i++) {
            size_t end = i + 1 < number ? c.starts.at[i + 1] : c.edges.length;
            size_t begin = at;
            at = (uint32_t)end;
            c.starts.at[i] = (uint32_t)kept;
            for (size_t e = begin; e < end; e++) {
                if (c.edges.at[e] < number) {
                    c.edges.at[kept++] = c.edges.at[e];
                }
            }
        }
        c.edges.length = kept;
    }
    c.starts.at[c.count] = (uint32_t)c.edges.length;
    c.starts.length = c.count + 1;
    c.type_of.length = c.size.length = c.count;
    for (size_t i = 0; i < c.listed && i < c.count; i++) { /* the list of tracked objects itself */
        c.refs.at[i] -= (int32_t)c.refs.at[i] > 0;
    }
    discount(&c, seeds);
    seed_numbers = numbers_of(&c, seeds);
    if (seed_numbers == NULL) {
        goto failed;
    }
    map_free(&c.map);
    if (account(&c) < 0) {
        goto failed;
    }
    column_free(&c.refs);
    size_t texts = c.text_node.length;
    PyObject *parts[8] = {
        array_of((void **)&c.address, c.count * 8),
        column_take(&c.type_of),
        column_take(&c.size),
        array_of((void **)&c.flags, c.count),
        column_take(&c.starts),
        column_take(&c.edges),
        column_take(&c.text_node),
        array_of((void **)&c.hashes, texts * 8),
    };
    PyObject *types = PyList_New((Py_ssize_t)c.types_count);
    int whole = types != NULL;
    for (size_t i = 0; whole && i < c.types_count; i++) {
        Py_IncRef((PyObject *)c.types[i]);
        whole = PyList_SetItem(types, (Py_ssize_t)i, (PyObject *)c.types[i]) == 0;
    }
    for (int i = 0; i < 8; i++) {
        whole &= parts[i] != NULL;
    }
    if (whole) {
        result = Py_BuildValue("(OOOOOOOOOOOO)", parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], parts[6],
                               parts[7], seed_numbers, types, c.huge, c.complete ? Py_True : Py_False);
    }
    for (int i = 0; i < 8; i++) {
        Py_DecRef(parts[i]);
    }
    Py_DecRef(types);
    goto done;
failed:
    if (!PyErr_Occurred()) {
        PyErr_NoMemory();
    }
done:
    Py_DecRef(seed_numbers);
    capture_free(&c);
    if (collecting) {
        PyGC_Enable();
    }
    return result;
}

/* ---- graph algorithms --------------------------------------------------------------------------------------- */

typedef struct {
    Py_buffer starts, edges;
    const uint32_t *start, *edge;
    size_t nodes;
} Graph;

static void
graph_release(Graph *graph)
{
    if (graph->starts.obj != NULL) {
        PyBuffer_Release(&graph->starts);
    }
    if (graph->edges.obj != NULL) {
        PyBuffer_Release(&graph->edges);
    }
}

/* Check once what every loop below relies on. */
static int
graph_read(Graph *graph, PyObject *starts, PyObject *edges)
{
    memset(graph, 0, sizeof *graph);
    if (PyObject_GetBuffer(starts, &graph->starts, PyBUF_SIMPLE) < 0
        || PyObject_GetBuffer(edges, &graph->edges, PyBUF_SIMPLE) < 0) {
        graph_release(graph);
        return -1;
    }
    graph->start = graph->starts.buf;
    graph->edge = graph->edges.buf;
    size_t rows = (size_t)graph->starts.len / 4, length = (size_t)graph->edges.len / 4;
    int good = rows >= 1 && rows <= NO_NODE && graph->start[0] == 0 && graph->start[rows - 1] == length;
    graph->nodes = good ? rows - 1 : 0;
    for (size_t i = 0; good && i < graph->nodes; i++) {
        good = graph->start[i] <= graph->start[i + 1];
    }
    for (size_t i = 0; good && i < length; i++) {
        good = graph->edge[i] < graph->nodes;
    }
    if (!good) {
        graph_release(graph);
        PyErr_SetString(PyExc_ValueError, "graph: starts and edges do not fit together");
        return -1;
    }
    return 0;
}

/* Read an array argument of a known item size and, unless length is 0, of a known length. */
static int
array_read(PyObject *object, Py_buffer *buffer, size_t item, size_t length)
{
    if (PyObject_GetBuffer(object, buffer, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    if ((size_t)buffer->len % item || (length && (size_t)buffer->len / item != length)) {
        PyBuffer_Release(buffer);
        PyErr_SetString(PyExc_ValueError, "graph: an array has not the length of the graph");
        return -1;
    }
    return 0;
}

static PyObject *
reverse(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *starts, *edges, *result = NULL;
    Graph g;
    if (!PyArg_ParseTuple(args, "OO:reverse", &starts, &edges) || graph_read(&g, starts, edges) < 0) {
        return NULL;
    }
    size_t length = (size_t)g.edges.len / 4;
    void *start_memory, *holder_memory;
    PyObject *start_array = array_new((g.nodes + 1) * 4, &start_memory);
    PyObject *holder_array = start_array != NULL ? array_new(length * 4, &holder_memory) : NULL;
    if (holder_array != NULL) {
        uint32_t *at = start_memory, *holder = holder_memory;
        Py_BEGIN_ALLOW_THREADS;
        memset(at, 0, (g.nodes + 1) * 4);
        for (size_t i = 0; i < length; i++) {
            at[g.edge[i] + 1]++;
        }
        for (size_t v = 0; v < g.nodes; v++) {
            at[v + 1] += at[v];
        }
        /* Filled from the back, so that each entry ends as the start of its row and holders ascend. */
        for (size_t v = g.nodes; v-- > 0;) {
            for (size_t i = g.start[v + 1]; i-- > g.start[v];) {
                holder[--at[g.edge[i] + 1]] = (uint32_t)v;
            }
        }
        memmove(at, at + 1, g.nodes * 4);
        at[g.nodes] = (uint32_t)length;
        Py_END_ALLOW_THREADS;
        result = PyTuple_Pack(2, start_array, holder_array);
    }
    Py_DecRef(start_array);
    Py_DecRef(holder_array);
    graph_release(&g);
    return result;
}

static PyObject *
breadth_first(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *starts, *edges, *seeds, *closed, *result = NULL;
    Py_buffer seed_buffer = {0}, closed_buffer = {0};
    Graph g;
    if (!PyArg_ParseTuple(args, "OOOO:breadth_first", &starts, &edges, &seeds, &closed)
        || graph_read(&g, starts, edges) < 0) {
        return NULL;
    }
    PyObject *parent_array = NULL;
    void *parent_memory, *queue_memory = NULL;
    if (array_read(seeds, &seed_buffer, 4, 0) < 0 || array_read(closed, &closed_buffer, 1, g.nodes) < 0) {
        goto done;
    }
    const uint32_t *seed = seed_buffer.buf;
    const uint8_t *shut = closed_buffer.buf;
    size_t count = (size_t)seed_buffer.len / 4, end = 0;
    for (size_t i = 0; i < count; i++) {
        if (seed[i] >= g.nodes) {
            PyErr_SetString(PyExc_ValueError, "graph: a seed is no node");
            goto done;
        }
    }
    parent_array = array_new(g.nodes * 4, &parent_memory);
    if (parent_array == NULL) {
        goto done;
    }
    queue_memory = take((g.nodes + 1) * 4, 0);
    if (queue_memory == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    uint32_t *parent = parent_memory, *queue = queue_memory;
    Py_BEGIN_ALLOW_THREADS;
    memset(parent, 0xFF, g.nodes * 4);
    for (size_t i = 0; i < count; i++) {
        if (parent[seed[i]] == NO_NODE && !shut[seed[i]]) {
            parent[seed[i]] = seed[i];
            queue[end++] = seed[i];
        }
    }
    for (size_t at = 0; at < end; at++) {
        uint32_t v = queue[at];
        for (size_t i = g.start[v]; i < g.start[v + 1]; i++) {
            uint32_t w = g.edge[i];
            if (parent[w] == NO_NODE && !shut[w]) {
                parent[w] = v;
                queue[end++] = w;
            }
        }
    }
    Py_END_ALLOW_THREADS;
    PyObject *order_array = array_of(&queue_memory, end * 4);
    if (order_array != NULL) {
        result = PyTuple_Pack(2, parent_array, order_array);
        Py_DecRef(order_array);
    }
done:
    give_back(queue_memory);
    Py_DecRef(parent_array);
    if (seed_buffer.obj != NULL) {
        PyBuffer_Release(&seed_buffer);
    }
    if (closed_buffer.obj != NULL) {
        PyBuffer_Release(&closed_buffer);
    }
    graph_release(&g);
    return result;
}

/* Everything below in numbers of a depth-first order: 0 is the virtual root above all roots. */
typedef struct {
    uint32_t *number;   /* node -> place in the order, 0: not reached */
    uint32_t *vertex;   /* place -> node */
    uint32_t *parent;   /* place -> place; made shorter by compression */
    uint32_t *dominator;
    uint32_t *semi;
    uint32_t *label;
    uint32_t *start, *holder; /* predecessors by place */
    uint32_t *stack;
    size_t reached;
} Search;

static void
search_free(Search *s)
{
    give_back(s->number);
    give_back(s->vertex);
    give_back(s->parent);
    give_back(s->dominator);
    give_back(s->semi);
    give_back(s->label);
    give_back(s->start);
    give_back(s->holder);
    give_back(s->stack);
}

static void
depth_first(const Graph *g, Search *s, const uint32_t *root, size_t roots)
{
    /* semi serves as the cursor into each open row, label as the stack of open places. */
    uint32_t *cursor = s->semi, *open = s->label;
    s->reached = 1;
    for (size_t r = 0; r < roots; r++) {
        if (s->number[root[r]]) {
            continue;
        }
        size_t depth = 0;
        uint32_t v = root[r], up = 0;
        for (;;) {
            uint32_t place = (uint32_t)s->reached++;
            s->number[v] = place;
            s->vertex[place] = v;
            s->parent[place] = up;
            cursor[place] = g->start[v];
            open[depth++] = place;
            int down = 0;
            while (depth && !down) {
                up = open[depth - 1];
                uint32_t end = g->start[s->vertex[up] + 1];
                while (cursor[up] < end) {
                    uint32_t w = g->edge[cursor[up]++];
                    if (!s->number[w]) {
                        v = w;
                        down = 1;
                        break;
                    }
                }
                depth -= !down;
            }
            if (!down) {
                break;
            }
        }
    }
}

static int
predecessors(const Graph *g, Search *s)
{
    size_t total = 0;
    for (size_t place = 1; place < s->reached; place++) {
        uint32_t v = s->vertex[place];
        for (size_t i = g->start[v]; i < g->start[v + 1]; i++) {
            s->start[s->number[g->edge[i]]]++;
            total++;
        }
    }
    s->holder = take((total + 1) * 4, 0);
    if (s->holder == NULL) {
        return -1;
    }
    uint32_t sum = 0;
    for (size_t place = 0; place < s->reached; place++) {
        sum += s->start[place];
        s->start[place] = sum;
    }
    for (size_t place = s->reached; place-- > 1;) {
        uint32_t v = s->vertex[place];
        for (size_t i = g->start[v]; i < g->start[v + 1]; i++) {
            s->holder[--s->start[s->number[g->edge[i]]]] = (uint32_t)place;
        }
    }
    s->start[s->reached] = sum;
    return 0;
}

/* Return the place with the least semi-dominator on the way from v up to what is not linked yet. */
static uint32_t
evaluate(Search *s, uint32_t v, uint32_t linked)
{
    if (s->parent[v] < linked) {
        return s->label[v];
    }
    size_t depth = 0;
    do {
        s->stack[depth++] = v;
        v = s->parent[v];
    } while (s->parent[v] >= linked);
    uint32_t above = v, best = s->label[v];
    do {
        v = s->stack[--depth];
        s->parent[v] = s->parent[above];
        if (s->semi[best] < s->semi[s->label[v]]) {
            s->label[v] = best;
        }
        else {
            best = s->label[v];
        }
        above = v;
    } while (depth);
    return s->label[v];
}

static void
semi_nca(Search *s, const uint8_t *is_root)
{
    for (size_t place = 0; place < s->reached; place++) {
        s->semi[place] = s->label[place] = (uint32_t)place;
        s->dominator[place] = s->parent[place];
    }
    for (size_t place = s->reached; place-- > 1;) {
        uint32_t least = s->parent[place];
        if (is_root[s->vertex[place]]) {
            least = 0;
        }
        else {
            for (size_t i = s->start[place]; i < s->start[place + 1]; i++) {
                uint32_t semi = s->semi[evaluate(s, s->holder[i], (uint32_t)place + 1)];
                if (semi < least) {
                    least = semi;
                }
            }
        }
        s->semi[place] = least;
    }
    for (size_t place = 1; place < s->reached; place++) {
        uint32_t above = s->dominator[place];
        while (above > s->semi[place]) {
            above = s->dominator[above];
        }
        s->dominator[place] = above;
    }
}

static PyObject *
dominate(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *starts, *edges, *roots, *sizes, *result = NULL, *parent_array = NULL, *retained_array = NULL;
    Py_buffer root_buffer = {0}, size_buffer = {0};
    Graph g;
    Search s;
    uint8_t *is_root = NULL;
    memset(&s, 0, sizeof s);
    if (!PyArg_ParseTuple(args, "OOOO:dominate", &starts, &edges, &roots, &sizes)
        || graph_read(&g, starts, edges) < 0) {
        return NULL;
    }
    size_t n = g.nodes;
    if (array_read(roots, &root_buffer, 4, 0) < 0 || array_read(sizes, &size_buffer, 8, n) < 0) {
        goto done;
    }
    const uint32_t *root = root_buffer.buf;
    const int64_t *size = size_buffer.buf;
    size_t count = (size_t)root_buffer.len / 4;
    is_root = take(n + 1, 1);
    s.number = take((n + 1) * 4, 1);
    s.vertex = take((n + 1) * 4, 0);
    s.parent = take((n + 2) * 4, 0);
    s.semi = take((n + 1) * 4, 0);
    s.label = take((n + 1) * 4, 0);
    if (!is_root || !s.number || !s.vertex || !s.parent || !s.semi || !s.label) {
        PyErr_NoMemory();
        goto done;
    }
    for (size_t i = 0; i < count; i++) {
        if (root[i] >= n) {
            PyErr_SetString(PyExc_ValueError, "graph: a root is no node");
            goto done;
        }
        is_root[root[i]] = 1;
    }
    int whole = 1;
    Py_BEGIN_ALLOW_THREADS;
    s.parent[0] = 0;
    s.vertex[0] = (uint32_t)n;
    depth_first(&g, &s, root, count);
    s.start = take((s.reached + 1) * 4, 1);
    s.dominator = take((s.reached + 1) * 4, 0);
    whole = s.start != NULL && s.dominator != NULL && predecessors(&g, &s) == 0;
    give_back(s.number);
    s.number = NULL;
    s.stack = whole ? take((s.reached + 1) * 4, 0) : NULL;
    whole = whole && s.stack != NULL;
    if (whole) {
        semi_nca(&s, is_root);
        give_back(s.holder);
        give_back(s.start);
        give_back(s.stack);
        give_back(s.semi);
        give_back(s.label);
        s.holder = s.start = s.stack = s.semi = s.label = NULL;
    }
    Py_END_ALLOW_THREADS;
    if (!whole) {
        PyErr_NoMemory();
        goto done;
    }
    void *parent_memory, *retained_memory;
    parent_array = array_new(n * 4, &parent_memory);
    retained_array = parent_array != NULL ? array_new(n * 8, &retained_memory) : NULL;
    if (retained_array != NULL) {
        uint32_t *parent = parent_memory;
        int64_t *retained = retained_memory;
        Py_BEGIN_ALLOW_THREADS;
        memset(parent, 0xFF, n * 4);
        memcpy(retained, size, n * 8);
        for (size_t place = s.reached; place-- > 1;) {
            uint32_t v = s.vertex[place], above = s.vertex[s.dominator[place]];
            parent[v] = above;
            if (above < n) {
                retained[above] += retained[v];
            }
        }
        Py_END_ALLOW_THREADS;
        result = PyTuple_Pack(2, parent_array, retained_array);
    }
done:
    give_back(is_root);
    search_free(&s);
    Py_DecRef(parent_array);
    Py_DecRef(retained_array);
    if (root_buffer.obj != NULL) {
        PyBuffer_Release(&root_buffer);
    }
    if (size_buffer.obj != NULL) {
        PyBuffer_Release(&size_buffer);
    }
    graph_release(&g);
    return result;
}

/* Add up, by type, what nodes retain that have no dominator of their own type above them. */
static int
add_by_type(const uint32_t *parent, const uint32_t *type, const int64_t *size, size_t n, size_t types, int64_t *total)
{
    uint32_t *first = take((n + 2) * 4, 0), *child = take((n + 1) * 4, 0), *order = take((n + 1) * 4, 0);
    uint32_t *above = take((types + 1) * 4, 1);
    int64_t *retained = take((n + 1) * 8, 0);
    int good = first && child && order && above && retained;
    if (good) {
        memset(first, 0, (n + 2) * 4);
        for (size_t v = 0; v < n; v++) {
            if (parent[v] <= n) {
                first[parent[v] + 1]++;
            }
            else {
                total[type[v]] += size[v];
            }
        }
        for (size_t v = 0; v <= n; v++) {
            first[v + 1] += first[v];
        }
        for (size_t v = 0; v < n; v++) {
            if (parent[v] <= n) {
                child[first[parent[v]]++] = (uint32_t)v;
            }
        }
        memmove(first + 1, first, (n + 1) * 4);
        first[0] = 0;
        /* Level by level, so that parents come before their children. */
        size_t end = 0;
        memcpy(retained, size, n * 8);
        for (size_t i = first[n]; i < first[n + 1]; i++) {
            order[end++] = child[i];
        }
        for (size_t at = 0; at < end; at++) {
            for (size_t i = first[order[at]]; i < first[order[at] + 1]; i++) {
                order[end++] = child[i];
            }
        }
        for (size_t at = end; at-- > 0;) {
            if (parent[order[at]] < n) {
                retained[parent[order[at]]] += retained[order[at]];
            }
        }
        /* Depth first, counting the open nodes of each type; order is free now and serves as the stack. */
        size_t depth = 0;
        uint32_t v = (uint32_t)n, cursor;
        for (size_t i = 0; i < n + 1; i++) {
            order[i] = 0;
        }
        uint32_t *stack = order;
        uint32_t *next = first; /* moved forward as rows are read: row v ends where row v + 1 began */
        uint32_t *row_end = take((n + 1) * 4, 0);
        good = row_end != NULL;
        if (good) {
            memcpy(row_end, first + 1, (n + 1) * 4);
            for (;;) {
                cursor = next[v];
                if (cursor < row_end[v]) {
                    next[v]++;
                    stack[depth++] = v;
                    v = child[cursor];
                    if (above[type[v]]++ == 0) {
                        total[type[v]] += retained[v];
                    }
                }
                else {
                    if (v == n) {
                        break;
                    }
                    above[type[v]]--;
                    v = stack[--depth];
                }
            }
        }
        give_back(row_end);
    }
    give_back(first);
    give_back(child);
    give_back(order);
    give_back(above);
    give_back(retained);
    return good ? 0 : -1;
}

static PyObject *
retained_by_type(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *objects[3], *result = NULL;
    Py_buffer buffers[3] = {{0}, {0}, {0}};
    unsigned long types;
    if (!PyArg_ParseTuple(args, "OOOk:retained_by_type", &objects[0], &objects[1], &objects[2], &types)) {
        return NULL;
    }
    if (array_read(objects[0], &buffers[0], 4, 0) < 0) {
        return NULL;
    }
    size_t n = (size_t)buffers[0].len / 4;
    if (array_read(objects[1], &buffers[1], 4, 0) < 0 || array_read(objects[2], &buffers[2], 8, 0) < 0) {
        goto done;
    }
    const uint32_t *parent = buffers[0].buf, *type = buffers[1].buf;
    int good = (size_t)buffers[1].len / 4 == n && (size_t)buffers[2].len / 8 == n;
    for (size_t i = 0; good && i < n; i++) {
        good = type[i] < types && (parent[i] <= n || parent[i] == NO_NODE);
    }
    if (!good) {
        PyErr_SetString(PyExc_ValueError, "graph: parents, types and sizes do not fit together");
        goto done;
    }
    result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(types * 8));
    if (result != NULL) {
        int64_t *total = (int64_t *)PyBytes_AsString(result);
        int done_well;
        Py_BEGIN_ALLOW_THREADS;
        memset(total, 0, types * 8);
        done_well = add_by_type(parent, type, buffers[2].buf, n, types, total) == 0;
        Py_END_ALLOW_THREADS;
        if (!done_well) {
            Py_DecRef(result);
            result = NULL;
            PyErr_NoMemory();
        }
    }
done:
    for (int i = 0; i < 3; i++) {
        if (buffers[i].obj != NULL) {
            PyBuffer_Release(&buffers[i]);
        }
    }
    return result;
}

/* ---- the module ------------------------------------------------------------------------------------------------ */

static PyMethodDef methods[] = {
    {"capture", capture, METH_VARARGS,
     "capture(objects, seeds, skip, untraversed, expanders, arrays, lookup, sizeof_name, sizer_type, plain_sizer, "
     "preheader, limit, seconds)"},
    {"births_begin", births_begin, METH_VARARGS, "births_begin(set_tracer, get_tracer) -> bool"},
    {"births_whole", births_whole, METH_NOARGS, "births_whole() -> bool: False when births were lost so far"},
    {"births_end", births_end, METH_NOARGS, "births_end() -> bool: False when births were lost"},
    {"reverse", reverse, METH_VARARGS, "reverse(starts, edges) -> (starts, holders)"},
    {"breadth_first", breadth_first, METH_VARARGS, "breadth_first(starts, edges, seeds, closed) -> (parent, order)"},
    {"dominate", dominate, METH_VARARGS, "dominate(starts, edges, roots, sizes) -> (parent, retained)"},
    {"retained_by_type", retained_by_type, METH_VARARGS, "retained_by_type(parent, type_of, sizes, types) -> totals"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "memlab._native.heapgraph", "Heap capture and graph algorithms in C.", -1, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC
PyInit_heapgraph(void)
{
    array_type = (PyTypeObject *)PyType_FromSpec(&array_spec);
    return array_type != NULL ? PyModule_Create(&definition) : NULL;
}
