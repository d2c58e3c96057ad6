package verifier

import (
	_ "embed" // the examples
	"strings"
	"sync"
)

// Code names a class of rejection. Codes are stable: tools may match on them, and none changes its meaning.
type Code string

// The codes; Codes explains them.
const (
	ArgMaybeNull      Code = "E_ARG_MAYBE_NULL"
	ArgType           Code = "E_ARG_TYPE"
	BackEdge          Code = "E_BACK_EDGE"
	BTFAccess         Code = "E_BTF_ACCESS"
	BadAtomic         Code = "E_ATOMIC_TARGET"
	BadCallTarget     Code = "E_CALL_TARGET"
	BadCallback       Code = "E_CALLBACK"
	BadFill           Code = "E_FILL_SIZE"
	BadHook           Code = "E_HOOK"
	BadImm64          Code = "E_IMM64_FORM"
	BadMap            Code = "E_MAP_UNKNOWN"
	BadProgType       Code = "E_PROG_TYPE"
	BadPrototype      Code = "E_PROTOTYPE"
	BadRegister       Code = "E_REGISTER"
	BadRelease        Code = "E_RELEASE"
	BadShift          Code = "E_SHIFT"
	BadSpill          Code = "E_SPILL_SIZE"
	Broken            Code = "E_BROKEN"
	CallDepth         Code = "E_CALL_DEPTH"
	CtxAccess         Code = "E_CTX_ACCESS"
	ConstString       Code = "E_CONST_STRING"
	DivByZero         Code = "E_DIV_ZERO"
	DynptrMisuse      Code = "E_DYNPTR"
	Empty             Code = "E_EMPTY"
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
	IterMisuse        Code = "E_ITER"
	KfuncUnavailable  Code = "E_KFUNC_UNAVAILABLE"
	KfuncUnknown      Code = "E_KFUNC_UNKNOWN"
	LegacyLoad        Code = "E_LEGACY_LOAD"
	LockMisuse        Code = "E_LOCK"
	MapHelper         Code = "E_MAP_HELPER"
	MapMisuse         Code = "E_MAP_ACCESS"
	MapType           Code = "E_MAP_TYPE"
	MapValueBounds    Code = "E_MAP_BOUNDS"
	MaybeNull         Code = "E_MAYBE_NULL"
	MemBounds         Code = "E_MEM_BOUNDS"
	MemScalar         Code = "E_MEM_SCALAR"
	MemType           Code = "E_MEM_TYPE"
	MightSleep        Code = "E_MIGHT_SLEEP"
	Misaligned        Code = "E_ALIGN"
	MixedPointers     Code = "E_MIXED_POINTERS"
	ModifiedPtr       Code = "E_MODIFIED_PTR"
	NeedsBTF          Code = "E_NEEDS_BTF"
	NeedsGPL          Code = "E_GPL"
	NegativeOffset    Code = "E_NEGATIVE_OFFSET"
	NegativeSize      Code = "E_NEGATIVE_SIZE"
	NotConstant       Code = "E_NOT_CONSTANT"
	NotPrivileged     Code = "E_PRIVILEGE"
	NullArith         Code = "E_NULL_ARITH"
	NullPointer       Code = "E_NULL_POINTER"
	PacketBounds      Code = "E_PKT_BOUNDS"
	PacketToHelper    Code = "E_PKT_ARG"
	PointerArith      Code = "E_POINTER_ARITH"
	PointerArith32    Code = "E_POINTER_ARITH32"
	PointerLeak       Code = "E_POINTER_LEAK"
	PointerPointer    Code = "E_POINTER_POINTER"
	PointerRange      Code = "E_POINTER_RANGE"
	ReadOnlyMem       Code = "E_READ_ONLY"
	RefLeak           Code = "E_REF_LEAK"
	RegionMisuse      Code = "E_REGION"
	ReservedField     Code = "E_RESERVED_FIELD"
	ReturnValue       Code = "E_RETURN_VALUE"
	SockAccess        Code = "E_SOCK_ACCESS"
	SpecialField      Code = "E_SPECIAL_FIELD"
	SpecialMisuse     Code = "E_SPECIAL_USE"
	Speculation       Code = "E_SPECULATION"
	StackAccess       Code = "E_STACK_ACCESS"
	StackDepth        Code = "E_STACK_DEPTH"
	StackEscape       Code = "E_STACK_ESCAPE"
	StalePointer      Code = "E_STALE_POINTER"
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
	Meaning string   // what rule was broken, and why there is one
	Hint    string   // what to change
	Group   string   // what the rule is about: one of Groups
	Kernel  []string // the kernel's messages, of several releases; * stands for what differs
	Example string   // smallest program that is rejected so, in assembler text; "" where there is none
	Report  string   // what is said of the example
	Fixed   string   // the example corrected: accepted; "" where it cannot be
	// What the example and the corrected one are loaded as (program type, kernel, licence); "" is XDP, the newest kernel, GPL.
	Given, FixedGiven string
}

