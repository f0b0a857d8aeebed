/* A cache's quick path: look up a key that is there, store a value in place of another, and, where entries do not
 * end and nobody is called back, store a new key and evict the oldest.
 *
 * It is the twin of Cache.get and put in lab/caches/base.py and of TimedCache's in lab/caches/ttl.py. What is
 * rare is handed to Python, as methods of the same cache: other new keys (`_insert_in_python`, `_insert_timed`), a
 * look-up while entries end (`_get_ending`), a lifetime that makes no sense (`_put_in_python`).
 *
 * The interpreter lets another thread run, and signals in, only where Python code runs: here in the hash and the
 * equality of keys, in a clock that is not the interpreter's, in what the collector calls when an entry is made,
 * and in the end of a value that was replaced or evicted, which comes last. Between the moment a key's entry was
 * found and its last use is written, nothing else happens; so no lock is needed, and an entry that is written is
 * one that is in the cache. Ticks are never given twice: Python's part draws them here.
 *
 * Storing a new key takes the cache's lock, as Python's part does, but never waits for it. Between taking it and
 * giving it back no Python code runs: the keys, all that were ever stored, are texts and whole numbers, and the
 * lock is the interpreter's own.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <structmember.h>
#include <time.h>

typedef struct {
    PyObject_HEAD
    PyObject *key, *value;
    long long used; /* the tick of its last use */
} Entry;

typedef struct {
    Entry entry;
    double expires;
    double due; /* when the entry is looked at for its end: not after it */
} TimedEntry;

typedef struct {
    PyObject_HEAD
    PyObject *entries; /* a dict of entries */
    PyObject *order;   /* a list of keys, the longest unused last, as they were at the tick `sorted` */
    PyObject *lock;    /* an RLock */
    long long ticks, puts, missed, sorted, evictions;
    Py_ssize_t bound;
    char strange; /* a key that is not plain was stored */
} QuickCache;

typedef struct {
    QuickCache cache;
    PyObject *clock;
    char reads_kernel; /* the clock is the kernel's monotonic one */
    double soonest;  /* no entry ends before */
    double lifetime; /* of an entry whose own is not told */
} QuickTimedCache;

enum { KEY, VALUE, DEFAULT, TTL, PUT, INSERT, INSERT_TIMED, GET_ENDING, ACQUIRE, RELEASE, ON_EVICT, WORDS };

static const char *const TEXTS[WORDS] = {
    "key", "value", "default", "ttl", "_put_in_python", "_insert_in_python", "_insert_timed", "_get_ending",
    "acquire", "release", "on_evict",
};
static PyObject *words[WORDS];
static PyTypeObject *entry_type, *timed_entry_type;

/* -- arguments */

/* Sort arguments into `found`, whose names are words[names_of[0]] to words[names_of[most - 1]]; those not given stay as they are.
 * Returns -1 with an error set when they are wrong. */
static int
sort_out(const char *function, PyObject *const *args, Py_ssize_t count, PyObject *names, const int *names_of,
         Py_ssize_t least, Py_ssize_t most, PyObject **found)
{
    Py_ssize_t named = names != NULL ? PyTuple_Size(names) : 0;
    if (count > most) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %zd arguments (%zd given)", function, most,
                     count + named);
        return -1;
    }
    unsigned given = 0;
    for (Py_ssize_t at = 0; at < count; at++) {
        found[at] = args[at];
        given |= 1u << at;
    }
    for (Py_ssize_t at = 0; at < named; at++) {
        PyObject *name = PyTuple_GetItem(names, at);
        Py_ssize_t which = 0;
        while (which < most && PyUnicode_Compare(name, words[names_of[which]]) != 0) {
            which++;
        }
        if (PyErr_Occurred()) {
            return -1;
        }
        if (which == most) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument %R", function, name);
            return -1;
        }
        if (given & 1u << which) {
            PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument %R", function, name);
            return -1;
        }
        found[which] = args[count + at];
        given |= 1u << which;
    }
    for (Py_ssize_t at = 0; at < least; at++) {
        if (!(given & 1u << at)) {
            PyErr_Format(PyExc_TypeError, "%s() missing a required argument: %R", function,
                         words[names_of[at]]);
            return -1;
        }
    }
    return 0;
}

