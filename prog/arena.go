package prog

// ArenaUse says which instructions of a program go through pointers to an arena, by slot, in ascending order. Only the verifier knows.
type ArenaUse struct {
	// Through are loads, stores and atomics whose address is one of the arena's, and casts to the address space of its user.
	Through []int
	// Narrow are 64-bit ALU operations on addresses of the arena: they work on 32 bits (Linux: needs_zext).
	Narrow []int
}
