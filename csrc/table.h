/* table.h: what an instruction set provides: its name, and the kernels of both types. */
#ifndef SCRATCHNET_TABLE_H
#define SCRATCHNET_TABLE_H

#include "scratchnet.h"

#define REAL float
#define K(name) name##_f32
#include "table.inc"
#undef REAL
#undef K

#define REAL double
#define K(name) name##_f64
#include "table.inc"
#undef REAL
#undef K

typedef struct {
    const char *name;
    const sn_table_f32 *f32;
    const sn_table_f64 *f64;
} sn_isa_table;

extern const sn_isa_table sn_baseline;

#endif
