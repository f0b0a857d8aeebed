/* Which line of Python asked malloc for the blocks that nobody gives back.
 *
 * Native code that loses memory is invisible to everything that Python knows. So, for the seconds of one short
 * pass, the calls of malloc, free and their kin from every loaded library are led through the functions below:
 * the slots of the libraries' own tables through which they call (the global offset table, by the ELF
 * specification) are made to point here, and are put back when the pass ends. The code of no library changes,
 * and blocks come from the same allocator as ever: they can be freed before, during and after the pass by
 * anyone. Each live block is noted with its size, the number of the line that ran when it was made (Python
 * says it through `site`), and the iteration. Blocks from before, and of libraries loaded meanwhile, are not seen.
 *
 * Nothing here calls malloc or Python while it notes: the table is mapped, has a fixed size, and is guarded by
 * a spin lock that no one holds while he calls anything. When it is full, later blocks are not noted, and
 * that is told. A forked child notes nothing.
 *
 * For Linux on 64-bit machines (x86-64, AArch64). Elsewhere the module does not build, and a native leak is
 * told without its line.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if !defined(__linux__) || !defined(__LP64__) || !(defined(__x86_64__) || defined(__aarch64__))
#error "only for Linux on 64-bit x86 and ARM"
#endif

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
#define IS_SLOT(type) ((type) == R_X86_64_JUMP_SLOT || (type) == R_X86_64_GLOB_DAT)
#else
#define IS_SLOT(type) ((type) == R_AARCH64_JUMP_SLOT || (type) == R_AARCH64_GLOB_DAT)
#endif

/* ---- the table of live blocks: open addressing, removal by shifting back ---- */

typedef struct {
    uintptr_t address; /* 0: free */
    uint64_t size;
    uint32_t site;
    uint32_t epoch;
} Block;

static Block *table;
static size_t slots;
static size_t taken;
static atomic_size_t missed;
static atomic_uint now_site;
static atomic_uint now_epoch;
static atomic_int noting;
static atomic_flag busy = ATOMIC_FLAG_INIT;

static inline void
lock(void)
{
    for (unsigned tries = 0; atomic_flag_test_and_set_explicit(&busy, memory_order_acquire); tries++) {
        if (tries > 64) {
            sched_yield();
        }
    }
}

static inline void
unlock(void)
{
    atomic_flag_clear_explicit(&busy, memory_order_release);
}

static inline size_t
home_of(uintptr_t address)
{
    return (size_t)((address >> 4) * 0x9E3779B97F4A7C15ull >> 20) & (slots - 1);
}

static void
note(void *block, size_t size)
{
    uint32_t site = atomic_load_explicit(&now_site, memory_order_relaxed);
    if (block == NULL || site == 0 || !atomic_load_explicit(&noting, memory_order_relaxed)) {
        return;
    }
    lock();
    if (table == NULL || taken * 4 >= slots * 3) {
        unlock();
        atomic_fetch_add(&missed, 1);
        return;
    }
    size_t at = home_of((uintptr_t)block);
    while (table[at].address && table[at].address != (uintptr_t)block) {
        at = (at + 1) & (slots - 1);
    }
    taken += !table[at].address;
    table[at] = (Block){(uintptr_t)block, size, site, atomic_load_explicit(&now_epoch, memory_order_relaxed)};
    unlock();
}

static void
forget(void *block)
{
    if (block == NULL || !atomic_load_explicit(&noting, memory_order_relaxed)) {
        return;
    }
    lock();
    if (table != NULL) {
        size_t at = home_of((uintptr_t)block);
        while (table[at].address && table[at].address != (uintptr_t)block) {
            at = (at + 1) & (slots - 1);
        }
        if (table[at].address) {
            size_t next = at;
            taken--;
            for (;;) {
                table[at].address = 0;
                do {
                    next = (next + 1) & (slots - 1);
                    if (!table[next].address) {
                        unlock();
                        return;
                    }
                    /* an entry may move back unless its home lies between the hole and itself */
                } while (((next - home_of(table[next].address)) & (slots - 1)) < ((next - at) & (slots - 1)));
                table[at] = table[next];
                at = next;
            }
        }
    }
    unlock();
}

