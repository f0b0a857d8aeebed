/* A sample of all allocations, with the stack of each: for programs that cannot pay for tracing.
 *
 * Hooks in the three allocator domains of CPython count bytes down. Whenever the count falls below nothing, the
 * block that made it fall is looked at, and the next gap is drawn from an exponential distribution with mean T.
 * So every byte has the same chance, and a block of s bytes is in the sample with p = 1 - exp(-s / T), whatever
 * came before it; s / p estimates the bytes of all blocks like it, 1 / p their number, without bias. (D. Horvitz
 * and D. Thompson, "A Generalization of Sampling Without Replacement from a Finite Universe", JASA 47, 1952.)
 *
 * A sampled block's address goes into a table until it is freed. What each free has to ask is one bit of a small
 * map, which is almost always 0; only where it is 1 is the lock taken and the table asked.
 *
 * Stacks are copied as text: file name, qualified name and line of each frame go into tables of their own, so no
 * object is kept alive, and none is made. Frames are read only by a thread that holds the main interpreter's lock;
 * what other threads allocate, as they may in the raw domain, is counted without a stack. Nothing here ever takes
 * the GIL or allocates through Python: all tables come from malloc, up to a budget, and what does not fit is
 * counted as lost.
 *
 * NumPy's arrays come from malloc. NumPy reports them to PyTraceMalloc_Track, and so do some other libraries: on
 * Linux the slots by which loaded libraries call that function are pointed at ours, which passes everything on.
 *
 * The hooks keep the context of the allocator below them, and have no need of their own: so while they are put in
 * or taken out, a thread without the GIL meets the one function or the other, each with a context that fits it.
 * A hook above which someone else has put another cannot be taken out: it stays and passes everything on.
 *
 * It is built for each version of Python, because frames are read as the interpreter has them.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* dl_iterate_phdr */
#endif
#define PY_SSIZE_T_CLEAN
#define Py_BUILD_CORE_MODULE 1
#include <Python.h>
#include "internal/pycore_frame.h"
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef Py_GIL_DISABLED
#error "frames cannot be read so without the GIL"
#endif
#if PY_VERSION_HEX < 0x030B0000 || PY_VERSION_HEX >= 0x030E0000
#error "written for the frames of Python 3.11 to 3.13"
#endif
#if SIZEOF_VOID_P != 8
#error "written for addresses of 8 bytes"
#endif

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <fcntl.h>
#include <stdio.h>
#define FOLLOWS 1
#else
#define FOLLOWS 0
#endif

#define NONE 0xFFFFFFFFu
#define FAR_OFF (INT64_MAX / 2) /* a countdown that never ends: nothing is sampled */
#define MOST_FRAMES 128
#define MOST_THREADS 256
#define MOST_TEXT 4096 /* characters kept of a name */
#define FILTER_LEAST 15 /* bits of the map: 4 KiB, which stays in the first cache */
#define FILTER_MOST 22

enum { RAW, MEM, OBJ, DOMAINS };

#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#if PY_VERSION_HEX < 0x030C0000
#define IS_READY(text) PyUnicode_IS_READY(text) /* one of the old form has no characters yet */
#else
#define IS_READY(text) 1
#endif

/* ---- memory of our own, up to a budget ------------------------------------------------------------------------ */

static size_t budget, taken;

static void *
grown(void *memory, size_t old_size, size_t new_size)
{
    if (new_size > old_size && (new_size - old_size > budget || taken > budget - (new_size - old_size)))
        return NULL;
    void *found = realloc(memory, new_size);
    if (found != NULL)
        taken += new_size - old_size;
    return found;
}

static void
released(void *memory, size_t size)
{
    if (memory != NULL) {
        free(memory);
        taken -= size;
    }
}

/* Things in a row, found again by a hash of what they are. */
typedef struct {
    uint32_t *slots; /* number of a thing + 1; 0: free */
    size_t slot_count;
    uint32_t *hashes;
    char *things;
    size_t thing_size, room, used;
} Table;

typedef int (*Equal)(const void *thing, const void *key);

static int
table_make_room(Table *table)
{
    if (table->used == table->room) {
        size_t room = table->room ? table->room * 2 : 64;
        if (room >= NONE)
            return -1;
        char *things = grown(table->things, table->room * table->thing_size, room * table->thing_size);
        if (things == NULL)
            return -1;
        table->things = things;
        uint32_t *hashes = grown(table->hashes, table->room * 4, room * 4);
        if (hashes == NULL) {
            /* The longer row of things stays; it is counted with its old size again. */
            taken -= (room - table->room) * table->thing_size;
            return -1;
        }
        table->hashes = hashes;
        table->room = room;
    }
    if ((table->used + 1) * 2 > table->slot_count) {
        size_t count = table->slot_count ? table->slot_count * 2 : 128;
        uint32_t *slots = grown(NULL, 0, count * 4);
        if (slots == NULL)
            return -1;
        memset(slots, 0, count * 4);
        for (size_t i = 0; i < table->used; i++) {
            size_t at = table->hashes[i] & (count - 1);
            while (slots[at])
                at = (at + 1) & (count - 1);
            slots[at] = (uint32_t)i + 1;
        }
        released(table->slots, table->slot_count * 4);
        table->slots = slots;
        table->slot_count = count;
    }
    return 0;
}

static uint32_t
table_find(const Table *table, uint32_t hash, Equal equal, const void *key)
{
    if (table->slot_count == 0)
        return NONE;
    size_t at = hash & (table->slot_count - 1);
    for (uint32_t found; (found = table->slots[at]) != 0; at = (at + 1) & (table->slot_count - 1))
        if (table->hashes[found - 1] == hash && equal(table->things + (found - 1) * table->thing_size, key))
            return found - 1;
    return NONE;
}

/* Only after table_make_room() said that there is room. */
static uint32_t
table_add(Table *table, uint32_t hash, const void *thing)
{
    size_t at = hash & (table->slot_count - 1);
    while (table->slots[at])
        at = (at + 1) & (table->slot_count - 1);
    size_t number = table->used++;
    table->slots[at] = (uint32_t)number + 1;
    table->hashes[number] = hash;
    memcpy(table->things + number * table->thing_size, thing, table->thing_size);
    return (uint32_t)number;
}

