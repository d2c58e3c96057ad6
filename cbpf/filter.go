package cbpf

// Filter is a program made ready to run on many packets. It is read-only: any number of goroutines may run it.
type Filter struct {
	entry   *step
	steps   []step
	mode    Mode
	scratch bool // the program has scratch memory
}

// NewFilter validates a program and decodes it. The error is an *Error.
func NewFilter(p Program, mode Mode) (*Filter, error) {
	if err := p.Validate(mode); err != nil {
		return nil, err
	}
	f := &Filter{mode: mode, steps: make([]step, len(p)+1)}
	for pc, in := range p {
		f.scratch = f.scratch || in.row().arg == opMem
		f.decode(pc, in)
	}
	f.steps[len(p)] = step{code: stepRet} // where to go for 0
	for pc := range p {
		f.thread(pc)
	}
	for pc := len(p) - 1; pc >= 0; pc-- { // from the end: a fused step's second half is what it was
		f.fuse(pc)
	}
	f.entry = &f.steps[0]
	return f, nil
}

// Run returns what the program says of the packet: Program.Trace in the filter's mode, without a watcher. It does not allocate.
func (f *Filter) Run(pkt *Packet) uint32 {
	if f.scratch {
		var m [MemWords]uint32
		return f.exec(pkt, &m)
	}
	return f.exec(pkt, nil)
}

// step is a decoded instruction, or a load and the jump on what it gives.
type step struct {
	code   stepCode
	k      uint32 // immediate, offset or index
	mask   uint32 // of tests: A & mask is what val is compared with
	val    uint32
	yes    *step // the next one; of a test, when it holds
	no     *step
	jt, jf int32 // indexes of those two while decoding
}

type stepCode uint8

const (
	stepRet stepCode = iota
	stepRetA
	stepJump
	stepEq // A & mask == val
	stepGt // A > val
	stepEqX
	stepGtX
	stepGeX
	stepSetX
	stepLdB // loads of A
	stepLdH
	stepLdW
	stepLdIndB
	stepLdIndH
	stepLdIndW
	stepLdBEq // loads with a test behind
	stepLdHEq
	stepLdWEq
	stepLdIndBEq
	stepLdIndHEq
	stepLdIndWEq
	stepLdBGt
	stepLdHGt
	stepLdWGt
	stepLdIndBGt
	stepLdIndHGt
	stepLdIndWGt
	stepMsh
	stepMshIndHEq // X = 4*([mask's place]&0xf), then stepLdIndHEq
	stepLdAny     // a load whose place the mode says; see Filter.rare
	stepLdIndAny
	stepMshAny
	stepLdWord // of struct seccomp_data
	stepAncillary
	stepLdLen
	stepLdxLen
	stepLdImm // both in the order of the two before
	stepLdxImm
	stepLdMem
	stepLdxMem
	stepSt
	stepStx
	stepTax
	stepTxa
	stepAdd
	stepSub
	stepMul
	stepDiv
	stepMod
	stepAnd
	stepOr
	stepXor
	stepLsh
	stepRsh
	stepNeg
	stepAddX
	stepSubX
	stepMulX
	stepDivX
	stepModX
	stepAndX
	stepOrX
	stepXorX
	stepLshX
	stepRshX
)

// plainSteps are the instructions that are steps as they are, by opcode.
var plainSteps = [256]stepCode{
	ClassLd | ModeImm: stepLdImm, ClassLdx | ModeImm: stepLdxImm,
	ClassLd | ModeMem: stepLdMem, ClassLdx | ModeMem: stepLdxMem,
	ClassLd | ModeLen: stepLdLen, ClassLdx | ModeLen: stepLdxLen,
	ClassSt: stepSt, ClassStx: stepStx, ClassMisc | MiscTax: stepTax, ClassMisc | MiscTxa: stepTxa,
	ClassAlu | AluAdd | SrcK: stepAdd, ClassAlu | AluAdd | SrcX: stepAddX,
	ClassAlu | AluSub | SrcK: stepSub, ClassAlu | AluSub | SrcX: stepSubX,
	ClassAlu | AluMul | SrcK: stepMul, ClassAlu | AluMul | SrcX: stepMulX,
	ClassAlu | AluDiv | SrcK: stepDiv, ClassAlu | AluDiv | SrcX: stepDivX,
	ClassAlu | AluMod | SrcK: stepMod, ClassAlu | AluMod | SrcX: stepModX,
	ClassAlu | AluAnd | SrcK: stepAnd, ClassAlu | AluAnd | SrcX: stepAndX,
	ClassAlu | AluOr | SrcK: stepOr, ClassAlu | AluOr | SrcX: stepOrX,
	ClassAlu | AluXor | SrcK: stepXor, ClassAlu | AluXor | SrcX: stepXorX,
	ClassAlu | AluLsh | SrcK: stepLsh, ClassAlu | AluLsh | SrcX: stepLshX,
	ClassAlu | AluRsh | SrcK: stepRsh, ClassAlu | AluRsh | SrcX: stepRshX,
	ClassAlu | AluNeg:       stepNeg,
	ClassRet | RetK:         stepRet,
	ClassRet | RetA:         stepRetA,
	ClassJmp | JmpJa:        stepJump,
	ClassJmp | JmpEq | SrcX: stepEqX, ClassJmp | JmpGt | SrcX: stepGtX,
	ClassJmp | JmpGe | SrcX: stepGeX, ClassJmp | JmpSet | SrcX: stepSetX,
}

