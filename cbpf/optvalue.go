package cbpf

// valueID names a value of a run: two places that have the same id hold the same number, on every packet, because a packet
// does not change while a filter runs and no block runs twice. Ids are indices of opt.values.
type valueID int32

// A value is how a number comes about: an instruction and the values that it takes. Constants are instructions too.
type value struct {
	op   uint16 // the instruction's, or one of those below
	a, b valueID
	k    uint32
	max  uint32 // no value is above it
}

// Values that are no instruction's.
const (
	valueConst  uint16 = ClassLd | ModeImm
	valueOpaque uint16 = 0x100 // nothing is known: what A, X and M[k] hold at first, and what ancillary loads may give
	valueJoin   uint16 = 0x101 // register k at the start of block a, which different paths leave different
)

// Registers, as bits of a set and as indices: A, X, then M[0] to M[15].
const (
	regA    = 0
	regX    = 1
	regM    = 2
	numRegs = regM + MemWords
)

// intern returns the id of a value, the same for equal ones.
func (o *opt) intern(v value) valueID {
	mask := uint32(len(o.table) - 1)
	h := (uint32(v.op)*0x9e3779b1 ^ uint32(v.a)*0x85ebca6b ^ uint32(v.b)*0xc2b2ae35 ^ v.k*0x27d4eb2f)
	for h = (h ^ h>>15) & mask; ; h = (h + 1) & mask {
		id := o.table[h]
		if id == 0 {
			break
		}
		if w := &o.values[id-1]; w.op == v.op && w.a == v.a && w.b == v.b && w.k == v.k {
			return id - 1
		}
	}
	id := valueID(len(o.values))
	o.values = append(o.values, v)
	o.table[h] = id + 1
	if 2*len(o.values) > len(o.table) {
		o.rehash()
	}
	return id
}

// rehash doubles the table of intern.
func (o *opt) rehash() {
	n := 2 * len(o.table)
	values := o.values
	o.table, o.values = make([]valueID, n), values[:0:0]
	for _, v := range values {
		o.intern(v)
	}
}

func (o *opt) constant(k uint32) valueID { return o.intern(value{op: valueConst, k: k, max: k}) }

// opaque returns a value that no other is known to equal.
func (o *opt) opaque() valueID {
	o.unknowns++
	return o.intern(value{op: valueOpaque, k: o.unknowns, max: 1<<32 - 1})
}

// constOf returns the number that v is, if it is one.
func (o *opt) constOf(v valueID) (uint32, bool) {
	w := &o.values[v]
	return w.k, w.op == valueConst
}

// loadMax is the largest number that a load of a size gives, by Op>>3&3.
var loadMax = [4]uint32{1<<32 - 1, 1<<16 - 1, 1<<8 - 1, 1<<32 - 1}

// result returns which register a statement writes and its value. The register is -1 where an ancillary load takes part
// whose value may change.
func (o *opt) result(in Insn, s *state) (reg int, v valueID) {
	reg = int(in.Op & 1) // of the classes ld and ldx
	switch in.Op & 7 {
	case ClassSt:
		return regM + int(in.K), s.reg[regA]
	case ClassStx:
		return regM + int(in.K), s.reg[regX]
	case ClassMisc:
		if in.Op == ClassMisc|MiscTax {
			return regX, s.reg[regA]
		}
		return regA, s.reg[regX]
	case ClassAlu:
		b := s.reg[regX]
		if in.Op&SrcX == 0 {
			b = o.constant(in.K)
		}
		return regA, o.calc(in.Op&0xf0, s.reg[regA], b)
	}
	switch in.Op & 0xe0 {
	case ModeImm:
		return reg, o.constant(in.K)
	case ModeMem:
		return reg, s.reg[regM+int(in.K)]
	case ModeLen:
		return reg, o.intern(value{op: ClassLd | ModeLen, max: 1<<32 - 1})
	case ModeMsh:
		return reg, o.intern(value{op: ClassLdx | ModeMsh | SizeB, k: in.K, max: 60})
	case ModeInd:
		return reg, o.intern(value{op: in.Op, a: s.reg[regX], k: in.K, max: loadMax[in.Op>>3&3]})
	}
	if _, is := ancillary(in.K); is {
		return reg, o.opaque()
	}
	return reg, o.intern(value{op: in.Op, k: in.K, max: loadMax[in.Op>>3&3]})
}