/* -- the steps */

static int
is_ready(QuickCache *cache)
{
    if (cache->entries == NULL) {
        PyErr_SetString(PyExc_AttributeError, "this cache was never set up: its __init__ was not called");
        return 0;
    }
    return 1;
}

/* Return the entry of a key; NULL without an error: none is there. */
static Entry *
find(QuickCache *cache, PyObject *key, PyTypeObject *type)
{
    PyObject *entries = cache->entries;
    if (entries == NULL) {
        PyErr_SetString(PyExc_AttributeError, "_entries");
        return NULL;
    }
    Py_IncRef(entries); /* a key's own code may do anything */
    PyObject *entry = PyDict_GetItemWithError(entries, key);
    Py_IncRef(entry);
    Py_DecRef(entries);
    if (entry != NULL && !PyObject_TypeCheck(entry, type)) {
        PyErr_SetString(PyExc_TypeError, "a cache's entries are no entries");
        Py_DecRef(entry);
        return NULL;
    }
    return (Entry *)entry;
}

static PyObject *
look_up(QuickCache *cache, PyObject *key, PyObject *otherwise)
{
    Entry *entry = find(cache, key, entry_type);
    PyObject *value = otherwise;
    if (entry != NULL) {
        value = entry->value;
        if (value == NULL) {
            PyErr_SetString(PyExc_AttributeError, "value");
        }
        else {
            entry->used = cache->ticks++;
        }
    }
    else if (PyErr_Occurred()) {
        return NULL;
    }
    else {
        cache->missed++;
    }
    Py_IncRef(value);
    Py_DecRef((PyObject *)entry);
    return value;
}

/* Give an entry another value, let go of the entry, and return None. The value before goes last: its end may run
 * anything. */
static PyObject *
replace(QuickCache *cache, Entry *entry, PyObject *value)
{
    PyObject *before = entry->value;
    Py_IncRef(value);
    entry->value = value;
    entry->used = cache->ticks++;
    Py_DecRef((PyObject *)entry);
    Py_DecRef(before);
    Py_IncRef(Py_None);
    return Py_None;
}

/* What Python's part draws and counts. */

static PyObject *
tick(QuickCache *cache, PyObject *Py_UNUSED(nothing))
{
    return PyLong_FromLongLong(cache->ticks++);
}

static PyObject *
count_put(QuickCache *cache, PyObject *Py_UNUSED(nothing))
{
    cache->puts++;
    Py_IncRef(Py_None);
    return Py_None;
}

static PyObject *
count_miss(QuickCache *cache, PyObject *Py_UNUSED(nothing))
{
    cache->missed++;
    Py_IncRef(Py_None);
    return Py_None;
}

static const int GET_NAMES[] = {KEY, DEFAULT};

static PyObject *
get(QuickCache *cache, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *found[2] = {NULL, Py_None};
    if (count == 1 && names == NULL) {
        found[0] = args[0];
    }
    else if (sort_out("get", args, count, names, GET_NAMES, 1, 2, found) < 0) {
        return NULL;
    }
    if (!is_ready(cache)) {
        return NULL;
    }
    return look_up(cache, found[0], found[1]);
}

static int
is_plain(PyObject *key)
{
    return PyUnicode_CheckExact(key) || PyLong_CheckExact(key);
}

/* Take the entry that was unused longest out of the cache and return it; NULL without an error when that takes a
 * new sorting. Under the lock. */
