package sdk

import "unsafe"

// The buffers that the host reads and writes. They are held here because a
// pointer in the host is none to the garbage collector: the input until the
// next alloc, the output until the next call. A module serves one call at a
// time.
var inputBuffer, outputBuffer []byte

// marker says by its name which major version of the ABI this module speaks.
//
//go:wasmexport sallyport_provider_v1
func marker() {}

// alloc returns room for an input document of n bytes, or 0 if it is too long.
//
//go:wasmexport sallyport_alloc
func alloc(n int32) unsafe.Pointer {
	if n <= 0 || n > MaxInput {
		return nil
	}
	if int(n) > cap(inputBuffer) {
		inputBuffer = make([]byte, n)
	}
	inputBuffer = inputBuffer[:n]
	return unsafe.Pointer(unsafe.SliceData(inputBuffer))
}

// call reads the n bytes written where alloc said and returns where the output
// document lies: pointer in the upper half, length in the lower.
//
//go:wasmexport sallyport_call
func call(n int32) int64 {
	if n < 0 || int(n) > len(inputBuffer) {
		n = 0 // an input too short, which Run reports
	}
	outputBuffer = Run(registered, inputBuffer[:n])
	at := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(outputBuffer))))
	return int64(at<<32 | uint64(len(outputBuffer)))
}