// Groups are what codes are about, in the order of their lists.
var Groups = []string{"packet", "memory", "null and stale pointers", "pointer arithmetic", "registers and stack", "calls",
	"references and locks", "control flow and limits", "instructions", "program and kernel", "privileges"}

// Codes explains every code, in alphabetical order of the Go names. Lookup adds the examples.
var Codes = []CodeRow{
	{Code: ArgMaybeNull, Meaning: "a helper got a pointer that may be NULL", Hint: "compare the pointer with 0 before the call"},
	{Code: ArgType, Meaning: "a helper got a value of another kind than it takes", Hint: "look up the helper's prototype, and pass memory, a map, the ctx or a number as it asks"},
	{Code: BackEdge, Meaning: "the profile allows no such jump backward: a loop might not end", Hint: "unroll the loop, or choose a kernel from 5.3 on"},
	{Code: BTFAccess, Meaning: "the struct has no such member there, or none that may be accessed so", Hint: "access a whole member by its own type; let CO-RE relocate it (preserve_access_index)"},
	{Code: BadAtomic, Meaning: "atomic operations work on the stack and on map values only", Hint: "copy the value to the stack or keep it in a map"},
	{Code: BadCallTarget, Meaning: "a call goes outside the program", Hint: "check the call's offset"},
	{Code: BadCallback, Meaning: "a callback must be a function of its own", Hint: "pass the address of a static function"},
	{Code: BadFill, Meaning: "a spilled pointer must be read back whole", Hint: "load all 8 bytes of the slot"},
	{Code: BadHook, Meaning: "the kernel has no such function or tracepoint, or none that programs may be attached to", Hint: "check the section's name against the kernel's BTF"},
	{Code: BadImm64, Meaning: "a 64-bit immediate load takes two slots, the second with nothing but the upper half", Hint: "assemble it with a current compiler"},
	{Code: BadMap, Meaning: "an instruction refers to a map that the program does not have", Hint: "check the relocations of the object"},
	{Code: BadProgType, Meaning: "the program type is unknown to the kernel of the profile", Hint: "name the section after a program type, or choose a newer kernel"},
	{Code: BadPrototype, Meaning: "a global function is proved alone, by its prototype, and this one cannot be", Hint: "take numbers, the ctx or pointers to memory of a known size, and return a number; or make the function static"},
	{Code: BadRegister, Meaning: "there are registers R0 to R10 only", Hint: "check the encoder"},
	{Code: BadRelease, Meaning: "only what was acquired, unchanged, can be released, once", Hint: "pass the pointer that the acquiring helper returned"},
	{Code: BadShift, Meaning: "a shift by a constant must be less than the operand's width", Hint: "mask the amount, or use a register: the kernel masks those"},
	{Code: BadSpill, Meaning: "a pointer must be stored whole", Hint: "store all 8 bytes"},
	{Code: Broken, Meaning: "the program or one of its maps cannot be used", Hint: "the message names what is missing"},
	{Code: CallDepth, Meaning: "at most 8 functions may be active; recursion never ends", Hint: "inline functions, or turn recursion into a loop"},
	{Code: CtxAccess, Meaning: "the program type has no such ctx field, or none that may be accessed so", Hint: "use the fields of the ctx struct with their own sizes; see the program type's table"},
	{Code: ConstString, Meaning: "the helper needs a constant string that nobody changes and that ends with a zero byte", Hint: "declare it static const char fmt[] = \"…\", which puts it into .rodata"},
	{Code: DivByZero, Meaning: "division by the constant zero", Hint: "check the constant"},
	{Code: DynptrMisuse, Meaning: "a dynptr is made by its constructor, used and released through functions, and never written over while it holds a reference", Hint: "keep the struct bpf_dynptr on the stack, initialise it once, and release it on every path"},
	{Code: Empty, Meaning: "the program has no instructions", Hint: "check the section that the program is in"},
	{Code: FallsOff, Meaning: "a function must end in exit or a jump: control would run off its end", Hint: "end the function with exit"},
	{Code: FlowKeysBounds, Meaning: "access outside struct bpf_flow_keys", Hint: "stay within its 56 bytes"},
	{Code: FramePointerWrite, Meaning: "R10 can only be read", Hint: "copy R10 to another register and change that"},
	{Code: HelperArg, Meaning: "the helper asks more of this argument than its type", Hint: "see the helper's documentation"},
	{Code: HelperUnavailable, Meaning: "this program type cannot call the helper on this kernel", Hint: "use another helper or program type, or a newer kernel"},
	{Code: HelperUnknown, Meaning: "no helper has this number", Hint: "check the helper's id"},
	{Code: InfiniteLoop, Meaning: "the program came back to where it was with nothing changed, so it would never end", Hint: "make sure that each round changes what the loop's condition looks at"},
	{Code: Internal, Meaning: "the verifier has a bug", Hint: "please report the program"},
	{Code: IntoImm64, Meaning: "a jump goes to the second slot of a 64-bit immediate load", Hint: "check the jump's offset: that load counts as two"},
	{Code: JumpOutOfRange, Meaning: "a jump leaves its function", Hint: "jump within the function; call others"},
	{Code: IterMisuse, Meaning: "an iterator lives on the stack between its constructor and its destructor, and only its own functions may touch it", Hint: "call new, then next until it returns NULL, then destroy, on every path"},
	{Code: KfuncUnavailable, Meaning: "this program may not call the kernel function", Hint: "use another function or program type, or a newer kernel"},
	{Code: KfuncUnknown, Meaning: "the kernel has no function of this name", Hint: "choose a newer kernel, or declare the function __weak and test for it with bpf_ksym_exists"},
	{Code: LegacyLoad, Meaning: "the classic packet loads need a socket filter or tc program with the ctx in R6", Hint: "use bpf_skb_load_bytes or packet pointers"},
	{Code: LockMisuse, Meaning: "bpf_spin_lock has strict rules: one lock at a time, at its place, no calls while it is held, released on every path", Hint: "keep the locked region short and straight"},
	{Code: MapHelper, Meaning: "this helper does not work on this type of map", Hint: "use the helpers that belong to the map type"},
	{Code: MapMisuse, Meaning: "the map cannot be used this way", Hint: "go through helpers: bpf_map_lookup_elem and the like"},
	{Code: MapType, Meaning: "the kernel of the profile has no such type of map", Hint: "choose another map type or a newer kernel"},
	{Code: MapValueBounds, Meaning: "the access may leave the map's value", Hint: "check the offset against the value's size before the access"},
	{Code: MaybeNull, Meaning: "the pointer may be NULL", Hint: "compare the pointer with 0 and use it only where it is not"},
	{Code: MemBounds, Meaning: "the access may leave the memory", Hint: "check the offset against the size before the access"},
	{Code: MemScalar, Meaning: "a number is not an address: only pointers that the verifier knows can be followed", Hint: "start from the ctx, a map value, the stack or the packet; a pointer that was multiplied, masked or loaded from memory is a number"},
	{Code: MemType, Meaning: "this kind of pointer cannot be followed", Hint: "compare with it, but access through another pointer"},
	{Code: MightSleep, Meaning: "the helper may sleep, and this program must not", Hint: "use a helper that does not sleep, or a sleepable program (section fentry.s, lsm.s, syscall and the like)"},
	{Code: Misaligned, Meaning: "the access is not aligned to its size", Hint: "align stack slots and fields, or use smaller accesses"},
	{Code: MixedPointers, Meaning: "one instruction must not go through the ctx or a socket on one path and through other memory on another", Hint: "use an instruction for each"},
	{Code: ModifiedPtr, Meaning: "this pointer must be used as it was given", Hint: "use the unchanged pointer and put constants into the instruction's offset"},
	{Code: NeedsBTF, Meaning: "only the kernel's type information (BTF) tells whether this is right", Hint: "give the BTF of the kernel, /sys/kernel/btf/vmlinux there: --btf FILE"},
	{Code: NeedsGPL, Meaning: "the helper is for GPL-compatible programs", Hint: "declare a GPL-compatible licence in section \"license\""},
	{Code: NegativeOffset, Meaning: "the offset may be negative", Hint: "make the index unsigned, or check that it is at least 0"},
	{Code: NegativeSize, Meaning: "the size may be negative", Hint: "make it unsigned, or mask it: size &= const"},
	{Code: NotConstant, Meaning: "this argument must be a constant", Hint: "pass a constant: on every path that leads to the call the same one"},
	{Code: NotPrivileged, Meaning: "the profile's loader lacks a capability", Hint: "choose a privileged profile"},
	{Code: NullArith, Meaning: "arithmetic on a pointer that may be NULL would hide that it is", Hint: "compare it with 0 first"},
	{Code: NullPointer, Meaning: "the pointer is NULL here", Hint: "use it on the other side of the comparison with NULL"},
	{Code: PacketBounds, Meaning: "the access may lie outside the packet", Hint: "compare the pointer, plus what is accessed, with data_end, and access only where it is not beyond"},
	{Code: PacketToHelper, Meaning: "this helper takes no packet pointers", Hint: "copy the bytes to the stack"},
	{Code: PointerArith, Meaning: "this arithmetic makes no pointer", Hint: "only add and subtract numbers, and only on pointers into memory"},
	{Code: PointerArith32, Meaning: "32-bit arithmetic cuts a pointer in half", Hint: "use 64-bit arithmetic"},
	{Code: PointerLeak, Meaning: "an unprivileged program must not let addresses out", Hint: "choose a privileged profile, or do not store the pointer"},
	{Code: PointerPointer, Meaning: "two pointers can be subtracted (with privileges) and compared, nothing else", Hint: "add a number to a pointer"},
	{Code: PointerRange, Meaning: "the offset may be so large that the address wraps around", Hint: "bound the number before it is added: mask it, or compare it"},
	{Code: ReadOnlyMem, Meaning: "this memory cannot be written", Hint: "write elsewhere; only some program types may write the packet"},
	{Code: RefLeak, Meaning: "something acquired would never be released", Hint: "release it on every path: bpf_sk_release, bpf_ringbuf_submit, bpf_ringbuf_discard"},
	{Code: RegionMisuse, Meaning: "what RCU, disabled preemption or disabled interrupts protect must be left again, in order, on every path, and nothing in it may sleep", Hint: "pair the calls, and keep the region short"},
	{Code: ReservedField, Meaning: "a field that the instruction does not use is not zero", Hint: "check the encoder"},
	{Code: ReturnValue, Meaning: "the program type or callback does not allow this return value", Hint: "set R0 to one of the allowed values before exit"},
	{Code: SockAccess, Meaning: "the socket has no such field that may be read", Hint: "use the fields of the struct with their own sizes"},
	{Code: SpecialField, Meaning: "locks and timers in map values belong to their helpers", Hint: "access around the field"},
	{Code: SpecialMisuse, Meaning: "the helper works on a special field of a map's value: a timer, a kptr or the like, at its place", Hint: "declare the field in the map's value type, with BTF (-g), and pass its address"},
	{Code: Speculation, Meaning: "for loaders without CAP_PERFMON the kernel masks what is added to pointers, against Spectre: pointers must stay in bounds, and one mask must fit all paths", Hint: "choose a loader with CAP_PERFMON, check numbers before they are added, and add them in one place for one memory only"},
	{Code: StackAccess, Meaning: "the access may leave the function's stack: 512 bytes below R10", Hint: "keep offsets from R10 between -512 and -size"},
	{Code: StackDepth, Meaning: "the functions of one chain of calls use too much stack together", Hint: "use less stack, or a per-CPU array as scratch memory"},
	{Code: StackEscape, Meaning: "a pointer to the stack of a function that ends would dangle", Hint: "pass values, or memory of the caller"},
	{Code: StalePointer, Meaning: "a call before this made the pointer invalid", Hint: "after calls that may move the packet, load data and data_end again; use nothing that was released"},
	{Code: TooComplex, Meaning: "there are more paths than the verifier walks", Hint: "split the program, bound loops by constants, or use bpf_loop"},
	{Code: TooLong, Meaning: "the program has too many instructions", Hint: "split it with tail calls"},
	{Code: TooManyJumps, Meaning: "too many branches wait on one path", Hint: "split the program"},
	{Code: TooManySubprogs, Meaning: "the program has too many functions", Hint: "inline some"},
	{Code: Unbounded, Meaning: "the offset has no upper bound", Hint: "compare the index with the size before the access, or mask it"},
	{Code: UnboundedSize, Meaning: "the size has no upper bound", Hint: "mask it (size &= const) or compare it (if size < const)"},
	{Code: UninitReg, Meaning: "the register holds nothing: it was never written, or a call scratched it", Hint: "write it first; R1 to R5 do not survive calls"},
	{Code: UninitStack, Meaning: "the stack there was never written", Hint: "initialise the variable, all of it: also the padding of a struct"},
	{Code: UnknownOpcode, Meaning: "no instruction has this code, or not on this kernel", Hint: "compile for an older instruction set: -mcpu=v1, v2, v3"},
	{Code: Unreachable, Meaning: "no path leads to this instruction", Hint: "remove it"},
	{Code: Unsupported, Meaning: "the verifier does not know this feature yet, and so refuses it", Hint: "see the list of supported features"},
	{Code: WriteOnlyMem, Meaning: "programs may not read this map", Hint: "create the map without BPF_F_WRONLY_PROG"},
	{Code: ZeroSize, Meaning: "the size may be zero", Hint: "check that it is at least 1"},
}