static Entry *
evict_oldest(QuickCache *cache)
{
    while (cache->order != NULL && PyList_CheckExact(cache->order)) {
        Py_ssize_t last = PyList_Size(cache->order) - 1;
        if (last < 0) {
            break;
        }
        PyObject *key = PyList_GetItem(cache->order, last);
        Py_IncRef(key);
        Entry *entry = find(cache, key, entry_type);
        int is_oldest = entry != NULL && entry->used <= cache->sorted;
        if (PyErr_Occurred() || PyList_SetSlice(cache->order, last, last + 1, NULL) < 0
            || (is_oldest && PyDict_DelItem(cache->entries, key) < 0)) {
            Py_DecRef((PyObject *)entry);
            Py_DecRef(key);
            return NULL;
        }
        Py_DecRef(key);
        if (is_oldest) {
            cache->evictions++;
            return entry;
        }
        Py_DecRef((PyObject *)entry); /* still in the cache */
    }
    return NULL;
}

/* Tell whether somebody is to be called for what is evicted; -1 with an error set. */
static int
calls_back(QuickCache *cache)
{
    PyObject *callback = PyObject_GetAttr((PyObject *)cache, words[ON_EVICT]);
    Py_DecRef(callback); /* compared, not used */
    return callback == NULL ? -1 : callback != Py_None;
}

/* Store an entry of a plain key under the lock. Returns 1 when it is done, 0 when it is for Python's part, -1 with
 * an error set. What was evicted is the caller's. */
static int
insert_locked(QuickCache *cache, Entry *entry, Entry **victim)
{
    Entry *there = find(cache, entry->key, entry_type);
    if (there != NULL || PyErr_Occurred()) {
        Py_DecRef((PyObject *)there); /* another thread was quicker; it is in the cache */
        return there != NULL ? 0 : -1;
    }
    Py_ssize_t size = PyDict_Size(cache->entries);
    if (cache->strange || size > cache->bound) {
        return 0;
    }
    if (size == cache->bound && (*victim = evict_oldest(cache)) == NULL) {
        return PyErr_Occurred() ? -1 : 0; /* a sorting is due */
    }
    entry->used = cache->ticks++;
    return PyDict_SetItem(cache->entries, entry->key, (PyObject *)entry) < 0 ? -1 : 1;
}

/* Store a plain key that was not there a moment ago; returns what insert_locked does. */
static int
insert(QuickCache *cache, PyObject *key, PyObject *value)
{
    allocfunc make = (allocfunc)PyType_GetSlot(entry_type, Py_tp_alloc);
    Entry *entry = (Entry *)make(entry_type, 0); /* the collector may run here, and what it calls */
    if (entry == NULL) {
        return -1;
    }
    Py_IncRef(key);
    entry->key = key;
    Py_IncRef(value);
    entry->value = value;
    Entry *victim = NULL;
    PyObject *lock = cache->lock;
    int result = lock == NULL ? 0 : calls_back(cache);
    if (lock != NULL && result == 0) {
        Py_IncRef(lock);
        PyObject *taken = PyObject_CallMethodObjArgs(lock, words[ACQUIRE], Py_False, NULL);
        result = taken == NULL ? -1 : PyObject_IsTrue(taken);
        Py_DecRef(taken);
        if (result == 1) {
            result = insert_locked(cache, entry, &victim);
            PyObject *kind, *error, *trace;
            PyErr_Fetch(&kind, &error, &trace);
            PyObject *given_back = PyObject_CallMethodObjArgs(lock, words[RELEASE], NULL);
            if (given_back == NULL) {
                result = -1;
            }
            else {
                PyErr_Restore(kind, error, trace);
            }
            Py_DecRef(given_back);
        }
        Py_DecRef(lock);
    }
    else if (result == 1) {
        result = 0; /* it calls back: for Python's part */
    }
    Py_DecRef((PyObject *)entry);
    Py_DecRef((PyObject *)victim); /* its value's end may run anything */
    return result;
}

static const int PUT_NAMES[] = {KEY, VALUE, TTL};

static PyObject *
put(QuickCache *cache, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *found[2] = {NULL, NULL};
    if (sort_out("put", args, count, names, PUT_NAMES, 2, 2, found) < 0 || !is_ready(cache)) {
        return NULL;
    }
    Entry *entry = find(cache, found[0], entry_type);
    if (entry == NULL && PyErr_Occurred()) {
        return NULL;
    }
    cache->puts++;
    if (entry != NULL) {
        return replace(cache, entry, found[1]);
    }
    if (!is_plain(found[0])) {
        cache->strange = 1;
    }
    if (!cache->strange) {
        int done = insert(cache, found[0], found[1]);
        if (done < 0) {
            return NULL;
        }
        if (done) {
            Py_IncRef(Py_None);
            return Py_None;
        }
    }
    return PyObject_CallMethodObjArgs((PyObject *)cache, words[INSERT], found[0], found[1], NULL);
}

