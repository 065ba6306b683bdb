package main

import (
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// hyphened is an id of a grant, or the hash of a client id, that begins with a
// hyphen, as one in 64 does: 16 bytes in base64url (RFC 4648 §5).
var hyphened = regexp.MustCompile(`^-[A-Za-z0-9_-]{21}$`)

// idsLast returns args with such ids behind "--", so that what a list or the log
// shows can be given as it is and is not taken for a flag.
func idsLast(root *cobra.Command, args []string) []string {
	cmd, _, err := root.Find(args)
	if err != nil {
		return args
	}
	var rest, ids []string
	for i, arg := range args {
		switch {
		case arg == "--":
			return args
		case hyphened.MatchString(arg) && !isFlag(cmd, arg) && !(i > 0 && wantsValue(cmd, args[i-1])):
			ids = append(ids, arg)
		default:
			rest = append(rest, arg)
		}
	}
	if len(ids) == 0 {
		return args
	}
	return append(append(rest, "--"), ids...)
}

// isFlag reports whether an argument is a long flag of a command.
func isFlag(cmd *cobra.Command, arg string) bool {
	name, long := strings.CutPrefix(arg, "--")
	return long && cmd.Flag(name) != nil
}

// wantsValue reports whether the argument behind this one is the value of a flag.
func wantsValue(cmd *cobra.Command, arg string) bool {
	name, dashed := strings.CutPrefix(arg, "-")
	if !dashed {
		return false
	}
	flag := cmd.Flag(strings.TrimPrefix(name, "-"))
	if len(name) == 1 {
		flag = cmd.Flags().ShorthandLookup(name)
	}
	return flag != nil && flag.NoOptDefVal == ""
}