//go:embed codes.txt
var codesText string

// codesSaid has the reports of the examples, which a test makes.
//
//go:embed codes_said.txt
var codesSaid string

// blocks splits text into its parts, each after a line "=== NAME".
func blocks(text string) map[Code]string {
	m := map[Code]string{}
	for _, b := range strings.Split("\n"+text, "\n=== ")[1:] {
		name, body, _ := strings.Cut(b, "\n")
		m[Code(name)] = body
	}
	return m
}

// codeIndex finds rows by code, with what codes.txt and codes_said.txt add.
var codeIndex = sync.OnceValue(func() map[Code]CodeRow {
	examples, said := blocks(codesText), blocks(codesSaid)
	m := make(map[Code]CodeRow, len(Codes))
	for _, row := range Codes {
		row.Report = said[row.Code]
		row.parse(examples[row.Code])
		m[row.Code] = row
	}
	return m
})

// parse reads a block of codes.txt: lines "key: value", a line "---", the example, and, after a line "--- fixed", what is
// corrected; lines "key: value" and "---" before that are of the corrected one alone.
func (r *CodeRow) parse(block string) {
	wrong, right, _ := strings.Cut(block, "\n--- fixed\n")
	head, example, _ := strings.Cut(wrong, "---\n")
	for line := range strings.Lines(head) {
		switch key, value, _ := strings.Cut(strings.TrimSpace(line), ": "); key {
		case "group":
			r.Group = value
		case "kernel":
			r.Kernel = append(r.Kernel, value)
		default:
			r.Given += ", " + key + " " + value
		}
	}
	r.Given = strings.TrimPrefix(r.Given, ", ")
	r.FixedGiven = r.Given
	if head, rest, ok := strings.Cut(right, "---\n"); ok {
		right = rest
		r.FixedGiven = strings.ReplaceAll(strings.TrimSpace(head), ":", "")
	}
	r.Example, r.Fixed = tidy(example), tidy(right)
}

// tidy trims a program's text.
func tidy(text string) string {
	if text = strings.TrimSpace(text); text != "" {
		text += "\n"
	}
	return text
}

// Lookup explains a code; false when there is none of that name.
func Lookup(c Code) (CodeRow, bool) {
	row, ok := codeIndex()[c]
	return row, ok
}