/* Read the cache's clock; -1 with an error set when it can't be read. */
static double
now_of(QuickTimedCache *cache)
{
    if (!is_ready(&cache->cache)) {
        return -1;
    }
    if (cache->clock == NULL) {
        PyErr_SetString(PyExc_AttributeError, "this cache was never set up: its __init__ was not called");
        return -1;
    }
#if defined(CLOCK_MONOTONIC) && !defined(_WIN32)
    struct timespec kernel;
    if (cache->reads_kernel && clock_gettime(CLOCK_MONOTONIC, &kernel) == 0) {
        return (double)((int64_t)kernel.tv_sec * 1000000000 + kernel.tv_nsec) / 1e9;
    }
#endif
    PyObject *clock = cache->clock;
    Py_IncRef(clock);
    PyObject *read = PyObject_CallNoArgs(clock);
    Py_DecRef(clock);
    if (read == NULL) {
        return -1;
    }
    double now = PyFloat_AsDouble(read);
    Py_DecRef(read);
    return now;
}

static PyObject *
get_timed(QuickTimedCache *cache, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *found[2] = {NULL, Py_None};
    if (count == 1 && names == NULL) {
        found[0] = args[0];
    }
    else if (sort_out("get", args, count, names, GET_NAMES, 1, 2, found) < 0) {
        return NULL;
    }
    double now = now_of(cache);
    if (now == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (cache->soonest <= now) {
        return PyObject_CallMethodObjArgs((PyObject *)cache, words[GET_ENDING], found[0], found[1], NULL);
    }
    return look_up(&cache->cache, found[0], found[1]);
}

static PyObject *
put_timed(QuickTimedCache *cache, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *found[3] = {NULL, NULL, Py_None};
    if (sort_out("put", args, count, names, PUT_NAMES, 2, 3, found) < 0) {
        return NULL;
    }
    double ttl = cache->lifetime;
    if (found[2] != Py_None) {
        int is_number = PyFloat_CheckExact(found[2]) || PyLong_CheckExact(found[2]);
        ttl = is_number ? PyFloat_AsDouble(found[2]) : 0;
        if (!(ttl > 0)) { /* no number, not above 0, or too large for one: the twin says what is wrong */
            PyErr_Clear();
            return PyObject_CallMethodObjArgs((PyObject *)cache, words[PUT], found[0], found[1], found[2],
                                              NULL);
        }
    }
    double now = now_of(cache);
    if (now == -1 && PyErr_Occurred()) {
        return NULL;
    }
    double expires = now + ttl;
    TimedEntry *entry = (TimedEntry *)find(&cache->cache, found[0], timed_entry_type);
    if (entry == NULL && PyErr_Occurred()) {
        return NULL;
    }
    cache->cache.puts++;
    if (entry != NULL && !(entry->due > expires) && !(cache->soonest <= now)) {
        entry->expires = expires;
        return replace(&cache->cache, &entry->entry, found[1]);
    }
    Py_DecRef((PyObject *)entry);
    PyObject *when = PyFloat_FromDouble(now), *end = PyFloat_FromDouble(expires), *done = NULL;
    if (when != NULL && end != NULL) {
        done = PyObject_CallMethodObjArgs((PyObject *)cache, words[INSERT_TIMED], found[0], found[1], when, end,
                                          NULL);
    }
    Py_DecRef(when);
    Py_DecRef(end);
    return done;
}

/* -- the types */

/* Empty a field; its object goes last. */
static void
let_go(PyObject **field)
{
    PyObject *before = *field;
    *field = NULL;
    Py_DecRef(before);
}

static void
free_object(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DecRef((PyObject *)type);
}

static int
traverse_entry(Entry *entry, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE((PyObject *)entry));
    Py_VISIT(entry->key);
    Py_VISIT(entry->value);
    return 0;
}

