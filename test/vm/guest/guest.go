// Package guest holds the tests that run inside the virtual machine. The host
// compiles them, shares the binary with the guest and runs it there; anywhere
// else they skip themselves.
package guest

// InGuest is the environment variable that says that this is the machine to
// test on, which may be changed at will.
const InGuest = "ZDL_TEST_IN_GUEST"
