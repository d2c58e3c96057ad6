//go:build !(linux && arm64)

package execmem

// syncCode makes written instructions visible to those who fetch them. x86 processors do that by themselves; on arm64,
// macOS and Windows do it when pages become executable.
func syncCode([]byte) {}