static int
clear_entry(Entry *entry)
{
    let_go(&entry->key);
    let_go(&entry->value);
    return 0;
}

static void
dealloc_entry(Entry *entry)
{
    PyObject_GC_UnTrack(entry);
    clear_entry(entry);
    free_object((PyObject *)entry);
}

static int
traverse_cache(QuickCache *cache, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE((PyObject *)cache));
    Py_VISIT(cache->entries);
    Py_VISIT(cache->order);
    Py_VISIT(cache->lock);
    return 0;
}

static int
clear_cache(QuickCache *cache)
{
    let_go(&cache->entries);
    let_go(&cache->order);
    let_go(&cache->lock);
    return 0;
}

static void
dealloc_cache(QuickCache *cache)
{
    PyObject_GC_UnTrack(cache);
    clear_cache(cache);
    free_object((PyObject *)cache);
}

static int
traverse_timed(QuickTimedCache *cache, visitproc visit, void *arg)
{
    Py_VISIT(cache->clock);
    return traverse_cache(&cache->cache, visit, arg);
}

static int
clear_timed(QuickTimedCache *cache)
{
    let_go(&cache->clock);
    return clear_cache(&cache->cache);
}

static void
dealloc_timed(QuickTimedCache *cache)
{
    PyObject_GC_UnTrack(cache);
    clear_timed(cache);
    free_object((PyObject *)cache);
}

#define METHOD(function) (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS
#define MEMBER(name, kind, type, field) {name, kind, offsetof(type, field), 0, NULL}
#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC)

/* The words of their twins: a test compares them. */
#define GET_WORDS                          \
    "get($self, key, default=None)\n--\n\n" \
    "Return the value of a key, or the default when it is not there, and count it as used."

