//go:build !linux

package main

import "net"

// refuseConnections does nothing where it is not implemented: connections that
// wait to be accepted when the listener closes are lost.
func refuseConnections(net.Listener) error { return nil }
