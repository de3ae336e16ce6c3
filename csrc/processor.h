/* processor.h: the instruction set whose loops run. */
#ifndef SCRATCHNET_PROCESSOR_H
#define SCRATCHNET_PROCESSOR_H

#include "table.h"

extern const sn_isa_table *isa;

#endif
