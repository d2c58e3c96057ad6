package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// MapSet is maps in the kernel, in the order of the specs that they were made of.
type MapSet struct {
	maps []*ebpf.Map
	// arrays are more program arrays: one belongs to the type of the first program that uses it, so each type gets its own.
	arrays map[arrayKey]*ebpf.Map
}

// arrayKey is the number of a program array and the type of the programs in it.
type arrayKey struct {
	index int32
	t     prog.Type
}

// NewMaps makes the maps. Those that are frozen get their contents now, the others from Reset.
func NewMaps(specs []*maps.Spec) (*MapSet, error) {
	s := &MapSet{}
	for _, spec := range specs {
		m, err := ebpf.NewMap(&ebpf.MapSpec{Name: spec.Name, Type: ebpf.MapType(spec.Type), KeySize: spec.KeySize,
			ValueSize: spec.ValueSize, MaxEntries: spec.MaxEntries, Flags: spec.Flags, MapExtra: spec.Extra})
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("map %s: %w", spec.Name, err)
		}
		s.maps = append(s.maps, m)
		if !spec.Frozen {
			continue
		}
		if err := errors.Join(fill(m, spec), m.Freeze()); err != nil {
			s.Close()
			return nil, fmt.Errorf("map %s: %w", spec.Name, err)
		}
	}
	return s, nil
}

// Close closes the maps.
func (s *MapSet) Close() {
	for _, m := range s.maps {
		m.Close()
	}
	for _, m := range s.arrays {
		m.Close()
	}
}

// mapFor is map i as programs of type t see it.
func (s *MapSet) mapFor(i int32, t prog.Type) (*ebpf.Map, error) {
	if i < 0 || int(i) >= len(s.maps) {
		return nil, fmt.Errorf("no map %d", i)
	}
	m := s.maps[i]
	if m.Type() != ebpf.ProgramArray {
		return m, nil
	}
	key := arrayKey{i, t}
	if s.arrays[key] == nil {
		own, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: m.MaxEntries()})
		if err != nil {
			return nil, err
		}
		if s.arrays == nil {
			s.arrays = map[arrayKey]*ebpf.Map{}
		}
		s.arrays[key] = own
	}
	return s.arrays[key], nil
}

// Reset gives every map the contents of its spec, and zeros or nothing else.
func (s *MapSet) Reset(specs []*maps.Spec) error {
	for i, spec := range specs {
		m := s.maps[i]
		if spec.Frozen {
			continue
		}
		if err := errors.Join(empty(m, spec), fill(m, spec)); err != nil {
			return err
		}
	}
	return nil
}