static void
table_clear(Table *table)
{
    released(table->slots, table->slot_count * 4);
    released(table->hashes, table->room * 4);
    released(table->things, table->room * table->thing_size);
    table->slots = NULL;
    table->hashes = NULL;
    table->things = NULL;
    table->slot_count = table->room = table->used = 0;
}

/* Bytes end to end. */
typedef struct {
    char *bytes;
    size_t room, used;
} Heap;

static char *
heap_take(Heap *heap, size_t size)
{
    if (size > heap->room - heap->used) {
        size_t room = heap->room ? heap->room * 2 : 4096;
        while (room - heap->used < size)
            room *= 2;
        if (room > UINT32_MAX)
            return NULL;
        char *bytes = grown(heap->bytes, heap->room, room);
        if (bytes == NULL)
            return NULL;
        heap->bytes = bytes;
        heap->room = room;
    }
    char *found = heap->bytes + heap->used;
    heap->used += size;
    return found;
}

static void
heap_clear(Heap *heap)
{
    released(heap->bytes, heap->room);
    heap->bytes = NULL;
    heap->room = heap->used = 0;
}

static inline uint64_t
mixed(uint64_t x)
{
    x ^= x >> 32;
    x *= UINT64_C(0xD6E8FEB86659FD93);
    x ^= x >> 32;
    return x;
}

static uint32_t
hash_of(const void *bytes, size_t size, uint64_t seed)
{
    const char *at = bytes;
    uint64_t hash = mixed(seed + size);
    for (; size >= 8; at += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        hash = mixed(hash ^ word);
    }
    if (size) {
        uint64_t word = 0;
        memcpy(&word, at, size);
        hash = mixed(hash ^ word ^ UINT64_C(0x5555));
    }
    return (uint32_t)(hash ^ (hash >> 32));
}

/* ---- what is recorded; all of it under the lock ----------------------------------------------------------------- */

typedef struct { uint32_t start, length, kind; } Text;
typedef struct { uint32_t file, function; int32_t line; } Frame;
typedef struct { uint32_t start, length; } Stack;
typedef struct { uint32_t stack, thread, domain, unused; double bytes, blocks; } Row;
typedef struct { uint32_t row, count; uint64_t size; } Sized;
typedef struct { uint64_t key, size; uint32_t row, used; } Live; /* used: by which of the sessions; 0: free */

static Table texts = {.thing_size = sizeof(Text)};
static Table frames = {.thing_size = sizeof(Frame)};
static Table stacks = {.thing_size = sizeof(Stack)};
static Table rows = {.thing_size = sizeof(Row)};
static Table sizes = {.thing_size = sizeof(Sized)};
static Heap text_bytes, stack_frames;
static uint64_t thread_of[MOST_THREADS];
static unsigned long ident_of[MOST_THREADS];
static uint32_t thread_count;
static Live *lives;
static size_t live_room, live_used;
static uint64_t sample_count, lost_count;
static double lost_bytes;
static uint64_t random_state;
static double mean_gap = 1.0;
static int depth = 1;
static int on; /* samples are recorded; written under the lock */
static uint32_t session; /* counts the starts; never 0 while one runs */
static pid_t owner;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Read by every allocation and every free, so each in a line of its own. Without the GIL in the raw domain. */
static int64_t left_gil __attribute__((aligned(64))) = FAR_OFF;
static int64_t left_raw __attribute__((aligned(64))) = FAR_OFF;
static int filter_shift __attribute__((aligned(64))) = 64 - FILTER_LEAST;
static uint64_t filter[(1u << FILTER_MOST) / 64];
static uint8_t filter_count[1u << FILTER_MOST]; /* live samples of each bit; 255 stays for good */

static int64_t
next_gap(void)
{
    /* splitmix64 (Steele, Lea and Flood, 2014) */
    random_state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = random_state;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    z ^= z >> 31;
    double gap = -log(((double)(z >> 11) + 0.5) * 0x1p-53) * mean_gap;
    return gap < (double)FAR_OFF ? (int64_t)gap : FAR_OFF;
}

/* ---- the map and the table of live samples -------------------------------------------------------------------- */

static inline uint64_t
scattered(uint64_t key)
{
    return key * UINT64_C(0x9E3779B97F4A7C15);
}

static inline int
may_be_live(uint64_t key)
{
    uint64_t bit = scattered(key) >> __atomic_load_n(&filter_shift, __ATOMIC_ACQUIRE);
    return (int)(__atomic_load_n(&filter[bit >> 6], __ATOMIC_RELAXED) >> (bit & 63)) & 1;
}

static void
filter_add(uint64_t key, int shift)
{
    uint64_t bit = scattered(key) >> shift;
    if (filter_count[bit] < 255)
        filter_count[bit]++;
    __atomic_fetch_or(&filter[bit >> 6], UINT64_C(1) << (bit & 63), __ATOMIC_RELAXED);
}

static void
filter_remove(uint64_t key)
{
    uint64_t bit = scattered(key) >> filter_shift;
    if (filter_count[bit] < 255 && filter_count[bit] > 0 && --filter_count[bit] == 0)
        __atomic_fetch_and(&filter[bit >> 6], ~(UINT64_C(1) << (bit & 63)), __ATOMIC_RELAXED);
}

/* A wider map, in the same place: a reader that still has the old width finds the old bits, which stay. */
static void
filter_grow(void)
{
    int shift = filter_shift - 1;
    memset(filter_count, 0, sizeof filter_count[0] << (64 - shift));
    for (size_t i = 0; i < live_room; i++)
        if (lives[i].used)
            filter_add(lives[i].key, shift);
    __atomic_store_n(&filter_shift, shift, __ATOMIC_RELEASE);
}

static void
filter_clear(void)
{
    size_t bits = (size_t)1 << (64 - filter_shift);
    for (size_t i = 0; i < bits / 64; i++)
        __atomic_store_n(&filter[i], 0, __ATOMIC_RELAXED);
    memset(filter_count, 0, bits);
    __atomic_store_n(&filter_shift, 64 - FILTER_LEAST, __ATOMIC_RELEASE);
}

static size_t
live_place(uint64_t key)
{
    return (size_t)(scattered(key) >> 20) & (live_room - 1);
}

