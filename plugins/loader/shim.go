package loader

// hostCall is the price of calling the host: leaving native code and coming
// back takes about as long as so many instructions.
const hostCall = 1000

// lengths name the host functions whose work grows with one of their
// parameters: which one, and the price of each.
var lengths = map[string]struct {
	param uint32
	price price
}{
	"random_get":  {1, price{base: hostCall, most: 1 << 32, factor: 2}}, // bytes
	"fd_write":    {2, price{base: hostCall, most: 1 << 32, factor: 1000}},
	"poll_oneoff": {2, price{base: hostCall, most: 1 << 32, factor: 100}},
}

// shim is a function that pays for a call of an imported function and passes
// it on. Every reference to the imported one goes to the shim, so that none is
// reached without paying, by table or export either.
func (m *module) shim(i int) []byte {
	f := m.imports[i]
	t := m.types[f.typ]
	acc := uint32(len(t.params))
	b := append([]byte{1, 1}, 0x7e)
	b = with(b, opGlobalGet, m.fuel())
	l, ok := lengths[f.name]
	if ok && int(l.param) < len(t.params) && t.params[l.param] == typeI32 {
		b = l.price.append(b, l.param)
	} else {
		b = appendSigned(append(b, opI64Const), hostCall)
	}
	b = m.settle(append(b, opI64Sub), acc)
	for p := range t.params {
		b = with(b, opLocalGet, uint32(p))
	}
	return append(with(b, opCall, uint32(i)), opEnd)
}