// mostOffset is the largest offset that steps have for a load at a place counted from the start; so large a slice there is
// not, on 32-bit machines either.
const mostOffset = 1<<31 - 8

// decode makes the step of an instruction.
func (f *Filter) decode(pc int, in Insn) {
	s := &f.steps[pc]
	a, b, _ := in.targets(pc)
	*s = step{k: in.K, jt: int32(a), jf: int32(b), code: plainSteps[in.Op]}
	size := stepCode(0) // of loads: added to those of bytes
	switch in.size() {
	case 2:
		size = 1
	case 4:
		size = 2
	}
	switch in.row().arg {
	case opLen:
		if f.mode == Seccomp {
			s.k, s.code = SeccompDataSize, s.code-stepLdLen+stepLdImm
		}
	case opCondK:
		f.decodeTest(s, in)
	case opMsh:
		s.code = stepMsh
		f.place(s, in, stepMshAny)
	case opInd:
		if s.code = stepLdIndB + size; f.mode == Socket {
			s.code, s.val = stepLdIndAny, uint32(in.size())
		}
	case opAbs:
		if which, anc := ancillary(in.K); anc && f.mode != Seccomp {
			s.code, s.k = stepAncillary, uint32(which)
			return
		}
		if s.code = stepLdB + size; f.mode == Seccomp {
			s.code = stepLdWord
		}
		f.place(s, in, stepLdAny)
	}
}

// place looks whether the mode counts k from the start of the packet. If not the code is any.
func (f *Filter) place(s *step, in Insn, any stepCode) {
	switch {
	case in.K <= mostOffset:
	case f.mode == Socket:
		s.code, s.val = any, uint32(in.size())
		if in.row().arg == opMsh {
			s.val = 1
		}
	default:
		s.code, s.k = stepRet, 0
	}
}

// decodeTest makes a test of a comparison with an immediate.
func (f *Filter) decodeTest(s *step, in Insn) {
	s.code, s.mask, s.val = stepEq, 1<<32-1, in.K
	switch in.Op & 0xf0 {
	case JmpSet: // the opposite of A & k == 0
		s.mask, s.val = in.K, 0
		s.jt, s.jf = s.jf, s.jt
	case JmpGt:
		s.code = stepGt
	case JmpGe:
		s.code, s.val = stepGt, in.K-1
		if in.K == 0 { // always
			s.code = stepJump
		}
	}
}

// thread puts pointers in the place of indexes. A jump is gone through.
func (f *Filter) thread(pc int) {
	s := &f.steps[pc]
	to := func(i int32) *step {
		for int(i) < len(f.steps) && f.steps[i].code == stepJump {
			i = f.steps[i].jt
		}
		return &f.steps[min(int(i), len(f.steps)-1)]
	}
	s.yes, s.no = to(s.jt), to(s.jf)
}

// fuse joins a load and the test behind it. The test stays, for those who jump to it.
func (f *Filter) fuse(pc int) {
	s := &f.steps[pc]
	if s.code == stepMsh && s.yes.code == stepLdIndHEq {
		msh := s.k
		ind := *s.yes
		if ind.mask == 1<<32-1 {
			*s = ind
			s.code, s.mask = stepMshIndHEq, msh
		}
		return
	}
	if s.code < stepLdB || s.code > stepLdIndW {
		return
	}
	switch s.yes.code {
	case stepEq:
		s.code += stepLdBEq - stepLdB
	case stepGt:
		s.code += stepLdBGt - stepLdB
	default:
		return
	}
	test := s.yes
	s.mask, s.val, s.yes, s.no = test.mask, test.val, test.yes, test.no
}