static int
live_add(uint64_t key, uint64_t size, uint32_t row)
{
    if ((live_used + 1) * 2 > live_room) {
        size_t room = live_room ? live_room * 2 : 256;
        Live *old = lives;
        size_t old_room = live_room;
        Live *made = grown(NULL, 0, room * sizeof(Live));
        if (made == NULL)
            return -1;
        memset(made, 0, room * sizeof(Live));
        lives = made;
        live_room = room;
        for (size_t i = 0; i < old_room; i++)
            if (old[i].used) {
                size_t at = live_place(old[i].key);
                while (lives[at].used)
                    at = (at + 1) & (room - 1);
                lives[at] = old[i];
            }
        released(old, old_room * sizeof(Live));
    }
    size_t at = live_place(key);
    while (lives[at].used)
        at = (at + 1) & (live_room - 1);
    lives[at] = (Live){key, size, row, session};
    live_used++;
    if (live_used > ((size_t)1 << (64 - filter_shift)) / 16 && filter_shift > 64 - FILTER_MOST)
        filter_grow();
    else
        filter_add(key, filter_shift);
    return 0;
}

static int
live_remove(uint64_t key, Live *was)
{
    if (live_used == 0)
        return 0;
    size_t at = live_place(key), mask = live_room - 1;
    while (lives[at].used && lives[at].key != key)
        at = (at + 1) & mask;
    if (!lives[at].used)
        return 0;
    *was = lives[at];
    /* Move back those behind it that would no longer be found. */
    for (size_t next = (at + 1) & mask; lives[next].used; next = (next + 1) & mask) {
        size_t home = live_place(lives[next].key);
        if (((next - home) & mask) >= ((next - at) & mask)) {
            lives[at] = lives[next];
            at = next;
        }
    }
    lives[at].used = 0;
    live_used--;
    filter_remove(key);
    return 1;
}

/* The map said that this block may be a sampled one. */
static __attribute__((noinline)) int
take_out(uint64_t key, Live *was)
{
    pthread_mutex_lock(&lock);
    int found = live_remove(key, was);
    pthread_mutex_unlock(&lock);
    return found;
}

/* A block that could not be moved is where it was. */
static __attribute__((noinline)) void
put_back(const Live *was)
{
    pthread_mutex_lock(&lock);
    if (on && was->used == session && live_add(was->key, was->size, was->row) < 0)
        lost_count++;
    pthread_mutex_unlock(&lock);
}

/* ---- stacks --------------------------------------------------------------------------------------------------- */

typedef struct { const void *data; uint32_t length, kind; } TextKey;

static int
text_equal(const void *thing, const void *key)
{
    const Text *text = thing;
    const TextKey *wanted = key;
    return text->length == wanted->length && text->kind == wanted->kind
           && memcmp(text_bytes.bytes + text->start, wanted->data, (size_t)text->length * text->kind) == 0;
}

static uint32_t
text_of(PyObject *object)
{
    TextKey key = {"?", 1, 1};
    if (object != NULL && PyUnicode_Check(object) && IS_READY(object)) {
        Py_ssize_t length = PyUnicode_GET_LENGTH(object);
        key.data = PyUnicode_DATA(object);
        key.kind = PyUnicode_KIND(object);
        key.length = (uint32_t)(length < MOST_TEXT ? length : MOST_TEXT);
    }
    size_t size = (size_t)key.length * key.kind;
    uint32_t hash = hash_of(key.data, size, key.kind);
    uint32_t found = table_find(&texts, hash, text_equal, &key);
    if (found != NONE)
        return found;
    size_t start = (text_bytes.used + 3) & ~(size_t)3;
    char *copy;
    if (table_make_room(&texts) < 0 || (copy = heap_take(&text_bytes, start - text_bytes.used + size)) == NULL)
        return NONE;
    memcpy(text_bytes.bytes + start, key.data, size);
    Text text = {(uint32_t)start, key.length, key.kind};
    return table_add(&texts, hash, &text);
}

static int
frame_equal(const void *thing, const void *key)
{
    return memcmp(thing, key, sizeof(Frame)) == 0;
}

static uint32_t
frame_of(PyCodeObject *code, int line)
{
    Frame frame = {text_of(code->co_filename), text_of(code->co_qualname), line};
    if (frame.file == NONE || frame.function == NONE)
        return NONE;
    uint32_t hash = hash_of(&frame, sizeof frame, 1);
    uint32_t found = table_find(&frames, hash, frame_equal, &frame);
    if (found != NONE || table_make_room(&frames) < 0)
        return found;
    return table_add(&frames, hash, &frame);
}

typedef struct { const uint32_t *frames; uint32_t length; } StackKey;

static int
stack_equal(const void *thing, const void *key)
{
    const Stack *stack = thing;
    const StackKey *wanted = key;
    return stack->length == wanted->length
           && memcmp(stack_frames.bytes + (size_t)stack->start * 4, wanted->frames, (size_t)stack->length * 4) == 0;
}

static uint32_t
stack_of(const uint32_t *found, uint32_t length)
{
    StackKey key = {found, length};
    uint32_t hash = hash_of(found, (size_t)length * 4, 2);
    uint32_t number = table_find(&stacks, hash, stack_equal, &key);
    if (number != NONE)
        return number;
    Stack stack = {(uint32_t)(stack_frames.used / 4), length};
    char *copy;
    if (table_make_room(&stacks) < 0 || (copy = heap_take(&stack_frames, (size_t)length * 4 + 4)) == NULL)
        return NONE;
    memcpy(copy, found, (size_t)length * 4);
    return table_add(&stacks, hash, &stack);
}

/* The state of this thread if it holds the main interpreter's lock, else NULL. */
static PyThreadState *
running_state(void)
{
    PyThreadState *own = PyGILState_GetThisThreadState();
    if (own == NULL)
        return NULL;
#if PY_VERSION_HEX >= 0x030D0000
    PyThreadState *current = PyThreadState_GetUnchecked();
#else
    PyThreadState *current = _PyThreadState_UncheckedGet();
#endif
    return own == current && own->interp == PyInterpreterState_Main() ? own : NULL;
}