// empty makes the map as it was when it was new. Bloom filters and ring buffers keep what they have.
func empty(m *ebpf.Map, spec *maps.Spec) error {
	switch {
	case spec.Type.Row().Hashed:
		return deleteAll(m, spec)
	case spec.Type.Row().ByPop:
		for {
			if err := m.LookupAndDelete(nil, make([]byte, spec.ValueSize)); err != nil {
				return ignore(err, ebpf.ErrKeyNotExist)
			}
		}
	case spec.Type == maps.BloomFilter, spec.Type == maps.RingBuf:
		return nil
	}
	var zeros any = make([]byte, spec.ValueSize)
	if spec.Type.Row().PerCPU {
		all := make([][]byte, ebpf.MustPossibleCPU())
		for i := range all {
			all[i] = make([]byte, spec.ValueSize)
		}
		zeros = all
	}
	for key := range spec.MaxEntries {
		var err error
		if spec.Type == maps.ProgArray {
			err = ignore(m.Delete(key), ebpf.ErrKeyNotExist)
		} else {
			err = m.Put(key, zeros)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func deleteAll(m *ebpf.Map, spec *maps.Spec) error {
	for {
		key := make([]byte, spec.KeySize)
		if err := m.NextKey(nil, key); err != nil {
			return ignore(err, ebpf.ErrKeyNotExist)
		}
		if err := m.Delete(key); err != nil {
			return err
		}
	}
}

// ignore is err, or nil when it is the one that is expected.
func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}

func fill(m *ebpf.Map, spec *maps.Spec) error {
	for _, e := range spec.Contents {
		if err := m.Put(e.Key, e.Value); err != nil {
			return err
		}
	}
	return nil
}

// Contents returns the elements of map i by key.
func (s *MapSet) Contents(i int) map[string]string {
	out := map[string]string{}
	var key, value []byte
	for it := s.maps[i].Iterate(); it.Next(&key, &value); {
		out[string(key)] = string(value)
	}
	return out
}

// Program is one program in the kernel.
type Program struct{ fd int }

// Rejected is the kernel's refusal of a program.
type Rejected struct {
	Words string   // the last words of the log that are not statistics
	Log   []string // all of it, as far as it was kept
}

func (r *Rejected) Error() string { return r.Words }

// TryProgram is LoadProgram, twice as fast for programs that are refused: the error is the bare errno.
func TryProgram(p *prog.Program, s *MapSet) (*Program, error) {
	loaded, _, err := load(p, s, 0)
	return loaded, err
}

// LoadProgram loads a program whose map loads are by index into s. A refusal by the verifier is a *Rejected.
func LoadProgram(p *prog.Program, s *MapSet) (*Program, error) {
	loaded, err := TryProgram(p, s)
	if err == nil {
		return loaded, nil
	}
	// Once more, for the log. It is cut at its start when it is too long.
	loaded, log, again := load(p, s, 1)
	if again == nil {
		return loaded, nil
	}
	return nil, &Rejected{Words: lastWords(log, err), Log: log}
}

// Walk loads a program, unloads it, and returns the log of every instruction that the kernel's verifier visits, with the
// registers that changed. Whether the program was accepted does not matter.
func Walk(p *prog.Program, s *MapSet) []string {
	loaded, log, err := load(p, s, 2)
	if err == nil {
		loaded.Close()
	}
	return log
}

// VerifyTime loads a program, unloads it, and returns what the kernel says its verification took. The kernel gives it in
// microseconds (BPF_LOG_STATS).
func VerifyTime(p *prog.Program, s *MapSet) (time.Duration, error) {
	const stats = 4
	loaded, log, err := load(p, s, stats)
	if err != nil {
		return 0, err
	}
	loaded.Close()
	for _, line := range log {
		var us int64
		if n, _ := fmt.Sscanf(line, "verification time %d usec", &us); n == 1 {
			return time.Duration(us) * time.Microsecond, nil
		}
	}
	return 0, errors.New("no verification time in the kernel's log")
}

// load is BPF_PROG_LOAD with a level of logging.
func load(p *prog.Program, s *MapSet, level uint32) (*Program, []string, error) {
	insns, err := s.resolve(p)
	if err != nil {
		return nil, nil, err
	}
	if len(insns) == 0 {
		return nil, nil, errors.New("no instructions")
	}
	code := asm.EncodeProgram(insns)
	license := append([]byte(p.License), 0)
	attr := loadAttr{Type: uint32(p.Type), Count: uint32(len(code) / asm.InsnSize), Insns: unsafe.Pointer(&code[0]),
		License: unsafe.Pointer(&license[0])}
	if s, ok := prog.SectionOf(p.Section); p.Type == prog.Syscall || ok && s.Type == p.Type && s.Sleepable {
		attr.Flags = flagSleepable
	}
	var lines []string
	log := logs.Get().(*[logSize]byte)
	defer logs.Put(log)
	log[0] = 0
	if level > 0 {
		attr.LogLevel, attr.LogSize, attr.Log = level, logSize, unsafe.Pointer(log)
	}
	fd, err := bpf(cmdProgLoad, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if n := bytes.IndexByte(log[:], 0); n > 0 {
		lines = strings.Split(string(log[:n]), "\n")
	}
	if err != nil {
		return nil, lines, err
	}
	return &Program{fd: fd}, lines, nil
}

// logs are buffers for the kernel's logs.
var logs = sync.Pool{New: func() any { return new([logSize]byte) }}

const (
	cmdProgLoad    = 5 // BPF_PROG_LOAD
	cmdProgTestRun = 10
	logSize        = 1 << 20
	flagSleepable  = 1 << 4 // BPF_F_SLEEPABLE
)

// loadAttr is the start of union bpf_attr for BPF_PROG_LOAD.
type loadAttr struct {
	Type, Count       uint32
	Insns, License    unsafe.Pointer
	LogLevel, LogSize uint32
	Log               unsafe.Pointer
	Version, Flags    uint32
	Name              [16]byte
}

// runAttr is union bpf_attr for BPF_PROG_TEST_RUN.
type runAttr struct {
	FD, Ret           uint32
	SizeIn, SizeOut   uint32
	In, Out           unsafe.Pointer
	Repeat, Duration  uint32
	CtxIn, CtxOut     uint32
	PtrIn, PtrOut     unsafe.Pointer
	Flags, CPU, Batch uint32
	_                 uint32
}

func bpf(cmd uintptr, attr unsafe.Pointer, size uintptr) (int, error) {
	for {
		r, _, errno := unix.Syscall(unix.SYS_BPF, cmd, uintptr(attr), size)
		if errno == unix.EAGAIN || errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return -1, errno
		}
		return int(r), nil
	}
}

// resolve puts descriptors of maps where the program has indexes.
func (s *MapSet) resolve(p *prog.Program) ([]asm.Insn, error) {
	fixed := append([]asm.Insn(nil), p.Insns...)
	for pc := 0; pc < len(fixed); pc++ {
		in := &fixed[pc]
		if kind := asm.KindOf(*in); kind == asm.CallKfunc || kind == asm.LdImm64 && in.Src == asm.PseudoBTFID {
			if err := resolveKfunc(p, in); err != nil {
				return nil, err
			}
		}
		if asm.KindOf(*in) != asm.LdImm64 {
			continue
		}
		pc++
		to := map[asm.Reg]asm.Reg{asm.PseudoMapIdx: asm.PseudoMapFD, asm.PseudoMapIdxValue: asm.PseudoMapValue}[in.Src]
		if to == 0 {
			continue
		}
		m, err := s.mapFor(in.Imm, p.Type)
		if err != nil {
			return nil, err
		}
		in.Src, in.Imm = to, int32(m.FD())
	}
	return fixed, nil
}

// Close unloads the program.
func (p *Program) Close() { unix.Close(p.fd) }

// Run test-runs the program once. The packet must not be empty.
func (p *Program) Run(data []byte) (Result, error) {
	out := make([]byte, len(data)+headroom)
	attr := runAttr{FD: uint32(p.fd), SizeIn: uint32(len(data)), SizeOut: uint32(len(out)), In: unsafe.Pointer(&data[0]),
		Out: unsafe.Pointer(&out[0])}
	_, err := bpf(cmdProgTestRun, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return Result{Ret: attr.Ret, Data: out[:min(int(attr.SizeOut), len(out))]}, err
}

// RunCtx test-runs a program that sleeps once, with a ctx.
func (p *Program) RunCtx(ctx []byte) (ret uint32, err error) {
	attr := runAttr{FD: uint32(p.fd), CtxIn: uint32(len(ctx)), PtrIn: unsafe.Pointer(&ctx[0])}
	_, err = bpf(cmdProgTestRun, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return attr.Ret, err
}

// FillArena writes what map i, an arena, begins with, as a loader does that shares it.
func (s *MapSet) FillArena(i int, spec *maps.Spec) error {
	size := uintptr(spec.MaxEntries) * 4096
	user := uintptr(spec.Extra) // nowhere else may it be
	at, err := unix.MmapPtr(s.maps[i].FD(), 0, *(*unsafe.Pointer)(unsafe.Pointer(&user)), size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	copy(unsafe.Slice((*byte)(at), size), spec.Contents[0].Value)
	return unix.MunmapPtr(at, size)
}
