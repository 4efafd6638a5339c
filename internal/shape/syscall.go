package shape

import (
	"syscall"
	"unsafe"
)

// transfer reads or writes a descriptor that never blocks, without telling Go's
// scheduler: it is called up to a hundred thousand times a second. The result is
// negative when it failed.
func transfer(call uintptr, fd int, b []byte) int {
	n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return -1
	}
	return int(n)
}