static uint32_t
walk(PyThreadState *state, uint32_t *found)
{
#if PY_VERSION_HEX >= 0x030D0000
    _PyInterpreterFrame *frame = state->current_frame;
#else
    _PyInterpreterFrame *frame = state->cframe->current_frame;
#endif
    uint32_t length = 0;
    for (; frame != NULL && length < (uint32_t)depth; frame = frame->previous) {
        if (_PyFrame_IsIncomplete(frame))
            continue;
#if PY_VERSION_HEX >= 0x030D0000
        PyCodeObject *code = _PyFrame_GetCode(frame);
#else
        PyCodeObject *code = frame->f_code;
#endif
        int line = PyCode_Addr2Line(code, _PyInterpreterFrame_LASTI(frame) * (int)sizeof(_Py_CODEUNIT));
        uint32_t number = frame_of(code, line > 0 ? line : 0);
        if (number == NONE)
            return NONE;
        found[length++] = number;
    }
    return length;
}

/* Number of a thread: 0 for those without a state or beyond the most that are told apart. */
static uint32_t
thread_number(PyThreadState *state)
{
    if (state == NULL)
        return 0;
    for (uint32_t i = thread_count; i > 1; i--)
        if (thread_of[i - 1] == state->id)
            return i - 1;
    if (thread_count == MOST_THREADS)
        return 1;
    thread_of[thread_count] = state->id;
    ident_of[thread_count] = state->thread_id;
    return thread_count++;
}

static int
row_equal(const void *thing, const void *key)
{
    const Row *row = thing, *wanted = key;
    return row->stack == wanted->stack && row->thread == wanted->thread && row->domain == wanted->domain;
}

static int
sized_equal(const void *thing, const void *key)
{
    const Sized *one = thing, *wanted = key;
    return one->row == wanted->row && one->size == wanted->size;
}

/* Sizes of all samples ever, for the interval alone: in steps of less than a hundredth, so that they stay few. */
static uint64_t
rounded(uint64_t size)
{
    if (size < 128)
        return size;
    int step = 63 - __builtin_clzll(size) - 6;
    return size >> step << step;
}

static int
record(uint64_t key, uint64_t size, uint32_t domain)
{
    uint32_t found[MOST_FRAMES], length = 0;
    PyThreadState *state = running_state();
    if (state != NULL && (length = walk(state, found)) == NONE)
        return -1;
    Row row = {.stack = stack_of(found, length), .thread = thread_number(state), .domain = domain};
    if (row.stack == NONE)
        return -1;
    uint32_t names[3] = {row.stack, row.thread, row.domain};
    uint32_t hash = hash_of(names, sizeof names, 3);
    uint32_t number = table_find(&rows, hash, row_equal, &row);
    if (number == NONE) {
        if (table_make_room(&rows) < 0)
            return -1;
        number = table_add(&rows, hash, &row);
    }
    Sized one = {.row = number, .count = 0, .size = rounded(size)};
    uint64_t sized_names[2] = {number, one.size};
    uint32_t sized_hash = hash_of(sized_names, sizeof sized_names, 4);
    uint32_t of_size = table_find(&sizes, sized_hash, sized_equal, &one);
    if (of_size == NONE) {
        if (table_make_room(&sizes) < 0)
            return -1;
        of_size = table_add(&sizes, sized_hash, &one);
    }
    if (live_add(key, size, number) < 0)
        return -1;
    Sized *sized = (Sized *)sizes.things + of_size;
    if (sized->count < UINT32_MAX)
        sized->count++;
    double chance = -expm1(-(double)size / mean_gap);
    Row *known = (Row *)rows.things + number;
    known->bytes += (double)size / chance;
    known->blocks += 1.0 / chance;
    return 0;
}

static int probing, seen; /* which domains still come through our hooks */

static void
count_sample(uint64_t key, uint64_t size, uint32_t domain)
{
    Live was;
    live_remove(key, &was); /* a block whose end nobody told */
    sample_count++;
    if (record(key, size, domain) < 0) {
        lost_count++;
        lost_bytes += (double)size / -expm1(-(double)size / mean_gap);
    }
}

/* A countdown has ended: with this block, or (left < -size) with another thread's, which has not begun a new one
   yet. A gap has no memory, so this block then has one of its own. So a block of no bytes is never sampled. Threads
   meet here in the raw domain, and in the others those of interpreters with a lock of their own. */
static __attribute__((noinline)) void
ended(int64_t *countdown, int hook, uint64_t key, size_t size, uint32_t domain, int64_t left)
{
    pthread_mutex_lock(&lock);
    if (probing)
        seen |= 1 << hook;
    else if (!on)
        __atomic_store_n(countdown, FAR_OFF, __ATOMIC_RELAXED);
    else if (left >= -(int64_t)size) {
        count_sample(key, size, domain);
        __atomic_store_n(countdown, next_gap(), __ATOMIC_RELAXED);
    }
    else if (next_gap() < (int64_t)size)
        count_sample(key, size, domain);
    pthread_mutex_unlock(&lock);
}

/* With the GIL: two threads meet only when interpreters have locks of their own, and then a count may be lost. */
static inline void
given_gil(int hook, void *block, size_t size)
{
    int64_t left = __atomic_load_n(&left_gil, __ATOMIC_RELAXED) - (int64_t)size;
    __atomic_store_n(&left_gil, left, __ATOMIC_RELAXED);
    if (UNLIKELY(left < 0))
        ended(&left_gil, hook, (uint64_t)(uintptr_t)block, size, 0, left);
}

static inline void
given_raw(int hook, uint64_t key, size_t size, uint32_t domain)
{
    int64_t left = __atomic_sub_fetch(&left_raw, (int64_t)size, __ATOMIC_RELAXED);
    if (UNLIKELY(left < 0))
        ended(&left_raw, hook, key, size, domain, left);
}

/* ---- the hooks ------------------------------------------------------------------------------------------------ */

static PyMemAllocatorEx below[DOMAINS];
static int hooked[DOMAINS]; /* put in, and not taken out by us */
static int ever; /* put in once: who took them out then may put them back, as a tracer does that began on top */

/* The object allocator asks the raw domain for what is too large for its pools: one block, to be counted once. */
static __thread int inside;
#define MAY_NEST 256 /* below 512, since a debug hook adds to what it passes on */

#define GIVEN_RAW(block, size)                                                                            \
    do {                                                                                                  \
        if (!inside)                                                                                      \
            given_raw(RAW, (uint64_t)(uintptr_t)(block), (size), 0);                                      \
    } while (0)