// calc returns the value of an operation.
func (o *opt) calc(op uint16, a, b valueID) valueID {
	x, y := &o.values[a], &o.values[b]
	if x.op == valueConst && (y.op == valueConst || op == AluNeg) {
		if k, ok := fold(op, x.k, y.k); ok {
			return o.constant(k)
		}
	}
	if x.op == valueConst && commutes(op) {
		a, b, x, y = b, a, y, x
	}
	if op == AluNeg {
		b = 0
	} else if y.op == valueConst {
		switch neutral(op, x, y.k) {
		case keepsLeft:
			return a
		case givesZero:
			if o.deep {
				return o.constant(0)
			}
		}
		// (v op k1) op k2 is v op (k1 op k2) for these.
		if left := *x; left.op == ClassAlu|op && o.values[left.b].op == valueConst && (op == AluAnd || op == AluOr || op == AluXor || op == AluAdd) {
			k, _ := fold(op, o.values[left.b].k, y.k)
			return o.calc(op, left.a, o.constant(k))
		}
	} else if a == b && o.deep {
		switch op {
		case AluSub, AluXor:
			return o.constant(0)
		case AluAnd, AluOr:
			return a
		}
	}
	return o.intern(value{op: ClassAlu | op, a: a, b: b, max: calcMax(op, x, y)})
}

func commutes(op uint16) bool {
	switch op {
	case AluAdd, AluMul, AluAnd, AluOr, AluXor:
		return true
	}
	return false
}

// fold computes with constants; no when the instruction ends the filter, or when libpcap and the kernel differ.
func fold(op uint16, a, b uint32) (uint32, bool) {
	switch op {
	case AluAdd:
		return a + b, true
	case AluSub:
		return a - b, true
	case AluMul:
		return a * b, true
	case AluOr:
		return a | b, true
	case AluAnd:
		return a & b, true
	case AluXor:
		return a ^ b, true
	case AluNeg:
		return -a, true
	}
	switch {
	case op == AluLsh && b < 32:
		return a << b, true
	case op == AluRsh && b < 32:
		return a >> b, true
	case op == AluDiv && b != 0:
		return a / b, true
	case op == AluMod && b != 0:
		return a % b, true
	}
	return 0, false
}

// What an operation with a constant on its right does to some values.
const (
	changes = iota
	keepsLeft
	givesZero
)

// neutral says what op k does to x.
func neutral(op uint16, x *value, k uint32) int {
	switch op {
	case AluAdd, AluSub, AluOr, AluXor, AluLsh, AluRsh:
		if k == 0 {
			return keepsLeft
		}
		if op == AluRsh && k < 32 && x.max>>k == 0 {
			return givesZero
		}
	case AluMul, AluDiv:
		if k == 1 {
			return keepsLeft
		}
		if op == AluMul && k == 0 {
			return givesZero
		}
	case AluAnd:
		if k == 0 {
			return givesZero
		}
		if bits := ones(x.max); bits&k == bits {
			return keepsLeft
		}
	}
	return changes
}

// ones returns the least 2^n-1 that is not below v.
func ones(v uint32) uint32 {
	v |= v >> 1
	v |= v >> 2
	v |= v >> 4
	v |= v >> 8
	return v | v>>16
}

// calcMax bounds the result of an operation.
func calcMax(op uint16, x, y *value) uint32 {
	const all = 1<<32 - 1
	known := y.op == valueConst
	switch op {
	case AluAdd:
		if sum := uint64(x.max) + uint64(y.max); sum <= all {
			return uint32(sum)
		}
	case AluMul:
		if product := uint64(x.max) * uint64(y.max); product <= all {
			return uint32(product)
		}
	case AluAnd:
		return min(x.max, y.max)
	case AluOr, AluXor:
		return ones(x.max | y.max)
	case AluDiv:
		if known && y.k != 0 {
			return x.max / y.k
		}
		return x.max
	case AluMod:
		if known && y.k != 0 {
			return min(x.max, y.k-1)
		}
		return x.max
	case AluRsh:
		if known && y.k < 32 {
			return x.max >> y.k
		}
		return x.max
	case AluLsh:
		if known && y.k < 32 && uint64(x.max)<<y.k <= all {
			return x.max << y.k
		}
	}
	return all
}
