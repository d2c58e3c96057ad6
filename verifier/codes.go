package verifier

// Code names a class of rejection. Codes are stable: tools may match on them, and none changes its meaning.
type Code string

// The codes; Codes explains them.
const (
	ArgMaybeNull      Code = "E_ARG_MAYBE_NULL"
	ArgType           Code = "E_ARG_TYPE"
	BackEdge          Code = "E_BACK_EDGE"
	BadAtomic         Code = "E_ATOMIC_TARGET"
	BadCallTarget     Code = "E_CALL_TARGET"
	BadCallback       Code = "E_CALLBACK"
	BadFill           Code = "E_FILL_SIZE"
	BadImm64          Code = "E_IMM64_FORM"
	BadMap            Code = "E_MAP_UNKNOWN"
	BadProgType       Code = "E_PROG_TYPE"
	BadRegister       Code = "E_REGISTER"
	BadRelease        Code = "E_RELEASE"
	BadShift          Code = "E_SHIFT"
	BadSpill          Code = "E_SPILL_SIZE"
	Broken            Code = "E_BROKEN"
	CallDepth         Code = "E_CALL_DEPTH"
	CtxAccess         Code = "E_CTX_ACCESS"
	DivByZero         Code = "E_DIV_ZERO"
	FallsOff          Code = "E_FALLS_OFF"
	FlowKeysBounds    Code = "E_FLOW_KEYS"
	FramePointerWrite Code = "E_FRAME_POINTER"
	HelperArg         Code = "E_HELPER_ARG"
	HelperUnavailable Code = "E_HELPER_UNAVAILABLE"
	HelperUnknown     Code = "E_HELPER_UNKNOWN"
	InfiniteLoop      Code = "E_INFINITE_LOOP"
	Internal          Code = "E_INTERNAL"
	IntoImm64         Code = "E_INTO_IMM64"
	JumpOutOfRange    Code = "E_JUMP_RANGE"
	LegacyLoad        Code = "E_LEGACY_LOAD"
	LockMisuse        Code = "E_LOCK"
	MapHelper         Code = "E_MAP_HELPER"
	MapMisuse         Code = "E_MAP_ACCESS"
	MapValueBounds    Code = "E_MAP_BOUNDS"
	MaybeNull         Code = "E_MAYBE_NULL"
	MemBounds         Code = "E_MEM_BOUNDS"
	MemScalar         Code = "E_MEM_SCALAR"
	MemType           Code = "E_MEM_TYPE"
	Misaligned        Code = "E_ALIGN"
	MixedPointers     Code = "E_MIXED_POINTERS"
	ModifiedPtr       Code = "E_MODIFIED_PTR"
	NeedsGPL          Code = "E_GPL"
	NegativeOffset    Code = "E_NEGATIVE_OFFSET"
	NegativeSize      Code = "E_NEGATIVE_SIZE"
	NotPrivileged     Code = "E_PRIVILEGE"
	NullArith         Code = "E_NULL_ARITH"
	PacketBounds      Code = "E_PACKET_BOUNDS"
	PacketToHelper    Code = "E_PACKET_ARG"
	PointerArith      Code = "E_POINTER_ARITH"
	PointerArith32    Code = "E_POINTER_ARITH32"
	PointerLeak       Code = "E_POINTER_LEAK"
	PointerPointer    Code = "E_POINTER_POINTER"
	PointerRange      Code = "E_POINTER_RANGE"
	ReadOnlyMem       Code = "E_READ_ONLY"
	RefLeak           Code = "E_REF_LEAK"
	ReservedField     Code = "E_RESERVED_FIELD"
	ReturnValue       Code = "E_RETURN_VALUE"
	SockAccess        Code = "E_SOCK_ACCESS"
	SpecialField      Code = "E_SPECIAL_FIELD"
	StackAccess       Code = "E_STACK_ACCESS"
	StackDepth        Code = "E_STACK_DEPTH"
	StackEscape       Code = "E_STACK_ESCAPE"
	TooComplex        Code = "E_TOO_COMPLEX"
	TooLong           Code = "E_TOO_LONG"
	TooManyJumps      Code = "E_TOO_MANY_JUMPS"
	TooManySubprogs   Code = "E_TOO_MANY_FUNCTIONS"
	Unbounded         Code = "E_UNBOUNDED"
	UnboundedSize     Code = "E_UNBOUNDED_SIZE"
	UninitReg         Code = "E_UNINIT_REG"
	UninitStack       Code = "E_UNINIT_STACK"
	UnknownOpcode     Code = "E_OPCODE"
	Unreachable       Code = "E_UNREACHABLE"
	Unsupported       Code = "E_UNSUPPORTED"
	WriteOnlyMem      Code = "E_WRITE_ONLY"
	ZeroSize          Code = "E_ZERO_SIZE"
)