#define GIVEN_MEM(block, size) given_gil(MEM, (block), (size))
#define GIVEN_OBJ(block, size) given_gil(OBJ, (block), (size))

#define HOOKS(name, domain, GIVEN)                                                                        \
    static void *name##_malloc(void *context, size_t size)                                                \
    {                                                                                                     \
        int nests = domain != RAW && size > MAY_NEST;                                                     \
        if (nests)                                                                                        \
            inside++;                                                                                     \
        void *block = below[domain].malloc(context, size);                                                \
        if (nests)                                                                                        \
            inside--;                                                                                     \
        if (block != NULL)                                                                                \
            GIVEN(block, size);                                                                           \
        return block;                                                                                     \
    }                                                                                                     \
    static void *name##_calloc(void *context, size_t count, size_t size)                                  \
    {                                                                                                     \
        int nests = domain != RAW;                                                                        \
        if (nests)                                                                                        \
            inside++;                                                                                     \
        void *block = below[domain].calloc(context, count, size);                                         \
        if (nests)                                                                                        \
            inside--;                                                                                     \
        if (block != NULL)                                                                                \
            GIVEN(block, count * size);                                                                   \
        return block;                                                                                     \
    }                                                                                                     \
    static void *name##_realloc(void *context, void *old, size_t size)                                    \
    {                                                                                                     \
        /* Out before it moves: its address may be another's at once. */                                  \
        Live was;                                                                                         \
        int nests = domain != RAW;                                                                        \
        int out = old != NULL && UNLIKELY(may_be_live((uint64_t)(uintptr_t)old))                          \
                  && take_out((uint64_t)(uintptr_t)old, &was);                                            \
        if (nests)                                                                                        \
            inside++;                                                                                     \
        void *block = below[domain].realloc(context, old, size);                                          \
        if (nests)                                                                                        \
            inside--;                                                                                     \
        if (block != NULL)                                                                                \
            GIVEN(block, size);                                                                           \
        else if (out)                                                                                     \
            put_back(&was);                                                                               \
        return block;                                                                                     \
    }                                                                                                     \
    static void name##_free(void *context, void *block)                                                   \
    {                                                                                                     \
        Live was;                                                                                         \
        if (UNLIKELY(may_be_live((uint64_t)(uintptr_t)block)))                                            \
            take_out((uint64_t)(uintptr_t)block, &was);                                                   \
        below[domain].free(context, block);                                                               \
    }

HOOKS(raw, RAW, GIVEN_RAW)
HOOKS(mem, MEM, GIVEN_MEM)
HOOKS(obj, OBJ, GIVEN_OBJ)

static const PyMemAllocatorDomain domain_of[DOMAINS] = {PYMEM_DOMAIN_RAW, PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};
static const PyMemAllocatorEx ours[DOMAINS] = {
    {NULL, raw_malloc, raw_calloc, raw_realloc, raw_free},
    {NULL, mem_malloc, mem_calloc, mem_realloc, mem_free},
    {NULL, obj_malloc, obj_calloc, obj_realloc, obj_free},
};

static int
is_top(int domain)
{
    PyMemAllocatorEx top;
    PyMem_GetAllocator(domain_of[domain], &top);
    return top.malloc == ours[domain].malloc;
}

#define NOT_KNOWN (-1)

/* Which domains still come through our hooks, asked with a small block of each; NOT_KNOWN when memory is so short
   that there is none to be had. */
static int
domains_seen(void)
{
    pthread_mutex_lock(&lock);
    int64_t gil = left_gil, raw = __atomic_load_n(&left_raw, __ATOMIC_RELAXED);
    probing = 1;
    seen = 0;
    __atomic_store_n(&left_gil, -1, __ATOMIC_RELAXED);
    __atomic_store_n(&left_raw, -1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&lock);
    void *of_raw = PyMem_RawMalloc(1), *of_mem = PyMem_Malloc(1), *of_obj = PyObject_Malloc(1);
    int known = of_raw != NULL && of_mem != NULL && of_obj != NULL;
    PyObject_Free(of_obj);
    PyMem_Free(of_mem);
    PyMem_RawFree(of_raw);
    pthread_mutex_lock(&lock);
    int found = known ? seen : NOT_KNOWN;
    probing = 0;
    __atomic_store_n(&left_gil, gil, __ATOMIC_RELAXED);
    __atomic_store_n(&left_raw, raw, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&lock);
    return found;
}

static int
any_hooked(void)
{
    return hooked[RAW] || hooked[MEM] || hooked[OBJ];
}

/* Returns -1, with nothing changed, when it cannot be told whether ours are in the chain: twice there they would
   call each other for ever. */
static int
put_in(void)
{
    int through = ever ? domains_seen() : 0;
    if (through == NOT_KNOWN)
        return -1;
    ever = 1;
    for (int i = 0; i < DOMAINS; i++) {
        if (through & (1 << i)) {
            hooked[i] = 1; /* under someone else's, or on top already */
            continue;
        }
        PyMem_GetAllocator(domain_of[i], &below[i]);
        PyMemAllocatorEx hook = ours[i];
        hook.ctx = below[i].ctx;
        hooked[i] = 1;
        PyMem_SetAllocator(domain_of[i], &hook);
    }
    return 0;
}

/* Returns whether none is left: one above which there is another stays, one that another took out is no more. */
static int
take_hooks_out(void)
{
    if (!any_hooked())
        return 1;
    int through = domains_seen(), all = 1;
    for (int i = 0; i < DOMAINS; i++) {
        if (!hooked[i])
            continue;
        if (is_top(i)) {
            PyMem_SetAllocator(domain_of[i], &below[i]);
            hooked[i] = 0;
        }
        else if (through != NOT_KNOWN && !(through & (1 << i)))
            hooked[i] = 0;
        else
            all = 0;
    }
    return all;
}

/* ---- what libraries report to tracemalloc --------------------------------------------------------------------- */

static int followed; /* slots that point at ours */

/* The lowest bit tells them from blocks of Python's own: these may lie inside of one, or be one. */
static inline uint64_t
key_of(unsigned int domain, uintptr_t block)
{
    return domain ? (uint64_t)block | 1 : (uint64_t)block;
}