/* ---- what the libraries call meanwhile. This object's own calls are not redirected. ---- */

static void *
our_malloc(size_t size)
{
    void *block = malloc(size);
    note(block, size);
    return block;
}

static void *
our_calloc(size_t count, size_t size)
{
    void *block = calloc(count, size);
    note(block, count * size);
    return block;
}

static void *
our_realloc(void *old, size_t size)
{
    /* Forgotten first: another thread may be given its address before this one comes to note anything. */
    forget(old);
    void *block = realloc(old, size);
    if (block != NULL) {
        note(block, size);
    }
    return block;
}

static void *
our_reallocarray(void *old, size_t count, size_t size)
{
    forget(old);
    void *block = reallocarray(old, count, size);
    if (block != NULL) {
        note(block, count * size);
    }
    return block;
}

static void
our_free(void *block)
{
    int saved = errno;
    forget(block);
    errno = saved;
    free(block);
}

static int
our_posix_memalign(void **block, size_t alignment, size_t size)
{
    int failed = posix_memalign(block, alignment, size);
    if (!failed) {
        note(*block, size);
    }
    return failed;
}

static void *
our_aligned_alloc(size_t alignment, size_t size)
{
    void *block = aligned_alloc(alignment, size);
    note(block, size);
    return block;
}

static void *
our_memalign(size_t alignment, size_t size)
{
    void *block = memalign(alignment, size);
    note(block, size);
    return block;
}

static char *
our_strdup(const char *text)
{
    char *block = strdup(text);
    note(block, block == NULL ? 0 : strlen(block) + 1);
    return block;
}

static char *
our_strndup(const char *text, size_t most)
{
    char *block = strndup(text, most);
    note(block, block == NULL ? 0 : strlen(block) + 1);
    return block;
}

static const struct {
    const char *name;
    void *ours;
} hooks[] = {
    {"malloc", (void *)our_malloc},
    {"calloc", (void *)our_calloc},
    {"realloc", (void *)our_realloc},
    {"reallocarray", (void *)our_reallocarray},
    {"free", (void *)our_free},
    {"cfree", (void *)our_free},
    {"posix_memalign", (void *)our_posix_memalign},
    {"aligned_alloc", (void *)our_aligned_alloc},
    {"memalign", (void *)our_memalign},
    {"strdup", (void *)our_strdup},
    {"__strdup", (void *)our_strdup},
    {"strndup", (void *)our_strndup},
};
#define HOOKS (sizeof hooks / sizeof *hooks)

static void *real[HOOKS]; /* what the whole program means by the name; a library with its own is left alone */

/* ---- the libraries' slots ---- */

typedef struct {
    void **slot;
    void *before;
    void *ours;
    int sealed;
} Patch;

typedef struct {
    ElfW(Addr) base;
    ElfW(Addr) low, high;       /* where it is mapped */
    ElfW(Addr) sealed, unseal;  /* the part that was made read only once it had been resolved */
    const ElfW(Dyn) *dynamic;
} Library;

static Patch *patches;
static size_t patched, room;

static int
write_slot(void **slot, void *value, int sealed)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    void *start = (void *)((uintptr_t)slot & ~(page - 1));
    if (sealed && mprotect(start, page, PROT_READ | PROT_WRITE)) {
        return 0;
    }
    __atomic_store_n(slot, value, __ATOMIC_RELEASE);
    if (sealed) {
        mprotect(start, page, PROT_READ);
    }
    return 1;
}

static void
patch(void **slot, size_t hook, const Library *library)
{
    void *value = *slot;
    /* Resolved to what everybody means by the name, or not yet resolved: then it points into its own library. */
    int lazy = (uintptr_t)value >= library->low && (uintptr_t)value < library->high;
    if (value != real[hook] && !lazy) {
        return;
    }
    if (patched == room) {
        size_t more = room ? 2 * room : 1024;
        Patch *grown = realloc(patches, more * sizeof *grown);
        if (grown == NULL) {
            return;
        }
        patches = grown;
        room = more;
    }
    int sealed = (ElfW(Addr))slot >= library->sealed && (ElfW(Addr))slot < library->unseal;
    if (write_slot(slot, hooks[hook].ours, sealed)) {
        patches[patched++] = (Patch){slot, value, hooks[hook].ours, sealed};
    }
}

