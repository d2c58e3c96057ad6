package prog

// Proof is what the verifier has found out about a program, and engines cannot see.
type Proof struct {
	Arena ArenaUse
	// PacketStores is how many bytes of a packet, from its first one on, instructions may store to, or helpers and functions that are given a place there
	// to write to. Helpers and kernel functions that write there by themselves are not its matter.
	PacketStores uint32
}

// ArenaUse says which instructions of a program go through pointers to an arena, by slot, in ascending order. Only the verifier knows.
type ArenaUse struct {
	// Through are loads, stores and atomics whose address is one of the arena's, and casts to the address space of its user.
	Through []int
	// Narrow are 64-bit ALU operations on addresses of the arena: they work on 32 bits (Linux: needs_zext).
	Narrow []int
}
