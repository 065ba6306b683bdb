package main

import (
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// refuseConnections makes a listener ignore new connections, so that it can be
// closed without losing any: closing resets connections that wait to be
// accepted, or whose handshake is under way, and a proxy may have sent a call on
// them by then that it must not send twice. An ignored client sends its SYN again
// after a second, finds the listener closed, and its proxy takes another replica.
//
// The filter is classic BPF over the TCP header: segments with the flag SYN
// are dropped.
func refuseConnections(l net.Listener) error {
	socket, ok := l.(syscall.Conn)
	if !ok {
		return fmt.Errorf("%T is not a socket", l)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	const flags, syn = 13, 0x02 // RFC 9293 §3.1
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: flags},
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: syn, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	var attached error
	if err := raw.Control(func(fd uintptr) {
		attached = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program)
	}); err != nil {
		return err
	}
	return attached
}