// CodeRow explains a code.
type CodeRow struct {
	Code    Code
	Meaning string // what rule was broken, and why there is one
	Hint    string // what to change
}

// Codes explains every code, in alphabetical order of the Go names.
var Codes = []CodeRow{
	{ArgMaybeNull, "a helper got a pointer that may be NULL", "compare the pointer with 0 before the call"},
	{ArgType, "a helper got a value of another kind than it takes", "look up the helper's prototype, and pass memory, a map, the ctx or a number as it asks"},
	{BackEdge, "the profile allows no such jump backward: a loop might not end", "unroll the loop, or choose a kernel from 5.3 on"},
	{BadAtomic, "atomic operations work on the stack and on map values only", "copy the value to the stack or keep it in a map"},
	{BadCallTarget, "a call goes outside the program", "check the call's offset"},
	{BadCallback, "a callback must be a function of its own", "pass the address of a static function"},
	{BadFill, "a spilled pointer must be read back whole", "load all 8 bytes of the slot"},
	{BadImm64, "a 64-bit immediate load takes two slots, the second with nothing but the upper half", "assemble it with a current compiler"},
	{BadMap, "an instruction refers to a map that the program does not have", "check the relocations of the object"},
	{BadProgType, "the program type is unknown to the kernel of the profile", "name the section after a program type, or choose a newer kernel"},
	{BadRegister, "there are registers R0 to R10 only", "check the encoder"},
	{BadRelease, "only what was acquired, unchanged, can be released, once", "pass the pointer that the acquiring helper returned"},
	{BadShift, "a shift by a constant must be less than the operand's width", "mask the amount, or use a register: the kernel masks those"},
	{BadSpill, "a pointer must be stored whole", "store all 8 bytes"},
	{Broken, "the program or one of its maps cannot be used", "the message names what is missing"},
	{CallDepth, "at most 8 functions may be active; recursion never ends", "inline functions, or turn recursion into a loop"},
	{CtxAccess, "the program type has no such ctx field, or none that may be accessed so", "use the fields of the ctx struct with their own sizes; see the program type's table"},
	{DivByZero, "division by the constant zero", "check the constant"},
	{FallsOff, "a function must end in exit or a jump: control would run off its end", "end the function with exit"},
	{FlowKeysBounds, "access outside struct bpf_flow_keys", "stay within its 56 bytes"},
	{FramePointerWrite, "R10 can only be read", "copy R10 to another register and change that"},
	{HelperArg, "the helper asks more of this argument than its type", "see the helper's documentation"},
	{HelperUnavailable, "this program type cannot call the helper on this kernel", "use another helper or program type, or a newer kernel"},
	{HelperUnknown, "no helper has this number", "check the helper's id"},
	{InfiniteLoop, "the program came back to where it was with nothing changed, so it would never end", "make sure that each round changes what the loop's condition looks at"},
	{Internal, "the verifier has a bug", "please report the program"},
	{IntoImm64, "a jump goes to the second slot of a 64-bit immediate load", "check the jump's offset: that load counts as two"},
	{JumpOutOfRange, "a jump leaves its function", "jump within the function; call others"},
	{LegacyLoad, "the classic packet loads need a socket filter or tc program with the ctx in R6", "use bpf_skb_load_bytes or packet pointers"},
	{LockMisuse, "bpf_spin_lock has strict rules: one lock at a time, at its place, no calls while it is held, released on every path", "keep the locked region short and straight"},
	{MapHelper, "this helper does not work on this type of map", "use the helpers that belong to the map type"},
	{MapMisuse, "the map cannot be used this way", "go through helpers: bpf_map_lookup_elem and the like"},
	{MapValueBounds, "the access may leave the map's value", "check the offset against the value's size before the access"},
	{MaybeNull, "the pointer may be NULL", "compare the pointer with 0 and use it only where it is not"},
	{MemBounds, "the access may leave the memory", "check the offset against the size before the access"},
	{MemScalar, "a number is not an address: only pointers that the verifier knows can be followed", "start from the ctx, a map value, the stack or the packet; a pointer that was multiplied, masked or loaded from memory is a number"},
	{MemType, "this kind of pointer cannot be followed", "compare with it, but access through another pointer"},
	{Misaligned, "the access is not aligned to its size", "align stack slots and fields, or use smaller accesses"},
	{MixedPointers, "one instruction must not go through the ctx or a socket on one path and through other memory on another", "use an instruction for each"},
	{ModifiedPtr, "this pointer must be used as it was given", "use the unchanged pointer and put constants into the instruction's offset"},
	{NeedsGPL, "the helper is for GPL-compatible programs", "declare a GPL-compatible licence in section \"license\""},
	{NegativeOffset, "the offset may be negative", "make the index unsigned, or check that it is at least 0"},
	{NegativeSize, "the size may be negative", "make it unsigned, or mask it: size &= const"},
	{NotPrivileged, "the profile's loader lacks a capability", "choose a privileged profile"},
	{NullArith, "arithmetic on a pointer that may be NULL would hide that it is", "compare it with 0 first"},
	{PacketBounds, "the access may lie outside the packet", "compare the pointer, plus what is accessed, with data_end, and access only where it is not beyond"},
	{PacketToHelper, "this helper takes no packet pointers", "copy the bytes to the stack"},
	{PointerArith, "this arithmetic makes no pointer", "only add and subtract numbers, and only on pointers into memory"},
	{PointerArith32, "32-bit arithmetic cuts a pointer in half", "use 64-bit arithmetic"},
	{PointerLeak, "an unprivileged program must not let addresses out", "choose a privileged profile, or do not store the pointer"},
	{PointerPointer, "two pointers can be subtracted (with privileges) and compared, nothing else", "add a number to a pointer"},
	{PointerRange, "the offset may be so large that the address wraps around", "bound the number before it is added: mask it, or compare it"},
	{ReadOnlyMem, "this memory cannot be written", "write elsewhere; only some program types may write the packet"},
	{RefLeak, "something acquired would never be released", "release it on every path: bpf_sk_release, bpf_ringbuf_submit, bpf_ringbuf_discard"},
	{ReservedField, "a field that the instruction does not use is not zero", "check the encoder"},
	{ReturnValue, "the program type or callback does not allow this return value", "set R0 to one of the allowed values before exit"},
	{SockAccess, "the socket has no such field that may be read", "use the fields of the struct with their own sizes"},
	{SpecialField, "locks and timers in map values belong to their helpers", "access around the field"},
	{StackAccess, "the access may leave the function's stack: 512 bytes below R10", "keep offsets from R10 between -512 and -size"},
	{StackDepth, "the functions of one chain of calls use too much stack together", "use less stack, or a per-CPU array as scratch memory"},
	{StackEscape, "a pointer to the stack of a function that ends would dangle", "pass values, or memory of the caller"},
	{TooComplex, "there are more paths than the verifier walks", "split the program, bound loops by constants, or use bpf_loop"},
	{TooLong, "the program has no or too many instructions", "split it with tail calls"},
	{TooManyJumps, "too many branches wait on one path", "split the program"},
	{TooManySubprogs, "the program has too many functions", "inline some"},
	{Unbounded, "the offset has no upper bound", "compare the index with the size before the access, or mask it"},
	{UnboundedSize, "the size has no upper bound", "mask it (size &= const) or compare it (if size < const)"},
	{UninitReg, "the register holds nothing: it was never written, or a call scratched it", "write it first; R1 to R5 do not survive calls"},
	{UninitStack, "the stack there was never written", "initialise the variable, all of it: also the padding of a struct"},
	{UnknownOpcode, "no instruction has this code, or not on this kernel", "compile for an older instruction set: -mcpu=v1, v2, v3"},
	{Unreachable, "no path leads to this instruction", "remove it"},
	{Unsupported, "the verifier does not know this feature yet, and so refuses it", "see the list of supported features"},
	{WriteOnlyMem, "programs may not read this map", "create the map without BPF_F_WRONLY_PROG"},
	{ZeroSize, "the size may be zero", "check that it is at least 1"},
}

var codeIndex = func() map[Code]*CodeRow {
	m := make(map[Code]*CodeRow, len(Codes))
	for i := range Codes {
		m[Codes[i].Code] = &Codes[i]
	}
	return m
}()

// Lookup explains a code; false when there is none of that name.
func Lookup(c Code) (CodeRow, bool) {
	if row := codeIndex[c]; row != nil {
		return *row, true
	}
	return CodeRow{}, false
}
