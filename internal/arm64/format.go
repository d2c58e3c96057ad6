package arm64

import (
	"fmt"
	"strings"
)

// FormatAtomic writes an instruction of the large system extensions that the table has, as GNU tools do. Its inverse is
// Atomic.
func FormatAtomic(word uint32) (string, bool) {
	const operands = 0x1f<<16 | 0x1f<<5 | 0x1f // Rs, Rn, Rt
	for i := range forms {
		f := &forms[i]
		if f.shape != shapeAtomic || word&^(operands|f.wide) != f.word {
			continue
		}
		w := Width(word&f.wide != 0)
		rs, rt, base := Reg(word>>16&0x1f), Reg(word&0x1f), Reg(word>>5&0x1f)
		return fmt.Sprintf("%s %s, %s, [%s]", strings.ToLower(f.name), rs.name(w), rt.name(w), base.baseName()), true
	}
	return "", false
}

func (r Reg) name(w Width) string {
	letter := 'w'
	if w == X {
		letter = 'x'
	}
	if r == ZR {
		return string(letter) + "zr"
	}
	return fmt.Sprintf("%c%d", letter, r)
}

func (r Reg) baseName() string {
	if r == SP {
		return "sp"
	}
	return r.name(X)
}