static void
patch_relocations(const ElfW(Rela) *rela, size_t size, const ElfW(Sym) *symbols, const char *strings,
                  const Library *library)
{
    for (size_t n = 0; rela != NULL && n < size / sizeof *rela; n++) {
        if (!IS_SLOT(ELF64_R_TYPE(rela[n].r_info))) {
            continue;
        }
        const char *name = strings + symbols[ELF64_R_SYM(rela[n].r_info)].st_name;
        for (size_t hook = 0; hook < HOOKS; hook++) {
            if (!strcmp(name, hooks[hook].name)) {
                if (real[hook] != NULL) {
                    patch((void **)(library->base + rela[n].r_offset), hook, library);
                }
                break;
            }
        }
    }
}

static Library
library_of(const struct dl_phdr_info *info)
{
    Library found = {info->dlpi_addr, ~(ElfW(Addr))0, 0, 0, 0, NULL};
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (int n = 0; n < info->dlpi_phnum; n++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[n];
        ElfW(Addr) at = info->dlpi_addr + header->p_vaddr;
        if (header->p_type == PT_DYNAMIC) {
            found.dynamic = (const ElfW(Dyn) *)at;
        }
        else if (header->p_type == PT_LOAD) {
            found.low = at < found.low ? at : found.low;
            found.high = at + header->p_memsz > found.high ? at + header->p_memsz : found.high;
        }
        else if (header->p_type == PT_GNU_RELRO) {
            found.sealed = at & ~(page - 1);
            found.unseal = (at + header->p_memsz) & ~(page - 1);
        }
    }
    return found;
}

static int
patch_library(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size;
    (void)unused;
    Library library = library_of(info);
    uintptr_t self = (uintptr_t)&table;
    if (library.dynamic == NULL || (self >= library.low && self < library.high)
        || strstr(info->dlpi_name, "linux-vdso") || strstr(info->dlpi_name, "/ld-linux")) {
        return 0;
    }
    const ElfW(Sym) *symbols = NULL;
    const char *strings = NULL;
    const ElfW(Rela) *jumps = NULL, *others = NULL;
    size_t jumps_size = 0, others_size = 0;
    for (const ElfW(Dyn) *entry = library.dynamic; entry->d_tag != DT_NULL; entry++) {
        /* glibc stores addresses there, other loaders offsets */
        ElfW(Addr) value = entry->d_un.d_ptr;
        ElfW(Addr) address = value < library.base ? library.base + value : value;
        switch (entry->d_tag) {
        case DT_SYMTAB:
            symbols = (const ElfW(Sym) *)address;
            break;
        case DT_STRTAB:
            strings = (const char *)address;
            break;
        case DT_JMPREL:
            jumps = (const ElfW(Rela) *)address;
            break;
        case DT_PLTRELSZ:
            jumps_size = entry->d_un.d_val;
            break;
        case DT_RELA:
            others = (const ElfW(Rela) *)address;
            break;
        case DT_RELASZ:
            others_size = entry->d_un.d_val;
            break;
        default:
            break;
        }
    }
    if (symbols != NULL && strings != NULL) {
        patch_relocations(jumps, jumps_size, symbols, strings, &library);
        patch_relocations(others, others_size, symbols, strings, &library);
    }
    return 0;
}

/* Libraries that were unloaded meanwhile are not in the loader's list, and their slots are not touched. */
static int
unpatch_library(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size;
    (void)unused;
    Library library = library_of(info);
    for (size_t n = 0; n < patched; n++) {
        ElfW(Addr) at = (ElfW(Addr))patches[n].slot;
        if (at >= library.low && at < library.high && *patches[n].slot == patches[n].ours) {
            write_slot(patches[n].slot, patches[n].before, patches[n].sealed);
        }
    }
    return 0;
}

static void
unpatch(void)
{
    dl_iterate_phdr(unpatch_library, NULL);
    free(patches);
    patches = NULL;
    patched = room = 0;
}

