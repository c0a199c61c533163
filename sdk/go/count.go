// The counter of the tutorial (docs/operations.md) in Go, from docs/abi.md alone: there is no SDK for it. It passes the scenarios of the others.
// The Go compiler itself makes modules that are far too large and import WASI; TinyGo, with pleach.json beside this file, makes one of 1,400 bytes:
//
//	tinygo build -target=./pleach.json -no-debug -opt=2 -panic=trap -o count.wasm count.go
//	pleach op describe count.wasm 'name: str, limit: u64'
package main

import "unsafe"

//go:wasmimport pleach_v1 args_read
func argsRead(dst unsafe.Pointer, cap uint32) uint32

//go:wasmimport pleach_v1 rec_open
func recOpen(key unsafe.Pointer, keyLen uint32) uint32

//go:wasmimport pleach_v1 rec_get
func recGet(handle uint32, dst unsafe.Pointer, cap uint32) uint32

//go:wasmimport pleach_v1 rec_put
func recPut(handle uint32, ptr unsafe.Pointer, len uint32)

//go:wasmimport pleach_v1 ctx_read
func ctxRead(field uint32, dst unsafe.Pointer, cap uint32) uint32

//go:wasmimport pleach_v1 abort
func hostAbort(code uint32, ptr unsafe.Pointer, len uint32)

const absent = 0xffffffff

func at(bytes []byte) unsafe.Pointer {
	if len(bytes) == 0 {
		return nil
	}
	return unsafe.Pointer(&bytes[0])
}

// Ends the operation: the host does not come back.
func fail(code uint32, message string) {
	bytes := []byte(message)
	hostAbort(code, at(bytes), uint32(len(bytes)))
}

// A number of so many bytes, little-endian.
func number(bytes []byte) (n uint64) {
	for i, b := range bytes {
		n |= uint64(b) << (8 * i)
	}
	return n
}

//export pleach_run
func run() {
	arguments := make([]byte, argsRead(nil, 0))
	argsRead(at(arguments), uint32(len(arguments)))
	if len(arguments) < 12 || number(arguments[:4]) != uint64(len(arguments)-12) {
		fail(1, "arguments")
	}
	end := len(arguments) - 8
	name, limit := string(arguments[4:end]), number(arguments[end:])

	domain := make([]byte, ctxRead(1, nil, 0))
	ctxRead(1, at(domain), uint32(len(domain)))
	key := append(domain, "counters/"+name...)
	record := recOpen(at(key), uint32(len(key)))

	value := make([]byte, 8)
	found := recGet(record, at(value), 8)
	if found != absent && found != 8 {
		fail(300, "not a counter: "+name)
	}
	count := number(value)
	if count >= limit {
		fail(301, "the limit is reached: "+name)
	}
	for i := range value {
		value[i] = byte((count + 1) >> (8 * i))
	}
	recPut(record, at(value), 8)
}

func main() {}
