package mem

import "math/bits"

// Size classes: 16, 32, ... 128, then four to each doubling (160, 192, 224, 256, 320, ...) up to 32 KiB, so that
// rounding wastes at most a fifth.
const (
	fineStep    = 16
	fineClasses = 8
	fineMax     = fineStep * fineClasses
	fineBits    = 7 // fineMax = 1<<fineBits
	numClasses  = fineClasses + 4*(15-fineBits)
)

// classOf returns the smallest class that holds size bytes, 1 <= size <= smallMax.
func classOf(size uint32) uint8 {
	if size <= fineMax {
		return uint8((size+fineStep-1)/fineStep - 1)
	}
	doubling := bits.Len32(size-1) - 1 // 1<<doubling < size <= 2<<doubling
	quarter := (size - 1 - 1<<doubling) >> (doubling - 2)
	return uint8(fineClasses + 4*uint32(doubling-fineBits) + quarter)
}

// classSize is the inverse: bytes of a slot.
func classSize(class uint8) uint32 {
	if class < fineClasses {
		return (uint32(class) + 1) * fineStep
	}
	c := uint32(class) - fineClasses
	return 1 << (fineBits + c/4) / 4 * (5 + c%4)
}

// classFor returns the smallest class whose slots all have the alignment; false when only a page run has.
// Spans begin at multiples of chunkSize, so a slot is as aligned as its size is.
func classFor(size, align uint32) (uint8, bool) {
	if size > smallMax || align > smallMax {
		return 0, false
	}
	for class := classOf(size); class < numClasses; class++ {
		if classSize(class)%align == 0 {
			return class, true
		}
	}
	return 0, false
}

// spanBytes is the size of a span of a class: eight slots at least.
func spanBytes(class uint8) uint32 {
	if classSize(class) <= chunkSize/8 {
		return chunkSize
	}
	return 4 * chunkSize
}