static void
in_child(void)
{
    atomic_store(&noting, 0);
    atomic_flag_clear(&busy); /* a thread that does not live here may have held it */
}

/* ---- for Python ---- */

static PyObject *
begin(PyObject *module, PyObject *args)
{
    (void)module;
    static int watched_forks;
    Py_ssize_t most;
    if (!PyArg_ParseTuple(args, "n:begin", &most)) {
        return NULL;
    }
    if (table != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "calls of malloc are noted already");
        return NULL;
    }
    if (most < 1024 || most > ((Py_ssize_t)1 << 26)) {
        PyErr_SetString(PyExc_ValueError, "the table holds 1,024 to 67,108,864 blocks");
        return NULL;
    }
    size_t wanted = 2048;
    while (wanted * 3 < (size_t)most * 4) {
        wanted *= 2;
    }
    Block *mapped = mmap(NULL, wanted * sizeof *mapped, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) {
        return PyErr_NoMemory();
    }
    if (!watched_forks) {
        watched_forks = 1;
        pthread_atfork(NULL, NULL, in_child);
    }
    for (size_t hook = 0; hook < HOOKS; hook++) {
        real[hook] = dlsym(RTLD_DEFAULT, hooks[hook].name);
    }
    slots = wanted;
    taken = 0;
    table = mapped;
    atomic_store(&missed, 0);
    atomic_store(&now_site, 0);
    atomic_store(&now_epoch, 0);
    atomic_store(&noting, 1);
    dl_iterate_phdr(patch_library, NULL);
    return PyLong_FromSize_t(patched);
}

/* A reference to None. Not Py_RETURN_NONE: in the headers of 3.12 and later it counts nothing, and what was
 * built with those runs on 3.11 too, where None is not immortal. */
static PyObject *none(void)
{
    Py_IncRef(Py_None);
    return Py_None;
}

static PyObject *
end(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    if (table == NULL) {
        return none();
    }
    atomic_store(&noting, 0);
    unpatch();
    lock();
    Block *old = table;
    table = NULL;
    unlock();
    munmap(old, slots * sizeof *old);
    return none();
}

static PyObject *
set_number(atomic_uint *where, PyObject *value)
{
    unsigned long number = PyLong_AsUnsignedLong(value);
    if (number == (unsigned long)-1 && PyErr_Occurred()) {
        return NULL;
    }
    atomic_store_explicit(where, (unsigned)number, memory_order_relaxed);
    return none();
}

static PyObject *
site(PyObject *module, PyObject *value)
{
    (void)module;
    return set_number(&now_site, value);
}

static PyObject *
epoch(PyObject *module, PyObject *value)
{
    (void)module;
    return set_number(&now_epoch, value);
}

static PyObject *
live(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    if (table == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "calls of malloc are not noted");
        return NULL;
    }
    int was = atomic_exchange(&noting, 0);
    PyObject *found = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(taken * 3 * sizeof(uint64_t)));
    if (found != NULL) {
        uint64_t *row = (uint64_t *)PyBytes_AsString(found), *stop = row + taken * 3;
        lock();
        for (size_t n = 0; n < slots && row < stop; n++) {
            if (table[n].address) {
                row[0] = table[n].site;
                row[1] = table[n].epoch;
                row[2] = table[n].size;
                row += 3;
            }
        }
        unlock();
    }
    atomic_store(&noting, was);
    return found == NULL ? NULL : Py_BuildValue("Nn", found, (Py_ssize_t)atomic_load(&missed));
}

static PyMethodDef methods[] = {
    {"begin", begin, METH_VARARGS,
     "Note the calls of malloc from now on, at most so many live blocks; return how many slots lead here."},
    {"end", end, METH_NOARGS, "Put everything back. A second call does nothing."},
    {"site", site, METH_O, "Say which line runs from now on; 0: blocks are not noted."},
    {"epoch", epoch, METH_O, "Say which iteration runs from now on."},
    {"live", live, METH_NOARGS, "Return (site, epoch, size) of each live block as 64-bit numbers, and how many were missed."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "mallocs", "Which line asked malloc for what is not given back.", -1, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC
PyInit_mallocs(void)
{
    return PyModule_Create(&definition);
}