/* A library took a block from Python's allocators and will report it as its own: it was never Python's. NumPy
   does so from 2.5 on. */
static __attribute__((noinline)) void
disown(uint64_t key)
{
    Live was;
    pthread_mutex_lock(&lock);
    if (live_remove(key, &was)) {
        Row *row = (Row *)rows.things + was.row;
        double chance = -expm1(-(double)was.size / mean_gap);
        row->bytes -= (double)was.size / chance;
        row->blocks -= 1.0 / chance;
        Sized one = {.row = was.row, .count = 0, .size = rounded(was.size)};
        uint64_t names[2] = {was.row, one.size};
        uint32_t found = table_find(&sizes, hash_of(names, sizeof names, 4), sized_equal, &one);
        if (found != NONE && ((Sized *)sizes.things)[found].count > 0)
            ((Sized *)sizes.things)[found].count--;
        sample_count--;
    }
    pthread_mutex_unlock(&lock);
}

static int
track_hook(unsigned int domain, uintptr_t block, size_t size)
{
    uint64_t key = key_of(domain, block);
    Live was;
    if (UNLIKELY(may_be_live(key)))
        take_out(key, &was);
    if (block != 0 && size <= (size_t)PY_SSIZE_T_MAX)
        given_raw(DOMAINS, key, size, domain);
    return PyTraceMalloc_Track(domain, block, size);
}

static int
untrack_hook(unsigned int domain, uintptr_t block)
{
    uint64_t key = key_of(domain, block);
    Live was;
    if (UNLIKELY(may_be_live(key))) {
        if (domain == 0)
            disown(key);
        else
            take_out(key, &was);
    }
    return PyTraceMalloc_Untrack(domain, block);
}

#if FOLLOWS

#if defined(__x86_64__)
#define IS_SLOT(type) ((type) == R_X86_64_JUMP_SLOT || (type) == R_X86_64_GLOB_DAT)
#else
#define IS_SLOT(type) ((type) == R_AARCH64_JUMP_SLOT || (type) == R_AARCH64_GLOB_DAT)
#endif

typedef struct {
    int put_in, slots;
    ElfW(Addr) low, high, sealed, unseal; /* of the library at hand: where it lies, and what its loader seals */
} Following;

/* Whether a page is sealed at this moment: not while its library is being loaded by another thread, whose loader
   writes there still. The system is asked, since nothing else knows. */
static int
is_sealed(ElfW(Addr) page)
{
    static char text[8192];
    int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC), found = 0;
    if (file < 0)
        return 0;
    size_t held = 0;
    for (ssize_t got; !found && (got = read(file, text + held, sizeof text - 1 - held)) > 0;) {
        held += (size_t)got;
        text[held] = 0;
        char *line = text, *end;
        for (; !found && (end = strchr(line, '\n')) != NULL; line = end + 1) {
            unsigned long low = 0, high = 0;
            char may_write = 0;
            if (sscanf(line, "%lx-%lx %*c%c", &low, &high, &may_write) == 3 && page >= low && page < high)
                found = may_write == 'w' ? -1 : 1;
        }
        held -= (size_t)(line - text);
        memmove(text, line, held);
        if (held == sizeof text - 1)
            held = 0; /* a line that long has no address that we ask for */
    }
    close(file);
    return found == 1;
}

static void
set_slot(ElfW(Addr) slot, void *value, const Following *library)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    ElfW(Addr) start = slot & ~(ElfW(Addr))(page - 1);
    int sealed = start >= library->sealed && start < library->unseal && is_sealed(start);
    if (sealed && mprotect((void *)start, page, PROT_READ | PROT_WRITE) != 0)
        return;
    __atomic_store_n((void **)slot, value, __ATOMIC_RELEASE);
    if (sealed)
        mprotect((void *)start, page, PROT_READ);
}

static void
follow_slots(const struct dl_phdr_info *info, const ElfW(Rela) *rela, size_t count, const ElfW(Sym) *symbols,
             const char *names, Following *following)
{
    for (size_t i = 0; i < count; i++) {
        if (!IS_SLOT(ELF64_R_TYPE(rela[i].r_info)))
            continue;
        const char *name = names + symbols[ELF64_R_SYM(rela[i].r_info)].st_name;
        if (strncmp(name, "PyTraceMalloc_", 14) != 0)
            continue;
        void *theirs = NULL, *hook = NULL;
        if (strcmp(name + 14, "Track") == 0) {
            theirs = (void *)PyTraceMalloc_Track;
            hook = (void *)track_hook;
        }
        else if (strcmp(name + 14, "Untrack") == 0) {
            theirs = (void *)PyTraceMalloc_Untrack;
            hook = (void *)untrack_hook;
        }
        else
            continue;
        ElfW(Addr) slot = info->dlpi_addr + rela[i].r_offset;
        void *value = __atomic_load_n((void **)slot, __ATOMIC_RELAXED);
        if ((value == hook) == following->put_in) {
            following->slots += value == hook;
            continue;
        }
        /* What everybody means by the name, or not resolved yet: then it points into its own library. What another
           tool has put there stays. */
        int lazy = (ElfW(Addr))value >= following->low && (ElfW(Addr))value < following->high;
        if (following->put_in && value != theirs && !lazy)
            continue;
        set_slot(slot, following->put_in ? hook : theirs, following);
        following->slots += __atomic_load_n((void **)slot, __ATOMIC_RELAXED) == hook;
    }
}