static PyMethodDef cache_methods[] = {
    {"_tick", (PyCFunction)tick, METH_NOARGS, "Return the next tick."},
    {"_count_put", (PyCFunction)count_put, METH_NOARGS, "Count a store."},
    {"_count_miss", (PyCFunction)count_miss, METH_NOARGS, "Count a look-up in vain."},
    {"get", METHOD(get), GET_WORDS},
    {"put", METHOD(put),
     "put($self, key, value)\n--\n\n"
     "Store a value, as the most recently used; what no longer fits is evicted."},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef timed_methods[] = {
    {"get", METHOD(get_timed), GET_WORDS},
    {"put", METHOD(put_timed),
     "put($self, key, value, ttl=None)\n--\n\n"
     "Store a value, as the most recently used; what no longer fits is evicted, ended entries first.\n\n"
     "Args:\n"
     "    key: the key.\n"
     "    value: the value.\n"
     "    ttl: seconds that it lives; None: the cache's own lifetime.\n\n"
     "Raises:\n"
     "    UsageError: when ``ttl`` is no number of seconds above 0.\n"},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef entry_members[] = {
    MEMBER("key", T_OBJECT_EX, Entry, key),
    MEMBER("value", T_OBJECT_EX, Entry, value),
    MEMBER("used", T_LONGLONG, Entry, used),
    {NULL, 0, 0, 0, NULL},
};

static PyMemberDef timed_entry_members[] = {
    MEMBER("expires", T_DOUBLE, TimedEntry, expires),
    MEMBER("due", T_DOUBLE, TimedEntry, due),
    {NULL, 0, 0, 0, NULL},
};

static PyMemberDef cache_members[] = {
    MEMBER("_entries", T_OBJECT_EX, QuickCache, entries),
    MEMBER("_order", T_OBJECT_EX, QuickCache, order),
    MEMBER("_lock", T_OBJECT_EX, QuickCache, lock),
    MEMBER("_sorted", T_LONGLONG, QuickCache, sorted),
    MEMBER("_evictions", T_LONGLONG, QuickCache, evictions),
    MEMBER("_bound", T_PYSSIZET, QuickCache, bound),
    {"_ticks", T_LONGLONG, offsetof(QuickCache, ticks), READONLY, NULL},
    {"_puts", T_LONGLONG, offsetof(QuickCache, puts), READONLY, NULL},
    {"_missed", T_LONGLONG, offsetof(QuickCache, missed), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMemberDef timed_members[] = {
    MEMBER("_clock", T_OBJECT_EX, QuickTimedCache, clock),
    MEMBER("_reads_kernel", T_BOOL, QuickTimedCache, reads_kernel),
    MEMBER("_soonest", T_DOUBLE, QuickTimedCache, soonest),
    MEMBER("_lifetime", T_DOUBLE, QuickTimedCache, lifetime),
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot entry_slots[] = {
    {Py_tp_doc, "One entry: its key, its value, and the tick of its last use."},
    {Py_tp_traverse, traverse_entry},
    {Py_tp_clear, clear_entry},
    {Py_tp_dealloc, dealloc_entry},
    {Py_tp_members, entry_members},
    {0, NULL},
};

static PyType_Slot timed_entry_slots[] = {
    {Py_tp_doc, "An entry with its end, on the cache's clock."},
    {Py_tp_traverse, traverse_entry},
    {Py_tp_clear, clear_entry},
    {Py_tp_dealloc, dealloc_entry},
    {Py_tp_members, timed_entry_members},
    {0, NULL},
};

static PyType_Slot cache_slots[] = {
    {Py_tp_doc, "What the quick path of a cache reads and writes, and that path."},
    {Py_tp_traverse, traverse_cache},
    {Py_tp_clear, clear_cache},
    {Py_tp_dealloc, dealloc_cache},
    {Py_tp_methods, cache_methods},
    {Py_tp_members, cache_members},
    {0, NULL},
};

static PyType_Slot timed_slots[] = {
    {Py_tp_doc, "The same of a cache whose entries end."},
    {Py_tp_traverse, traverse_timed},
    {Py_tp_clear, clear_timed},
    {Py_tp_dealloc, dealloc_timed},
    {Py_tp_methods, timed_methods},
    {Py_tp_members, timed_members},
    {0, NULL},
};

static PyType_Spec specs[] = {
    {.name = "memlab._native.quickcache.Entry", .basicsize = sizeof(Entry), .flags = FLAGS,
     .slots = entry_slots},
    {.name = "memlab._native.quickcache.TimedEntry", .basicsize = sizeof(TimedEntry), .flags = FLAGS,
     .slots = timed_entry_slots},
    {.name = "memlab._native.quickcache.QuickCache", .basicsize = sizeof(QuickCache), .flags = FLAGS,
     .slots = cache_slots},
    {.name = "memlab._native.quickcache.QuickTimedCache", .basicsize = sizeof(QuickTimedCache),
     .flags = FLAGS, .slots = timed_slots},
};

/* Make a type and put it into the module; returns it borrowed. */
static PyObject *
add_type(PyObject *made, PyType_Spec *spec, PyObject *base)
{
    PyObject *type = PyType_FromSpecWithBases(spec, base);
    if (type == NULL || PyModule_AddObjectRef(made, strrchr(spec->name, '.') + 1, type) < 0) {
        Py_DecRef(type);
        return NULL;
    }
    Py_DecRef(type);
    return type;
}

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "quickcache", "A cache's quick path.", -1, NULL,
};

PyMODINIT_FUNC
PyInit_quickcache(void)
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
    PyObject *entry = add_type(made, &specs[0], NULL);
    PyObject *timed_entry = entry != NULL ? add_type(made, &specs[1], entry) : NULL;
    PyObject *cache = timed_entry != NULL ? add_type(made, &specs[2], NULL) : NULL;
    if (cache == NULL || add_type(made, &specs[3], cache) == NULL) {
        Py_DecRef(made);
        return NULL;
    }
    Py_IncRef(entry); /* they are compared with for as long as the process lives */
    Py_IncRef(timed_entry);
    entry_type = (PyTypeObject *)entry;
    timed_entry_type = (PyTypeObject *)timed_entry;
    return made;
}
