//go:build darwin || (linux && !arm64)

package execmem

// syncCode makes written instructions visible to those who fetch them. x86 processors do that by themselves. macOS on arm64 does it
// when a page becomes executable for the first time (vm_fault_enter: pmap_sync_page_data_phys), as ours do, which are
// fresh; its own call, sys_icache_invalidate, is C.
func syncCode([]byte) {}