static int
follow_library(struct dl_phdr_info *info, size_t size, void *argument)
{
    (void)size;
    Following *following = argument;
    if (info->dlpi_name == NULL || strstr(info->dlpi_name, "linux-vdso") != NULL)
        return 0;
    const ElfW(Dyn) *dynamic = NULL;
    ElfW(Addr) page = (ElfW(Addr))sysconf(_SC_PAGESIZE), self = (ElfW(Addr))&lock;
    following->low = ~(ElfW(Addr))0;
    following->high = following->sealed = following->unseal = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        ElfW(Addr) at = info->dlpi_addr + header->p_vaddr, end = at + header->p_memsz;
        if (header->p_type == PT_DYNAMIC)
            dynamic = (const ElfW(Dyn) *)at;
        else if (header->p_type == PT_LOAD) {
            following->low = at < following->low ? at : following->low;
            following->high = end > following->high ? end : following->high;
        }
        else if (header->p_type == PT_GNU_RELRO) {
            following->sealed = at & ~(page - 1);
            following->unseal = end & ~(page - 1);
        }
    }
    if (dynamic == NULL || (self >= following->low && self < following->high))
        return 0;
    ElfW(Addr) names = 0, symbols = 0, jump = 0, rela = 0;
    size_t jump_size = 0, rela_size = 0;
    int is_rela = 1;
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        ElfW(Addr) value = dynamic->d_un.d_ptr;
        /* Addresses are relocated by one loader, and left as they are by another. */
        ElfW(Addr) address = value < info->dlpi_addr ? value + info->dlpi_addr : value;
        switch (dynamic->d_tag) {
        case DT_STRTAB: names = address; break;
        case DT_SYMTAB: symbols = address; break;
        case DT_JMPREL: jump = address; break;
        case DT_RELA: rela = address; break;
        case DT_PLTRELSZ: jump_size = value; break;
        case DT_RELASZ: rela_size = value; break;
        case DT_PLTREL: is_rela = value == DT_RELA; break;
        default: break;
        }
    }
    if (!names || !symbols)
        return 0;
    if (jump && is_rela)
        follow_slots(info, (const ElfW(Rela) *)jump, jump_size / sizeof(ElfW(Rela)), (const ElfW(Sym) *)symbols,
                     (const char *)names, following);
    if (rela)
        follow_slots(info, (const ElfW(Rela) *)rela, rela_size / sizeof(ElfW(Rela)), (const ElfW(Sym) *)symbols,
                     (const char *)names, following);
    return 0;
}

static void
follow(int put_hooks_in)
{
    Following following = {.put_in = put_hooks_in};
    dl_iterate_phdr(follow_library, &following);
    followed = following.slots;
}

#else

static void
follow(int put_hooks_in)
{
    (void)put_hooks_in;
    (void)track_hook;
    (void)untrack_hook;
}

#endif

/* ---- begin, end, fork ----------------------------------------------------------------------------------------- */

static void
clear_all(void)
{
    table_clear(&texts);
    table_clear(&frames);
    table_clear(&stacks);
    table_clear(&rows);
    table_clear(&sizes);
    heap_clear(&text_bytes);
    heap_clear(&stack_frames);
    released(lives, live_room * sizeof(Live));
    lives = NULL;
    live_room = live_used = 0;
    taken = 0;
}

static void
put_to_rest(void)
{
    on = 0;
    __atomic_store_n(&left_gil, FAR_OFF, __ATOMIC_RELAXED);
    __atomic_store_n(&left_raw, FAR_OFF, __ATOMIC_RELAXED);
    filter_clear();
}

static void
before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void
after_fork_in_parent(void)
{
    pthread_mutex_unlock(&lock);
}

/* The child is not traced: it goes on with hooks that pass everything on. */
static void
after_fork_in_child(void)
{
    if (on)
        put_to_rest();
    probing = 0;
    pthread_mutex_init(&lock, NULL);
}

static PyObject *
begin(PyObject *self, PyObject *arguments)
{
    (void)self;
    double gap;
    int wanted;
    Py_ssize_t most;
    unsigned long long seed;
    if (!PyArg_ParseTuple(arguments, "dinK", &gap, &wanted, &most, &seed))
        return NULL;
    if (!(gap >= 1.0 && gap < 1e15) || wanted < 1 || wanted > MOST_FRAMES || most < 4096) {
        PyErr_SetString(PyExc_ValueError, "begin: a gap from 1, 1 to 128 frames, at least 4096 bytes");
        return NULL;
    }
    if (on) {
        PyErr_SetString(PyExc_RuntimeError, "begin: it runs already");
        return NULL;
    }
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (put_in() < 0)
        return PyErr_NoMemory();
    pthread_mutex_lock(&lock);
    clear_all();
    filter_clear();
    budget = (size_t)most;
    session += session == UINT32_MAX ? 2 : 1;
    mean_gap = gap;
    depth = wanted;
    random_state = seed ? seed : mixed((uint64_t)now.tv_nsec ^ ((uint64_t)now.tv_sec << 30) ^ (uint64_t)getpid() << 44);
    sample_count = lost_count = 0;
    lost_bytes = 0.0;
    thread_of[0] = thread_of[1] = 0; /* without a state; too many to tell apart */
    ident_of[0] = ident_of[1] = 0;
    thread_count = 2;
    owner = getpid();
    on = 1;
    __atomic_store_n(&left_gil, next_gap(), __ATOMIC_RELAXED);
    __atomic_store_n(&left_raw, next_gap(), __ATOMIC_RELAXED);
    pthread_mutex_unlock(&lock);
    follow(1);
    Py_RETURN_NONE;
}

static PyObject *
end(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    pthread_mutex_lock(&lock);
    put_to_rest();
    clear_all();
    pthread_mutex_unlock(&lock);
    follow(0);
    return PyBool_FromLong(take_hooks_out());
}

static PyObject *
follow_new(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    if (on)
        follow(1);
    return PyLong_FromLong(followed);
}

static PyObject *
state(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    int in_chain = any_hooked(), through = in_chain ? domains_seen() : 0;
    if (through == NOT_KNOWN)
        return PyErr_NoMemory();
    pthread_mutex_lock(&lock);
    long long samples = (long long)sample_count, lost = (long long)lost_count, live = (long long)live_used;
    Py_ssize_t own = (Py_ssize_t)taken;
    double bytes = lost_bytes;
    int running = on && owner == getpid();
    pthread_mutex_unlock(&lock);
    return Py_BuildValue("{s:O,s:i,s:O,s:L,s:L,s:d,s:L,s:n,s:i}", "running", running ? Py_True : Py_False, "domains",
                         through, "hooked", in_chain ? Py_True : Py_False, "samples", samples, "lost", lost,
                         "lost_bytes", bytes, "live", live, "own_bytes", own, "followed", followed);
}

/* ---- reading -------------------------------------------------------------------------------------------------- */

/* A copy that is not Python's, so that nothing is allocated through the hooks while the tables are locked. */
typedef struct { char *bytes; size_t size; } Copy;

