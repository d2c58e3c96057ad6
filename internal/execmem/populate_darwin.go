package execmem

// populate is a flag of Linux's mmap.
const populate = 0