static int
copied(Copy *copy, const void *bytes, size_t size)
{
    copy->size = size;
    copy->bytes = malloc(size ? size : 1);
    if (copy->bytes == NULL)
        return -1;
    if (size)
        memcpy(copy->bytes, bytes, size);
    return 0;
}

enum { C_TEXTS, C_TEXT_BYTES, C_FRAMES, C_STACKS, C_STACK_FRAMES, C_ROWS, C_SIZES, C_LIVES, C_THREADS, C_IDENTS, COPIES };

static PyObject *
text_list(const Copy *of_texts, const Copy *bytes)
{
    Py_ssize_t count = (Py_ssize_t)(of_texts->size / sizeof(Text));
    PyObject *list = PyList_New(count);
    if (list == NULL)
        return NULL;
    for (Py_ssize_t i = 0; i < count; i++) {
        const Text *text = (const Text *)of_texts->bytes + i;
        PyObject *one = PyUnicode_FromKindAndData((int)text->kind, bytes->bytes + text->start, text->length);
        if (one == NULL) {
            Py_DECREF(list);
            return NULL;
        }
        PyList_SET_ITEM(list, i, one);
    }
    return list;
}

/* The live threads' numbers: identifiers are given out again, numbers are not. */
static PyObject *
living_threads(void)
{
    PyObject *living = PyList_New(0);
    if (living == NULL)
        return NULL;
    for (PyThreadState *at = PyInterpreterState_ThreadHead(PyInterpreterState_Main()); at != NULL;
         at = PyThreadState_Next(at)) {
        PyObject *number = PyLong_FromUnsignedLongLong(at->id);
        if (number == NULL || PyList_Append(living, number) < 0) {
            Py_XDECREF(number);
            Py_DECREF(living);
            return NULL;
        }
        Py_DECREF(number);
    }
    return living;
}

static PyObject *
read_all(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    Copy copies[COPIES];
    memset(copies, 0, sizeof copies);
    pthread_mutex_lock(&lock);
    int failed = copied(&copies[C_TEXTS], texts.things, texts.used * sizeof(Text)) < 0
                 || copied(&copies[C_TEXT_BYTES], text_bytes.bytes, text_bytes.used) < 0
                 || copied(&copies[C_FRAMES], frames.things, frames.used * sizeof(Frame)) < 0
                 || copied(&copies[C_STACKS], stacks.things, stacks.used * sizeof(Stack)) < 0
                 || copied(&copies[C_STACK_FRAMES], stack_frames.bytes, stack_frames.used) < 0
                 || copied(&copies[C_ROWS], rows.things, rows.used * sizeof(Row)) < 0
                 || copied(&copies[C_SIZES], sizes.things, sizes.used * sizeof(Sized)) < 0
                 || copied(&copies[C_THREADS], thread_of, thread_count * sizeof(uint64_t)) < 0
                 || copied(&copies[C_IDENTS], ident_of, thread_count * sizeof(unsigned long)) < 0
                 || copied(&copies[C_LIVES], NULL, 0) < 0;
    if (!failed && live_used) {
        Live *living = realloc(copies[C_LIVES].bytes, live_used * sizeof(Live));
        if (living == NULL)
            failed = 1;
        else {
            size_t count = 0;
            copies[C_LIVES].bytes = (char *)living;
            for (size_t i = 0; i < live_room; i++)
                if (lives[i].used)
                    living[count++] = lives[i];
            copies[C_LIVES].size = count * sizeof(Live);
        }
    }
    pthread_mutex_unlock(&lock);
    PyObject *result = NULL;
    if (failed)
        PyErr_NoMemory();
    else {
        PyObject *names = text_list(&copies[C_TEXTS], &copies[C_TEXT_BYTES]);
        PyObject *living = names != NULL ? living_threads() : NULL;
        if (living != NULL)
            result = Py_BuildValue(
                "{s:N,s:N,s:y#,s:y#,s:y#,s:y#,s:y#,s:y#,s:y#,s:y#}", "names", names, "living", living, "frames",
                copies[C_FRAMES].bytes, (Py_ssize_t)copies[C_FRAMES].size, "stacks", copies[C_STACKS].bytes,
                (Py_ssize_t)copies[C_STACKS].size, "stack_frames", copies[C_STACK_FRAMES].bytes,
                (Py_ssize_t)copies[C_STACK_FRAMES].size, "rows", copies[C_ROWS].bytes, (Py_ssize_t)copies[C_ROWS].size,
                "sizes", copies[C_SIZES].bytes, (Py_ssize_t)copies[C_SIZES].size, "lives", copies[C_LIVES].bytes,
                (Py_ssize_t)copies[C_LIVES].size, "threads", copies[C_THREADS].bytes,
                (Py_ssize_t)copies[C_THREADS].size, "idents", copies[C_IDENTS].bytes,
                (Py_ssize_t)copies[C_IDENTS].size);
        else
            Py_XDECREF(names);
    }
    for (int i = 0; i < COPIES; i++)
        free(copies[i].bytes);
    return result;
}

static PyMethodDef methods[] = {
    {"begin", begin, METH_VARARGS, "begin(mean_gap, frames, budget_bytes, seed): sample allocations from now on."},
    {"end", end, METH_NOARGS, "Stop; return whether all hooks could be taken out."},
    {"follow", follow_new, METH_NOARGS, "Follow what libraries loaded meanwhile report; return how many calls."},
    {"state", state, METH_NOARGS, "Return what it does, and which domains still come through its hooks."},
    {"read", read_all, METH_NOARGS, "Return a copy of all tables."},
    {NULL, NULL, 0, NULL},
};

static int
prepared(PyObject *module)
{
    static int registered;
#if PY_VERSION_HEX < 0x030C0000
    if (Py_Version < 0x030B0200) { /* frames are visible while they are torn down: gh-99729 */
        PyErr_SetString(PyExc_ImportError, "frames cannot be read safely before Python 3.11.2");
        return -1;
    }
#endif
    if (!registered) {
        if (pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) != 0) {
            PyErr_NoMemory();
            return -1;
        }
        registered = 1;
    }
    return PyModule_AddIntConstant(module, "FOLLOWS", FOLLOWS);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, prepared},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "sites",
    .m_doc = "A sample of all allocations, with the stack of each.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit_sites(void)
{
    return PyModuleDef_Init(&definition);
}
